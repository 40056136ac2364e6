"""Counting a run unit by unit: at each step, what has to be there, what is, and what is missing, twice or out of nowhere (OCT-150)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from headgate.batch.audit_rows import Children, Facts, Place, Stranded, Unit, read_facts
from headgate.batch.audit_segments import Torn, odd_tables, torn_frames
from headgate.batch.outputs import results_differ
from headgate.batch.rows import RunRow, SegmentRow, StepRow, unit_steps
from headgate.batch.states import PENDING_UNITS, RunState, UnitState
from headgate.batch.tables import Tables
from headgate.errors import StoreError

Names = Mapping[tuple[int, int], str]
"""Unit ids by step and unit number."""

WITH_RESULT = frozenset({"chunk", "expression"})
"""Kinds of steps whose valid units each leave a record."""


class Kind(StrEnum):
    """What can be wrong with a run beside units that are missing, twice or out of nowhere."""

    STRANDED = "stranded"
    COUNTERS = "counters"
    COSTS = "costs"
    RESULTLESS = "without_result"
    MISPLACED = "misplaced"
    SEGMENTS = "segments"
    TORN = "torn"
    MONEY = "money"
    UNSETTLED = "unsettled"
    SUBMISSIONS = "submissions"
    CLAIMS = "claims"
    PENDING = "pending"
    RESULTS = "results"


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong, in a sentence, with the ids of the units it is about."""

    kind: Kind
    message: str
    ids: tuple[str, ...] = ()


class StepAudit(msgspec.Struct, frozen=True, kw_only=True):
    """One step, counted: `expected` is what the step before handed on."""

    step: str
    kind: str
    expected: int
    valid: int
    failed: int
    pending: int
    missing: int
    missing_ids: tuple[str, ...]
    duplicated: int
    duplicated_ids: tuple[str, ...]
    orphaned: int
    orphaned_ids: tuple[str, ...]


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit found. `facts` and `torn` are what it was found by."""

    run: RunRow
    driven: bool
    steps: tuple[StepAudit, ...]
    faults: tuple[Fault, ...]
    facts: Facts
    torn: tuple[Torn, ...]

    @property
    def missing(self) -> int:
        """Units missing at any step."""
        return sum(step.missing for step in self.steps)

    @property
    def duplicated(self) -> int:
        """Units that are there more often than they should, at any step."""
        return sum(step.duplicated for step in self.steps)

    @property
    def orphaned(self) -> int:
        """Units that nothing of the step before became."""
        return sum(step.orphaned for step in self.steps)

    @property
    def whole(self) -> bool:
        """Nothing is wrong."""
        return not (self.faults or self.missing or self.duplicated or self.orphaned)


def audit(tables: Tables, run: RunRow, steps: Sequence[StepRow], *, driven: bool, deep: bool = False) -> Audit:
    """Count a run. `deep` reads and decodes every frame; while a process drives the run, work that is pending is no fault."""
    steps = unit_steps(steps)
    facts = read_facts(tables, run.key, len(steps) - 1)
    torn = torn_frames(tables.folder, _needed(facts, driven), facts.frames, deep)
    names = _names(tables, facts)
    counted = tuple(_step(facts, names, step) for step in steps)
    faults = [fault for check in CHECKS for fault in check(facts, names)]
    faults += [Fault(Kind.SEGMENTS, text) for text in odd_tables(facts.segments, facts.frames)]
    faults += [_torn(one) for one in torn]
    faults += [
        Fault(Kind.RESULTLESS, f"step {steps[at].name}: {len(ids)} valid units have no result", ids)
        for at, ids in _bare(facts, names, steps)
    ]
    if run.state is RunState.COMPLETE:
        faults += _unfinished(facts)
        readable = not {Kind.TORN, Kind.MISPLACED, Kind.SEGMENTS, Kind.RESULTLESS} & {fault.kind for fault in faults}
        faults += [Fault(Kind.RESULTS, text) for text in (results_differ(tables, run.key, steps[-1].idx) if readable else ())]
    return Audit(run=run, driven=driven, steps=counted, faults=tuple(faults), facts=facts, torn=torn)


def _step(facts: Facts, names: Names, step: StepRow) -> StepAudit:
    at = step.idx
    wrong = [unit for unit in facts.children if unit.step == at - 1]
    few = [unit for unit in wrong if unit.found < unit.expected]
    many = [unit for unit in wrong if unit.found > unit.expected]
    orphans = [unit.seq for unit in facts.orphans if unit.step == at] if at else list(facts.surplus)
    gaps = () if at else facts.gaps
    return StepAudit(
        step=step.name,
        kind=step.kind,
        expected=facts.expected.get(at - 1, 0) if at else facts.planned,
        valid=facts.states.get((at, UnitState.VALID), 0),
        failed=facts.states.get((at, UnitState.FAILED), 0),
        pending=sum(facts.states.get((at, state), 0) for state in PENDING_UNITS),
        missing=sum(unit.expected - unit.found for unit in few) + len(gaps),
        missing_ids=(*(_name(names, unit.step, unit.seq) for unit in few), *(_name(names, 0, seq) for seq in gaps)),
        duplicated=sum(unit.found - unit.expected for unit in many),
        duplicated_ids=tuple(_name(names, unit.step, unit.seq) for unit in many),
        orphaned=len(orphans),
        orphaned_ids=tuple(_name(names, at, seq) for seq in orphans),
    )


def _name(names: Names, step: int, seq: int) -> str:
    return names.get((step, seq), f"#{seq}")


def _names(tables: Tables, facts: Facts) -> dict[tuple[int, int], str]:
    """The ids of all units that something is said about; those whose record cannot be read have none."""
    wanted: dict[Place, tuple[int, int]] = {}
    named: tuple[Children | Unit | Stranded, ...] = (*facts.children, *facts.orphans, *facts.stranded, *facts.resultless)
    for unit in named:
        wanted[unit.input_segment, unit.input_row] = (unit.step, unit.seq)
    by_segment: dict[int, list[Place]] = {}
    for place in wanted:
        by_segment.setdefault(place[0], []).append(place)
    found: dict[tuple[int, int], str] = {}
    for places in by_segment.values():
        found.update({wanted[place]: name for place, name in unit_ids(tables, places).items()})
    return found


def unit_ids(tables: Tables, places: Iterable[Place]) -> dict[Place, str]:
    """The unit ids in the records at some places of one segment; nothing where it cannot be read."""
    try:
        lines = tables.read_lines(places)
    except (StoreError, IndexError):
        return {}
    records = {place: line.get("record") for place, line in lines.items() if isinstance(line, dict)}
    return {place: str(record["unit_id"]) for place, record in records.items() if isinstance(record, dict) and "unit_id" in record}


def _needed(facts: Facts, driven: bool) -> list[SegmentRow]:
    """The segments that somebody still needs: requests only until they are answered, and not while a process may be writing them."""
    open_requests = set() if driven else {segment for _, _, segment in facts.requests}
    return [segment for segment in facts.segments if "/requests-" not in segment.name or segment.id in open_requests]


def _stranded(facts: Facts, names: Names) -> list[Fault]:
    if not facts.stranded:
        return []
    ids = tuple(_name(names, unit.step, unit.seq) for unit in facts.stranded)
    return [Fault(Kind.STRANDED, f"{len(ids)} undecided units are in chunks that are closed: nobody will ask for them", ids)]


def _counters(facts: Facts, names: Names) -> list[Fault]:
    """The chunks' counters against the units, step by step, and against the attempts, chunk by chunk."""
    faults = []
    for step in sorted({chunk.step for chunk in facts.chunks} | {step for step, _ in facts.states}):
        chunks = [chunk for chunk in facts.chunks if chunk.step == step]
        told = tuple(sum(values) for values in zip(*((c.n, c.valid, c.failed) for c in chunks), strict=True)) or (0, 0, 0)
        valid, failed = (facts.states.get((step, state), 0) for state in (UnitState.VALID, UnitState.FAILED))
        real = (facts.started(step), valid, failed)
        if told != real:
            said = "{} started, {} valid, {} failed"
            faults.append(Fault(Kind.COUNTERS, f"step {step}: the chunks count {said.format(*told)}; the units are {said.format(*real)}"))
    costs = [chunk for chunk in facts.chunks if chunk.cost_nanos != chunk.attempts_cost]
    faults += [
        Fault(Kind.COSTS, f"chunk {chunk.id} counts {chunk.cost_nanos} nano-dollars; its attempts cost {chunk.attempts_cost}")
        for chunk in costs
    ]
    return faults


def _costs(facts: Facts, names: Names) -> list[Fault]:
    if not facts.units:
        return []
    first = facts.units[0]
    ids = tuple(f"#{unit.seq}" for unit in facts.units)
    said = f"{first.cost_nanos} nano-dollars in {first.attempts} attempts, not {first.attempts_cost} in {first.attempts_n}"
    return [
        Fault(
            Kind.COSTS, f"{len(ids)} units count other costs or attempts than theirs (unit {first.seq} at step {first.step}: {said})", ids
        )
    ]


def _money(facts: Facts, names: Names) -> list[Fault]:
    if facts.booked == facts.posted:
        return []
    return [Fault(Kind.MONEY, f"the attempts cost {facts.booked} nano-dollars; {facts.posted} were posted to the ledger")]


def _misplaced(facts: Facts, names: Names) -> list[Fault]:
    if not facts.misplaced:
        return []
    segment, row = facts.misplaced[0]
    known = {one.id: one.name for one in facts.segments}
    where = known.get(segment, f"segment {segment}")
    return [Fault(Kind.MISPLACED, f"{len(facts.misplaced)} places are in no frame, the first of them row {row} of {where}")]


def _submissions(facts: Facts, names: Names) -> list[Fault]:
    return [Fault(Kind.SUBMISSIONS, f"submission {key} is {state}, but its chunk is closed") for key, state in facts.endless]


CHECKS: tuple[Callable[[Facts, Names], list[Fault]], ...] = (_stranded, _counters, _costs, _money, _misplaced, _submissions)
"""What must hold at any moment."""


def _unfinished(facts: Facts) -> list[Fault]:
    """What must be over once a run is called complete."""
    pending = sum(n for (_, state), n in facts.states.items() if UnitState(state) in PENDING_UNITS) - len(facts.stranded)
    counts = (
        (Kind.PENDING, pending, "units are not decided, but the run is called complete"),
        (Kind.UNSETTLED, facts.unsettled, "postings have not reached the ledger"),
        (Kind.CLAIMS, facts.lost_claims, "calls have neither an answer nor a booking"),
    )
    return [Fault(kind, f"{count} {text}") for kind, count, text in counts if count > 0]


def _torn(torn: Torn) -> Fault:
    frame = torn.frame
    return Fault(Kind.TORN, f"{torn.name}: rows {frame.first_row} to {frame.first_row + frame.rows - 1} cannot be read: {torn.why}")


def _bare(facts: Facts, names: Names, steps: Sequence[StepRow]) -> list[tuple[int, tuple[str, ...]]]:
    """Valid units without a result, by step."""
    found: dict[int, list[str]] = {}
    for unit in facts.resultless:
        if steps[unit.step].kind in WITH_RESULT:
            found.setdefault(unit.step, []).append(_name(names, unit.step, unit.seq))
    return [(step, tuple(ids)) for step, ids in found.items()]
