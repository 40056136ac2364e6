"""Writing a stream: the text of events of any origin as this wire's chunks, usage and ``[DONE]`` at the end."""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.base import StreamContext
from headgate.dialects.openai_chat.errors import error_body
from headgate.dialects.openai_chat.usage import render_usage
from headgate.dialects.openai_completions.logprobs import render_logprobs
from headgate.dialects.openai_completions.response import finish_word
from headgate.dialects.openai_completions.words import NAME, OBJECT
from headgate.domain.content import Refusal, Text
from headgate.domain.events import Annotate, BlockStart, Delta, Failed, Finished, OpaqueEvent, Ping, Start, StreamEvent, UsageSeen
from headgate.domain.usage import Usage
from headgate.wire.json import Json, JsonObject, encode
from headgate.wire.sse import sse_event

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"


class _Choice:
    """What has been written of one choice: which blocks are text, how many characters, and whether it ended."""

    __slots__ = ("finished", "told", "written")

    def __init__(self) -> None:
        self.told: set[int] = set()
        self.written = 0
        self.finished = False


class Encoder:
    """One answer. `close()` writes usage and ``[DONE]`` only after every choice has finished."""

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self._id, self._model, self._created = context.id, context.model, context.created
        self._choices: dict[int, _Choice] = {}
        self._usage: Usage | None = None
        self._failed = False

    def render_event(self, event: StreamEvent) -> bytes:
        """Wire bytes for one event; empty when it has nothing to say here, or after an error."""
        writer = _WRITERS.get(type(event))
        return b"" if writer is None or self._failed else writer(self, event)

    def close(self) -> bytes:
        """Usage and terminator. Empty after an error and when a choice is unfinished: a cut answer must not look complete (case 64)."""
        choices = self._choices.values()
        if self._failed or not choices or not all(choice.finished for choice in choices):
            return b""
        if not self._context.include_usage or self._usage is None:
            return DONE
        return sse_event(encode({**self._frame([]), "usage": render_usage(self._usage)})) + DONE

    def _frame(self, choices: list[Json]) -> JsonObject:
        chunk: JsonObject = {"id": self._id, "object": OBJECT, "created": self._created, "choices": choices, "model": self._model}
        if self._context.include_usage:
            chunk["usage"] = None
        return chunk

    def _chunk(self, index: int, text: str, chances: Json = None, finish: str | None = None) -> bytes:
        choice = {"text": text, "index": index, "logprobs": chances, "finish_reason": finish}
        return sse_event(encode(self._frame([choice])))

    def _choice(self, index: int) -> _Choice:
        return self._choices.setdefault(index, _Choice())

    def _start(self, event: Start) -> bytes:
        if not self._choices:
            self._id = event.id or self._id
            self._model = event.model or self._model
            self._created = event.created if event.created is not None else self._created
        return b""

    def _block_start(self, event: BlockStart) -> bytes:
        choice, head = self._choice(event.choice), event.head
        if not isinstance(head, Text | Refusal):
            return b""
        choice.told.add(event.block)
        return self._chunk(event.choice, head.text) if head.text else b""

    def _delta(self, event: Delta) -> bytes:
        told = event.block in self._choice(event.choice).told
        return self._chunk(event.choice, event.text) if told and event.text else b""

    def _annotate(self, event: Annotate) -> bytes:
        if event.block >= 0 or event.key != "logprobs":
            return b""
        choice = self._choice(event.choice)
        chances = render_logprobs(event.value, choice.written)
        if chances is None:
            return b""
        choice.written += sum(map(len, chances["tokens"]))
        return self._chunk(event.choice, "", chances)

    def _finished(self, event: Finished) -> bytes:
        choice = self._choice(event.choice)
        if choice.finished or event.finish is None:
            return b""
        choice.finished = True
        return self._chunk(event.choice, "", finish=finish_word(event.finish, None))

    def _usage_seen(self, event: UsageSeen) -> bytes:
        self._usage = event.usage
        return b""

    def _fail(self, event: Failed) -> bytes:
        self._failed = True
        return sse_event(encode(error_body(event.error)))

    def _opaque(self, event: OpaqueEvent) -> bytes:
        known = event.dialect == NAME and isinstance(event.raw, dict) and "object" in event.raw
        return sse_event(encode(event.raw)) if known else b""


_WRITERS: dict[type, Callable[..., bytes]] = {
    Start: Encoder._start,
    BlockStart: Encoder._block_start,
    Delta: Encoder._delta,
    Annotate: Encoder._annotate,
    Finished: Encoder._finished,
    UsageSeen: Encoder._usage_seen,
    Failed: Encoder._fail,
    Ping: lambda encoder, event: PING,
    OpaqueEvent: Encoder._opaque,
}
