"""Writing content blocks exactly: domain blocks to elements of the wire, nothing judged. `foreign` fits those of other wires."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headgate.dialects.bedrock_converse.blocks import CITED, GUARDED, MAPPED, NO_INPUT
from headgate.dialects.bedrock_converse.ids import wire_id
from headgate.dialects.bedrock_converse.redacted import to_blob
from headgate.dialects.bedrock_converse.words import BESIDE, NAME, cache_point, format_of
from headgate.domain.content import Block, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, decode

INVALID_JSON = "INVALID_JSON"
"""Key under which arguments that are no JSON travel (a call cut short)."""

_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


def input_value(arguments: str) -> Json:
    """The `input` of a call: JSON text as it stands, "" as the empty object, anything else under `INVALID_JSON`."""
    if not arguments:
        return {}
    try:
        return decode(arguments) if "\n" in arguments or "\r" in arguments else _decode_raw(arguments)
    except (WireError, msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {INVALID_JSON: arguments.encode("utf-8", "replace").decode()}


def render_blocks(blocks: tuple[Block, ...]) -> list[JsonObject]:
    """Blocks as they are, each breakpoint as an element after its block; those of other wires without a form here are left out."""
    wires: list[JsonObject] = []
    for block in blocks:
        wire = render_block(block)
        if wire is not None:
            wires.append(wire)
            if isinstance(block, Text | Media | ToolCall | ToolResult) and block.cache is not None:
                wires.append(cache_point(block.cache))
    return wires


def render_block(block: Block) -> JsonObject | None:
    """One block, or None for a block of another wire."""
    wire = _WRITERS[type(block)](block)
    extra = None if isinstance(block, Opaque) else block.extra
    if wire is not None and extra and BESIDE in extra:
        wire.update(extra[BESIDE])
    return wire


def _rest(extra: JsonObject | None, *skip: str) -> JsonObject:
    return {key: value for key, value in extra.items() if key != BESIDE and key not in skip} if extra else {}


def _text(block: Text) -> JsonObject:
    extra = block.extra or {}
    if GUARDED in extra:
        return {GUARDED: {"text": {"text": block.text, **extra[GUARDED]}}}
    if CITED not in extra and not isinstance(extra.get("citations"), list):
        return {"text": block.text}
    inner = _rest(extra, CITED)
    if block.text and "content" not in inner:
        inner["content"] = [{"text": block.text}]
    return {CITED: inner}


def media_source(block: Media) -> JsonObject:
    """The `source` of an image, document, video or audio."""
    if block.data is not None:
        return {"bytes": block.data}
    if block.text is not None:
        return {"text": block.text}
    return {"s3Location": {"uri": block.url or ""}}


def _media(block: Media) -> JsonObject:
    inner: JsonObject = {"source": media_source(block)}
    word = block.form or format_of(block.kind, block.mime)
    if word:
        inner["format"] = word
    if block.name is not None:
        inner["name"] = block.name
    inner.update(_rest(block.extra, GUARDED))
    return {GUARDED: {block.kind: inner}} if block.extra and GUARDED in block.extra else {block.kind: inner}


def _thinking(block: Thinking) -> JsonObject:
    if block.redacted is not None:
        return {"reasoningContent": {"redactedContent": to_blob(block)}}
    said: JsonObject = {"text": block.text}
    if block.signature is not None:
        said["signature"] = block.signature
    said.update(_rest(block.extra))
    return {"reasoningContent": {"reasoningText": said}}


def _call(block: ToolCall) -> JsonObject:
    marks = block.form.split()
    inner: JsonObject = {"toolUseId": wire_id(block.id) if MAPPED in marks else block.id, "name": block.name}
    if block.arguments or NO_INPUT not in marks:
        inner["input"] = input_value(block.arguments)
    inner.update(_rest(block.extra))
    return {"toolUse": inner}


def _result(block: ToolResult) -> JsonObject:
    marks = block.form.split()
    content: list[JsonObject] = []
    for number, item in enumerate(block.content):
        if isinstance(item, Text) and str(number) in marks:
            content.append({"json": decode(item.text, what="a tool's answer", fault="local")})
        elif (wire := render_block(item)) is not None:
            content.append(wire)
    inner: JsonObject = {"toolUseId": wire_id(block.call_id) if MAPPED in marks else block.call_id, "content": content}
    if block.is_error is not None:
        inner["status"] = "error" if block.is_error else "success"
    inner.update(_rest(block.extra))
    return {"toolResult": inner}


def _refusal(block: Refusal) -> JsonObject:
    """A refusal is plain text on this wire; `stopReason` says the rest."""
    return {"text": block.text}


def _opaque(block: Opaque) -> JsonObject | None:
    return dict(block.raw) if block.dialect == NAME and isinstance(block.raw, dict) else None


_WRITERS: dict[type, Callable[..., JsonObject | None]] = {
    Text: _text,
    Media: _media,
    Thinking: _thinking,
    ToolCall: _call,
    ToolResult: _result,
    Refusal: _refusal,
    Opaque: _opaque,
}
