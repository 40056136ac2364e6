"""What a step says to its model for a unit: the prompt and the system prompt from their templates, and the images beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from headgate.batch.expressions import CompiledExpression, ExpressionFailure, run_named
from headgate.batch.images import MAX_IMAGES, ImageFault, images_of
from headgate.batch.item_file import INPUT
from headgate.batch.pipeline import Pipeline, Step, system_key
from headgate.batch.templates import RenderError, RenderPool
from headgate.domain.content import Media
from headgate.wire.json import Json, JsonObject


class Wording(msgspec.Struct, frozen=True):
    """The words and images of one request."""

    prompt: str
    system: str | None = None
    images: tuple[Media, ...] = ()


class Context(msgspec.Struct, frozen=True):
    """What the templates of one unit see, and the seed of the random stream of its image expressions."""

    values: JsonObject
    seed: int


def image_roots(pipeline: Pipeline, run: Path | None = None) -> tuple[Path, ...]:
    """Folders in which units may name files: the inputs of the run in the folder `run`, then the pipeline's own."""
    own = () if run is None else (run / INPUT,)
    return (*own, Path(pipeline.root))


async def word_units(
    renderer: RenderPool, step: Step, images: Sequence[CompiledExpression], contexts: Sequence[Context], roots: Sequence[Path]
) -> list[Wording | RenderError]:
    """The wording of `step` for each context, in order. `images` are the step's compiled expressions."""
    values = [context.values for context in contexts]
    prompts = await renderer.render(step.name, values)
    systems: Sequence[str | RenderError | None] = [step.params.system] * len(values)
    if system_key(step) in renderer.template_of:
        systems = await renderer.render(system_key(step), values)
    media: Sequence[tuple[Media, ...] | RenderError] = [()] * len(values)
    if images:
        media = await asyncio.to_thread(lambda: [_images(images, context, roots) for context in contexts])
    return [_worded(*parts) for parts in zip(prompts, systems, media, strict=True)]


def _worded(prompt: str | RenderError, system: str | RenderError | None, images: tuple[Media, ...] | RenderError) -> Wording | RenderError:
    if isinstance(prompt, RenderError):
        return prompt
    if isinstance(system, RenderError):
        return RenderError(system.kind, f"system: {system.message}")
    return images if isinstance(images, RenderError) else Wording(prompt, system, images)


def _images(expressions: Sequence[CompiledExpression], context: Context, roots: Sequence[Path]) -> tuple[Media, ...] | RenderError:
    found: list[Media] = []
    for expression in expressions:
        value = _value(expression, context)
        if isinstance(value, ExpressionFailure):
            return RenderError("error", f"{value.name}: {value.message}")
        try:
            found += images_of(value, roots)
        except ImageFault as error:
            return RenderError("error", f"{expression.name}: {error}")
    if len(found) > MAX_IMAGES:
        return RenderError("too_large", f"{len(found)} images; a prompt has at most {MAX_IMAGES}")
    return tuple(found)


def _value(expression: CompiledExpression, context: Context) -> Json | ExpressionFailure:
    """A field is taken as it is, whatever its size; anything else is computed within the bounds of expressions."""
    if expression.source in context.values:
        return context.values[expression.source]
    values = run_named((expression,), context.values, context.seed)
    return values if isinstance(values, ExpressionFailure) else values.get(expression.name)
