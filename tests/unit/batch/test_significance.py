"""Differences of shares against published values and exact counts."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.significance import fisher_exact, outliers, pooled, two_proportions


def test_published_intervals() -> None:
    """Newcombe (1998), table II, method 10: 56/70 less 48/80, and 9/10 less 3/10."""
    for (a, n, b, m), low, high in [((48, 80, 56, 70), 0.0524, 0.3339), ((3, 10, 9, 10), 0.1705, 0.8090), ((0, 10, 10, 10), 0.6075, 1.0)]:
        found = two_proportions(a, n, b, m)
        assert found is not None
        assert (round(found.interval.low, 4), round(found.interval.high, 4)) == (low, high)


def test_published_tests() -> None:
    """Fisher's tea: 3 of 4 against 1 of 4; and a pooled test by hand: z = 2.6516 for 56/70 and 48/80."""
    assert fisher_exact(3, 4, 1, 4) == pytest.approx(34 / 70)
    assert pooled(56, 70, 48, 80) == pytest.approx(0.00801, abs=5e-5)
    assert pooled(5, 5, 9, 9) == 1.0


PAIRS = st.integers(1, 25).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(PAIRS, PAIRS)
def test_the_exact_test_adds_up_the_tables(one: tuple[int, int], two: tuple[int, int]) -> None:
    (a, n), (b, m) = one, two
    hits = a + b
    chances = {k: comb(n, k) * comb(m, hits - k) for k in range(max(0, hits - m), min(hits, n) + 1)}
    expected = sum(chance for chance in chances.values() if chance <= chances[a]) / comb(n + m, hits)
    assert fisher_exact(a, n, b, m) == pytest.approx(expected, rel=1e-6)
    assert fisher_exact(b, m, a, n) == pytest.approx(expected, rel=1e-6)


@given(PAIRS, PAIRS)
def test_a_difference_holds_itself_and_turns_round(one: tuple[int, int], two: tuple[int, int]) -> None:
    there, back = two_proportions(*one, *two), two_proportions(*two, *one)
    assert there is not None and back is not None
    assert -1 <= there.interval.low <= there.interval.value <= there.interval.high <= 1
    assert (there.interval.low, there.p_value) == (pytest.approx(-back.interval.high), pytest.approx(back.p_value))
    assert 0 <= there.p_value <= 1


def test_large_and_small_counts_use_different_tests() -> None:
    large, small = two_proportions(400, 1000, 500, 1000), two_proportions(3, 1_000_000, 4, 1_000_000)
    assert large is not None and small is not None
    assert (large.test, large.significant()) == ("two-proportion z-test", True)
    assert (small.test, small.significant()) == ("Fisher's exact test", False)
    assert two_proportions(0, 0, 1, 2) is None


def test_groups_that_stand_out() -> None:
    groups = {"a": (5, 1000), "b": (6, 1000), "c": (60, 1000)}
    assert "c" in outliers(groups)
    assert outliers({"a": (5, 100), "b": (6, 100)}) == ()
    assert outliers({"only": (5, 100)}) == ()
