"""Reading a streamed answer (Anthropic API reference, "Streaming messages"): a table from event type to what it does.

Blocks that the domain has no growing string for (server tools, compaction …) are gathered and come as one `BlockStart` when they end.
A second message in the same stream continues the answer: its blocks are numbered on.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headgate.dialects.anthropic_messages.blocks import parse_block
from headgate.dialects.anthropic_messages.compose import INVALID_JSON
from headgate.dialects.anthropic_messages.errors import error_of_event
from headgate.dialects.anthropic_messages.response import refusal_of, tier_of
from headgate.dialects.anthropic_messages.structured import unwrap_block
from headgate.dialects.anthropic_messages.usage import merge_usage, parse_usage
from headgate.dialects.anthropic_messages.usual_delta import EVENT, InputGrows, TextGrows, ThinkingGrows, read_usual
from headgate.dialects.anthropic_messages.words import NAME, finish_of
from headgate.domain.content import Block, Opaque, Text, Thinking, ToolCall
from headgate.domain.events import (
    Annotate,
    BlockStart,
    BlockStop,
    Delta,
    Failed,
    Finished,
    OpaqueEvent,
    Ping,
    Signature,
    Start,
    StreamEvent,
    UsageSeen,
)
from headgate.domain.response import Finish
from headgate.errors import Truncated, WireError
from headgate.wire.json import Json, JsonObject, decode, obj, text
from headgate.wire.sse import SseDecoder, SseEvent

_replace = msgspec.structs.replace
_MESSAGE = frozenset(("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"))


class _Growing:
    """An open block: its head, the JSON pieces of a tool's input, and (for gathered blocks) the wire object."""

    __slots__ = ("head", "pieces", "raw")

    def __init__(self, head: Block, raw: JsonObject) -> None:
        self.head = head
        self.raw = raw
        self.pieces: list[str] = []


class MessagesDecoder:
    """A `StreamDecoder` for one answer."""

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._open: dict[int, _Growing] = {}
        self._usage: JsonObject = {}
        self._base = 0
        self._next = 0
        self._calls: tuple[ToolCall, ...] = ()
        self._started = False
        self._complete = False
        self._failed = False

    @property
    def complete(self) -> bool:
        """`message_stop` or an error event was seen."""
        return self._complete or self._failed

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events completed by these bytes. Raises `WireError` for an event that is no JSON object or refers to a block that is not open."""
        return self._events(self._sse.feed(data))

    def close(self) -> list[StreamEvent]:
        """Last events at the end of the bytes. Raises `Truncated` when neither `message_stop` nor an error was seen."""
        try:
            events = self._events(self._sse.close())
        except WireError as error:
            raise Truncated(f"the stream ended inside an event: {error.message}") from error
        if not self.complete and not self._started:
            events += self._plain_error()
        if not self.complete:
            raise Truncated("the stream ended before message_stop: the answer is not complete")
        return events

    def _events(self, arrived: list[SseEvent]) -> list[StreamEvent]:
        out: list[StreamEvent] = []
        for event in arrived:
            if self._failed:
                break
            if event.event == EVENT and self._usual(event.data, out):
                continue
            wire = decode(event.data, what="stream event")
            kind = wire.get("type") if isinstance(wire, dict) else None
            if not isinstance(kind, str):
                raise WireError("a stream event must be a JSON object with a type")
            act = _ACTS.get(kind)
            if act is None:
                out.append(OpaqueEvent(wire, NAME))
            else:
                act(self, wire, out)
        return out

    def _usual(self, data: bytes, out: list[StreamEvent]) -> bool:
        """Take the usual delta of an open block. False when this is none."""
        found = read_usual(data)
        if found is None or found.index < 0:
            return False
        index, delta = self._base + found.index, found.delta
        growing = self._open.get(index)
        if growing is None or type(growing.head) is not _USUAL[type(delta)]:
            return False
        if delta.words:
            if type(delta) is InputGrows:
                growing.pieces.append(delta.words)
            out.append(Delta(index, delta.words))
        return True

    def _plain_error(self) -> list[StreamEvent]:
        """An error that came as plain JSON although a stream was announced."""
        try:
            wire = decode(self._sse.unknown)
        except WireError:
            return []
        if not isinstance(wire, dict) or wire.get("type") != "error":
            return []
        self._failed = True
        return [Failed(error_of_event(wire))]

    def _message_start(self, wire: JsonObject, out: list[StreamEvent]) -> None:
        message = obj(wire.get("message"), "message")
        self._base, self._open, self._complete = self._next, {}, False
        extra = {key: value for key, value in message.items() if key not in _MESSAGE and value is not None}
        if not self._started:
            out.append(Start(text(message.get("id"), "message.id"), text(message.get("model"), "message.model"), None, extra or None))
        self._started = True
        self._see_usage(message.get("usage"), out)

    def _see_usage(self, wire: Json, out: list[StreamEvent]) -> None:
        self._usage = merge_usage(self._usage, wire)
        if self._usage:
            out.append(UsageSeen(parse_usage(self._usage), tier_of(self._usage)))

    def _index(self, wire: JsonObject) -> int:
        index = wire.get("index")
        if not isinstance(index, int) or isinstance(index, bool) or index < 0:
            raise WireError("index must be a whole number", param="index")
        return self._base + index

    def _growing(self, index: int) -> _Growing:
        found = self._open.get(index)
        if found is None:
            raise WireError(f"content block {index - self._base} is not open", param="index")
        return found

    def _block_start(self, wire: JsonObject, out: list[StreamEvent]) -> None:
        index = self._index(wire)
        raw = obj(wire.get("content_block"), "content_block")
        self._next = max(self._next, index + 1)
        citations = raw.get("citations")
        if raw.get("type") == "text" and "citations" in raw:
            raw = {key: value for key, value in raw.items() if key != "citations"}
        head = _head(raw, index)
        self._open[index] = _Growing(head, dict(raw))
        if isinstance(head, ToolCall):
            self._calls += (head,)
        if isinstance(head, Text | Thinking | ToolCall):
            out.append(BlockStart(index, unwrap_block(_replace(head, arguments="") if isinstance(head, ToolCall) else head)))
        for citation in citations if isinstance(citations, list) else ():
            out.append(Annotate(index, "citations", citation))

    def _block_delta(self, wire: JsonObject, out: list[StreamEvent]) -> None:
        index = self._index(wire)
        growing = self._growing(index)
        delta = obj(wire.get("delta"), "delta")
        kind = delta.get("type")
        grow = _DELTAS.get((type(growing.head), kind)) if isinstance(kind, str) else None
        if isinstance(growing.head, Opaque):
            _gather(growing, delta)
        elif grow is None:
            out.append(OpaqueEvent(wire, NAME))
        else:
            grow(growing, index, delta, out)

    def _block_stop(self, wire: JsonObject, out: list[StreamEvent]) -> None:
        index = self._index(wire)
        growing = self._growing(index)
        del self._open[index]
        head = growing.head
        if isinstance(head, ToolCall) and not growing.pieces:
            out.append(Delta(index, head.arguments or "{}"))
        elif not isinstance(head, Text | Thinking | ToolCall):
            out.append(BlockStart(index, _gathered(growing)))
        out.append(BlockStop(index))

    def _message_delta(self, wire: JsonObject, out: list[StreamEvent]) -> None:
        delta = obj(wire.get("delta"), "delta")
        self._see_usage(wire.get("usage"), out)
        native = delta.get("stop_reason")
        if not isinstance(native, str):
            return
        extra = {key: value for key, value in delta.items() if key not in ("stop_reason", "stop_sequence")}
        extra.update({key: value for key, value in wire.items() if key not in ("type", "delta", "usage")})
        for refusal in refusal_of(extra.get("stop_details")):
            out += (BlockStart(self._next, refusal), BlockStop(self._next))
            self._next += 1
        sequence = delta.get("stop_sequence")
        finish = self._finish(native)
        out.append(Finished(finish, native, 0, sequence if isinstance(sequence, str) else None, extra or None))

    def _finish(self, native: str) -> Finish | None:
        calls = tuple([call for call in self._calls if isinstance(unwrap_block(call), ToolCall)])
        finish = finish_of(native, calls)
        return Finish.STOP if finish is Finish.TOOL_CALLS and self._calls and not calls else finish

    def _message_stop(self, wire: JsonObject, out: list[StreamEvent]) -> None:
        self._complete = True

    def _ping(self, wire: JsonObject, out: list[StreamEvent]) -> None:
        out.append(Ping())

    def _error(self, wire: JsonObject, out: list[StreamEvent]) -> None:
        self._failed = True
        out.append(Failed(error_of_event(wire)))


def _head(raw: JsonObject, index: int) -> Block:
    """The head of a block that begins; an empty signature means that it comes later."""
    if raw.get("type") == "tool_use" and "input" not in raw:
        raw = {**raw, "input": {}}
    head = parse_block(raw, "content", index)
    if isinstance(head, Thinking) and head.redacted is None and head.signature == "":
        return _replace(head, signature=None)
    if isinstance(head, ToolCall) and head.arguments == "{}":
        return _replace(head, arguments="")
    return head


def _gather(growing: _Growing, delta: JsonObject) -> None:
    """A piece of a block without a growing string: JSON input is collected, other strings are appended, other values replace."""
    for key, value in delta.items():
        if key == "partial_json" and isinstance(value, str):
            growing.pieces.append(value)
        elif key != "type":
            before = growing.raw.get(key)
            growing.raw[key] = before + value if isinstance(before, str) and isinstance(value, str) else value


def _gathered(growing: _Growing) -> Block:
    joined = "".join(growing.pieces)
    if not joined:
        return _replace(growing.head, raw=growing.raw) if isinstance(growing.head, Opaque) else growing.head
    return Opaque({**growing.raw, "input": _input(joined)}, NAME)


def _input(joined: str) -> Json:
    """The input of a server's tool; one cut short is kept as text."""
    try:
        return decode(joined)
    except WireError:
        return {INVALID_JSON: joined}


def _text_delta(growing: _Growing, index: int, delta: JsonObject, out: list[StreamEvent]) -> None:
    words = delta.get("text")
    if not isinstance(words, str):
        raise WireError("delta.text must be a string", param="delta.text")
    if words:
        out.append(Delta(index, words))


def _thinking_delta(growing: _Growing, index: int, delta: JsonObject, out: list[StreamEvent]) -> None:
    words = text(delta.get("thinking"), "delta.thinking")
    if words:
        out.append(Delta(index, words))


def _json_delta(growing: _Growing, index: int, delta: JsonObject, out: list[StreamEvent]) -> None:
    piece = text(delta.get("partial_json"), "delta.partial_json")
    if piece:
        growing.pieces.append(piece)
        out.append(Delta(index, piece))


def _signature_delta(growing: _Growing, index: int, delta: JsonObject, out: list[StreamEvent]) -> None:
    out.append(Signature(index, text(delta.get("signature"), "delta.signature")))


def _citations_delta(growing: _Growing, index: int, delta: JsonObject, out: list[StreamEvent]) -> None:
    out.append(Annotate(index, "citations", delta.get("citation")))


_DELTAS: dict[tuple[type, str], Callable[[_Growing, int, JsonObject, list[StreamEvent]], None]] = {
    (Text, "text_delta"): _text_delta,
    (Text, "citations_delta"): _citations_delta,
    (Text, "signature_delta"): _signature_delta,
    (Thinking, "thinking_delta"): _thinking_delta,
    (Thinking, "signature_delta"): _signature_delta,
    (ToolCall, "input_json_delta"): _json_delta,
    (ToolCall, "signature_delta"): _signature_delta,
}

_USUAL: dict[type, type] = {TextGrows: Text, ThinkingGrows: Thinking, InputGrows: ToolCall}
"""By kind of delta, the head of the block that may grow by it."""

_ACTS: dict[str, Callable[[MessagesDecoder, JsonObject, list[StreamEvent]], None]] = {
    "message_start": MessagesDecoder._message_start,
    "content_block_start": MessagesDecoder._block_start,
    "content_block_delta": MessagesDecoder._block_delta,
    "content_block_stop": MessagesDecoder._block_stop,
    "message_delta": MessagesDecoder._message_delta,
    "message_stop": MessagesDecoder._message_stop,
    "ping": MessagesDecoder._ping,
    "error": MessagesDecoder._error,
}
