"""The expression lane: local computation, no calls, no money."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from headgate.batch.evaluate import Judged
from headgate.batch.expressions import ExpressionFailure, run_expression_step
from headgate.batch.reasons import Reason
from headgate.batch.rows import ChunkRow, UnitRow
from headgate.batch.run import Run, StepPlan
from headgate.batch.states import OPEN_UNITS, Outcome, Verdict
from headgate.batch.steps.attempts import Finding
from headgate.batch.steps.conditions import passed_by
from headgate.batch.steps.results import ResultStore
from headgate.batch.validate import Invalid, Problem
from headgate.wire.json import JsonObject

GROUP = 500


async def work(run: Run, chunk: ChunkRow) -> Verdict:
    """Compute every pending unit of the chunk, a few hundred per commit."""
    plan = run.steps[chunk.step]
    units = [unit for unit in run.tables.units(chunk.id) if unit.state in OPEN_UNITS]
    async with ResultStore(run, plan, chunk) as store:
        for start in range(0, len(units), GROUP):
            run.control.check()
            group = units[start : start + GROUP]
            await store.store(await asyncio.to_thread(compute, run, plan, group))
    return Verdict.NEXT


def compute(run: Run, plan: StepPlan, units: Sequence[UnitRow]) -> list[Finding]:
    """The findings of some units."""
    records = run.inputs(list(units))
    return [_finding(run, plan, unit, records[unit.seq]) for unit in units]


def _finding(run: Run, plan: StepPlan, unit: UnitRow, record: JsonObject) -> Finding:
    judged = _judged(run, plan, record, unit.returns)
    outcome = Outcome.VALID if judged.reason is None else Outcome.INVALID
    return Finding(unit=unit, n=unit.attempts + 1, outcome=outcome, judged=judged, final=plan.step.retry_from is None)


def _judged(run: Run, plan: StepPlan, record: JsonObject, returns: int) -> Judged:
    passed = passed_by(run, plan, record)
    if passed is not None:
        return passed
    assert plan.compiled is not None
    name = plan.step.name
    values = run_expression_step(plan.compiled, record, run.seed(record, name, "expression", returns))
    if isinstance(values, ExpressionFailure):
        return Judged(Reason.EXPRESSION_ERROR, None, "", (Problem(f"$.{values.name}", Reason.EXPRESSION_ERROR.value, values.message),))
    merged = {**record, **values.fields(name)}
    if plan.validator is None:
        return Judged(None, merged, "")
    verdict = plan.validator.validate_record(merged, seed=run.seed(record, name, "rules"))
    if isinstance(verdict, Invalid):
        return Judged(verdict.reason, None, "", verdict.problems)
    return Judged(None, verdict.record, "", (), verdict.warnings)
