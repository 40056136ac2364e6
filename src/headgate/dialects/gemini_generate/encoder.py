"""Writing a streamed answer: ``data: {chunk}`` with CRLF, whole function calls only, the finish reasons and usage in the last chunk.

Text and thoughts go out as they come. The arguments of a call are gathered until the call (or the choice) ends, for this wire has no
pieces of JSON; a call cut off in its arguments is left out, and the finish reason tells. Usage may arrive after the finish, so that the
last chunk is written by `close`, and a failed answer never gets one.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headgate.dialects.base import StreamContext
from headgate.dialects.gemini_generate.blocks import render_block
from headgate.dialects.gemini_generate.errors import error_object
from headgate.dialects.gemini_generate.finish import render_finish
from headgate.dialects.gemini_generate.logprobs import render_logprobs
from headgate.dialects.gemini_generate.names import NAME
from headgate.dialects.gemini_generate.usage import render_usage
from headgate.dialects.gemini_generate.writer import Writer
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.content import Block, Refusal, Text, Thinking, ToolCall
from headgate.domain.events import (
    Annotate,
    BlockStart,
    BlockStop,
    Delta,
    Failed,
    Finished,
    OpaqueEvent,
    Signature,
    Start,
    StreamEvent,
    UsageSeen,
)
from headgate.domain.response import Finish
from headgate.wire.json import HOLE, JsonObject, encode, frame_of

_OWN_NOTES = frozenset({"groundingMetadata", "urlContextMetadata", "safetyRatings", "citationMetadata", "finishMessage", "avgLogprobs"})


class GeminiStreamEncoder:
    """Encoder for one answer."""

    def __init__(self, context: StreamContext) -> None:
        self._id = context.id
        self._model = context.model
        self._writer = Writer(ANY_MODEL, same=False, answer=True)
        self._heads: dict[tuple[int, int], Block] = {}
        self._calls: dict[tuple[int, int], ToolCall] = {}
        self._cut: set[int] = set()
        self._ends: dict[int, Finished] = {}
        self._frames: dict[int, list[bytes]] = {}
        self._usage: UsageSeen | None = None
        self._failed = False

    def render_event(self, event: StreamEvent) -> bytes:
        """Wire bytes for one event; empty when it only changes what comes later."""
        if type(event) is Delta:
            frame = self._frames.get(event.block)
            if frame is not None and event.choice == 0 and event.text:
                return encode(event.text).join(frame)
        elif type(event) is not UsageSeen:
            self._frames.clear()
        act = _ACTS.get(type(event))
        return b"" if act is None or self._failed else act(self, event)

    def close(self) -> bytes:
        """The chunk that completes the answer; nothing after a failure or without an end."""
        if self._failed or not self._ends:
            return b""
        flushed = b"".join(self._flush(choice) for choice in sorted(self._ends))
        last = [self._last(choice, end) for choice, end in sorted(self._ends.items())]
        return flushed + self._chunk({"candidates": last}, final=True)

    def _last(self, choice: int, end: Finished) -> JsonObject:
        notes = {key: value for key, value in (end.extra or {}).items() if key in _OWN_NOTES}
        return {"content": {"parts": [], "role": "model"}, "finishReason": self._word(end), "index": choice, **notes}

    def _word(self, end: Finished) -> str:
        if end.choice in self._cut and end.finish is not Finish.LENGTH:
            return "MALFORMED_FUNCTION_CALL"
        return render_finish(end.finish or Finish.STOP)

    def _chunk(self, raw: JsonObject, *, final: bool = False) -> bytes:
        if self._usage is not None and final:
            raw["usageMetadata"] = render_usage(self._usage.usage, self._usage.service_tier)
        raw["modelVersion"] = self._model
        raw["responseId"] = self._id
        return b"data: %b\r\n\r\n" % encode(raw)

    def _part(self, part: JsonObject, choice: int) -> bytes:
        return self._chunk({"candidates": [{"content": {"parts": [part], "role": "model"}, "index": choice}]})

    def start(self, event: Start) -> bytes:
        """Who answers: kept for every chunk."""
        self._id = event.id or self._id
        self._model = event.model or self._model
        return b""

    def block_start(self, event: BlockStart) -> bytes:
        """A call waits until it is whole; whatever is whole already goes out."""
        key = (event.choice, event.block)
        head = event.head
        if isinstance(head, ToolCall):
            self._calls[key] = head
            return b""
        self._heads[key] = head
        if isinstance(head, Text | Thinking | Refusal) and not head.text and getattr(head, "signature", None) is None:
            return b""
        part = render_block(head, self._writer, "content")
        return b"" if part is None else self._part(part, event.choice)

    def delta(self, event: Delta) -> bytes:
        """More text, or more of a call's arguments."""
        key = (event.choice, event.block)
        call = self._calls.get(key)
        if call is not None:
            self._calls[key] = msgspec.structs.replace(call, arguments=call.arguments + event.text)
            return b""
        if not event.text:
            return b""
        part: JsonObject = {"text": HOLE}
        if isinstance(self._heads.get(key), Thinking):
            part["thought"] = True
        frame = frame_of(self._part(part, event.choice))
        if event.choice == 0:
            self._frames[event.block] = frame
        return encode(event.text).join(frame)

    def signature(self, event: Signature) -> bytes:
        """A signature rides on an empty part of its block's kind, or on the call it belongs to."""
        key = (event.choice, event.block)
        call = self._calls.get(key)
        if call is not None:
            self._calls[key] = msgspec.structs.replace(call, signature=event.signature)
            return b""
        part: JsonObject = {"text": "", "thoughtSignature": event.signature}
        if isinstance(self._heads.get(key), Thinking):
            part["thought"] = True
        return self._part(part, event.choice)

    def annotate(self, event: Annotate) -> bytes:
        """Log probabilities, and Google's own notes on a candidate."""
        raw: JsonObject | None = None
        if event.key == "logprobs" and event.block < 0:
            result = render_logprobs(event.value)
            raw = None if result is None else {"logprobsResult": result}
        elif event.key in _OWN_NOTES and event.block < 0:
            raw = {event.key: event.value}
        return b"" if raw is None else self._chunk({"candidates": [{**raw, "index": event.choice}]})

    def block_stop(self, event: BlockStop) -> bytes:
        """A call that is whole goes out."""
        key = (event.choice, event.block)
        return self._send_call(key) if key in self._calls else b""

    def _send_call(self, key: tuple[int, int]) -> bytes:
        part = render_block(self._calls.pop(key), self._writer, "content")
        if part is None:
            self._cut.add(key[0])
            return b""
        return self._part(part, key[0])

    def _flush(self, choice: int) -> bytes:
        return b"".join(self._send_call(key) for key in sorted(self._calls) if key[0] == choice)

    def finished(self, event: Finished) -> bytes:
        """The calls still waiting go out; the reason itself waits for `close`."""
        self._ends[event.choice] = event
        return self._flush(event.choice)

    def usage(self, event: UsageSeen) -> bytes:
        """Usage so far: the last one is written."""
        self._usage = event
        return b""

    def failed(self, event: Failed) -> bytes:
        """An error inside the stream; nothing follows it."""
        self._failed = True
        return b"data: %b\r\n\r\n" % encode(error_object(event.error))

    def opaque(self, event: OpaqueEvent) -> bytes:
        """A chunk of our own wire that was not understood goes on as it came."""
        return b"data: %b\r\n\r\n" % encode(event.raw) if event.dialect == NAME else b""


_ACTS: dict[type, Callable[..., bytes]] = {
    Start: GeminiStreamEncoder.start,
    BlockStart: GeminiStreamEncoder.block_start,
    Delta: GeminiStreamEncoder.delta,
    Signature: GeminiStreamEncoder.signature,
    Annotate: GeminiStreamEncoder.annotate,
    BlockStop: GeminiStreamEncoder.block_stop,
    Finished: GeminiStreamEncoder.finished,
    UsageSeen: GeminiStreamEncoder.usage,
    Failed: GeminiStreamEncoder.failed,
    OpaqueEvent: GeminiStreamEncoder.opaque,
}
