"""Writing content blocks exactly: domain blocks to wire objects, nothing judged. `foreign` builds on this for requests of other wires."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headgate.dialects.anthropic_messages.blocks import LIST, plain_text
from headgate.dialects.anthropic_messages.words import NAME
from headgate.domain.content import Block, Cache, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.wire.json import Json, JsonObject

EMPTY_OBJECT = msgspec.Raw(b"{}")
INVALID_JSON = "INVALID_JSON"
"""Key under which arguments that are no JSON object travel, as Anthropic's guide to fine-grained tool streaming proposes."""

_decode = msgspec.json.Decoder().decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


def raw_object(arguments: str) -> Json | None:
    """Tool arguments as raw JSON, "" as the empty object; None when the text is not a JSON object.

    Text of several lines is decoded instead: a payload must fit on one line of a batch file.
    """
    if not arguments:
        return EMPTY_OBJECT
    lines = "\n" in arguments or "\r" in arguments
    try:
        found = _decode(arguments) if lines else _decode_raw(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    return found if arguments[0] == "{" or arguments.lstrip()[:1] == "{" else None


def tool_input(arguments: str) -> Json:
    """The `input` of a tool_use block; text that is no JSON object (a truncated call) is kept under `INVALID_JSON`."""
    found = raw_object(arguments)
    return found if found is not None else {INVALID_JSON: arguments.encode("utf-8", "replace").decode()}


def render_blocks(blocks: tuple[Block, ...]) -> list[JsonObject]:
    """Blocks as they are; those of other wires that have no form here are left out."""
    return [wire for wire in map(render_block, blocks) if wire is not None]


def render_block(block: Block) -> JsonObject | None:
    """One block, or None for a block of another wire."""
    return _WRITERS[type(block)](block)


def content_value(blocks: tuple[Block, ...], form: str) -> Json:
    """A `content` value in canonical spelling: a string for one plain text unless `form` says list."""
    plain = plain_text(blocks) if form != LIST else None
    return render_blocks(blocks) if plain is None else plain


def _finish(wire: JsonObject, cache: Cache | None, extra: JsonObject | None) -> JsonObject:
    if cache is not None:
        wire["cache_control"] = {"type": "ephemeral"} if cache.ttl is None else {"type": "ephemeral", "ttl": cache.ttl}
    if extra:
        wire.update(extra)
    return wire


def _text(block: Text) -> JsonObject:
    wire: JsonObject = {"type": "text", "text": block.text}
    if block.signature is not None:
        wire["signature"] = block.signature
    return _finish(wire, block.cache, block.extra)


def _thinking(block: Thinking) -> JsonObject:
    if block.redacted is not None:
        return _finish({"type": "redacted_thinking", "data": block.redacted}, None, block.extra)
    wire: JsonObject = {"type": "thinking", "thinking": block.text}
    if block.signature is not None:
        wire["signature"] = block.signature
    return _finish(wire, None, block.extra)


def _call(block: ToolCall) -> JsonObject:
    wire: JsonObject = {"type": "tool_use", "id": block.id, "name": block.name, "input": tool_input(block.arguments)}
    if block.signature is not None:
        wire["signature"] = block.signature
    return _finish(wire, block.cache, block.extra)


def _result(block: ToolResult) -> JsonObject:
    wire: JsonObject = {"type": "tool_result", "tool_use_id": block.call_id}
    if block.content or block.form == LIST:
        wire["content"] = content_value(block.content, block.form)
    if block.is_error is not None:
        wire["is_error"] = block.is_error
    return _finish(wire, block.cache, block.extra)


def media_source(block: Media) -> JsonObject:
    """The `source` object of an image or document block."""
    if block.data is not None:
        return {"type": "base64", "media_type": block.mime, "data": block.data}
    if block.url is not None:
        return {"type": "url", "url": block.url}
    if block.file_id is not None:
        return {"type": "file", "file_id": block.file_id}
    return {"type": "text", "media_type": block.mime or "text/plain", "data": block.text or ""}


def _media(block: Media) -> JsonObject:
    wire: JsonObject = {"type": block.kind, "source": media_source(block)}
    if block.name is not None:
        wire["title"] = block.name
    return _finish(wire, block.cache, block.extra)


def _refusal(block: Refusal) -> None:
    """A refusal is no block on this wire: answers say it in `stop_details`."""


def _opaque(block: Opaque) -> JsonObject | None:
    return block.raw if block.dialect == NAME else None


_WRITERS: dict[type, Callable[..., JsonObject | None]] = {
    Text: _text,
    Thinking: _thinking,
    ToolCall: _call,
    ToolResult: _result,
    Media: _media,
    Refusal: _refusal,
    Opaque: _opaque,
}
