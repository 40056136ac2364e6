"""Writing a streamed answer: events of any origin to well-formed Messages events (translation cases 23–29, 61–65, 70, 71).

The wire has one open block at a time. Text and thinking are closed when another block begins and, should more of them come later, go on
in a new block, so that the order of arrival is kept. A tool call cannot be split: while one is open, everything else waits for its end.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from headgate.dialects.anthropic_messages.compose import render_block
from headgate.dialects.anthropic_messages.errors import error_object
from headgate.dialects.anthropic_messages.response import refusal_details
from headgate.dialects.anthropic_messages.usage import render_usage
from headgate.dialects.anthropic_messages.words import FINISH, NAME, finish_of, message_id, stop_reason_of
from headgate.dialects.base import StreamContext
from headgate.domain.content import Block, Opaque, Refusal, Text, Thinking, ToolCall
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
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, ProviderError, WireError
from headgate.wire.json import HOLE, Json, JsonObject, encode, encode_text, frame_of
from headgate.wire.sse import sse_event


class _Part:
    """A block on its way out.

    `used` says that it was opened on the wire, `ended` that nothing more comes; `waiting` holds deltas that came while another was open.
    """

    __slots__ = ("ended", "head", "used", "waiting")

    def __init__(self, head: Block) -> None:
        self.head = head
        self.used = False
        self.ended = False
        self.waiting: list[JsonObject] = []


_END_KEYS = ("stop_details", "container")
_CALL_KEYS = ("caller", "toolset_name")


class MessagesEncoder:
    """A `StreamEncoder` for one answer."""

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self._parts: dict[int, _Part] = {}
        self._frames: dict[int, list[bytes]] = {}
        self._queue: OrderedDict[_Part, None] = OrderedDict()
        self._open: _Part | None = None
        self._count = 0
        self._started = False
        self._failed = False
        self._closed = False
        self._refusal: list[str] = []
        self._finished: Finished | None = None
        self._usage: Usage | None = None
        self._tier: str | None = None

    def render_event(self, event: StreamEvent) -> bytes:
        """Wire bytes for one event; empty while it waits or has no place on this wire. Nothing follows a failure."""
        if type(event) is Delta:
            frame = self._frames.get(event.block)
            if frame is not None and event.choice == 0 and event.text:
                return encode(event.text).join(frame)
        if self._failed or getattr(event, "choice", 0) != 0:
            return b""
        if type(event) is not UsageSeen:
            self._frames.clear()
        out: list[bytes] = []
        _ACTS[type(event)](self, event, out)
        return b"".join(out)

    def close(self) -> bytes:
        """The rest of what waited, the final usage and `message_stop`; nothing after a failure, and nothing twice."""
        if self._failed or self._closed:
            return b""
        self._closed = True
        out: list[bytes] = []
        self._begin(Start(), out)
        self._flush(out)
        wire = self._ending()
        wire["usage"] = render_usage(self._usage, self._tier)
        out.append(_event(wire))
        out.append(_event({"type": "message_stop"}))
        return b"".join(out)

    def _ending(self) -> JsonObject:
        """The `message_delta` without its usage."""
        end = self._finished or Finished(None)
        extra = end.extra or {}
        delta: JsonObject = {"stop_reason": self._reason(end), "stop_sequence": end.stop_sequence}
        delta.update({key: extra[key] for key in _END_KEYS if key in extra})
        if self._refusal and not delta.get("stop_details"):
            delta["stop_reason"], delta["stop_details"] = "refusal", refusal_details("".join(self._refusal))
        wire: JsonObject = {"type": "message_delta", "delta": delta}
        if "context_management" in extra:
            wire["context_management"] = extra["context_management"]
        return wire

    def _reason(self, end: Finished) -> str | None:
        calls = tuple([part.head for part in self._parts.values() if isinstance(part.head, ToolCall)])
        if end.native in FINISH and finish_of(end.native, calls) is end.finish:
            return end.native
        return stop_reason_of(end.finish, end.stop_sequence)

    def _begin(self, event: Start, out: list[bytes]) -> None:
        if self._started:
            return
        self._started = True
        message: JsonObject = {
            "id": message_id(event.id, self._context.id),
            "type": "message",
            "role": "assistant",
            "model": event.model or self._context.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": render_usage(self._usage, self._tier),
        }
        out.append(_event({"type": "message_start", "message": message}))

    def _block_start(self, event: BlockStart, out: list[bytes]) -> None:
        self._begin(Start(), out)
        head = event.head
        part = self._parts[event.block] = _Part(head)
        if isinstance(head, Refusal):
            self._refusal.append(head.text)
        elif isinstance(head, ToolCall | Opaque) or (isinstance(head, Thinking) and head.redacted is not None):
            first = _first_delta(head)
            if _block(head) is not None:
                self._write(part, first, out)
        elif isinstance(head, Text | Thinking) and head.text:
            self._write(part, _delta(head, head.text), out)

    def _part(self, block: int) -> _Part:
        found = self._parts.get(block)
        if found is None:
            raise WireError(f"block {block} was never started", fault="local")
        return found

    def _grow(self, event: Delta, out: list[bytes]) -> None:
        part = self._part(event.block)
        if isinstance(part.head, Refusal):
            self._refusal.append(event.text)
        elif event.text and isinstance(part.head, Text | Thinking | ToolCall):
            part = self._again(event.block, part)
            self._write(part, _delta(part.head, event.text), out)
            if part is self._open:
                self._frames[event.block] = frame_of(self._grown(_delta(part.head, HOLE)))

    def _again(self, block: int, part: _Part) -> _Part:
        """The part to write to: a new one of the same kind when text or thinking goes on after another block."""
        if part is self._open or not part.used:
            return part
        if isinstance(part.head, ToolCall):
            raise WireError(f"tool call {part.head.id!r} goes on after its end", fault="local")
        fresh = self._parts[block] = _Part(part.head)
        return fresh

    def _sign(self, event: Signature, out: list[bytes]) -> None:
        part = self._part(event.block)
        if isinstance(part.head, Thinking) or part is self._open:
            self._write(self._again(event.block, part), {"type": "signature_delta", "signature": event.signature}, out)

    def _annotate(self, event: Annotate, out: list[bytes]) -> None:
        if event.key == "citations" and event.block >= 0:
            part = self._again(event.block, self._part(event.block))
            if isinstance(part.head, Text):
                self._write(part, {"type": "citations_delta", "citation": event.value}, out)

    def _block_stop(self, event: BlockStop, out: list[bytes]) -> None:
        part = self._part(event.block)
        part.ended = True
        if part is self._open:
            self._shut(out)
            self._drain(out)

    def _write(self, part: _Part, delta: JsonObject | None, out: list[bytes]) -> None:
        """Write a delta of a part (None: only open it), now or when its turn comes."""
        self._begin(Start(), out)
        if part is not self._open:
            if self._open is not None and isinstance(self._open.head, ToolCall):
                self._queue.setdefault(part)
                if delta is not None:
                    part.waiting.append(delta)
                return
            self._shut(out)
            self._show(part, out)
        if delta is not None:
            out.append(self._grown(delta))

    def _grown(self, delta: JsonObject) -> bytes:
        return _event({"type": "content_block_delta", "index": self._count, "delta": delta})

    def _show(self, part: _Part, out: list[bytes]) -> None:
        part.used = True
        self._open = part
        out.append(_event({"type": "content_block_start", "index": self._count, "content_block": _block(part.head)}))

    def _shut(self, out: list[bytes]) -> None:
        if self._open is not None:
            self._open = None
            out.append(_event({"type": "content_block_stop", "index": self._count}))
            self._count += 1

    def _drain(self, out: list[bytes], *, all_ended: bool = False) -> None:
        """Write what waited, up to the next tool call that is still growing."""
        while self._queue and self._open is None:
            part, _ = self._queue.popitem(last=False)
            self._show(part, out)
            for delta in part.waiting:
                out.append(self._grown(delta))
            part.waiting = []
            if part.ended or all_ended or (self._queue and not isinstance(part.head, ToolCall)):
                self._shut(out)

    def _flush(self, out: list[bytes]) -> None:
        self._shut(out)
        self._drain(out, all_ended=True)

    def _finish(self, event: Finished, out: list[bytes]) -> None:
        if event.finish is Finish.ERROR:
            self._fail(Failed(ProviderError(ErrorKind.SERVER, f"the model ended with an error ({event.native or 'no reason given'})")), out)
            return
        self._begin(Start(), out)
        self._flush(out)
        self._finished = event

    def _see_usage(self, event: UsageSeen, out: list[bytes]) -> None:
        self._usage = event.usage
        self._tier = event.service_tier or self._tier

    def _fail(self, event: Failed, out: list[bytes]) -> None:
        self._failed = True
        out.append(_event(error_object(event.error)[1]))

    def _ping(self, event: Ping, out: list[bytes]) -> None:
        out.append(_event({"type": "ping"}) if self._started else b": ping\n\n")

    def _opaque(self, event: OpaqueEvent, out: list[bytes]) -> None:
        if event.dialect == NAME and isinstance(event.raw, dict):
            out.append(_event(event.raw))


def _event(wire: JsonObject) -> bytes:
    return sse_event(encode(wire), wire["type"])


def _block(head: Block) -> JsonObject | None:
    """The `content_block` with which a block opens: empty where it grows; None for what an answer here cannot hold."""
    if isinstance(head, Text):
        return {"type": "text", "text": ""}
    if isinstance(head, ToolCall):
        wire: JsonObject = {"type": "tool_use", "id": head.id, "name": head.name, "input": {}}
        if head.signature is not None:
            wire["signature"] = head.signature
        extra = head.extra or {}
        wire.update({key: extra[key] for key in _CALL_KEYS if key in extra})
        return wire
    if isinstance(head, Thinking) and head.redacted is None:
        return {"type": "thinking", "thinking": "", "signature": head.signature or ""}
    wire_block = render_block(head)
    if wire_block is not None and isinstance(wire_block.get("input"), dict):
        return {**wire_block, "input": {}}
    return wire_block


def _first_delta(head: Block) -> JsonObject | None:
    """What a block already holds when it begins, as its first delta."""
    if isinstance(head, ToolCall):
        return _delta(head, head.arguments) if head.arguments else None
    asked = head.raw.get("input") if isinstance(head, Opaque) and isinstance(head.raw, dict) else None
    return {"type": "input_json_delta", "partial_json": encode_text(asked)} if isinstance(asked, dict) and asked else None


def _delta(head: Block, words: Json) -> JsonObject:
    if isinstance(head, Text):
        return {"type": "text_delta", "text": words}
    if isinstance(head, Thinking):
        return {"type": "thinking_delta", "thinking": words}
    return {"type": "input_json_delta", "partial_json": words}


_ACTS: dict[type, Callable[..., None]] = {
    Start: MessagesEncoder._begin,
    BlockStart: MessagesEncoder._block_start,
    Delta: MessagesEncoder._grow,
    Signature: MessagesEncoder._sign,
    Annotate: MessagesEncoder._annotate,
    BlockStop: MessagesEncoder._block_stop,
    Finished: MessagesEncoder._finish,
    UsageSeen: MessagesEncoder._see_usage,
    Failed: MessagesEncoder._fail,
    Ping: MessagesEncoder._ping,
    OpaqueEvent: MessagesEncoder._opaque,
}
