"""Everything of a pipeline that is compiled once and used for every unit."""

from __future__ import annotations

import msgspec

from headgate.batch.expressions import CompiledExpression, CompiledStep, compile_expression, compile_named, derive_seed, octobatch_seed
from headgate.batch.pipeline import Pipeline, SeedMode, Step, StepKind, TimeoutPolicy
from headgate.batch.plan import REPETITION_SEED
from headgate.batch.schemas import CompiledSchema
from headgate.batch.validate import CompiledRules, StepValidator
from headgate.wire.json import JsonObject


class CompiledPipeline(msgspec.Struct, frozen=True):
    """Expression steps, validators and the expressions for images by step name, and those evaluated before each prompt
    (`processing.expressions`)."""

    expression_steps: dict[str, CompiledStep]
    validators: dict[str, StepValidator]
    prompt_values: tuple[CompiledExpression, ...]
    conditions: dict[str, CompiledExpression]
    """By step name, what its `when` says."""
    script_expressions: dict[str, tuple[CompiledExpression, ...]]
    """By run step name, its `filename_expression` and `content_expression`, as far as it has them."""
    images: dict[str, tuple[CompiledExpression, ...]]


def compile_pipeline(pipeline: Pipeline) -> CompiledPipeline:
    """Compile expressions, schemas and rules. Raises `ConfigError`."""
    return CompiledPipeline(
        expression_steps={step.name: compile_step(step) for step in pipeline.steps if step.kind is StepKind.EXPRESSION},
        validators={step.name: _validator(pipeline, step) for step in pipeline.steps if step.name in pipeline.rules},
        prompt_values=compile_named(pipeline.processing.expressions, pipeline.processing.places.get),
        images={step.name: _image_expressions(step) for step in pipeline.llm_steps},
        conditions={
            step.name: compile_expression(step.when, name=f"when of step {step.name!r}", where=step.place("when"))
            for step in pipeline.steps
            if step.when is not None
        },
        script_expressions={step.name: _script_expressions(step) for step in pipeline.steps if step.script is not None},
    )


def _script_expressions(step: Step) -> tuple[CompiledExpression, ...]:
    assert step.script is not None
    sources = {"filename_expression": step.script.filename, "content_expression": step.script.content}
    return compile_named(((name, source) for name, source in sources.items() if source is not None), step.place)


def _image_expressions(step: Step) -> tuple[CompiledExpression, ...]:
    """Compile what says which images go with a step's prompt; its tools' schemas are checked as well. Raises `ConfigError`."""
    for tool in step.params.tools:
        if tool.parameters is not None:
            CompiledSchema(tool.parameters, f"the parameters of tool {tool.name!r}")
    named = tuple((f"image_{number}", source) for number, source in enumerate(step.params.images, 1))
    return compile_named(named, lambda _name: step.where or None)


def compile_step(step: Step) -> CompiledStep:
    """Compile an expression step. Raises `ConfigError` at the place of the expression."""
    return CompiledStep(
        name=step.name,
        init=compile_named(step.init, lambda name: step.place("init", name)),
        expressions=compile_named(step.expressions, lambda name: step.place("expressions", name)),
        loop_until=compile_expression(step.loop_until, name="loop_until", where=step.place("loop_until"))
        if step.loop_until is not None
        else None,
        max_iterations=step.max_iterations,
        fail_on_timeout=step.on_timeout is TimeoutPolicy.FAIL,
    )


def _validator(pipeline: Pipeline, step: Step) -> StepValidator:
    schema = pipeline.schemas.get(step.name)
    compiled = CompiledSchema(schema, f"the schema of {step.name}") if schema is not None else None
    return StepValidator(compiled, CompiledRules(pipeline.rules[step.name]), pipeline.coercions)


def unit_seed(
    pipeline: Pipeline, unit_id: str, fields: JsonObject, step: str, purpose: str, *, run_seed: int | str | None = None, again: int = 0
) -> int:
    """The seed of a unit's random stream for `purpose` (``expression``, ``prompt``, ``rules``) in `step`, by the pipeline's `seed_mode`.

    `again` counts how often the unit was sent back here: each time it draws anew, since the same numbers would only fail again.
    """
    if again:
        purpose = f"{purpose} {again}"
    elif pipeline.processing.seed_mode is SeedMode.OCTOBATCH:
        stored = fields.get(REPETITION_SEED)
        return octobatch_seed(unit_id, step, stored if isinstance(stored, int) else None)
    return derive_seed(pipeline.processing.seed if run_seed is None else run_seed, unit_id, step, purpose)
