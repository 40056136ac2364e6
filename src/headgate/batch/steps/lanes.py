"""Moving chunks from one lane to the other before they are in either."""

from __future__ import annotations

from headgate.batch.lanes import BATCH, REALTIME, Why, batch_fits, pressing
from headgate.batch.rows import ChunkRow
from headgate.batch.run import Run
from headgate.wire.json import JsonObject


def wanted(run: Run, chunk: ChunkRow) -> tuple[str, Why | None]:
    """The lane a chunk of calls should be in now, and why where the run's mode does not say it."""
    if chunk.why == Why.STUCK:
        return REALTIME, Why.STUCK
    if run.mode == REALTIME:
        return REALTIME, Why.SWITCHED if chunk.lane == BATCH else None
    if run.options.deadline is not None and not batch_fits(run.clock(), run.options.deadline, run.pace()):
        return REALTIME, Why.DEADLINE
    return BATCH, Why.SWITCHED if chunk.lane == REALTIME else None


async def moved(run: Run, chunk: ChunkRow) -> bool:
    """Put the chunk into the lane it should be in; True when it went to another one, so that this lane has nothing more to do with it."""
    lane, why = wanted(run, chunk)
    if lane == chunk.lane:
        return False
    data: JsonObject = {"chunk": chunk.id, "step": run.steps[chunk.step].step.name, "lane": lane, "why": why}
    return await run.tables.move_chunk(chunk, lane, why, run.clock(), data)


def leaves(run: Run, chunk: ChunkRow) -> bool:
    """Whether a chunk of realtime calls is to go on as a batch, because the run's mode has changed."""
    return run.mode != REALTIME and chunk.why is None and wanted(run, chunk)[0] != chunk.lane


def given_up(run: Run) -> bool:
    """Whether batches under way have to be cancelled now, because what they leave must still be asked before the deadline."""
    return run.options.deadline is not None and pressing(run.clock(), run.options.deadline, run.pace())
