"""Reading content blocks. One element of the wire is one block, but for a cache point, which belongs to the block before it.

Keys inside an element that its block cannot hold go to `extra`, keys beside it to ``extra["(beside)"]``; an element that no block can hold
stays `Opaque`. Calls and results of tools that Bedrock runs itself are `Opaque` too: nobody has to answer them.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from headgate.dialects.bedrock_converse.ids import original_id, was_encoded
from headgate.dialects.bedrock_converse.redacted import from_blob
from headgate.dialects.bedrock_converse.words import BESIDE, NAME, cache_of, format_of, mime_of
from headgate.domain.content import Block, Media, MediaKind, Opaque, Text, Thinking, ToolCall, ToolResult
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, arr, encode_text, obj, text

MAPPED = "mapped"
"""Spelling mark: the wire's id is the encoded one."""

NO_INPUT = "noinput"
"""Spelling mark: a call without `input`."""

CITED = "citationsContent"
GUARDED = "guardContent"

Reader = Callable[[Json, str], Block | None]


def parse_blocks(value: Json, path: str) -> tuple[Block, ...]:
    """A `content` or `system` array. Raises `WireError` naming the element that is malformed."""
    blocks: list[Block] = []
    for number, item in enumerate(arr(value, path)):
        words = item.get("text") if type(item) is dict and len(item) == 1 else None
        if type(words) is str:
            blocks.append(Text(words))
            continue
        cache = cache_of(item)
        last = blocks[-1] if blocks else None
        if cache is not None and isinstance(last, Text | Media | ToolCall | ToolResult) and last.cache is None:
            blocks[-1] = replace(last, cache=cache)
        else:
            blocks.append(parse_block(item, f"{path}[{number}]"))
    return tuple(blocks)


def parse_block(value: Json, path: str) -> Block:
    """One element of a request or answer."""
    wire = obj(value, path)
    keys = [key for key in wire if key in _READERS]
    if len(keys) != 1:
        return Opaque(wire, NAME)
    block = _READERS[keys[0]](wire[keys[0]], f"{path}.{keys[0]}")
    if block is None or isinstance(block, Opaque):
        return Opaque(wire, NAME)
    if len(wire) == 1:
        return block
    beside = {key: item for key, item in wire.items() if key != keys[0]}
    return replace(block, extra={**(block.extra or {}), BESIDE: beside})


def json_text(value: Json, path: str) -> str:
    """JSON text of a decoded value. Raises `WireError` for what no JSON text can hold."""
    try:
        return encode_text(value)
    except WireError as error:
        raise WireError(f"{path}: {error.message}", param=path) from error


def without(wire: JsonObject, *keys: str) -> JsonObject | None:
    """The other keys; None when there are none."""
    return {key: value for key, value in wire.items() if key not in keys} or None


def _text(value: Json, path: str) -> Block:
    return Text(text(value, path))


def _reader_of_media(kind: MediaKind) -> Reader:
    return lambda value, path: media_block(kind, obj(value, path))


def media_block(kind: MediaKind, inner: JsonObject) -> Media | None:
    """An image, document, video or audio; None when a `Media` cannot hold it."""
    word, name = inner.get("format"), inner.get("name")
    place = _source(kind, inner.get("source"))
    if place is None or not isinstance(word, str | None) or ("format" in inner and word is None):
        return None
    named = kind == "document" and isinstance(name, str)
    mime = None if word is None else mime_of(kind, word)
    found = Media(
        kind,
        mime,
        name=name if named else None,
        extra=without(inner, "format", "source", *(("name",) if named else ())),
        form=word if word is not None and format_of(kind, mime) != word else "",
    )
    return replace(found, **place)


def _source(kind: MediaKind, source: Json) -> dict[str, str] | None:
    """The field of `Media` that holds a source: its bytes, its place in S3, or a document's text."""
    if not isinstance(source, dict) or len(source) != 1:
        return None
    ((key, value),) = source.items()
    if key == "bytes" and isinstance(value, str):
        return {"data": value}
    if key == "text" and isinstance(value, str) and kind == "document":
        return {"text": value}
    if key == "s3Location" and isinstance(value, dict) and value.keys() == {"uri"} and isinstance(value["uri"], str):
        return {"url": value["uri"]}
    return None


def _call(value: Json, path: str) -> Block | None:
    inner = obj(value, path)
    if inner.get("type") == "server_tool_use":
        return None
    return call_block(inner, json_text(inner["input"], f"{path}.input") if "input" in inner else None, path)


def call_block(inner: JsonObject, arguments: str | None, path: str) -> ToolCall:
    """A tool call with its arguments as JSON text, None when they are missing."""
    identifier = text(inner.get("toolUseId"), f"{path}.toolUseId")
    marks = [MAPPED] if was_encoded(identifier) else []
    if arguments is None:
        marks.append(NO_INPUT)
    return ToolCall(
        original_id(identifier),
        text(inner.get("name"), f"{path}.name"),
        arguments or "",
        extra=without(inner, "toolUseId", "name", "input"),
        form=" ".join(marks),
    )


def _result(value: Json, path: str) -> Block | None:
    inner = obj(value, path)
    if "type" in inner:
        return None
    identifier = text(inner.get("toolUseId"), f"{path}.toolUseId")
    marks = [MAPPED] if was_encoded(identifier) else []
    content: list[Block] = []
    for number, item in enumerate(arr(inner.get("content"), f"{path}.content")):
        if isinstance(item, dict) and item.keys() == {"json"}:
            marks.append(str(number))
            content.append(Text(json_text(item["json"], f"{path}.content[{number}].json")))
        else:
            content.append(parse_block(item, f"{path}.content[{number}]"))
    status = inner.get("status")
    error = {"success": False, "error": True}.get(status) if isinstance(status, str) else None
    extra = without(inner, "toolUseId", "content", *(() if error is None else ("status",)))
    return ToolResult(original_id(identifier), tuple(content), None, error, None, extra, " ".join(marks))


def _reasoning(value: Json, path: str) -> Block | None:
    inner = obj(value, path)
    if len(inner) != 1:
        return None
    if isinstance(inner.get("redactedContent"), str):
        return from_blob(inner["redactedContent"])
    said = inner.get("reasoningText")
    if not isinstance(said, dict) or not isinstance(said.get("text"), str):
        return None
    signature = said.get("signature")
    known = isinstance(signature, str)
    return Thinking(said["text"], signature if known else None, extra=without(said, "text", *(("signature",) if known else ())))


def _guarded(value: Json, path: str) -> Block | None:
    """Text or an image that a guardrail is to judge: what it says is the caller's, so it stays readable."""
    inner = obj(value, path)
    if len(inner) != 1:
        return None
    said, shown = inner.get("text"), inner.get("image")
    if isinstance(said, dict) and isinstance(said.get("text"), str):
        return Text(said["text"], extra={GUARDED: without(said, "text") or {}})
    found = media_block("image", shown) if isinstance(shown, dict) else None
    return None if found is None else replace(found, extra={**(found.extra or {}), GUARDED: {}})


def _cited(value: Json, path: str) -> Block:
    """Text of the model with its sources."""
    extra = dict(obj(value, path))
    pieces = extra.get("content")
    words = "".join([piece["text"] for piece in pieces if _says(piece)]) if isinstance(pieces, list) else ""
    if words and pieces == [{"text": words}]:
        del extra["content"]
    if not isinstance(extra.get("citations"), list):
        extra[CITED] = True
    return Text(words, extra=extra)


def _says(piece: Json) -> bool:
    return isinstance(piece, dict) and isinstance(piece.get("text"), str)


_READERS: dict[str, Reader] = {
    "text": _text,
    "image": _reader_of_media("image"),
    "document": _reader_of_media("document"),
    "video": _reader_of_media("video"),
    "audio": _reader_of_media("audio"),
    "toolUse": _call,
    "toolResult": _result,
    "reasoningContent": _reasoning,
    GUARDED: _guarded,
    CITED: _cited,
}
