"""Reading content blocks: wire objects to domain blocks. What a block cannot hold goes to its `extra`; what no block holds is `Opaque`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from headgate.dialects.anthropic_messages.words import NAME, cache_of
from headgate.domain.content import Block, Cache, Media, Opaque, Text, Thinking, ToolCall, ToolResult
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, encode_text, text, type_name

LIST = "list"
"""Spelling mark: one plain text block, written as a list."""


def parse_content(value: Json, path: str) -> tuple[tuple[Block, ...], str]:
    """A message's or tool result's `content` (string or list) as blocks, with the spelling mark. Raises `WireError` naming `path`."""
    if isinstance(value, str):
        return (Text(value),), ""
    if not isinstance(value, list):
        raise WireError(f"{path} must be a string or an array, not {type_name(value)}", param=path)
    blocks = tuple([_plain(item) or parse_block(item, path, number) for number, item in enumerate(value)])
    return blocks, "" if plain_text(blocks) is None else LIST


def _plain(value: Json) -> Text | None:
    """A text block that says nothing else; None for any other value."""
    words = value.get("text") if type(value) is dict and len(value) == 2 and value.get("type") == "text" else None
    return Text(words) if type(words) is str else None


def plain_text(blocks: tuple[Block, ...]) -> str | None:
    """The text of a single text block without cache mark, signature or extra keys, which is canonically a JSON string; else None."""
    if len(blocks) != 1:
        return None
    block = blocks[0]
    if type(block) is Text and block.cache is None and block.signature is None and block.extra is None:
        return block.text
    return None


def parse_block(value: Json, path: str, number: int) -> Block:
    """One content block of a request or answer."""
    if not isinstance(value, dict):
        raise WireError(f"{path}[{number}] must be an object, not {type_name(value)}", param=f"{path}[{number}]")
    kind = value.get("type")
    if not isinstance(kind, str):
        raise WireError(f"{path}[{number}].type must be a string, not {type_name(kind)}", param=f"{path}[{number}].type")
    read = _READERS.get(kind)
    return read(value, f"{path}[{number}]") if read is not None else Opaque(value, NAME)


def split_cache(value: JsonObject, known: frozenset[str]) -> tuple[Cache | None, JsonObject | None]:
    """The cache breakpoint of a wire object, and its keys outside `known` (an unusual `cache_control` among them)."""
    if known.issuperset(value):
        return None, None
    cache = cache_of(value["cache_control"]) if "cache_control" in value else None
    skip = known | {"cache_control"} if cache is not None else known
    rest = {key: item for key, item in value.items() if key not in skip}
    return cache, rest or None


_TEXT = frozenset(("type", "text", "signature"))
_THINKING = frozenset(("type", "thinking", "signature"))
_REDACTED = frozenset(("type", "data"))
_CALL = frozenset(("type", "id", "name", "input", "signature"))
_RESULT = frozenset(("type", "tool_use_id", "content", "is_error"))
_MEDIA = frozenset(("type", "source"))
_TITLED = frozenset(("type", "source", "title"))


def _string(value: JsonObject, key: str, path: str) -> str:
    return text(value.get(key), f"{path}.{key}")


def _read_text(value: JsonObject, path: str) -> Block:
    words = value.get("text")
    if not isinstance(words, str):
        raise WireError(f"{path}.text must be a string, not {type_name(words)}", param=f"{path}.text")
    if len(value) == 2:
        return Text(words)
    cache, extra = split_cache(value, _TEXT)
    signature = value.get("signature")
    if "signature" in value and not isinstance(signature, str):
        return Text(words, cache, None, {**(extra or {}), "signature": signature})
    return Text(words, cache, signature, extra)


def _read_thinking(value: JsonObject, path: str) -> Block:
    signature = value.get("signature")
    extra = {key: item for key, item in value.items() if key not in _THINKING}
    if "signature" in value and not isinstance(signature, str):
        extra["signature"] = signature
        signature = None
    return Thinking(_string(value, "thinking", path), signature, None, extra or None)


def _read_redacted(value: JsonObject, path: str) -> Block:
    extra = {key: item for key, item in value.items() if key not in _REDACTED}
    return Thinking("", None, _string(value, "data", path), extra or None)


def _read_call(value: JsonObject, path: str) -> Block:
    asked = value.get("input")
    if not isinstance(asked, dict):
        return Opaque(value, NAME)
    cache, extra = split_cache(value, _CALL) if len(value) > 4 else (None, None)
    signature = value.get("signature")
    if "signature" in value and not isinstance(signature, str):
        extra = {**(extra or {}), "signature": signature}
        signature = None
    return ToolCall(_string(value, "id", path), _string(value, "name", path), encode_text(asked), cache, signature, extra)


def _read_result(value: JsonObject, path: str) -> Block:
    cache, extra = split_cache(value, _RESULT)
    content, form = value.get("content"), ""
    blocks: tuple[Block, ...] = ()
    if type(content) is str:
        blocks = (Text(content),)
    elif content is not None:
        blocks, form = parse_content(content, f"{path}.content")
        form = form if blocks else LIST
    elif "content" in value:
        extra = {**(extra or {}), "content": None}
    error = value.get("is_error")
    if "is_error" in value and not isinstance(error, bool):
        extra = {**(extra or {}), "is_error": error}
        error = None
    return ToolResult(_string(value, "tool_use_id", path), blocks, None, error, cache, extra, form)


_SOURCES: dict[str, tuple[frozenset[str], str]] = {
    "base64": (frozenset(("type", "media_type", "data")), "data"),
    "url": (frozenset(("type", "url")), "url"),
    "file": (frozenset(("type", "file_id")), "file_id"),
    "text": (frozenset(("type", "media_type", "data")), "data"),
}
"""Source types that `Media` can hold: exactly these keys, and the one with the content."""


def _media(kind: Literal["image", "document"], value: JsonObject, known: frozenset[str]) -> Block:
    source = value.get("source")
    if not isinstance(source, dict) or not all(isinstance(item, str) for item in source.values()):
        return Opaque(value, NAME)
    form = _SOURCES.get(source.get("type", ""))
    if form is None or source.keys() != form[0]:
        return Opaque(value, NAME)
    name = value.get("title")
    if not isinstance(name, str):
        name, known = None, _MEDIA
    cache, extra = split_cache(value, known)
    content = source[form[1]]
    mime = source.get("media_type")
    if source["type"] == "text":
        return Media(kind, mime, text=content, name=name, cache=cache, extra=extra)
    if source["type"] == "base64":
        return Media(kind, mime, data=content, name=name, cache=cache, extra=extra)
    if source["type"] == "url":
        return Media(kind, url=content, name=name, cache=cache, extra=extra)
    return Media(kind, file_id=content, name=name, cache=cache, extra=extra)


def _read_image(value: JsonObject, path: str) -> Block:
    return _media("image", value, _MEDIA)


def _read_document(value: JsonObject, path: str) -> Block:
    return _media("document", value, _TITLED)


_READERS: dict[str, Callable[[JsonObject, str], Block]] = {
    "text": _read_text,
    "thinking": _read_thinking,
    "redacted_thinking": _read_redacted,
    "tool_use": _read_call,
    "tool_result": _read_result,
    "image": _read_image,
    "document": _read_document,
}
