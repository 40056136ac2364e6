"""Intervals against published values, the walk against its exact distribution, tables against hand counts."""

import random
from math import comb, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.statistics import (
    Interval,
    binomial_two_sided,
    clopper_pearson,
    incomplete_beta,
    mean_interval,
    normal_quantile,
    number_table,
    outcome_table,
    still_walking,
    summarise_numbers,
    walk_theory,
    wilson,
)


def test_published_intervals():
    """Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20."""
    for count, total, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]:
        found = wilson(count, total)
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    for count, total, low, high in [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684)]:
        found = clopper_pearson(count, total)
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_nothing_known_is_everything_possible():
    assert wilson(0, 0) == clopper_pearson(0, 0) == Interval(0.0, 0.0, 1.0)


@given(st.integers(1, 300).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_intervals_hold_their_share_and_mirror(pair):
    count, total = pair
    for interval in (wilson, clopper_pearson):
        found, mirrored = interval(count, total), interval(total - count, total)
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert found.low == pytest.approx(1 - mirrored.high, abs=1e-9)
    assert clopper_pearson(count, total).holds(count / total)


@given(st.integers(1, 60).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))), st.sampled_from([0.1, 0.5, 0.83]))
def test_binomial_tails_are_sums(pair, share):
    count, total = pair
    chances = [comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(total + 1)]
    expected = min(1.0, 2 * min(sum(chances[: count + 1]), sum(chances[count:])))
    assert binomial_two_sided(count, total, share) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_incomplete_beta_at_known_points():
    assert incomplete_beta(2, 3, 0.5) == pytest.approx(0.6875)
    assert incomplete_beta(1, 1, 0.3) == pytest.approx(0.3)
    assert (incomplete_beta(2, 2, 0), incomplete_beta(2, 2, 1)) == (0.0, 1.0)
    assert normal_quantile(0.95) == pytest.approx(1.959964, abs=1e-6)


def test_the_walk_from_the_middle():
    """OCT-191."""
    theory = walk_theory(5, 10)
    assert (theory.upper_share, theory.mean_steps, theory.stdev_steps) == (0.5, 25.0, 20.0)
    assert [round(still_walking(5, 10, steps), 4) for steps in (25, 50, 100)] == [0.3511, 0.1053, 0.0086]
    assert still_walking(5, 10, 1000) == pytest.approx(2.1e-22, rel=0.05)


@pytest.mark.parametrize("start", range(11))
def test_theory_agrees_with_the_exact_distribution(start):
    survival = [still_walking(start, 10, steps) for steps in range(500)]
    mean = sum(survival)
    second = sum((2 * steps + 1) * chance for steps, chance in enumerate(survival))
    theory = walk_theory(start, 10)
    assert theory.mean_steps == pytest.approx(mean, abs=1e-6)
    assert theory.stdev_steps == pytest.approx(sqrt(max(second - mean * mean, 0)), abs=1e-4)
    assert theory.upper_share == start / 10


def test_impossible_walks_are_refused():
    for start, width in [(-1, 10), (11, 10), (0, 0)]:
        with pytest.raises(ValueError, match="within the ends"):
            walk_theory(start, width)


def test_mean_interval_covers_as_often_as_it_says():
    stream = random.Random(5)
    hits = sum(mean_interval([stream.gauss(3, 2) for _ in range(60)]).holds(3) for _ in range(1000))
    assert 925 <= hits <= 970


def test_number_summary():
    summary = summarise_numbers([4, 1, 3, 2])
    assert (summary.count, summary.mean, summary.median, summary.least, summary.most) == (4, 2.5, 2.5, 1, 4)
    assert summary.stdev == pytest.approx(sqrt(5 / 3))
    assert summarise_numbers([7]).stdev == 0
    with pytest.raises(ValueError, match="no values"):
        summarise_numbers([])


RECORDS = [
    {"g": "a", "o": "win", "n": 3},
    {"g": "a", "o": "lose", "n": 5},
    {"g": "b", "o": "win", "n": True},
    {"g": "a", "o": "win"},
    {"o": "win"},
    {"g": "b", "n": "x"},
]


def test_outcome_table():
    table = outcome_table(RECORDS, "g", "o")
    assert (table.outcomes, table.skipped) == (("win", "lose"), 2)
    assert [(row.group, row.total, row.counts) for row in table.rows] == [("a", 3, {"win": 2, "lose": 1}), ("b", 1, {"win": 1, "lose": 0})]
    assert table.rows[0].shares["win"] == wilson(2, 3)
    assert outcome_table(RECORDS, None, "o").rows[0].counts == {"win": 4, "lose": 1}
    assert outcome_table([], "g", "o").rows == ()


def test_number_table():
    table = number_table(RECORDS, "g", "n")
    assert table.rows.keys() == {"a"}
    assert (table.rows["a"].mean, table.skipped) == (4, 4)
    assert number_table(RECORDS, None, "n").rows["all"].count == 2
