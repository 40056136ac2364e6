"""Content blocks of a request from another wire: fitted to this one, every difference reported (translation cases 5, 12–15, 41–46)."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from msgspec.structs import replace

from headgate.dialects.bedrock_converse.compose import input_value, media_source
from headgate.dialects.bedrock_converse.ids import wire_id
from headgate.dialects.bedrock_converse.notes import Losses
from headgate.dialects.bedrock_converse.redacted import to_blob
from headgate.dialects.bedrock_converse.words import MIME, NAME, format_of, picture_format
from headgate.domain.content import Block, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.errors import Unsupported, WireError
from headgate.wire.json import JsonObject, decode

_DATA_URL = re.compile(r"data:(?P<mime>[^;,]*)(?P<params>(?:;[^;,]*)*),(?P<data>.*)", re.IGNORECASE | re.DOTALL)
_OUTSIDE_NAME = re.compile(r"[^\w\s\-()\[\]]", re.ASCII)
_BLANKS = re.compile(r"\s+")
_NAME_LENGTH = 200


def foreign_blocks(blocks: tuple[Block, ...], losses: Losses) -> list[JsonObject]:
    """Blocks for this wire, in order, each with its cache point."""
    wires: list[JsonObject] = []
    for number, block in enumerate(blocks):
        losses.block = number
        wires += foreign_block(block, losses)
    return wires


def foreign_block(block: Block, losses: Losses) -> list[JsonObject]:
    """The elements for one block: none when it is left out (reported), two with a cache point."""
    wire = _WRITERS[type(block)](block, losses)
    if wire is None:
        return []
    cache = getattr(block, "cache", None)
    return [wire] if cache is None else [wire, *losses.points(cache)]


def _text(block: Text, losses: Losses) -> JsonObject | None:
    if not block.text or block.text.isspace():
        if block.text:
            losses.dropped(losses.here, "text of white space only is refused by this wire")
        return None
    if block.signature is not None:
        losses.dropped(f"{losses.here}.signature", "text carries no signature on this wire")
    if block.extra:
        losses.foreign(block.extra, f"{losses.here}.")
    return {"text": block.text}


def _thinking(block: Thinking, losses: Losses) -> JsonObject | None:
    losses.foreign(block.extra, f"{losses.here}.")
    if block.redacted is not None:
        return {"reasoningContent": {"redactedContent": to_blob(replace(block, extra=None))}}
    if not block.signature:
        losses.dropped(losses.here, "thoughts without a signature are refused by this wire")
        return None
    return {"reasoningContent": {"reasoningText": {"text": block.text, "signature": block.signature}}}


def _call(block: ToolCall, losses: Losses) -> JsonObject:
    """A tool call. Raises `Unsupported` when its arguments are no JSON object."""
    try:
        asked = decode(block.arguments) if block.arguments else {}
    except (WireError, UnicodeEncodeError):
        asked = None
    if not isinstance(asked, dict):
        raise Unsupported(
            f"the arguments of tool call {block.id!r} are not a JSON object",
            param=losses.here,
            hint="send the arguments as the model wrote them, or repair them first",
        )
    if block.signature is not None:
        losses.dropped(f"{losses.here}.signature", "tool calls carry no signature on this wire")
    if block.extra:
        losses.foreign(block.extra, f"{losses.here}.")
    return {"toolUse": {"toolUseId": wire_id(block.id), "name": block.name, "input": input_value(block.arguments)}}


def _result(block: ToolResult, losses: Losses) -> JsonObject:
    content: list[JsonObject] = []
    for item in block.content:
        if type(item) is Text and item.cache is None and not item.extra:
            content.append({"text": item.text})
        elif isinstance(item, ToolCall | ToolResult | Thinking):
            losses.dropped(losses.here, "a tool's answer carries text, images, documents and videos only")
        else:
            wires = foreign_block(item, losses)
            content += wires[:1]
            if len(wires) > 1:
                losses.dropped(f"{losses.here}.cache_control", "a tool's answer takes a cache breakpoint after it, not inside")
    inner: JsonObject = {"toolUseId": wire_id(block.call_id), "content": content}
    if block.is_error is not None:
        inner["status"] = "error" if block.is_error else "success"
    if block.extra:
        losses.foreign(block.extra, f"{losses.here}.")
    return {"toolResult": inner}


def _refusal(block: Refusal, losses: Losses) -> JsonObject | None:
    if not block.text.strip():
        return None
    losses.approximated(losses.here, "a refusal becomes plain text")
    losses.foreign(block.extra, f"{losses.here}.")
    return {"text": block.text}


def _opaque(block: Opaque, losses: Losses) -> JsonObject | None:
    if block.dialect == NAME and isinstance(block.raw, dict):
        return block.raw
    losses.dropped(losses.here, f"a block only {block.dialect or 'another wire'} knows")
    return None


def _media(block: Media, losses: Losses) -> JsonObject:
    _check_ability(block, losses)
    held = _inline(block)
    if held.text is not None and held.mime is None:
        held = replace(held, mime="text/plain")
    word = format_of(held.kind, held.mime or ("application/pdf" if held.kind == "document" else None))
    if held.mime is None and held.kind == "image" and held.data is not None:
        word = picture_format(held.data)
    if word is None:
        raise Unsupported(
            f"{held.kind}s of type {held.mime or 'unknown'} are not taken: only {', '.join(MIME[held.kind])}",
            param=losses.here,
            hint="convert it first",
        )
    inner: JsonObject = {"format": word, "source": media_source(held)}
    if held.kind == "document":
        inner["name"] = _document_name(held.name, losses)
    if block.detail not in (None, "auto"):
        losses.dropped(f"{losses.here}.detail", "this wire chooses the detail itself")
    losses.foreign(block.extra, f"{losses.here}.")
    return {held.kind: inner}


_ABILITIES: dict[str, Callable[[Losses], bool]] = {
    "image": lambda losses: losses.capabilities.vision,
    "document": lambda losses: losses.capabilities.documents,
    "audio": lambda losses: losses.capabilities.audio,
    "video": lambda losses: losses.capabilities.vision,
}


def _check_ability(block: Media, losses: Losses) -> None:
    if not _ABILITIES[block.kind](losses):
        raise Unsupported(f"this model takes no {block.kind}", param=losses.here, hint="headgate models")
    if block.file_id is not None:
        raise Unsupported(f"file id {block.file_id!r} means nothing to Bedrock", param=losses.here, hint="send the file's content")
    if block.url is not None and not block.url.lower().startswith(("data:", "s3://")):
        raise Unsupported(
            "Bedrock fetches no URL: it takes the content itself or an s3:// address", param=losses.here, hint="send the file's content"
        )


def _inline(block: Media) -> Media:
    """A ``data:`` URL as data (translation case 41); other media as they are."""
    found = _DATA_URL.fullmatch(block.url) if block.url is not None else None
    if found is None:
        return block
    data = found["data"]
    if "base64" not in found["params"].lower():
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return replace(block, url=None, data=data, mime=(found["mime"] or "text/plain").strip().lower())


def _document_name(given: str | None, losses: Losses) -> str:
    """A name in the wire's alphabet, once per request; any change of a given name is reported."""
    name = _BLANKS.sub(" ", _OUTSIDE_NAME.sub("-", given or "")).strip()[:_NAME_LENGTH] or "document"
    number, unique = 1, name
    while unique in losses.documents:
        number += 1
        unique = f"{name[: _NAME_LENGTH - 8]} ({number})"
    losses.documents.add(unique)
    if given and unique != given:
        losses.approximated(f"{losses.here}.name", f"{given!r} becomes {unique!r}: letters, digits, -_()[] and single blanks, once each")
    return unique


_WRITERS: dict[type, Callable[..., JsonObject | None]] = {
    Text: _text,
    Thinking: _thinking,
    ToolCall: _call,
    ToolResult: _result,
    Media: _media,
    Refusal: _refusal,
    Opaque: _opaque,
}
"""By the type of a block: its form on this wire, or None when it is left out (reported). Raises `Unsupported` for what must be refused."""
