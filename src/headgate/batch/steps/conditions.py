"""Whether a step has anything to do for a unit."""

from __future__ import annotations

from headgate.batch.evaluate import Judged, failed
from headgate.batch.expressions import ExpressionFailure, Scope
from headgate.batch.reasons import Reason
from headgate.batch.run import Run, StepPlan
from headgate.wire.json import JsonObject


def passed_by(run: Run, plan: StepPlan, record: JsonObject) -> Judged | None:
    """The verdict on a unit that its step's `when` lets pass as it is, or whose `when` cannot be told; None when the step applies."""
    if plan.condition is None:
        return None
    applies = Scope(record, run.seed(record, plan.step.name, "when")).truth(plan.condition)
    if isinstance(applies, ExpressionFailure):
        return failed(Reason.EXPRESSION_ERROR, f"{applies.name}: {applies.message}")
    return None if applies else Judged(None, record, "")
