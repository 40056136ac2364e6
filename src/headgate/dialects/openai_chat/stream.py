"""Reading a stream: server-sent chunks to events. The terminator is ``data: [DONE]``, or an error."""

from __future__ import annotations

from headgate.dialects.openai_chat.errors import error_of, provider_error
from headgate.dialects.openai_chat.lenient import decode_lenient
from headgate.dialects.openai_chat.stream_choice import ChoiceReader
from headgate.dialects.openai_chat.usage import find_usage
from headgate.dialects.openai_chat.usual_chunk import read_usual
from headgate.dialects.openai_chat.words import NAME, malformed
from headgate.domain.events import Annotate, Failed, OpaqueEvent, Start, StreamEvent, UsageSeen
from headgate.errors import Truncated, WireError
from headgate.wire.json import Json, JsonObject, decode
from headgate.wire.sse import SseDecoder, SseEvent

_FRAME = frozenset({"id", "object", "created", "model", "choices", "usage", "service_tier", "obfuscation", "x_groq"})


class Decoder:
    """One streamed answer."""

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._events: list[StreamEvent] = []
        self._choices: dict[int, ChoiceReader] = {}
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
            if not (self._started and event.event == "message" and self._usual(event.data)):
                self._take(event)
        return self._drain()

    def _usual(self, data: bytes) -> bool:
        """Take a usual chunk of a choice that has begun. False when this is none."""
        if self._odd or self._complete:
            return False
        item = read_usual(data)
        choice = None if item is None else self._choices.get(item.index)
        if item is None or choice is None:
            return False
        choice.delta(item.delta, False)
        if item.logprobs is not None:
            self._events.append(Annotate(-1, "logprobs", item.logprobs, item.index))
        return True

    @property
    def steady(self) -> bool:
        """Nothing is held back: the bytes so far end between two chunks, and no character was cut in two."""
        return self._sse.between and not self._odd and not self._complete

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
            for choice in self._choices.values():
                choice.settle()
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
        if choices is None and chunk.get("usage") is None and chunk.get("x_groq") is None:
            self._events.append(OpaqueEvent(chunk, NAME))
            return
        if not self._started and (choices or chunk.get("id")):
            self._start(chunk)
        if choices:
            self._take_choices(choices)
        usage = find_usage(chunk)
        if usage is not None:
            tier = chunk.get("service_tier")
            self._events.append(UsageSeen(usage, tier if isinstance(tier, str) else None))
        groq = chunk.get("x_groq")
        if isinstance(groq, dict) and groq.get("error"):
            self._fail(error_of(groq) or {}, b"")

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

    def _take_choices(self, choices: Json) -> None:
        if type(choices) is not list:
            raise malformed("choices", "an array")
        for place, item in enumerate(choices):
            if type(item) is not dict:
                raise malformed(f"choices[{place}]", "an object")
            self._take_choice(item, place)

    def _take_choice(self, item: JsonObject, place: int) -> None:
        index = item.get("index")
        if type(index) is not int:
            index = place
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = ChoiceReader(index, self._events.append)
        delta = item.get("delta")
        if type(delta) is dict:
            choice.delta(delta, self._odd)
        logprobs = item.get("logprobs")
        if type(logprobs) is dict:
            self._events.append(Annotate(-1, "logprobs", logprobs, index))
        if item.get("finish_reason"):
            choice.finish(item)
