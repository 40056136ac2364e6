"""Writing a streamed answer: one JSON object a line, whole tool calls only, reason and counts in the last line.

Text and thoughts go out as they come. The arguments of a call are gathered until the call (or the answer) ends, for this wire has no
pieces of JSON; a call cut off in its arguments is left out, and the reason tells. Counts may arrive after the finish, so that the last
line is written by `close`, and a failed or unfinished answer never gets one. Only the first choice has a place here.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headgate.dialects.base import StreamContext
from headgate.dialects.ollama_chat.calls import render_answer_call
from headgate.dialects.ollama_chat.errors import error_body
from headgate.dialects.ollama_chat.logprobs import render_logprobs
from headgate.dialects.ollama_chat.response import answer_message, done_reason
from headgate.dialects.ollama_chat.usage import render_usage
from headgate.dialects.ollama_chat.values import write_time
from headgate.dialects.ollama_chat.words import NAME
from headgate.domain.content import Thinking, ToolCall
from headgate.domain.events import Annotate, BlockStart, BlockStop, Delta, Failed, Finished, OpaqueEvent, Start, StreamEvent, UsageSeen
from headgate.domain.response import Finish
from headgate.domain.usage import Usage
from headgate.wire.json import HOLE, JsonObject, encode, frame_of


class Encoder:
    """Encoder for one answer."""

    def __init__(self, context: StreamContext) -> None:
        self._model = context.model
        self._created = context.created
        self._thinking: set[int] = set()
        self._calls: dict[int, ToolCall] = {}
        self._called = 0
        self._cut = False
        self._end: Finished | None = None
        self._frames: dict[int, list[bytes]] = {}
        self._usage: Usage | None = None
        self._failed = False

    def render_event(self, event: StreamEvent) -> bytes:
        """Wire bytes for one event; empty when it only changes what comes later, or has no place here."""
        if type(event) is Delta:
            frame = self._frames.get(event.block)
            if frame is not None and event.choice == 0 and event.text:
                return encode(event.text).join(frame)
        elif type(event) is not UsageSeen:
            self._frames.clear()
        act = _ACTS.get(type(event))
        return b"" if act is None or self._failed or _choice(event) else act(self, event)

    def close(self) -> bytes:
        """The line that completes the answer; nothing after a failure or without an end."""
        if self._failed or self._end is None:
            return b""
        waiting = self._flush()
        shape: JsonObject = {"done": True, "done_reason": done_reason(self._end.finish or Finish.STOP, self._cut)}
        if self._usage is not None:
            shape.update(render_usage(self._usage))
        return waiting + self._line({"role": "assistant", "content": ""}, shape)

    def _line(self, message: JsonObject, further: JsonObject | None = None) -> bytes:
        shape: JsonObject = {"model": self._model, "created_at": write_time(self._created), "message": message, "done": False}
        return encode({**shape, **(further or {})}) + b"\n"

    def start(self, event: Start) -> bytes:
        """Who answers: kept for every line."""
        self._model = event.model or self._model
        self._created = event.created if event.created is not None else self._created
        return b""

    def block_start(self, event: BlockStart) -> bytes:
        """A call waits until it is whole; whatever a block begins with goes out."""
        head = event.head
        if isinstance(head, ToolCall):
            self._calls[event.block] = head
            return b""
        if isinstance(head, Thinking):
            self._thinking.add(event.block)
        message, _ = answer_message((head,))
        return self._line(message) if len(message) > 2 or message["content"] else b""

    def delta(self, event: Delta) -> bytes:
        """More text, or more of a call's arguments."""
        call = self._calls.get(event.block)
        if call is not None:
            self._calls[event.block] = msgspec.structs.replace(call, arguments=call.arguments + event.text)
            return b""
        if not event.text:
            return b""
        thinks = event.block in self._thinking
        message: JsonObject = {"role": "assistant", "content": "" if thinks else HOLE}
        frame = self._frames[event.block] = frame_of(self._line({**message, "thinking": HOLE} if thinks else message))
        return encode(event.text).join(frame)

    def annotate(self, event: Annotate) -> bytes:
        """Log probabilities; nothing else has a place here."""
        logprobs = render_logprobs(event.value) if event.key == "logprobs" and event.block < 0 else None
        return b"" if logprobs is None else self._line({"role": "assistant", "content": ""}, {"logprobs": logprobs})

    def block_stop(self, event: BlockStop) -> bytes:
        """A call that is whole goes out."""
        return self._send(event.block) if event.block in self._calls else b""

    def _send(self, block: int) -> bytes:
        call = render_answer_call(self._calls.pop(block), self._called)
        if call is None:
            self._cut = True
            return b""
        self._called += 1
        return self._line({"role": "assistant", "content": "", "tool_calls": [call]})

    def _flush(self) -> bytes:
        return b"".join(self._send(block) for block in sorted(self._calls))

    def finished(self, event: Finished) -> bytes:
        """The calls still waiting go out; the reason itself waits for `close`."""
        self._end = event
        return self._flush()

    def usage(self, event: UsageSeen) -> bytes:
        """Usage so far: the last one is written."""
        self._usage = event.usage
        return b""

    def failed(self, event: Failed) -> bytes:
        """An error inside the stream; nothing follows it."""
        self._failed = True
        return encode(error_body(event.error)) + b"\n"

    def opaque(self, event: OpaqueEvent) -> bytes:
        """A line of our own wire that was not understood goes on as it came."""
        return encode(event.raw) + b"\n" if event.dialect == NAME else b""


def _choice(event: StreamEvent) -> int:
    """The choice an event belongs to; events of the whole answer count as the first one's."""
    return event.choice if isinstance(event, BlockStart | Delta | Annotate | BlockStop | Finished) else 0


_ACTS: dict[type, Callable[..., bytes]] = {
    Start: Encoder.start,
    BlockStart: Encoder.block_start,
    Delta: Encoder.delta,
    Annotate: Encoder.annotate,
    BlockStop: Encoder.block_stop,
    Finished: Encoder.finished,
    UsageSeen: Encoder.usage,
    Failed: Encoder.failed,
    OpaqueEvent: Encoder.opaque,
}
