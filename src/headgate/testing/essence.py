"""What a translation must keep of a request or an answer, as plain values that compare well and print well.

Roles shrink to three speakers, neighbouring messages of one speaker count as one, tool arguments and results are compared as JSON, and
tools without parameters take the empty schema: all of these are spellings of the same thing on one wire or another.
"""

from __future__ import annotations

from typing import TypeAlias

from headgate.domain.content import Block, Media, Refusal, Text, Thinking, ToolCall, ToolResult, text_of
from headgate.domain.request import Request, Tool
from headgate.domain.response import Choice, Response
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, decode, encode_text

Piece: TypeAlias = tuple[str | None, ...]

SPEAKERS = {"system": "system", "developer": "system", "user": "user", "tool": "user", "assistant": "assistant"}
SETTINGS = ("max_tokens", "temperature", "top_p", "top_k", "seed", "stop", "presence_penalty", "frequency_penalty", "n", "user")
NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}


def conversation(request: Request) -> tuple[Piece, ...]:
    """Every block of every message in order, each as (speaker, kind, content …)."""
    return tuple(piece for message in request.messages for block in message.content for piece in _pieces(SPEAKERS[message.role], block))


def _pieces(speaker: str, block: Block) -> tuple[Piece, ...]:
    match block:
        case Text(text="") | Refusal(text=""):
            return ()
        case Text() | Refusal():
            return ((speaker, "text", block.text),)
        case Media():
            source = block.data or block.url or block.file_id or block.text
            return ((speaker, block.kind, block.mime if block.data else None, source),)
        case Thinking():
            return ((speaker, "thinking", block.text or None, block.signature, block.redacted),)
        case ToolCall():
            return ((speaker, "call", block.id, block.name, canonical(block.arguments or "{}")),)
        case ToolResult():
            return ((speaker, "result", block.call_id, canonical(text_of(block.content))),)
        case _:
            return ((speaker, "opaque", encode_text(block.raw)),)


def canonical(text: str) -> str:
    """JSON text with sorted keys and no blanks; any other text as it is."""
    try:
        return encode_text(_sorted(decode(text)))
    except WireError:
        return text


def _sorted(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def functions(request: Request) -> tuple[Piece, ...]:
    """The caller's tools as (name, description, schema)."""
    tools = (tool for tool in request.tools if isinstance(tool, Tool))
    return tuple((tool.name, tool.description or None, canonical(encode_text(tool.parameters or NO_PARAMETERS))) for tool in tools)


def settings(request: Request) -> dict[str, Json]:
    """Sampling and limits that were given."""
    return {name: value for name in SETTINGS if (value := getattr(request, name)) not in (None, ())}


def answer(response: Response) -> dict[str, Json]:
    """What every choice says and how it ends, and the totals of the usage."""
    usage = response.usage
    totals = None if usage is None else {"input": usage.input_total, "cached": usage.cached, "output": usage.output_total}
    return {"choices": [_choice(choice) for choice in response.choices], "usage": totals}


def _choice(choice: Choice) -> dict[str, Json]:
    said = "".join(block.text for block in choice.content if isinstance(block, Text | Refusal))
    thought = "".join(block.text for block in choice.content if isinstance(block, Thinking))
    calls = [(call.id, call.name, canonical(call.arguments or "{}")) for call in choice.tool_calls]
    return {"text": said, "thinking": thought, "calls": calls, "finish": choice.finish}


def without_ids(response: Response) -> dict[str, Json]:
    """`answer` with the ids of calls left out, which providers make up anew for each answer."""
    whole = answer(response)
    for choice in whole["choices"]:
        choice["calls"] = [(name, arguments) for _, name, arguments in choice["calls"]]
    return whole
