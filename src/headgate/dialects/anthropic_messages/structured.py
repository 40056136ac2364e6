"""Answers in a given form: natively, or by a forced call of a synthetic tool that is unwrapped again (translation cases 78, 79).

On models without native structured output the schema becomes the input of one tool with a reserved name, `STRUCTURED_TOOL`, and the model
must call it. `parse_response` and the stream decoder turn a call of that name back into text and its `tool_use` into a plain stop, so
that callers see the same answer as from a model with native support. The tool's definition costs input tokens, which the note says.
"""

from __future__ import annotations

import msgspec

from headgate.dialects.anthropic_messages.notes import Losses
from headgate.dialects.anthropic_messages.tools import input_schema
from headgate.dialects.anthropic_messages.words import STRUCTURED_TOOL
from headgate.domain.content import Block, Text, ToolCall
from headgate.domain.request import Request, ResponseFormat
from headgate.domain.response import Choice, Finish, Response
from headgate.errors import Unsupported
from headgate.wire.json import JsonObject

_replace = msgspec.structs.replace


class Shape(msgspec.Struct, frozen=True):
    """What the wished form adds to the payload: an `output_config.format`, or a tool and the order to call it."""

    format: JsonObject | None = None
    tools: list[JsonObject] = []
    tool_choice: JsonObject | None = None


FREE = Shape()
"""Nothing was wished."""


def render_format(request: Request, losses: Losses) -> Shape:
    """The form of the answer for this model. Raises `Unsupported` when a forced tool would break the caller's own tools."""
    wanted = request.response_format
    if wanted is None or wanted.kind == "text":
        return FREE
    if wanted.extra:
        losses.foreign(wanted.extra, "response_format.")
    if wanted.kind == "json_object":
        losses.dropped("response_format", "this wire has no mode for any JSON: ask for it in the prompt, or give a schema")
        return FREE
    control = losses.capabilities.structured_output
    if control == "native":
        if wanted.description:
            losses.dropped("response_format.description", "an answer's schema carries no description on this wire")
        return Shape(format={"type": "json_schema", "schema": input_schema(wanted.schema, "response_format.schema")})
    if control == "tool":
        return _forced(wanted, request, losses)
    losses.dropped("response_format", "the model takes no schema: ask for the form in the prompt")
    return FREE


def _forced(wanted: ResponseFormat, request: Request, losses: Losses) -> Shape:
    if request.tools:
        raise Unsupported(
            "this model answers in a schema only by a forced tool, which excludes other tools",
            param="response_format",
            hint="choose a model with native structured output: headgate models",
        )
    losses.approximated("response_format", "the schema is sent as a forced tool, whose definition counts as input")
    tool: JsonObject = {
        "name": STRUCTURED_TOOL,
        "description": wanted.description or "Give the answer in this form.",
        "input_schema": input_schema(wanted.schema, "response_format.schema"),
    }
    return Shape(tools=[tool], tool_choice={"type": "tool", "name": STRUCTURED_TOOL})


def unwrap_block(block: Block) -> Block:
    """A call of the reserved tool as the text it stands for; any other block unchanged."""
    if isinstance(block, ToolCall) and block.name == STRUCTURED_TOOL:
        return Text(block.arguments)
    return block


def unwrap_structured(response: Response) -> Response:
    """An answer given by the reserved tool as the plain text answer it stands for; any other response unchanged."""
    if not any(call.name == STRUCTURED_TOOL for choice in response.choices for call in choice.tool_calls):
        return response
    return _replace(response, choices=tuple([_unwrap_choice(choice) for choice in response.choices]))


def _unwrap_choice(choice: Choice) -> Choice:
    content = tuple([unwrap_block(block) for block in choice.content])
    calls = any(isinstance(block, ToolCall) for block in content)
    finish = Finish.STOP if choice.finish is Finish.TOOL_CALLS and not calls else choice.finish
    return _replace(choice, content=content, finish=finish)
