"""Room in a provider's queue: what of a run is enqueued there, and what becomes of a chunk for which there is no room.

Providers bound the tokens that may be enqueued for a model at one time. Where the bound is known, chunks wait their turn here. Where it is
not, a job over it is refused, or accepted and failed before it begins: nothing ran, so that its units keep all their tries.
"""

from __future__ import annotations

from collections.abc import Sequence

from headgate.batch.control import Stop
from headgate.batch.decide import submit_delay
from headgate.batch.rows import ChunkRow, SubmissionRow, UnitRow
from headgate.batch.run import Run, StepPlan
from headgate.batch.states import OPEN_UNITS, SubmissionState, Verdict
from headgate.client import BatchClient
from headgate.dialects.batch import BatchState
from headgate.domain.estimate import estimate_tokens

PATIENCE = 3
"""Refusals of a chunk that is alone in the queue before it is taken to be too large for it."""
PARTS = 16
"""Chunks are halved for want of room until they have this part of the pipeline's chunk size."""
_OPEN = (SubmissionState.INTENT, SubmissionState.SUBMITTED)


def limited(client: BatchClient) -> bool:
    """Whether the provider names a limit on enqueued tokens."""
    return client.dialect.limits.max_tokens is not None


def has_room(run: Run, client: BatchClient, plan: StepPlan, chunk: ChunkRow) -> bool:
    """Whether a chunk fits beside what the run has enqueued for the model. A chunk that is alone always may try."""
    limit = client.dialect.limits.max_tokens
    held = [run.tables.chunk(s.chunk) for s in _neighbours(run, plan, chunk) if s.state in _OPEN]
    enqueued = sum(_tokens(run, other) for other in held if _model(run, other) == _model(run, chunk))
    return limit is None or not enqueued or enqueued + _tokens(run, chunk) <= limit


def under_way(run: Run, plan: StepPlan, chunk: ChunkRow) -> bool:
    """Whether other jobs of the run are with the same account of the provider."""
    return any(s.state is SubmissionState.SUBMITTED for s in _neighbours(run, plan, chunk))


def ladder(run: Run) -> tuple[float, ...]:
    """Seconds to wait after the first, second, … refusal of a job."""
    retry = run.pipeline.api.retry
    return tuple(min(300.0, retry.initial_delay * retry.multiplier**k) for k in range(4))


async def queue_again(run: Run, plan: StepPlan, chunk: ChunkRow, submission: SubmissionRow, state: BatchState) -> Verdict:
    """Put the units of a job that never began back, and wait before the next submission.

    A chunk that finds no room although no other job of the run takes any is halved; when it is small already, the run pauses.
    """
    message = str((state.errors[0] if state.errors else {}).get("message") or state.raw_status)
    await run.tables.set_back(chunk, submission.key, message, run.clock())
    run.book(submission.reserved_nanos or 0, 0)
    refusals = sum(s.chunk == chunk.id and s.state is SubmissionState.REFUSED for s in run.tables.submissions(run.row.key))
    if refusals >= PATIENCE and not under_way(run, plan, chunk):
        units = [unit for unit in run.tables.units(chunk.id) if unit.state in OPEN_UNITS]
        if len(units) > max(1, run.pipeline.processing.chunk_size // PARTS):
            await run.tables.split_chunk(chunk, _halves(units), run.ways(chunk.step), run.clock())
            return Verdict.END
        if refusals >= PATIENCE + run.options.refusals:
            run.control.stop(Stop(f"there is no room for a batch of {len(units)} units: {message}", 1))
    await run.control.sleep(submit_delay(refusals, None, ladder(run)))
    return Verdict.AGAIN


def _halves(units: Sequence[UnitRow]) -> list[tuple[int, int, int]]:
    middle = len(units) // 2
    return [(half[0].seq, half[-1].seq, len(half)) for half in (units[:middle], units[middle:])]


def _neighbours(run: Run, plan: StepPlan, chunk: ChunkRow) -> list[SubmissionRow]:
    """Submissions of other chunks to the same account of the provider."""
    assert plan.target is not None
    place = (plan.target.provider.name, plan.target.credential.account)
    return [s for s in run.tables.submissions(run.row.key) if (s.provider, s.account) == place and s.chunk != chunk.id]


def _model(run: Run, chunk: ChunkRow) -> str | None:
    return run.steps[chunk.step].row.model


def _tokens(run: Run, chunk: ChunkRow) -> int:
    """Estimated input tokens of a chunk's requests."""
    if chunk.id not in run.chunk_tokens:
        segment = run.tables.chunk(chunk.id).request_segment
        requests = () if segment is None else run.tables.requests(segment)
        run.chunk_tokens[chunk.id] = sum(estimate_tokens(len(body)) for _, body in requests)
    return run.chunk_tokens[chunk.id]
