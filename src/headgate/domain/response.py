"""A chat answer as one frozen value, and the words for how it ended."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from headgate.domain.content import Block, ToolCall, text_of
from headgate.domain.usage import Usage
from headgate.wire.json import Json, JsonObject


class Finish(StrEnum):
    """Why a choice ended. The provider's own word is kept beside it as `native_finish`."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    PAUSE = "pause"
    ERROR = "error"


class Choice(msgspec.Struct, frozen=True):
    """One alternative answer. `finish` is None while it is not known; `native_finish` is the provider's word."""

    index: int = 0
    content: tuple[Block, ...] = ()
    finish: Finish | None = None
    native_finish: str | None = None
    stop_sequence: str | None = None
    logprobs: Json = None
    extra: JsonObject | None = None
    form: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The plain text, thinking left out."""
        return text_of(self.content)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls the model asked for, in order."""
        return tuple(b for b in self.content if isinstance(b, ToolCall))


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer. `created` is seconds since the epoch where the wire has it; `extra` and `form` belong to `dialect`.

    `echo` is what an answer on its way to a client repeats of the request (`ChatDialect.echo`).
    """

    id: str = ""
    model: str = ""
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    created: int | None = None
    service_tier: str | None = None
    dialect: str = ""
    extra: JsonObject | None = None
    form: tuple[str, ...] = ()
    echo: JsonObject = {}

    @property
    def text(self) -> str:
        """Plain text of the first choice ("" when there is none)."""
        return self.choices[0].text if self.choices else ""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Tool calls of the first choice."""
        return self.choices[0].tool_calls if self.choices else ()

    @property
    def finish(self) -> Finish | None:
        """How the first choice ended."""
        return self.choices[0].finish if self.choices else None
