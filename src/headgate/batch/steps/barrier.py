"""Steps that wait for all of their units: fan_in, aggregate, dedupe, sample. Their chunks belong to no workflow; the driver closes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from headgate.batch.evaluate import Judged
from headgate.batch.gathering import FAN_PARENT, aggregated, chosen, fingerprint, first_of_each, grouped, joined
from headgate.batch.pipeline import BARRIERS, Step, StepKind
from headgate.batch.plan import UNIT_ID
from headgate.batch.rows import ChunkRow, UnitRow
from headgate.batch.run import Run, StepPlan, record_of
from headgate.batch.states import OPEN_UNITS, Outcome
from headgate.batch.steps.attempts import Finding
from headgate.batch.steps.fan_out import bounded
from headgate.batch.steps.results import ResultStore
from headgate.wire.json import JsonObject

GROUP = 500
BARRIER = "barrier"
"""The lane of these steps."""

Places = Mapping[int, tuple[int, int]]
Becomes = Callable[[int, JsonObject], tuple[JsonObject, ...]]
"""From a unit's number and record to the records that go on in its place."""


async def close(run: Run, step: int, chunks: Sequence[ChunkRow]) -> tuple[int, ...]:
    """Decide every unit of the step and open the next one; returns the new chunks. Safe to repeat after a crash."""
    plan = run.steps[step]
    places = await asyncio.to_thread(_in_order, run, step)
    becomes = await asyncio.to_thread(DECISIONS[plan.step.kind], run, plan, places)
    for chunk in chunks:
        units = [unit for unit in run.tables.units(chunk.id) if unit.state in OPEN_UNITS]
        async with ResultStore(run, plan, chunk) as store:
            for start in range(0, len(units), GROUP):
                run.control.check()
                found = await asyncio.to_thread(_findings, run, units[start : start + GROUP], becomes)
                for group in bounded(found):
                    await store.store(group)
    order = {seq: place for place, seq in enumerate(places)}
    return await run.tables.close_barrier(run.row.key, step, [chunk.id for chunk in chunks], run.ways(step), order, run.clock())


def _in_order(run: Run, step: int) -> dict[int, tuple[int, int]]:
    """Where the input records of the step's units lie, by unit number, in the order of the units that they came from.

    Numbers given at a fan_out hang on which chunk was spread first. What is decided here must not: the same seed gives the same results.
    """
    places = run.tables.inputs_of_step(run.row.key, step)
    since = max((plan.row.idx for plan in run.steps[:step] if plan.step.kind in BARRIERS), default=0)
    spread = [after for before, after in pairwise(_unit_steps(run, since, step)) if run.steps[before].step.kind is StepKind.FAN_OUT]
    ancestors: dict[int, tuple[int, ...]] = {seq: (seq,) for seq in places}
    for after in reversed(spread):
        parents = run.tables.parents(run.row.key, after)
        ancestors = {seq: (parents[known[0]], *known) for seq, known in ancestors.items()}
    return {seq: places[seq] for seq in sorted(places, key=ancestors.__getitem__)}


def _unit_steps(run: Run, first: int, last: int) -> list[int]:
    """The steps that units go through between two, both included."""
    return [plan.row.idx for plan in run.steps if first <= plan.row.idx <= last and plan.step.kind is not StepKind.RUN]


def _findings(run: Run, units: Sequence[UnitRow], becomes: Becomes) -> list[Finding]:
    records = run.inputs(list(units))
    return [_finding(unit, records[unit.seq], becomes(unit.seq, records[unit.seq])) for unit in units]


def _finding(unit: UnitRow, record: JsonObject, children: tuple[JsonObject, ...]) -> Finding:
    judged = Judged(None, record, "")
    return Finding(unit=unit, n=unit.attempts + 1, outcome=Outcome.VALID, judged=judged, children=children, final=True)


def _records(run: Run, places: Places, seqs: Iterable[int] | None = None) -> Iterator[tuple[int, JsonObject]]:
    """The input records of some units (all, in order, unless named), a few hundred read at a time. Raises `Pausing` as the run stops."""
    wanted = list(places if seqs is None else seqs)
    for start in range(0, len(wanted), GROUP):
        run.control.check()
        group = wanted[start : start + GROUP]
        lines = run.tables.read_lines(places[seq] for seq in group)
        for seq in group:
            yield seq, record_of(lines[places[seq]])


def _keys(run: Run, places: Places, fields: Sequence[str]) -> Iterator[tuple[int, bytes]]:
    return ((seq, fingerprint(record, fields)) for seq, record in _records(run, places))


def _deduped(run: Run, plan: StepPlan, places: Places) -> Becomes:
    kept = first_of_each(_keys(run, places, plan.step.by))
    return lambda seq, record: (record,) if seq in kept else ()


def _sampled(run: Run, plan: StepPlan, places: Places) -> Becomes:
    assert plan.step.sample is not None
    ids = ((seq, str(record[UNIT_ID])) for seq, record in _records(run, places))
    kept = chosen(ids, plan.step.sample, run.row.seed, plan.step.name)
    return lambda seq, record: (record,) if seq in kept else ()


def _aggregated(run: Run, plan: StepPlan, places: Places) -> Becomes:
    gather = plan.step.gather
    assert gather is not None
    groups = grouped(_keys(run, places, gather.group_by))

    def becomes(seq: int, _record: JsonObject) -> tuple[JsonObject, ...]:
        members = groups.get(seq)
        if members is None:
            return ()
        return (aggregated([record for _, record in _records(run, places, members)], gather, plan.step.name),)

    return becomes


def _joined(run: Run, plan: StepPlan, places: Places) -> Becomes:
    gather = plan.step.gather
    assert gather is not None
    origin = next(other for other in run.steps if other.step.name == gather.of)
    assert origin.step.fan_out is not None
    child_field = origin.step.fan_out.child_field
    groups = grouped(_keys(run, places, (FAN_PARENT,)))

    def becomes(seq: int, _record: JsonObject) -> tuple[JsonObject, ...]:
        members = groups.get(seq)
        if members is None:
            return ()
        parent = _ancestor(run, plan.step, seq, plan.row.idx, origin.row.idx)
        return (joined(parent, [record for _, record in _records(run, places, members)], gather, child_field),)

    return becomes


def _ancestor(run: Run, step: Step, seq: int, idx: int, origin: int) -> JsonObject:
    """The record of the unit that a unit of `step` came from, as it was when it was spread."""
    for current in reversed(_unit_steps(run, origin, idx)[1:]):
        parent = run.tables.unit(run.row.key, current, seq).parent_seq
        assert parent is not None, f"a unit of {step.name} has no parent"
        seq = parent
    return run.inputs([run.tables.unit(run.row.key, origin, seq)])[seq]


DECISIONS: dict[StepKind, Callable[[Run, StepPlan, Places], Becomes]] = {
    StepKind.DEDUPE: _deduped,
    StepKind.SAMPLE: _sampled,
    StepKind.AGGREGATE: _aggregated,
    StepKind.FAN_IN: _joined,
}
