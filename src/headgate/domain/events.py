"""Stream events: what a streamed answer says, piece by piece, whatever the wire.

A block opens with `BlockStart` (its head: an empty `Text`, a `ToolCall` with id and name …), grows by `Delta` (appended to the head's one
growing string: `Text.text`, `Thinking.text`, `Refusal.text`, `ToolCall.arguments`), and may close with `BlockStop`. `block` is its place
among the blocks of its choice: folding sorts by it. A decoder that knows no block boundaries gives each kind a fixed place.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from headgate.domain.content import Block
from headgate.domain.response import Finish
from headgate.domain.usage import Usage
from headgate.errors import ProviderError
from headgate.wire.json import Json, JsonObject


class Start(msgspec.Struct, frozen=True):
    """The first event: who answers. Sent once."""

    id: str = ""
    model: str = ""
    created: int | None = None
    extra: JsonObject | None = None


class BlockStart(msgspec.Struct, frozen=True):
    """A block begins; `head` is what is known of it."""

    block: int
    head: Block
    choice: int = 0


class Delta(msgspec.Struct, frozen=True, gc=False):
    """More of an open block's growing string."""

    block: int
    text: str
    choice: int = 0


class Signature(msgspec.Struct, frozen=True, gc=False):
    """The signature of an open block, whole."""

    block: int
    signature: str
    choice: int = 0


class Annotate(msgspec.Struct, frozen=True):
    """A value appended to the list `key` in a block's `extra` (citations …); `block` -1 means the choice itself (log probabilities …)."""

    block: int
    key: str
    value: Json
    choice: int = 0


class BlockStop(msgspec.Struct, frozen=True, gc=False):
    """A block is complete."""

    block: int
    choice: int = 0


class Finished(msgspec.Struct, frozen=True):
    """A choice ended. `extra` holds further keys of the wire's last word about the choice; folding puts them into `Choice.extra`."""

    finish: Finish | None
    native: str | None = None
    choice: int = 0
    stop_sequence: str | None = None
    extra: JsonObject | None = None


class UsageSeen(msgspec.Struct, frozen=True):
    """Usage so far, cumulative: the last one wins."""

    usage: Usage
    service_tier: str | None = None


class Failed(msgspec.Struct, frozen=True):
    """The provider reported an error inside the stream. Nothing follows."""

    error: ProviderError


class Ping(msgspec.Struct, frozen=True, gc=False):
    """A sign of life without content."""


class OpaqueEvent(msgspec.Struct, frozen=True):
    """An event the dialect does not know, kept as it came."""

    raw: Json
    dialect: str = ""


StreamEvent: TypeAlias = Start | BlockStart | Delta | Signature | Annotate | BlockStop | Finished | UsageSeen | Failed | Ping | OpaqueEvent

SEMANTIC = (BlockStart, Delta, Signature, Finished)
"""Events that carry meaning to the reader: after the first of these nothing may be retried or sent elsewhere (translation case 69)."""
