"""The rows of a run's database as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from headgate.batch.states import RUN_SCOPE, ChunkState, Outcome, RunState, SubmissionState, UnitState


class RunRow(msgspec.Struct, frozen=True):
    """One run. Times are epoch seconds, money nano-dollars; `total` is None until planning is finished.

    `mark` is made for this run alone: it begins custom ids, batch tags, request ids and ledger keys, because two runs may share a name.
    """

    key: int
    id: str
    mark: str
    pipeline: str
    pipeline_digest: str
    mode: str
    state: RunState
    created_at: float
    finished_at: float | None
    planned: int
    total: int | None
    seed: str
    cost_cap_nanos: int | None
    price_digest: str
    engine_version: str
    options: str
    reason: str | None


class StepRow(msgspec.Struct, frozen=True):
    """One step of a run. `price` is the frozen price record as JSON; `overridden` whether the command line chose provider or model."""

    idx: int
    name: str
    kind: str
    lane: str
    provider: str | None = None
    account: str | None = None
    model: str | None = None
    price: str | None = None
    overridden: bool = False


class ChunkRow(msgspec.Struct, frozen=True):
    """An envelope of units at one step. `round` is 0 for first tries, higher for retries; `epoch` counts its workflows.

    `why` says why it is in another lane than the run's mode (`lanes.Why`).
    """

    id: int
    run: int
    step: int
    lane: str
    state: ChunkState
    round: int
    parent: int | None
    epoch: int
    n: int
    valid: int
    failed: int
    retry: int
    cost_nanos: int
    request_segment: int | None
    why: str | None = None


class UnitRow(msgspec.Struct, frozen=True):
    """A unit at a step. `tries` counts answers, `errors` calls that failed without one, `attempts` all calls.

    `input_*` say where its record lies, `segment`/`row` where its result does. `children` is how many units a valid one becomes at the
    next step (None: one), their records lying in the rows after its own; `returns` how often it was sent back here from a later step.
    """

    seq: int
    parent_seq: int | None
    state: UnitState
    tries: int
    errors: int
    attempts: int
    input_segment: int
    input_row: int
    segment: int | None
    row: int | None
    cost_nanos: int
    reason: str | None
    children: int | None = None
    returns: int = 0


class SegmentRow(msgspec.Struct, frozen=True):
    """A segment file: its name inside the run folder, and how much of it is committed."""

    id: int
    name: str
    committed: int
    rows: int


class SubmissionRow(msgspec.Struct, frozen=True):
    """One try to have a chunk processed as a provider batch."""

    key: str
    run: int
    chunk: int
    n: int
    provider: str
    account: str
    state: SubmissionState
    prefix: str
    rows: int
    reserved_nanos: int | None
    intent_at: float
    submitted_at: float | None
    batch_id: str | None
    input_file: str | None
    matched_by: str | None
    status: str | None
    raw_status: str | None
    succeeded: int | None
    failed: int | None
    expires_at: float | None
    polls: int
    polled_at: float | None
    refused: int
    error: str | None

    @property
    def ended(self) -> bool:
        """The job was seen to end."""
        return self.state in (SubmissionState.ENDED, SubmissionState.COLLECTED)


class Claim(msgspec.Struct, frozen=True):
    """A realtime call about to be made: its request id is known before the provider hears of it."""

    run: int
    step: int
    seq: int
    n: int
    chunk: int
    request_id: str
    bound_nanos: int | None
    at: float


class UpperBound(msgspec.Struct, frozen=True):
    """An attempt whose answer was lost, booked at the most it can have cost (None: that is not known either)."""

    step: int
    seq: int
    n: int
    chunk: int
    request_id: str
    cost_nanos: int | None
    lane: str
    provider: str
    account: str
    model: str


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One finished attempt, with what it leaves the unit as. `line` is the number of its payload in the commit's frame, if it has one.

    `cost_source` is "usage" (priced from the provider's usage), "bound" (an upper bound: the answer was lost), "invoice" (trued up),
    "cached" (an earlier run's answer) or "none" (nothing was billed).
    """

    step: int
    seq: int
    n: int
    chunk: int
    lane: str
    outcome: Outcome
    state: UnitState
    tries: int
    errors: int
    at: float
    reason: str | None = None
    duration: float | None = None
    request_id: str | None = None
    upstream_id: str | None = None
    model: str | None = None
    usage: str | None = None
    cost_nanos: int | None = None
    cost_source: str = "none"
    price_rule: str | None = None
    submission: str | None = None
    line: int | None = None
    children: int | None = None


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """Money to be handed to the ledger, written in the same transaction as the units it paid for."""

    key: str
    run: int
    chunk: int
    lane: str
    provider: str
    account: str
    model: str
    calls: int
    usage: str
    cost_nanos: int | None
    unpriced: int
    at: float


class StepTotals(msgspec.Struct, frozen=True):
    """A step in numbers; started = valid + failed + pending, always. `cost_nanos` leaves the `unpriced` calls out."""

    idx: int
    name: str
    kind: str
    lane: str
    provider: str | None
    model: str | None
    started: int
    valid: int
    failed: int
    cost_nanos: int
    chunks: int
    open_chunks: int
    retried: int
    unpriced: int = 0

    @property
    def pending(self) -> int:
        """Units not yet decided at this step."""
        return self.started - self.valid - self.failed


S = TypeVar("S", StepRow, StepTotals)


def unit_steps(steps: Sequence[S]) -> list[S]:
    """The steps that units go through: all but those that are done once for the whole run, which come last."""
    return [step for step in steps if step.kind != RUN_SCOPE]


def last_unit_step(steps: Sequence[S]) -> S:
    """The last step that units go through: what came through it are the results. A pipeline has at least one."""
    return unit_steps(steps)[-1]
