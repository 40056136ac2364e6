"""How far a run is: shares, time and money from totals alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.progress import duration_text, goals, projected_cost, remaining_seconds, share_done
from headgate.batch.rows import StepTotals


def step(idx: int, started: int, valid: int, failed: int, cost: int = 0, kind: str = "chunk", open_chunks: int = 0) -> StepTotals:
    return StepTotals(idx, f"s{idx}", kind, "batch", None, None, started, valid, failed, cost, 1, open_chunks, 0)


def test_a_unit_that_failed_has_no_later_steps_to_go_through() -> None:
    assert share_done(10, [step(0, 10, 5, 5), step(1, 5, 5, 0)]) == 1.0
    assert share_done(10, [step(0, 10, 10, 0), step(1, 10, 0, 0)]) == 0.5
    assert share_done(None, [step(0, 10, 10, 0)]) == share_done(10, []) == 0.0


@given(st.integers(1, 50), st.data())
def test_the_share_never_passes_one_and_never_falls(total: int, data: st.DataObject) -> None:
    valid = data.draw(st.integers(0, total))
    failed = data.draw(st.integers(0, total - valid))
    second = data.draw(st.integers(0, valid))
    before = share_done(total, [step(0, total, valid, failed), step(1, valid, 0, 0)])
    after = share_done(total, [step(0, total, valid, failed), step(1, valid, second, 0)])
    assert 0.0 <= before <= after <= 1.0


PACES = [(0.5, 0.0, 10.0, 10.0), (0.75, 0.5, 10.0, 10.0), (0.5, 0.5, 9.0, None), (1.0, 1.0, 0.0, 0.0)]


@pytest.mark.parametrize(("done", "before", "elapsed", "expected"), PACES)
def test_time_left_goes_by_the_pace_of_this_invocation(done: float, before: float, elapsed: float, expected: float | None) -> None:
    assert remaining_seconds(done, before, elapsed) == expected


def test_projected_cost_goes_by_what_decided_units_cost() -> None:
    assert projected_cost(100, [step(0, 100, 10, 0, 50, open_chunks=1)]) == 500
    assert projected_cost(100, [step(0, 100, 50, 50, 50), step(1, 50, 50, 0, 20)]) == 70
    assert projected_cost(100, [step(0, 100, 0, 0, 0, open_chunks=1)]) is None
    assert projected_cost(None, []) is None
    assert projected_cost(100, [step(0, 100, 0, 0, kind="expression", open_chunks=1)]) == 0


@pytest.mark.parametrize(("seconds", "text"), [(None, "—"), (0.4, "0s"), (59.4, "59s"), (185, "3m05s"), (3720, "1h02m")])
def test_durations(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text


def test_goals_are_the_units_or_what_they_have_become() -> None:
    steps = [step(0, 4, 4, 0, kind="fan_out"), step(1, 14, 10, 0), step(2, 0, 0, 0), step(3, 0, 0, 0, kind="run")]
    assert goals(4, steps) == [4, 14, 14]
    assert goals(60, [step(0, 60, 40, 20), step(1, 40, 0, 0)]) == [60, 60]
    assert goals(None, steps) == [4, 14, 0]
