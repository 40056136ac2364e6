"""Writing a streamed answer: events of any origin to frames of ConverseStream (translation cases 23–29, 61–65).

One block is open at a time, as in every recorded stream. Text and reasoning are closed when another block begins and, should more of them
come later, go on in a new block, so that the order of arrival is kept. A tool call cannot be split: while one is open, everything else
waits for its end.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from headgate.dialects.base import StreamContext
from headgate.dialects.bedrock_converse.errors import exception_frame
from headgate.dialects.bedrock_converse.ids import wire_id
from headgate.dialects.bedrock_converse.response import METRICS, TIERS, answer_block
from headgate.dialects.bedrock_converse.usage import render_usage
from headgate.dialects.bedrock_converse.words import FINISH, finish_of, stop_reason_of
from headgate.domain.content import Block, Refusal, Text, Thinking, ToolCall
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
from headgate.wire.eventstream import encode_headers, join_frame
from headgate.wire.json import HOLE, Json, JsonObject, encode, encode_text, frame_of, loaded

_CITATION = frozenset(("title", "source", "sourceContent", "location"))
_CLOSING = ("metrics", "trace", "performanceConfig")
"""Keys of a choice's extra that the `metadata` event carries."""


class _Part:
    """A block on its way out. `used` says that it was opened on the wire, `fed` that it got a delta there, `ended` that nothing more comes;
    `waiting` holds deltas that came while another block was open."""

    __slots__ = ("ended", "fed", "head", "used", "waiting")

    def __init__(self, head: Block) -> None:
        self.head = head
        self.used = self.fed = self.ended = False
        self.waiting: list[JsonObject] = []


class ConverseEncoder:
    """A `StreamEncoder` for one answer."""

    def __init__(self, context: StreamContext) -> None:
        self._parts: dict[int, _Part] = {}
        self._frames: dict[int, list[bytes]] = {}
        self._queue: OrderedDict[_Part, None] = OrderedDict()
        self._open: _Part | None = None
        self._count = 0
        self._started = self._failed = self._closed = self._refused = False
        self._finished = Finished(None)
        self._usage: Usage | None = None
        self._tier: str | None = None

    def render_event(self, event: StreamEvent) -> bytes:
        """Wire bytes for one event; empty while it waits or has no place on this wire. Nothing follows a failure."""
        if type(event) is Delta:
            frame = self._frames.get(event.block)
            if frame is not None and event.choice == 0 and event.text:
                return join_frame(_HEADERS["contentBlockDelta"], encode(event.text).join(frame))
        if self._failed or getattr(event, "choice", 0) != 0:
            return b""
        if type(event) is not UsageSeen:
            self._frames.clear()
        out: list[bytes] = []
        _ACTS[type(event)](self, event, out)
        return b"".join(out)

    def close(self) -> bytes:
        """The rest of what waited, `messageStop` and `metadata`; nothing after a failure, and nothing twice."""
        if self._failed or self._closed:
            return b""
        self._closed = True
        out: list[bytes] = []
        self._begin(Start(), out)
        self._flush(out)
        end, extra = self._finished, self._finished.extra or {}
        stop: JsonObject = {"stopReason": self._reason(end)}
        if "additionalModelResponseFields" in extra:
            stop["additionalModelResponseFields"] = extra["additionalModelResponseFields"]
        elif end.stop_sequence is not None:
            stop["additionalModelResponseFields"] = {"stop_sequence": end.stop_sequence}
        closing: JsonObject = {"usage": render_usage(self._usage), "metrics": METRICS}
        closing.update({key: extra[key] for key in _CLOSING if key in extra})
        if self._tier in TIERS:
            closing["serviceTier"] = {"type": self._tier}
        out += (_event("messageStop", stop), _event("metadata", closing))
        return b"".join(out)

    def _reason(self, end: Finished) -> str:
        calls = any(isinstance(part.head, ToolCall) for part in self._parts.values())
        if self._refused:
            return "content_filtered"
        if end.native in FINISH and finish_of(end.native, calls=calls) is end.finish:
            return end.native
        return stop_reason_of(end.finish, end.stop_sequence)

    def _begin(self, event: Start, out: list[bytes]) -> None:
        if not self._started:
            self._started = True
            out.append(_event("messageStart", {"role": "assistant"}))

    def _block_start(self, event: BlockStart, out: list[bytes]) -> None:
        head = event.head
        part = self._parts[event.block] = _Part(head)
        self._refused = self._refused or isinstance(head, Refusal)
        if isinstance(head, ToolCall):
            self._write(part, _delta(head, head.arguments) if head.arguments else None, out)
        elif isinstance(head, Text | Refusal) or (isinstance(head, Thinking) and head.redacted is None):
            if head.text:
                self._write(part, _delta(head, head.text), out)
        else:
            wire = answer_block(head)
            for delta in _pieces(wire) if wire is not None else ():
                self._write(part, delta, out)

    def _part(self, block: int) -> _Part:
        found = self._parts.get(block)
        if found is None:
            raise WireError(f"block {block} was never started", fault="local")
        return found

    def _grow(self, event: Delta, out: list[bytes]) -> None:
        part = self._part(event.block)
        if event.text and isinstance(part.head, Text | Thinking | Refusal | ToolCall):
            part = self._again(event.block, part)
            self._write(part, _delta(part.head, event.text), out)
            if part is self._open:
                self._frames[event.block] = frame_of(encode({"contentBlockIndex": self._count, "delta": _delta(part.head, HOLE)}))

    def _again(self, block: int, part: _Part) -> _Part:
        """The part to write to: a new one of the same kind when text or reasoning goes on after another block."""
        if part is self._open or not part.used:
            return part
        if isinstance(part.head, ToolCall):
            raise WireError(f"tool call {part.head.id!r} goes on after its end", fault="local")
        fresh = self._parts[block] = _Part(part.head)
        return fresh

    def _sign(self, event: Signature, out: list[bytes]) -> None:
        part = self._part(event.block)
        if isinstance(part.head, Thinking):
            self._write(self._again(event.block, part), {"reasoningContent": {"signature": event.signature}}, out)

    def _annotate(self, event: Annotate, out: list[bytes]) -> None:
        if event.key == "citations" and event.block >= 0 and _is_citation(event.value):
            part = self._again(event.block, self._part(event.block))
            if isinstance(part.head, Text):
                self._write(part, {"citation": event.value}, out)

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
            self._say(delta, out)

    def _say(self, delta: JsonObject, out: list[bytes]) -> None:
        """A delta, or the start of a block that needs one."""
        if "start" in delta:
            out.append(_event("contentBlockStart", {"contentBlockIndex": self._count, **delta}))
        else:
            out.append(_event("contentBlockDelta", {"contentBlockIndex": self._count, "delta": delta}))
            if self._open is not None:
                self._open.fed = True

    def _show(self, part: _Part, out: list[bytes]) -> None:
        part.used = True
        self._open = part
        if isinstance(part.head, ToolCall):
            self._say({"start": {"toolUse": {"toolUseId": wire_id(part.head.id), "name": part.head.name}}}, out)

    def _shut(self, out: list[bytes]) -> None:
        if self._open is not None:
            if isinstance(self._open.head, ToolCall) and not self._open.fed:
                self._say({"toolUse": {"input": "{}"}}, out)
            self._open = None
            out.append(_event("contentBlockStop", {"contentBlockIndex": self._count}))
            self._count += 1

    def _drain(self, out: list[bytes], *, all_ended: bool = False) -> None:
        """Write what waited, up to the next tool call that is still growing."""
        while self._queue and self._open is None:
            part, _ = self._queue.popitem(last=False)
            self._show(part, out)
            for delta in part.waiting:
                self._say(delta, out)
            part.waiting = []
            if part.ended or all_ended or (self._queue and not isinstance(part.head, ToolCall)):
                self._shut(out)

    def _flush(self, out: list[bytes]) -> None:
        self._shut(out)
        self._drain(out, all_ended=True)

    def _finish(self, event: Finished, out: list[bytes]) -> None:
        if event.finish is Finish.ERROR and event.native not in FINISH:
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
        out.append(exception_frame(event.error))

    def _silent(self, event: Ping | OpaqueEvent, out: list[bytes]) -> None:
        """The wire has no sign of life, and events of its own it does not know cannot be placed among these."""


_HEADERS = {
    kind: encode_headers({":event-type": kind, ":content-type": "application/json", ":message-type": "event"})
    for kind in ("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata")
}
"""Encoded headers by event type."""


def _event(kind: str, payload: JsonObject) -> bytes:
    return join_frame(_HEADERS[kind], encode(payload))


def _delta(head: Block, words: Json) -> JsonObject:
    if isinstance(head, ToolCall):
        return {"toolUse": {"input": words}}
    return {"reasoningContent": {"text": words}} if isinstance(head, Thinking) else {"text": words}


def _is_citation(value: Json) -> bool:
    return isinstance(value, dict) and bool(value) and value.keys() <= _CITATION


def _pieces(wire: JsonObject) -> list[JsonObject]:
    """A whole element as the start and deltas of a stream; nothing for one that a stream cannot carry."""
    key = next(iter(wire))
    inner = wire[key]
    if key == "toolUse":
        asked = encode_text(loaded(inner.get("input", {})))
        return [{"start": {key: _without(inner, "input")}}, {"toolUse": {"input": asked}}]
    if key == "toolResult":
        return [{"start": {key: _without(inner, "content")}}, {"toolResult": inner.get("content", [])}]
    if key == "image":
        return [{"start": {key: {"format": inner.get("format")}}}, {"image": _without(inner, "format")}]
    return [wire] if key == "reasoningContent" else []


def _without(inner: JsonObject, key: str) -> JsonObject:
    return {name: value for name, value in inner.items() if name != key}


_ACTS: dict[type, Callable[..., None]] = {
    Start: ConverseEncoder._begin,
    BlockStart: ConverseEncoder._block_start,
    Delta: ConverseEncoder._grow,
    Signature: ConverseEncoder._sign,
    Annotate: ConverseEncoder._annotate,
    BlockStop: ConverseEncoder._block_stop,
    Finished: ConverseEncoder._finish,
    UsageSeen: ConverseEncoder._see_usage,
    Failed: ConverseEncoder._fail,
    Ping: ConverseEncoder._silent,
    OpaqueEvent: ConverseEncoder._silent,
}
