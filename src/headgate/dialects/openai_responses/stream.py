"""Reading a stream: typed server-sent events to events.

There is no ``[DONE]``: `response.completed`, `response.incomplete`, `response.failed` or `error` is the terminator.
"""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.openai_chat.errors import error_of, provider_error
from headgate.dialects.openai_chat.lenient import decode_lenient, decode_mended
from headgate.dialects.openai_responses.response import created_of, early, late, text_of
from headgate.dialects.openai_responses.stream_items import ItemReader
from headgate.dialects.openai_responses.usage import parse_usage
from headgate.dialects.openai_responses.usual_delta import EVENT, read_usual
from headgate.dialects.openai_responses.words import NAME, parse_finish
from headgate.domain.events import Failed, Finished, OpaqueEvent, Start, StreamEvent, UsageSeen
from headgate.errors import Truncated, WireError
from headgate.wire.json import JsonObject, decode
from headgate.wire.sse import SseDecoder, SseEvent

MAX_EVENT = 64 << 20
"""Cap for one event, in bytes: the terminator repeats the whole answer, generated pictures included."""


class Decoder:
    """One streamed answer."""

    def __init__(self) -> None:
        self._sse = SseDecoder(MAX_EVENT)
        self._events: list[StreamEvent] = []
        self._items = ItemReader(self._events.append)
        self._started = False
        self._odd = False
        self._complete = False

    @property
    def complete(self) -> bool:
        """The terminator or an error was seen."""
        return self._complete

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events completed by these bytes. Raises `WireError` for an event that is no JSON."""
        for event in self._sse.feed(data):
            if event.event != EVENT or self._odd or self._complete or not self._usual(event.data):
                self._take(event)
        return self._drain()

    def _usual(self, data: bytes) -> bool:
        """Take the usual delta of an open text. False when this is none."""
        found = read_usual(data)
        return found is not None and not found.logprobs and self._items.more_text(found.output_index, found.content_index, found.delta)

    def close(self) -> list[StreamEvent]:
        """The end of the bytes. Raises `Truncated` when no terminator was seen."""
        try:
            for event in self._sse.close():
                self._take(event)
        except WireError as error:
            raise Truncated(f"the stream ended inside an event: {error.message}") from error
        if not self._complete:
            self._plain_error()
        if not self._complete:
            raise Truncated("the stream ended without response.completed")
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
            raise Truncated("the stream ended without response.completed, in lines that are no events") from cause
        if error is not None:
            self._fail(error, unknown)

    def _take(self, event: SseEvent) -> None:
        if self._complete or event.data.strip() == b"[DONE]":
            return
        value, odd = decode_lenient(event.data, "a stream event")
        self._odd = self._odd or odd
        if type(value) is not dict:
            self._events.append(OpaqueEvent(value, NAME))
            return
        kind = value.get("type")
        if not isinstance(kind, str):
            kind = event.event
        if odd and not kind.endswith(".delta"):
            value = decode_mended(event.data, "a stream event")
        self._event(kind, value, event.data)

    def _event(self, kind: str, value: JsonObject, data: bytes) -> None:
        outer = _READERS.get(kind)
        if outer is not None:
            outer(self, value, data)
        elif value.get("error") and "response" not in value and "item_id" not in value:
            self._fail(error_of(value) or {}, data)
        elif not self._items.take(kind, value, self._odd):
            self._events.append(OpaqueEvent(value, NAME))

    def _start(self, value: JsonObject, data: bytes) -> None:
        """The answer object as it begins; it is repeated while it is queued and in progress."""
        raw = value.get("response")
        if self._started or not isinstance(raw, dict):
            return
        self._started = True
        self._events.append(Start(text_of(raw.get("id")), text_of(raw.get("model")), created_of(raw.get("created_at")), early(raw)))

    def _end(self, value: JsonObject, data: bytes) -> None:
        self._start(value, data)
        raw = value.get("response")
        if not isinstance(raw, dict):
            raise WireError("response must be an object", param="response")
        self._complete = True
        if raw.get("error"):
            self._usage(raw)
            self._fail(error_of(raw) or {}, data)
            return
        self._items.settle(raw.get("output"))
        self._usage(raw)
        finish, native = parse_finish(raw.get("status"), raw.get("incomplete_details"), self._items.called)
        self._events.append(Finished(finish, native, extra=late(raw)))

    def _usage(self, raw: JsonObject) -> None:
        usage = parse_usage(raw.get("usage"), raw.get("tool_usage"))
        tier = raw.get("service_tier")
        if usage is not None:
            self._events.append(UsageSeen(usage, tier if isinstance(tier, str) else None))

    def _error(self, value: JsonObject, data: bytes) -> None:
        self._fail(error_of(value) or {}, data)

    def _fail(self, error: JsonObject, body: bytes) -> None:
        self._events.append(Failed(provider_error(None, {}, error, body)))
        self._complete = True


_READERS: dict[str, Callable[[Decoder, JsonObject, bytes], None]] = {
    "response.created": Decoder._start,
    "response.queued": Decoder._start,
    "response.in_progress": Decoder._start,
    "response.completed": Decoder._end,
    "response.incomplete": Decoder._end,
    "response.failed": Decoder._end,
    "response.cancelled": Decoder._end,
    "error": Decoder._error,
}
