"""Blocks: the pieces a message consists of.

Every block may carry `extra`: keys of the wire object that this model does not name, kept as they came. They belong to the dialect
recorded on the enclosing `Request` or `Response` and are rendered back by that dialect only; any other dialect reports them as dropped.

Frozen values of decoded JSON cannot form cycles, so the cycle collector need not track them (`gc=False`).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from headgate.wire.json import Json, JsonObject


class Cache(msgspec.Struct, frozen=True, gc=False):
    """A prompt-cache breakpoint after this block. `ttl` is the provider's word ("5m", "1h"); None is its default."""

    ttl: str | None = None


class Text(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Plain text. `signature` is an opaque token some providers attach to text and want back unchanged."""

    text: str
    cache: Cache | None = None
    signature: str | None = None
    extra: JsonObject | None = None


MediaKind: TypeAlias = Literal["image", "document", "audio", "video"]


class Media(msgspec.Struct, frozen=True, tag=True, gc=False):
    """An image, document, audio or video clip. Exactly one of `data` (base64 text), `url`, `file_id` and `text` is set."""

    kind: MediaKind
    mime: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    text: str | None = None
    detail: str | None = None
    name: str | None = None
    cache: Cache | None = None
    extra: JsonObject | None = None
    form: str = ""


class Thinking(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Reasoning shown by the model. `signature` and `redacted` (an encrypted block) must return to the provider byte for byte."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    extra: JsonObject | None = None


class ToolCall(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The model asks for a tool. `arguments` is JSON text exactly as received ("" means none)."""

    id: str
    name: str
    arguments: str = ""
    cache: Cache | None = None
    signature: str | None = None
    extra: JsonObject | None = None
    form: str = ""


class ToolResult(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The answer of a tool to the call `call_id`. `name` is the tool's name where the wire carries it."""

    call_id: str
    content: tuple[Block, ...] = ()
    name: str | None = None
    is_error: bool | None = None
    cache: Cache | None = None
    extra: JsonObject | None = None
    form: str = ""


class Refusal(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The model declined, in words of its own."""

    text: str
    extra: JsonObject | None = None


class Opaque(msgspec.Struct, frozen=True, tag=True, gc=False):
    """A block the dialect `dialect` does not know; rendered back as it came, by that dialect only.

    `place` is the wire's word for where it lay, for wires that have more than one place.
    """

    raw: Json
    dialect: str = ""
    place: str = ""


Block: TypeAlias = Text | Media | Thinking | ToolCall | ToolResult | Refusal | Opaque


def text_of(blocks: tuple[Block, ...]) -> str:
    """The plain text of some blocks, in order, thinking and refusals left out."""
    return "".join(b.text for b in blocks if isinstance(b, Text))
