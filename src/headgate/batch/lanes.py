"""Which lane a chunk takes: a batch at half the price while it can be done in time, calls at once when it cannot. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec

REALTIME = "realtime"
BATCH = "batch"
SPARE = 1.25
"""How much longer than it looks the realtime rest may take."""
SLACK = 0.02
"""The part of the time given that is kept for what nobody thinks of."""


class OnStuck(StrEnum):
    """What becomes of a batch that is older than its greatest age (OCT-123)."""

    WAIT = "wait"
    """Go on looking; the run says so."""
    CANCEL_RESUBMIT = "cancel_resubmit"
    """Cancel it, keep what it has done, and submit the rest as a new batch."""
    SWITCH_TO_REALTIME = "switch_to_realtime"
    """Cancel it, keep what it has done, and ask for the rest at once, at realtime prices."""


class Why(StrEnum):
    """Why a chunk is in another lane than its run's mode says; on its receipts as `lane_reason`."""

    DEADLINE = "deadline"
    STUCK = "stuck"
    TOO_FEW = "too_few_for_batch"
    SWITCHED = "switched"


class Deadline(msgspec.Struct, frozen=True):
    """When a run has to be done, and when it began (epoch seconds)."""

    at: float
    began: float


class Pace(msgspec.Struct, frozen=True):
    """How fast a run goes. Times in seconds.

    `calls` are left to be made, `concurrency` of them at a time, each taking `call`; a batch takes `turnaround`, cancelling one `cancel`.
    """

    calls: float
    concurrency: int
    call: float
    turnaround: float
    cancel: float


def realtime_seconds(pace: Pace) -> float:
    """How long all the calls that are left would take at once."""
    return pace.calls * pace.call / max(1, pace.concurrency)


def last_moment(deadline: Deadline, pace: Pace) -> float:
    """The latest time at which everything that is left has to go realtime to be done before the deadline (epoch seconds)."""
    return deadline.at - SPARE * realtime_seconds(pace) - pace.cancel - SLACK * (deadline.at - deadline.began)


def batch_fits(now: float, deadline: Deadline, pace: Pace) -> bool:
    """Whether a batch submitted now would be done early enough to leave time for what it may leave undone."""
    return now + pace.turnaround <= last_moment(deadline, pace)


def pressing(now: float, deadline: Deadline, pace: Pace) -> bool:
    """Whether batches that are under way have to be given up for the deadline."""
    return now >= last_moment(deadline, pace)
