"""Batch while it can end in time, realtime when it cannot: decided from times alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from headgate.batch.decide import Poll, decide_poll
from headgate.batch.lanes import Deadline, Pace, batch_fits, last_moment, pressing, realtime_seconds
from headgate.dialects.batch import BatchState, BatchStatus

HOUR = 3600.0
SIX = Deadline(at=6 * HOUR, began=0.0)
PACE = Pace(calls=6400, concurrency=64, call=2.0, turnaround=HOUR, cancel=600.0)
SPANS = st.floats(0.0, 1e5, allow_nan=False)


def test_the_last_moment_leaves_time_for_the_realtime_rest() -> None:
    assert realtime_seconds(PACE) == 200.0
    assert last_moment(SIX, PACE) == 6 * HOUR - 250.0 - 600.0 - 0.02 * 6 * HOUR
    assert batch_fits(0.0, SIX, PACE) and not batch_fits(5 * HOUR, SIX, PACE)
    assert not pressing(5 * HOUR, SIX, PACE) and pressing(5.8 * HOUR, SIX, PACE)


@given(now=SPANS, later=SPANS, calls=SPANS, more=SPANS)
def test_what_does_not_fit_now_fits_no_more_later_and_with_no_more_work(now: float, later: float, calls: float, more: float) -> None:
    pace = replace(PACE, calls=calls)
    busier = replace(pace, calls=calls + more)
    if not batch_fits(now, SIX, pace):
        assert not batch_fits(now + later, SIX, pace) and not batch_fits(now, SIX, busier)
    if pressing(now, SIX, pace):
        assert pressing(now + later, SIX, pace) and pressing(now, SIX, busier)
        assert not batch_fits(now + 1e-3, SIX, pace)


def test_an_urgent_batch_is_cancelled_once_and_then_waited_for() -> None:
    running = BatchState(status=BatchStatus.RUNNING, raw_status="in_progress")
    done = BatchState(status=BatchStatus.COMPLETED, raw_status="completed")
    assert decide_poll(running, 10.0, HOUR, cancelled=False, urgent=True) is Poll.CANCEL
    assert decide_poll(running, 10.0, HOUR, cancelled=True, urgent=True) is Poll.WAIT
    assert decide_poll(done, 10.0, HOUR, cancelled=False, urgent=True) is Poll.COLLECT
