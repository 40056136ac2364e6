"""From units to rendered requests: templates in the bounded worker, then the target's dialect."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headgate.batch.evaluate import Judged, failed
from headgate.batch.expressions import ExpressionFailure, run_named
from headgate.batch.reasons import Reason
from headgate.batch.rows import UnitRow
from headgate.batch.run import Run, StepPlan
from headgate.batch.steps.conditions import passed_by
from headgate.batch.templates import RenderError, prompt_context
from headgate.batch.wording import Context, Wording, image_roots, word_units
from headgate.client.chat import Prepared
from headgate.errors import Unsupported
from headgate.wire.json import Json, JsonObject

HIDDEN = frozenset({"_raw_text", "_warnings"})
_OWN = ("messages", "response_format")
"""Fields whose fate is no matter of parameters: what could not be said there was said in another way."""
WITH_IMAGES = 64
"""Requests with images that are in memory at once."""


class Ready(msgspec.Struct, frozen=True):
    """A unit with its request, or with the verdict that needs none: a fault, or the unit as it is where the step does not apply."""

    unit: UnitRow
    record: JsonObject
    prepared: Prepared | None = None
    fault: Judged | None = None


async def render_units(run: Run, plan: StepPlan, units: Sequence[UnitRow]) -> list[Ready]:
    """Requests for some units, in order."""
    records = run.inputs(list(units))
    errors = earlier_errors(run, units)
    contexts = [context_of(run, plan, records[unit.seq], unit, errors.get(unit.seq)) for unit in units]
    good = [
        Context(context, run.seed(records[unit.seq], plan.step.name, "images"))
        for unit, context in zip(units, contexts, strict=True)
        if not isinstance(context, Judged)
    ]
    assert run.renderer is not None
    roots = image_roots(run.pipeline, run.folder)
    said = iter(await word_units(run.renderer, plan.step, plan.images, good, roots))
    ready = []
    for unit, context in zip(units, contexts, strict=True):
        wording: Wording | RenderError | Judged = context if isinstance(context, Judged) else next(said)
        ready.append(_ready(run, plan, unit, records[unit.seq], wording))
    await _tell_losses(run, plan, ready)
    return ready


async def _tell_losses(run: Run, plan: StepPlan, ready: Sequence[Ready]) -> None:
    """Note, once for each step and field, which parameters do not arrive as they were asked for."""
    notes = {note.field: note for item in ready if item.prepared is not None for note in item.prepared.rendered.notes}
    for field, note in notes.items():
        if (plan.step.name, field) in run.told or field.startswith(_OWN):
            continue
        run.told.add((plan.step.name, field))
        data: JsonObject = {"step": plan.step.name, "field": field, "action": note.action, "why": note.reason}
        await run.tables.event(run.row.key, "warning", "lost_parameter", data, run.clock())


def group_size(plan: StepPlan, usual: int) -> int:
    """How many requests of a step are rendered at once; those with images are large."""
    return min(usual, WITH_IMAGES) if plan.images else usual


def _ready(run: Run, plan: StepPlan, unit: UnitRow, record: JsonObject, wording: Wording | RenderError | Judged) -> Ready:
    if isinstance(wording, Judged):
        return Ready(unit, record, fault=wording)
    if isinstance(wording, RenderError):
        return Ready(unit, record, fault=failed(Reason.RENDER_ERROR, wording.message))
    try:
        return Ready(unit, record, plan.request(run, wording))
    except Unsupported as error:
        return Ready(unit, record, fault=failed(Reason.RENDER_ERROR, error.message))


def context_of(run: Run, plan: StepPlan, record: JsonObject, unit: UnitRow, errors: Json) -> JsonObject | Judged:
    """The verdict on a unit that needs no prompt, else what its template sees (OCT-80, OCT-103).

    That is the global context, the unit's fields, the pipeline's expressions, and what went wrong before.
    """
    passed = passed_by(run, plan, record)
    if passed is not None:
        return passed
    fields = {name: value for name, value in record.items() if name not in HIDDEN}
    values: JsonObject | ExpressionFailure = {}
    if run.expressions:
        values = run_named(run.expressions, fields, run.seed(record, plan.step.name, "prompt"))
    if isinstance(values, ExpressionFailure):
        return failed(Reason.EXPRESSION_ERROR, f"{values.name}: {values.message}")
    return prompt_context(fields, run.pipeline.global_context, values, retry_attempt=unit.tries + unit.returns, retry_errors=errors or [])


def earlier_errors(run: Run, units: Sequence[UnitRow]) -> dict[int, Json]:
    """The complaints about each unit's last answer."""
    places = {(u.segment, u.row): u.seq for u in units if u.reason is not None and u.segment is not None and u.row is not None}
    lines = run.tables.read_lines((segment, row) for segment, row in places)
    return {places[place]: line.get("errors", []) for place, line in lines.items()}
