"""Reading a streamed answer: one JSON object a line, pieces of text, thoughts and log probabilities, whole tool calls.

The line with ``"done": true`` completes it and carries the counts; a line with `error` ends it; one with none of these and no message is
an `OpaqueEvent`. Text, thoughts and calls take turns:
each change of kind opens the next block.
"""

from __future__ import annotations

import msgspec

from headgate.dialects.ollama_chat.calls import CallIds
from headgate.dialects.ollama_chat.errors import error_in
from headgate.dialects.ollama_chat.logprobs import parse_logprobs
from headgate.dialects.ollama_chat.message import parse_inside
from headgate.dialects.ollama_chat.response import is_done, message_rest, model_of, rest_of, seed_of
from headgate.dialects.ollama_chat.usage import parse_usage
from headgate.dialects.ollama_chat.usual_line import read_usual
from headgate.dialects.ollama_chat.values import decode_body, read_time
from headgate.dialects.ollama_chat.words import NAME, parse_finish
from headgate.domain.content import Block, Text, Thinking, ToolCall
from headgate.domain.events import Annotate, BlockStart, BlockStop, Delta, Failed, Finished, OpaqueEvent, Start, StreamEvent, UsageSeen
from headgate.errors import Truncated, WireError
from headgate.wire.json import JsonObject, obj
from headgate.wire.ndjson import LineDecoder

_BOM = b"\xef\xbb\xbf"


class Decoder:
    """Decoder for one streamed answer."""

    def __init__(self) -> None:
        self._lines = LineDecoder()
        self._ids: CallIds | None = None
        self._place = -1
        self._open: type[Block] | None = None
        self._calls = False
        self._complete = False

    @property
    def complete(self) -> bool:
        """The last line was seen, or an error."""
        return self._complete

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events completed by these bytes. Raises `WireError` for a line that is no JSON object."""
        return self._read(self._lines.feed(data))

    def close(self) -> list[StreamEvent]:
        """Events of a last line without its end. Raises `Truncated` when the last line was not seen."""
        try:
            events = self._read(self._lines.close())
        except WireError as error:
            raise Truncated(f"the stream ended inside a line: {error.message}") from error
        if not self._complete:
            raise Truncated("the stream ended before the line that says done")
        return events

    def _read(self, lines: list[bytes]) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        for row in lines:
            line = row.removeprefix(_BOM) if self._ids is None else row
            if self._open is not None and not self._complete and self._usual(line, events):
                continue
            if line.strip() and not self._complete:
                self._line(obj(decode_body(line, "a line of the stream"), "line"), line, events)
        return events

    def _usual(self, line: bytes, events: list[StreamEvent]) -> bool:
        """Take a usual line whose words go on in the open block. False when this is none."""
        found = read_usual(line)
        if found is None:
            return False
        words, other = found.message.content, found.message.thinking
        if self._open is Thinking:
            words, other = other, words
        if other:
            return False
        if words:
            events.append(Delta(self._place, words))
        return True

    def _line(self, raw: JsonObject, line: bytes, events: list[StreamEvent]) -> None:
        error = error_in(raw, line)
        if error is not None:
            self._complete = True
            events.append(Failed(error))
            return
        if "message" not in raw and "done" not in raw:
            events.append(OpaqueEvent(raw, NAME))
            return
        first, done = self._ids is None, is_done(raw, missing=False) and "done" in raw
        usage = parse_usage(raw) if done else None
        rest = rest_of(raw, usage)
        if self._ids is None:
            self._ids = CallIds(seed_of(raw))
            events.append(Start("", model_of(raw), read_time(raw.get("created_at")), rest or None))
        message = obj(raw.get("message", {}), "message")
        unheld = message_rest(message)
        for block in parse_inside(message, "message", self._ids, [], unheld):
            self._block(block, events)
        logprobs = parse_logprobs(raw.get("logprobs"))
        if logprobs is not None:
            events.append(Annotate(-1, "logprobs", logprobs))
        if not done:
            events += [Annotate(-1, key, value) for key, value in unheld.items()]
            return
        if usage is not None:
            events.append(UsageSeen(usage))
        self._end(raw, unheld, {} if first else rest, events)

    def _end(self, raw: JsonObject, unheld: JsonObject, rest: JsonObject, events: list[StreamEvent]) -> None:
        """The last line: `rest` are its keys nobody knows, but for the time."""
        self._stop(events)
        self._complete = True
        finish, native = parse_finish(raw.get("done_reason"), self._calls)
        extra = {key: value for key, value in rest.items() if key != "created_at"}
        if unheld:
            extra["message"] = unheld
        events.append(Finished(finish, native, extra=extra or None))

    def _block(self, block: Block, events: list[StreamEvent]) -> None:
        kind = type(block)
        if isinstance(block, Text | Thinking):
            if self._open is not kind:
                self._begin(Text("") if kind is Text else Thinking(), kind, events)
            events.append(Delta(self._place, block.text))
            return
        if isinstance(block, ToolCall):
            self._calls = True
            self._begin(msgspec.structs.replace(block, arguments=""), None, events)
            if block.arguments:
                events.append(Delta(self._place, block.arguments))
        else:
            self._begin(block, None, events)
        events.append(BlockStop(self._place))

    def _begin(self, head: Block, kind: type[Block] | None, events: list[StreamEvent]) -> None:
        self._stop(events)
        self._place += 1
        self._open = kind
        events.append(BlockStart(self._place, head))

    def _stop(self, events: list[StreamEvent]) -> None:
        if self._open is not None:
            self._open = None
            events.append(BlockStop(self._place))
