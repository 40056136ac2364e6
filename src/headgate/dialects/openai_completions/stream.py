"""Reading a stream: server-sent chunks of text to events. The terminator is ``data: [DONE]``, or an error."""

from __future__ import annotations

from headgate.dialects.openai_chat.errors import error_of, provider_error
from headgate.dialects.openai_chat.lenient import decode_lenient, mend, split_tail
from headgate.dialects.openai_chat.usage import find_usage
from headgate.dialects.openai_chat.words import malformed, parse_finish
from headgate.dialects.openai_completions.logprobs import parse_logprobs
from headgate.dialects.openai_completions.words import NAME
from headgate.domain.content import Text
from headgate.domain.events import Annotate, BlockStart, BlockStop, Delta, Failed, Finished, OpaqueEvent, Start, StreamEvent, UsageSeen
from headgate.errors import Truncated, WireError
from headgate.wire.json import Json, JsonObject, decode
from headgate.wire.sse import SseDecoder, SseEvent

_FRAME = frozenset({"id", "object", "created", "model", "choices", "usage"})
TEXT = 0
"""The place of a choice's only block."""


class _Choice:
    """What came of one choice: whether its block is open, its end, and half of a surrogate pair."""

    __slots__ = ("ended", "half", "open")

    def __init__(self) -> None:
        self.open = False
        self.ended = False
        self.half = ""


class Decoder:
    """One streamed answer."""

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._events: list[StreamEvent] = []
        self._choices: dict[int, _Choice] = {}
        self._started = False
        self._odd = False
        self._complete = False

    @property
    def complete(self) -> bool:
        """The terminator or an error was seen."""
        return self._complete

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events completed by these bytes. Raises `WireError` for a chunk that is no JSON."""
        for event in self._sse.feed(data):
            self._take(event)
        return self._drain()

    def close(self) -> list[StreamEvent]:
        """The end of the bytes. Raises `Truncated` when neither ``[DONE]`` nor an error was seen."""
        try:
            for event in self._sse.close():
                self._take(event)
        except WireError as error:
            raise Truncated(f"the stream ended inside a chunk: {error.message}") from error
        if not self._complete:
            self._plain_error()
        if not self._complete:
            raise Truncated("the stream ended without [DONE]")
        return self._drain()

    def _drain(self) -> list[StreamEvent]:
        events = self._events.copy()
        self._events.clear()
        return events

    def _plain_error(self) -> None:
        """An error sent as plain JSON under the stream's content type."""
        unknown = self._sse.unknown
        if not unknown:
            return
        try:
            error = error_of(decode(unknown))
        except WireError as cause:
            raise Truncated("the stream ended without [DONE], in lines that are no events") from cause
        if error is not None:
            self._fail(error, unknown)

    def _take(self, event: SseEvent) -> None:
        if self._complete:
            return
        if event.data.strip() == b"[DONE]":
            for index, choice in self._choices.items():
                self._settle(index, choice)
            self._complete = True
            return
        chunk, odd = decode_lenient(event.data, "a stream chunk")
        self._odd = self._odd or odd
        if type(chunk) is not dict:
            self._events.append(OpaqueEvent(chunk, NAME))
        elif chunk.get("error") or event.event == "error":
            self._fail(error_of(chunk) or {}, event.data)
        else:
            self._chunk(chunk)

    def _fail(self, error: JsonObject, body: bytes) -> None:
        self._events.append(Failed(provider_error(None, {}, error, body)))
        self._complete = True

    def _chunk(self, chunk: JsonObject) -> None:
        choices = chunk.get("choices")
        if choices is None and chunk.get("usage") is None:
            self._events.append(OpaqueEvent(chunk, NAME))
            return
        if not self._started and (choices or chunk.get("id")):
            self._start(chunk)
        if choices is not None and type(choices) is not list:
            raise malformed("choices", "an array")
        for place, item in enumerate(choices or ()):
            if type(item) is not dict:
                raise malformed(f"choices[{place}]", "an object")
            self._take_choice(item, place)
        usage = find_usage(chunk)
        if usage is not None:
            self._events.append(UsageSeen(usage))

    def _start(self, chunk: JsonObject) -> None:
        self._started = True
        own_id, model, created = chunk.get("id"), chunk.get("model"), chunk.get("created")
        extra = {key: value for key, value in chunk.items() if key not in _FRAME}
        self._events.append(
            Start(
                own_id if isinstance(own_id, str) else "",
                model if isinstance(model, str) else "",
                created if type(created) is int else None,
                extra or None,
            )
        )

    def _take_choice(self, item: JsonObject, place: int) -> None:
        index = item.get("index")
        index = index if type(index) is int else place
        choice = self._choices.setdefault(index, _Choice())
        text = item.get("text")
        if text is not None and type(text) is not str:
            raise malformed(f"choices[{place}].text", "a string")
        self._grow(index, choice, text or "")
        chances = parse_logprobs(item.get("logprobs"))
        if chances is not None:
            self._events.append(Annotate(-1, "logprobs", chances, index))
        if item.get("finish_reason") and not choice.ended:
            self._end(index, choice, item["finish_reason"])

    def _grow(self, index: int, choice: _Choice, text: str) -> None:
        """More text. The halves of a cut surrogate pair are joined over chunks."""
        if self._odd:
            text, choice.half = split_tail(choice.half + text)
            text = mend(text)
        if not text:
            return
        if not choice.open:
            choice.open = True
            self._events.append(BlockStart(TEXT, Text(""), index))
        self._events.append(Delta(TEXT, text, index))

    def _end(self, index: int, choice: _Choice, word: Json) -> None:
        choice.ended = True
        self._settle(index, choice)
        finish, native = parse_finish(word, None, False)
        self._events.append(Finished(finish, native, index))

    def _settle(self, index: int, choice: _Choice) -> None:
        """Nothing more comes: give out half a pair as a replacement, close what is open."""
        if choice.half:
            choice.half = ""
            self._grow(index, choice, "\ufffd")
        if choice.open:
            choice.open = False
            self._events.append(BlockStop(TEXT, index))
