"""What to do next, decided from values alone.

The rule that matters most is in `decide_submission`: an intent is submitted at most once, by the process that wrote it. Whoever finds an
intent without a batch id looks for the job at the provider; only when that has shown that it is not there is the intent given up and a
new one written.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from headgate.batch.reasons import Reason, retryable
from headgate.batch.states import Outcome, SubmissionState, UnitState
from headgate.dialects.batch import TERMINAL, BatchState, BatchStatus, Candidate


class Action(StrEnum):
    """What the submit phase does."""

    INTEND = "intend"
    """Write a new intent, then decide again."""
    SUBMIT = "submit"
    """Hand the rows to the provider."""
    FIND = "find"
    """Look at the provider for a job that carries our mark."""
    ABANDON = "abandon"
    """The job is not at the provider: give this intent up."""
    ADOPT = "adopt"
    """Take a found job as ours."""
    WAIT = "wait"
    """Too early or too ambiguous to tell: look again later."""
    PROCEED = "proceed"
    """A job is known; go on to waiting for it."""


class SubmissionView(msgspec.Struct, frozen=True):
    """What is known of the latest submission of a chunk. `fresh` means: this process wrote the intent and has not called the provider."""

    state: SubmissionState
    rows: int
    intent_at: float
    batch_id: str | None = None
    fresh: bool = False


def decide_submission(
    view: SubmissionView | None,
    now: float,
    grace: float,
    found: tuple[Candidate, ...] | None = None,
    claimed: frozenset[str] = frozenset(),
) -> tuple[Action, Candidate | None]:
    """The next action for a chunk's submission.

    `found` is what the provider's list showed (None: not looked yet), `claimed` the batch ids other submissions own, `grace` the seconds
    after an intent during which an absent job may still appear.
    """
    if view is None or view.state in (SubmissionState.REFUSED, SubmissionState.COLLECTED):
        return Action.INTEND, None
    if view.state is not SubmissionState.INTENT:
        return Action.PROCEED, None
    if view.fresh:
        return Action.SUBMIT, None
    if found is None:
        return Action.FIND, None
    ours = tuple(c for c in found if c.handle.id not in claimed)
    tagged = tuple(c for c in ours if c.matched_by == "tag")
    if tagged:
        return Action.ADOPT, tagged[0]
    likely = tuple(c for c in ours if c.total is None or c.total == view.rows)
    if len(likely) == 1:
        return Action.ADOPT, likely[0]
    if likely or now - view.intent_at < grace:
        return Action.WAIT, None
    return Action.ABANDON, None


class Poll(StrEnum):
    """What the wait phase does after one look."""

    WAIT = "wait"
    COLLECT = "collect"
    CANCEL = "cancel"


def decide_poll(state: BatchState, age: float, max_age: float, cancelled: bool, *, urgent: bool = False) -> Poll:
    """What one look at a batch means. Too old, or `urgent`: cancel once, then wait for the salvage."""
    if state.status in TERMINAL and not state.lagging:
        return Poll.COLLECT
    if urgent and not cancelled and state.status is not BatchStatus.CANCELLING:
        return Poll.CANCEL
    if age > max_age and not cancelled and state.status is not BatchStatus.CANCELLING:
        return Poll.CANCEL
    if age > 2 * max_age:
        return Poll.COLLECT
    return Poll.WAIT


SENDS_BACK = {"chunk": frozenset({Reason.RULE}), "expression": frozenset({Reason.RULE, Reason.EXPRESSION_ERROR})}
"""By kind of step, the reasons for which an earlier step is to blame when the step names one (`retry_from`): a judge's unreadable
verdict is the judge's own fault, a broken rule is not (OCT-103)."""


def decide_unit(
    outcome: Outcome, reason: Reason | None, tries: int, max_tries: int, errors: int, max_errors: int, *, back: bool = False
) -> UnitState:
    """The unit's state after an attempt. `tries` counts answered attempts, `errors` unanswered ones, this attempt included.

    `back`: the step holds an earlier one to account for this reason. An answer that was lost on its way may have been paid for, so it is
    not asked for again for ever.
    """
    if outcome is Outcome.VALID:
        return UnitState.VALID
    if back and outcome is Outcome.INVALID:
        return UnitState.BACK if tries < max_tries else UnitState.FAILED
    if reason is not None and not retryable(reason):
        return UnitState.FAILED
    if outcome in (Outcome.ERROR, Outcome.UNKNOWN):
        return UnitState.RETRY if errors < max_errors else UnitState.FAILED
    return UnitState.RETRY if tries < max_tries else UnitState.FAILED


def next_delay(previous: float | None, first: float, longest: float, jitter: float) -> float:
    """Seconds until the next look at a batch: half as long again each time, ± 10 % by `jitter` in [0, 1)."""
    base = first if previous is None else min(previous * 1.5, longest)
    return base * (0.9 + 0.2 * jitter)


def submit_delay(refusals: int, retry_after: float | None, ladder: tuple[float, ...] = (30.0, 60.0, 120.0, 300.0)) -> float:
    """Seconds to wait after the n-th refusal in a row to take a batch (OCT-104); the provider's own word wins."""
    if retry_after is not None:
        return min(retry_after, ladder[-1])
    return ladder[min(refusals, len(ladder)) - 1]
