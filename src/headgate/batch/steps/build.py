"""The build phase: requests rendered once into a segment, chunks split to the provider's limits.

A chunk that has fewer rows than the provider's batches must have is answered call by call instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from headgate.batch.evaluate import failed
from headgate.batch.lanes import REALTIME, Why
from headgate.batch.plan import ChunkLimits, Oversized, PlannedChunk, RowSize, plan_chunks
from headgate.batch.reasons import Reason
from headgate.batch.rows import ChunkRow, UnitRow
from headgate.batch.run import Run, StepPlan
from headgate.batch.segments import SegmentWriter
from headgate.batch.states import OPEN_UNITS, ChunkState, Outcome, UnitState, Verdict
from headgate.batch.steps import realtime
from headgate.batch.steps.attempts import Finding, without_call
from headgate.batch.steps.cached import recall
from headgate.batch.steps.jobs import batch_client
from headgate.batch.steps.lanes import moved
from headgate.batch.steps.prompts import Ready, group_size, render_units
from headgate.batch.steps.results import ResultStore
from headgate.domain.estimate import estimate_tokens
from headgate.wire.json import JsonObject, Raw

GROUP = 500


async def build(run: Run, chunk: ChunkRow) -> Verdict:
    """Render the chunk's requests into a segment; split it when it is over the provider's limits."""
    if chunk.state is not ChunkState.OPEN:
        return Verdict.NEXT
    if await moved(run, chunk):
        return Verdict.END
    plan = run.steps[chunk.step]
    units = [u for u in run.tables.units(chunk.id) if u.state is UnitState.TODO]
    least = batch_client(run, plan).dialect.limits.min_rows
    if 0 < len(units) < least:
        return await _one_by_one(run, chunk, len(units), least)
    row = await run.tables.empty_segment(run.row.key, f"segments/requests-{chunk.id:06d}.jsonl.zst")
    writer = run.tables.writer(row)
    sizes: list[RowSize] = []
    faults: list[Finding] = []
    known: dict[int, Finding] = {}
    try:
        size = group_size(plan, GROUP)
        for start in range(0, len(units), size):
            run.control.check()
            ready = await render_units(run, plan, units[start : start + size])
            known |= await recall(run, plan, ready)
            faults += [without_call(item.unit, item.fault) for item in ready if item.prepared is None]
            await _write_requests(run, row.id, writer, ready, sizes)
    finally:
        writer.close()
    planned = list(plan_chunks(sizes, _limits(run, plan)))
    faults += [_oversized(item, units) for item in planned if isinstance(item, Oversized)]
    if faults:
        async with ResultStore(run, plan, chunk) as store:
            await store.store(faults)
    groups = [item for item in planned if isinstance(item, PlannedChunk)]
    if len(groups) > 1:
        await run.tables.split_chunk(chunk, _parts(run, chunk, groups), run.ways(chunk.step), run.clock())
        return Verdict.END
    left = await _store_known(run, plan, chunk, known, groups)
    if 0 < left < least:
        return await _one_by_one(run, chunk, left, least)
    await run.tables.built(chunk.id, row.id)
    return Verdict.NEXT


def _parts(run: Run, chunk: ChunkRow, groups: Sequence[PlannedChunk]) -> list[tuple[int, int, int]]:
    """The pieces of a chunk: lowest and highest number and how many units, those included that wait for another try."""
    pending = [u.seq for u in run.tables.units(chunk.id) if u.state in OPEN_UNITS]
    starts = [pending[0], *(group.seqs[0] for group in groups[1:]), pending[-1] + 1]
    parts = [[seq for seq in pending if low <= seq < after] for low, after in pairwise(starts)]
    return [(part[0], part[-1], len(part)) for part in parts]


async def _store_known(run: Run, plan: StepPlan, chunk: ChunkRow, known: dict[int, Finding], groups: Sequence[PlannedChunk]) -> int:
    """Store the answers that need no call; returns how many units are left to be asked. A chunk that was split looks for them later."""
    seqs = [seq for group in groups for seq in group.seqs]
    found = [known[seq] for seq in seqs if seq in known]
    if found:
        async with ResultStore(run, plan, chunk) as store:
            await store.store(found)
    return len(seqs) - len(found)


async def _one_by_one(run: Run, chunk: ChunkRow, units: int, least: int) -> Verdict:
    """Answer a chunk that is too small for a batch of the provider in the realtime lane, at its prices, and say so."""
    data: JsonObject = {"chunk": chunk.id, "units": units, "least": least}
    await run.tables.event(run.row.key, "warning", "too_few_for_batch", data, run.clock())
    await run.tables.set_chunk_why(chunk.id, Why.TOO_FEW)
    return await realtime.work(run, msgspec.structs.replace(chunk, lane=REALTIME, why=Why.TOO_FEW))


async def _write_requests(run: Run, segment: int, writer: SegmentWriter, ready: Sequence[Ready], sizes: list[RowSize]) -> None:
    lines = []
    for item in ready:
        if item.prepared is not None:
            body = item.prepared.body
            sizes.append(RowSize(item.unit.seq, len(body) + 256, estimate_tokens(len(body))))
            lines.append({"seq": item.unit.seq, "body": Raw(body)})
    if lines:
        await run.tables.commit_frame(segment, writer.append(lines))


def _limits(run: Run, plan: StepPlan) -> ChunkLimits:
    limits = batch_client(run, plan).dialect.limits
    return ChunkLimits(rows=limits.max_rows, bytes=limits.max_bytes, tokens=limits.max_tokens, row_bytes=limits.max_row_bytes)


def _oversized(item: Oversized, units: Sequence[UnitRow]) -> Finding:
    unit = next(u for u in units if u.seq == item.seq)
    return Finding(unit=unit, n=unit.attempts + 1, outcome=Outcome.INVALID, judged=failed(Reason.TOO_LARGE, item.message), final=True)
