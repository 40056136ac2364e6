"""The states of units, chunks, submissions and runs, and which may follow which."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class UnitState(IntEnum):
    """Where a unit stands at a step. TODO, SENT and RETRY are work for this step; VALID and FAILED are final for it.

    BACK is pending too: the unit is about to be sent back to an earlier step. AWAY units were, and are not at this step now.
    """

    TODO = 0
    SENT = 1
    RETRY = 2
    VALID = 3
    FAILED = 4
    BACK = 5
    AWAY = 6


OPEN_UNITS = (UnitState.TODO, UnitState.SENT, UnitState.RETRY)
"""Still to be worked on at this step."""
PENDING_UNITS = (*OPEN_UNITS, UnitState.BACK)
"""At this step, and not decided."""


RUN_SCOPE = "run"
"""Steps of this kind have no units; they come last, and are done once."""
AFTER = "after"
"""Their lane."""


class ChunkState(StrEnum):
    """An envelope of units: open until every unit of it was decided; `split` when smaller ones took its place."""

    OPEN = "open"
    BUILT = "built"
    SUBMITTED = "submitted"
    COLLECTED = "collected"
    DONE = "done"
    SPLIT = "split"


CLOSED_CHUNKS = frozenset({ChunkState.DONE, ChunkState.SPLIT})


class SubmissionState(StrEnum):
    """One try to have a chunk processed as a provider batch.

    `intent` is written before the provider hears of it; `refused` means the provider said no (nothing runs there); `lost` that it can no
    longer be found. Only `intent` may become `submitted`, and only once.
    """

    INTENT = "intent"
    SUBMITTED = "submitted"
    ENDED = "ended"
    COLLECTED = "collected"
    REFUSED = "refused"
    LOST = "lost"


SUBMISSION_NEXT: dict[SubmissionState, frozenset[SubmissionState]] = {
    SubmissionState.INTENT: frozenset({SubmissionState.SUBMITTED, SubmissionState.REFUSED}),
    SubmissionState.SUBMITTED: frozenset({SubmissionState.ENDED, SubmissionState.LOST}),
    SubmissionState.ENDED: frozenset({SubmissionState.COLLECTED, SubmissionState.LOST, SubmissionState.REFUSED}),
    SubmissionState.COLLECTED: frozenset(),
    SubmissionState.REFUSED: frozenset(),
    SubmissionState.LOST: frozenset({SubmissionState.COLLECTED}),
}


class RunState(StrEnum):
    """A run as users see it. Only complete and failed are final; both can be told apart from paused at a glance."""

    PLANNING = "planning"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETE = "complete"
    FAILED = "failed"


class Outcome(StrEnum):
    """How one attempt ended."""

    VALID = "valid"
    INVALID = "invalid"
    """Answered, but not acceptable: counts against the unit's tries."""
    ERROR = "error"
    """Not answered: a transient failure, not counted against the tries."""
    UNKNOWN = "unknown"
    """The request may have reached the provider, and the answer is lost."""


class Verdict(StrEnum):
    """What a phase of a chunk says when it returns."""

    NEXT = "next"
    AGAIN = "again"
    PAUSED = "paused"
    END = "end"
