"""The fan_out lane: each unit becomes as many as its list has elements."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from headgate.batch.evaluate import Judged
from headgate.batch.gathering import children_of
from headgate.batch.rows import ChunkRow, UnitRow
from headgate.batch.run import Run, StepPlan
from headgate.batch.states import OPEN_UNITS, Outcome, Verdict
from headgate.batch.steps.attempts import Finding
from headgate.batch.steps.results import ResultStore
from headgate.wire.json import JsonObject

GROUP = 100
LINES = 2000
"""About how many records are written at once."""


async def work(run: Run, chunk: ChunkRow) -> Verdict:
    """Spread every pending unit of the chunk. One without a list goes no further, and the run says how many those were."""
    plan = run.steps[chunk.step]
    units = [unit for unit in run.tables.units(chunk.id) if unit.state in OPEN_UNITS]
    childless = 0
    async with ResultStore(run, plan, chunk) as store:
        for start in range(0, len(units), GROUP):
            run.control.check()
            findings = await asyncio.to_thread(spread, run, plan, units[start : start + GROUP])
            childless += sum(not finding.children for finding in findings)
            for group in bounded(findings):
                await store.store(group)
    if childless:
        data: JsonObject = {"step": plan.step.name, "units": childless, "chunk": chunk.id}
        await run.tables.event(run.row.key, "warning", "no_children", data, run.clock())
    return Verdict.NEXT


def spread(run: Run, plan: StepPlan, units: Sequence[UnitRow]) -> list[Finding]:
    """The findings of some units, with the records of their children."""
    records = run.inputs(list(units))
    return [_finding(plan, unit, records[unit.seq]) for unit in units]


def _finding(plan: StepPlan, unit: UnitRow, record: JsonObject) -> Finding:
    assert plan.step.fan_out is not None
    found = children_of(record, plan.step.fan_out)
    notes = (f"no units were made: {found}",) if isinstance(found, str) else ()
    judged = Judged(None, record, "", (), notes)
    children = () if isinstance(found, str) else found
    return Finding(unit=unit, n=unit.attempts + 1, outcome=Outcome.VALID, judged=judged, children=children, final=True)


def bounded(findings: Sequence[Finding]) -> Iterator[list[Finding]]:
    """The findings in groups of a bounded number of records."""
    group: list[Finding] = []
    lines = 0
    for finding in findings:
        group.append(finding)
        lines += 1 + len(finding.children or ())
        if lines >= LINES:
            yield group
            group, lines = [], 0
    if group:
        yield group
