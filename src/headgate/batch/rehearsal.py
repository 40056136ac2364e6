"""A pipeline tried on its first units, as far as that goes without a call: up to the prompts for the first model it asks (OCT-56)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headgate.batch.compiled import CompiledPipeline, compile_pipeline, unit_seed
from headgate.batch.expressions import ExpressionFailure, Scope, run_expression_step, run_named
from headgate.batch.gathering import children_of
from headgate.batch.pipeline import Pipeline, Step, StepKind
from headgate.batch.plan import UNIT_ID
from headgate.batch.templates import RenderError, RenderPool, prompt_context
from headgate.batch.validate import Invalid
from headgate.batch.wording import Context, Wording, image_roots, word_units
from headgate.wire.json import JsonObject


class Fault(msgspec.Struct, frozen=True):
    """What would keep a unit from going on."""

    step: str
    unit: str
    message: str


class Rehearsal(msgspec.Struct, frozen=True):
    """`units` were tried at `steps`; `prompt` is the first of `prompts` characters in all."""

    units: int
    steps: tuple[str, ...]
    faults: tuple[Fault, ...]
    prompt: str = ""
    prompts: int = 0


async def rehearse(pipeline: Pipeline, units: int) -> Rehearsal:
    """Try the first `units`. Raises `RunError` when templates cannot be rendered at all."""
    compiled = compile_pipeline(pipeline)
    records = [dict(unit.fields) for unit in pipeline.units(units)]
    tried, faults = len(records), list[Fault]()
    names: list[str] = []
    for step in pipeline.steps:
        names.append(step.name)
        if step.kind is StepKind.LLM:
            async with RenderPool(pipeline.templates, pipeline.template_of) as pool:
                asked, more = await prompts_of(pool, pipeline, compiled, step, records)
            texts = [wording.prompt for wording in asked if wording is not None]
            return Rehearsal(tried, tuple(names), (*faults, *more), texts[0] if texts else "", sum(map(len, texts)))
        if step.kind is StepKind.FAN_OUT and step.fan_out is not None:
            found = [children_of(record, step.fan_out) for record in records]
            records = [dict(child) for children in found if not isinstance(children, str) for child in children]
            continue
        if step.kind is not StepKind.EXPRESSION:
            names.pop()
            break
        kept: list[JsonObject] = []
        for record in records:
            after = computed(pipeline, compiled, step, record)
            if isinstance(after, Fault):
                faults.append(after)
            else:
                kept.append(after)
        records = kept
    return Rehearsal(tried, tuple(names), tuple(faults))


def _seed(pipeline: Pipeline, record: JsonObject, step: str, purpose: str) -> int:
    return unit_seed(pipeline, str(record[UNIT_ID]), record, step, purpose)


def computed(pipeline: Pipeline, compiled: CompiledPipeline, step: Step, record: JsonObject) -> JsonObject | Fault:
    """A unit after an expression step. Rules that it breaks are not faults: they are there to be broken by some."""
    passed = _passed_by(pipeline, compiled, step, record)
    if passed is not None:
        return passed
    values = run_expression_step(compiled.expression_steps[step.name], record, _seed(pipeline, record, step.name, "expression"))
    if isinstance(values, ExpressionFailure):
        return Fault(step.name, str(record[UNIT_ID]), f"{values.name}: {values.message}")
    merged = {**record, **values.fields(step.name)}
    validator = compiled.validators.get(step.name)
    if validator is None:
        return merged
    verdict = validator.validate_record(merged, seed=_seed(pipeline, record, step.name, "rules"))
    return merged if isinstance(verdict, Invalid) else verdict.record


def _passed_by(pipeline: Pipeline, compiled: CompiledPipeline, step: Step, record: JsonObject) -> JsonObject | Fault | None:
    """The unit as it is, where the step's `when` is false for it; None where the step applies."""
    condition = compiled.conditions.get(step.name)
    if condition is None:
        return None
    applies = Scope(record, _seed(pipeline, record, step.name, "when")).truth(condition)
    if isinstance(applies, ExpressionFailure):
        return Fault(step.name, str(record[UNIT_ID]), f"when: {applies.message}")
    return None if applies else record


async def prompts_of(
    pool: RenderPool, pipeline: Pipeline, compiled: CompiledPipeline, step: Step, records: Sequence[JsonObject]
) -> tuple[list[Wording | None], list[Fault]]:
    """What the model would be asked for each record; None where it is not asked (`when`) or cannot be, and why it cannot."""
    faults: list[Fault] = []
    ready: list[tuple[int, Context]] = []
    for place, record in enumerate(records):
        passed = _passed_by(pipeline, compiled, step, record)
        if isinstance(passed, Fault):
            faults.append(passed)
        if passed is not None:
            continue
        values: JsonObject | ExpressionFailure = {}
        if compiled.prompt_values:
            values = run_named(compiled.prompt_values, record, _seed(pipeline, record, step.name, "prompt"))
        if isinstance(values, ExpressionFailure):
            faults.append(Fault(step.name, str(record[UNIT_ID]), f"processing.expressions.{values.name}: {values.message}"))
        else:
            context = prompt_context(record, pipeline.global_context, values)
            ready.append((place, Context(context, _seed(pipeline, record, step.name, "images"))))
    texts: list[Wording | None] = [None] * len(records)
    if not ready:
        return texts, faults
    contexts, roots = [context for _, context in ready], image_roots(pipeline)
    worded = await word_units(pool, step, compiled.images[step.name], contexts, roots)
    for (place, _), wording in zip(ready, worded, strict=True):
        if isinstance(wording, RenderError):
            faults.append(Fault(step.name, str(records[place][UNIT_ID]), wording.message))
        else:
            texts[place] = wording
    return texts, faults
