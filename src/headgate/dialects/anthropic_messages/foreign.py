"""Content blocks of a request from another wire: fitted to this one, every difference reported (translation cases 5, 12–15, 41–46)."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from msgspec.structs import replace

from headgate.dialects.anthropic_messages.blocks import plain_text
from headgate.dialects.anthropic_messages.compose import media_source, raw_object
from headgate.dialects.anthropic_messages.notes import Losses
from headgate.dialects.anthropic_messages.words import NAME
from headgate.domain.content import Block, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.errors import Unsupported
from headgate.wire.json import JsonObject

_ID = re.compile(r"[a-zA-Z0-9_-]+").fullmatch
_IMAGES = {"image/jpeg", "image/png", "image/gif", "image/webp"}
_MIME = {"image/jpg": "image/jpeg"}
_DATA_URL = re.compile(r"data:(?P<mime>[^;,]*)(?P<params>(?:;[^;,]*)*),(?P<data>.*)", re.IGNORECASE | re.DOTALL)


def tool_id(identifier: str) -> str:
    """A call id in this wire's alphabet; others become hexadecimal, so that equal ids stay equal and different ones different."""
    if (identifier.isascii() and identifier.isidentifier()) or _ID(identifier):
        return identifier
    return f"hex_{identifier.encode('utf-8', 'replace').hex()}"


def foreign_blocks(blocks: tuple[Block, ...], losses: Losses) -> list[JsonObject]:
    """Blocks for this wire, in order."""
    wires: list[JsonObject] = []
    for number, block in enumerate(blocks):
        losses.block = number
        wire = WRITERS[type(block)](block, losses)
        if wire is not None:
            wires.append(wire)
    return wires


def _text(block: Text, losses: Losses) -> JsonObject | None:
    if not block.text or block.text.isspace():
        if block.text:
            losses.dropped(losses.here, "text of white space only is refused by this wire")
        return None
    wire: JsonObject = {"type": "text", "text": block.text}
    if block.cache is not None:
        losses.mark(wire, block.cache)
    if block.signature is not None:
        losses.dropped(f"{losses.here}.signature", "text carries no signature on this wire")
    if block.extra:
        losses.foreign(block.extra, f"{losses.here}.")
    return wire


def _thinking(block: Thinking, losses: Losses) -> JsonObject | None:
    if block.extra:
        losses.foreign(block.extra, f"{losses.here}.")
    if block.redacted is not None:
        return {"type": "redacted_thinking", "data": block.redacted}
    if not block.signature:
        losses.dropped(losses.here, "thoughts without a signature are refused by this wire")
        return None
    return {"type": "thinking", "thinking": block.text, "signature": block.signature}


def foreign_call(block: ToolCall, losses: Losses) -> JsonObject:
    """A tool call for this wire. Raises `Unsupported` when its arguments are no JSON object."""
    arguments = raw_object(block.arguments)
    if arguments is None:
        raise Unsupported(
            f"the arguments of tool call {block.id!r} are not a JSON object",
            param=losses.here,
            hint="send the arguments as the model wrote them, or repair them first",
        )
    call_id = block.id
    wire: JsonObject = {
        "type": "tool_use",
        "id": call_id if call_id.isidentifier() and call_id.isascii() else tool_id(call_id),
        "name": block.name,
        "input": arguments,
    }
    if block.cache is not None:
        losses.mark(wire, block.cache)
    if block.signature is not None:
        losses.dropped(f"{losses.here}.signature", "tool calls carry no signature on this wire")
    if block.extra:
        losses.foreign(block.extra, f"{losses.here}.")
    return wire


def foreign_result(block: ToolResult, losses: Losses) -> JsonObject:
    """A tool's answer for this wire."""
    call_id, content = block.call_id, block.content
    wire: JsonObject = {
        "type": "tool_result",
        "tool_use_id": call_id if call_id.isidentifier() and call_id.isascii() else tool_id(call_id),
    }
    if content:
        plain = plain_text(content)
        wire["content"] = _result_content(content, losses) if plain is None else plain
    if block.is_error is not None:
        wire["is_error"] = block.is_error
    if block.cache is not None:
        losses.mark(wire, block.cache)
    if block.extra:
        losses.foreign(block.extra, f"{losses.here}.")
    return wire


def _result_content(blocks: tuple[Block, ...], losses: Losses) -> list[JsonObject]:
    wires = []
    for block in blocks:
        wire = WRITERS[type(block)](block, losses)
        if wire is not None and wire["type"] not in ("tool_use", "tool_result", "thinking"):
            wires.append(wire)
    return wires


def _refusal(block: Refusal, losses: Losses) -> JsonObject | None:
    if not block.text.strip():
        return None
    losses.approximated(losses.here, "a refusal becomes plain text")
    return {"type": "text", "text": block.text}


def _opaque(block: Opaque, losses: Losses) -> JsonObject | None:
    if block.dialect == NAME and isinstance(block.raw, dict):
        return block.raw
    losses.dropped(losses.here, f"a block only {block.dialect or 'another wire'} knows")
    return None


def _media(block: Media, losses: Losses) -> JsonObject | None:
    fit = _FITTED.get(block.kind)
    if fit is None:
        raise Unsupported(f"this wire takes no {block.kind}", param=losses.here, hint="headgate models")
    wire: JsonObject = {"type": block.kind, "source": fit(_inline(block), losses)}
    if block.name is not None and block.kind == "document":
        wire["title"] = block.name
    if block.detail not in (None, "auto"):
        losses.dropped(f"{losses.here}.detail", "this wire chooses the detail itself")
    if block.cache is not None:
        losses.mark(wire, block.cache)
    if block.extra:
        losses.foreign(block.extra, f"{losses.here}.")
    return wire


def _inline(block: Media) -> Media:
    """A ``data:`` URL as data, its media type normalised."""
    found = _DATA_URL.fullmatch(block.url) if block.url is not None else None
    if found is None:
        mime = block.mime.lower() if block.mime is not None else None
        return replace(block, mime=_MIME.get(mime, mime)) if mime is not None else block
    mime = (found["mime"] or "text/plain").strip().lower()
    data = found["data"]
    if "base64" not in found["params"].lower():
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return replace(block, url=None, data=data, mime=_MIME.get(mime, mime))


def _image(block: Media, losses: Losses) -> JsonObject:
    if not losses.capabilities.vision:
        raise Unsupported("this model takes no images", param=losses.here, hint="headgate models")
    if block.data is not None and block.mime not in _IMAGES:
        raise Unsupported(f"images of type {block.mime} are not taken: only {', '.join(sorted(_IMAGES))}", param=losses.here)
    return _source(block, losses)


def _document(block: Media, losses: Losses) -> JsonObject:
    if not losses.capabilities.documents:
        raise Unsupported("this model takes no documents", param=losses.here, hint="headgate models")
    if block.data is None or block.mime in ("application/pdf", None):
        return _source(block if block.mime or block.data is None else replace(block, mime="application/pdf"), losses)
    if not block.mime.startswith("text/"):
        raise Unsupported(f"documents of type {block.mime} are not taken: only PDF and plain text", param=losses.here)
    try:
        words = base64.b64decode(block.data, validate=True).decode()
    except ValueError as error:
        raise Unsupported(f"the document is not UTF-8 text in base64: {error}", param=losses.here) from error
    return {"type": "text", "media_type": "text/plain", "data": words}


def _source(block: Media, losses: Losses) -> JsonObject:
    if block.url is not None and not block.url.lower().startswith(("http://", "https://")):
        raise Unsupported("media must be a data: or http(s) URL", param=losses.here)
    if block.file_id is not None and losses.origin:
        raise Unsupported(f"file id {block.file_id!r} belongs to another provider", param=losses.here, hint="send the file's content")
    return media_source(block)


_FITTED: dict[str, Callable[[Media, Losses], JsonObject]] = {"image": _image, "document": _document}

WRITERS: dict[type, Callable[..., JsonObject | None]] = {
    Text: _text,
    Thinking: _thinking,
    ToolCall: foreign_call,
    ToolResult: foreign_result,
    Media: _media,
    Refusal: _refusal,
    Opaque: _opaque,
}
"""By the type of a block: its form on this wire, or None when it is left out (reported). Raises `Unsupported` for what must be refused."""
