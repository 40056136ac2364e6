"""Writing a stream: events of any origin to this wire's chunks (cases 23–29, 55, 61–65).

Thinking is written twice, as LiteLLM's and OpenRouter's clients know it: the text as `reasoning_content`, and text with signature as
`thinking_blocks`, so that a client can return the blocks (case 73).
"""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.base import StreamContext
from headgate.dialects.openai_chat.errors import error_body
from headgate.dialects.openai_chat.reasoning import thinking_block
from headgate.dialects.openai_chat.response import answer_call, picture
from headgate.dialects.openai_chat.tools import render_signature
from headgate.dialects.openai_chat.usage import render_usage, tier_word
from headgate.dialects.openai_chat.words import FINISH_WORD, NAME, NATIVE_FINISH
from headgate.domain.content import Block, Media, Refusal, Text, Thinking, ToolCall
from headgate.domain.events import (
    Annotate,
    BlockStart,
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
from headgate.wire.json import HOLE, Json, JsonObject, encode, frame_of
from headgate.wire.sse import sse_event

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"


class _Choice:
    """What has been written of one choice."""

    __slots__ = ("calls", "finished", "heads", "silent")

    def __init__(self) -> None:
        self.heads: dict[int, Block] = {}
        self.calls: dict[int, int] = {}
        self.silent: set[int] = set()
        self.finished = False


class Encoder:
    """One answer. `close()` writes usage and ``[DONE]`` only after every choice has finished."""

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self._id, self._model, self._created = context.id, context.model, context.created
        self._choices: dict[int, _Choice] = {}
        self._frames: dict[int, list[bytes]] = {}
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._failed = False

    def render_event(self, event: StreamEvent) -> bytes:
        """Wire bytes for one event; empty when it has nothing to say here, or after an error."""
        if type(event) is Delta:
            frame = self._frames.get(event.block)
            if frame is not None and event.choice == 0 and event.text:
                return encode(event.text).join(frame)
        elif type(event) is not UsageSeen:
            self._frames.clear()
        writer = _WRITERS.get(type(event))
        return b"" if writer is None or self._failed else writer(self, event)

    def close(self) -> bytes:
        """Usage and terminator. Empty after an error and when a choice is unfinished: a cut answer must not look complete (case 64)."""
        choices = self._choices.values()
        if self._failed or not choices or not all(choice.finished for choice in choices):
            return b""
        if not self._context.include_usage or self._usage is None:
            return DONE
        chunk = self._frame([])
        chunk["usage"] = render_usage(self._usage)
        if self._tier is not None:
            chunk["service_tier"] = self._tier
        return sse_event(encode(chunk)) + DONE

    def _frame(self, choices: list[Json]) -> JsonObject:
        chunk: JsonObject = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }
        if self._context.include_usage:
            chunk["usage"] = None
        return chunk

    def _chunk(self, index: int, delta: JsonObject, finish: str | None = None, **further: Json) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish, **further}
        return sse_event(encode(self._frame([choice])))

    def _choice(self, index: int) -> tuple[_Choice, bytes]:
        """The state of a choice, and its opening chunk when it is new: the role, once (case 61)."""
        choice = self._choices.get(index)
        if choice is not None:
            return choice, b""
        choice = self._choices[index] = _Choice()
        return choice, self._chunk(index, {"role": "assistant", "content": ""})

    def _start(self, event: Start) -> bytes:
        if self._choices:
            return b""
        self._id = event.id or self._id
        self._model = event.model or self._model
        self._created = event.created if event.created is not None else self._created
        return self._choice(0)[1]

    def _block_start(self, event: BlockStart) -> bytes:
        choice, opening = self._choice(event.choice)
        head = event.head
        choice.heads[event.block] = head
        writer = _HEADS.get(type(head))
        delta = writer(choice, event.block, head) if writer is not None else None
        return opening if delta is None else opening + self._chunk(event.choice, delta)

    def _delta(self, event: Delta) -> bytes:
        choice, opening = self._choice(event.choice)
        if not event.text:
            return opening
        writer = _DELTAS.get(type(choice.heads.get(event.block)))
        if writer is None:
            return opening
        frame = frame_of(self._chunk(event.choice, writer(choice, event.block, HOLE)))
        if event.choice == 0:
            self._frames[event.block] = frame
        return opening + encode(event.text).join(frame)

    def _signature(self, event: Signature) -> bytes:
        choice, opening = self._choice(event.choice)
        head = choice.heads.get(event.block)
        if isinstance(head, Thinking):
            block = {"type": "thinking", "thinking": "", "signature": event.signature}
            return opening + self._chunk(event.choice, {"thinking_blocks": [block]})
        if isinstance(head, ToolCall):
            call = {"index": choice.calls[event.block], "extra_content": render_signature(event.signature)}
            return opening + self._chunk(event.choice, {"tool_calls": [call]})
        return opening + self._chunk(event.choice, {"extra_content": render_signature(event.signature)})

    def _annotate(self, event: Annotate) -> bytes:
        if event.block >= 0:
            return b""
        opening = self._choice(event.choice)[1]
        if event.key == "logprobs":
            return opening + self._chunk(event.choice, {}, logprobs=event.value)
        return opening + self._chunk(event.choice, {event.key: event.value})

    def _finished(self, event: Finished) -> bytes:
        choice, opening = self._choice(event.choice)
        if choice.finished or event.finish is None:
            return opening
        choice.finished = True
        word = FINISH_WORD[event.finish]
        out = opening
        if event.finish in (Finish.STOP, Finish.TOOL_CALLS):
            word = "tool_calls" if choice.calls else word
            for block in sorted(choice.silent):  # a call without arguments has an empty object of them (case 25)
                out += self._chunk(event.choice, {"tool_calls": [_piece(choice.calls[block], "{}")]})
        further: JsonObject = {} if event.native in (None, word) else {NATIVE_FINISH: event.native}
        if event.stop_sequence is not None:
            further["stop_sequence"] = event.stop_sequence
        return out + self._chunk(event.choice, {}, word, **further)

    def _usage_seen(self, event: UsageSeen) -> bytes:
        self._usage = event.usage
        self._tier = tier_word(event.service_tier) or self._tier
        return b""

    def _fail(self, event: Failed) -> bytes:
        self._failed = True
        return sse_event(encode(error_body(event.error)))

    def _opaque(self, event: OpaqueEvent) -> bytes:
        """An unknown chunk of this wire goes on as it came; of pieces of a delta nothing is known about their place, so they stay."""
        known = event.dialect == NAME and isinstance(event.raw, dict) and "object" in event.raw
        return sse_event(encode(event.raw)) if known else b""


def _text_head(choice: _Choice, block: int, head: Block) -> JsonObject | None:
    return {"content": head.text} if isinstance(head, Text) and head.text else None


def _refusal_head(choice: _Choice, block: int, head: Block) -> JsonObject | None:
    return {"refusal": head.text} if isinstance(head, Refusal) and head.text else None


def _thinking_head(choice: _Choice, block: int, head: Block) -> JsonObject | None:
    if not isinstance(head, Thinking) or not (head.text or head.redacted is not None or head.signature is not None):
        return None
    shape: JsonObject = {"thinking_blocks": [thinking_block(Thinking(head.text, head.signature, head.redacted))]}
    return {"reasoning_content": head.text, **shape} if head.text else shape


def _call_head(choice: _Choice, block: int, head: Block) -> JsonObject | None:
    if not isinstance(head, ToolCall):
        return None
    index = choice.calls[block] = len(choice.calls)
    if not head.arguments:
        choice.silent.add(block)
    shape = answer_call(head)
    shape["function"] = {"name": head.name, "arguments": head.arguments}
    return {"tool_calls": [{"index": index, **shape}]}


def _media_head(choice: _Choice, block: int, head: Block) -> JsonObject | None:
    return {"images": [picture(head)]} if isinstance(head, Media) and head.kind == "image" else None


def _call_delta(choice: _Choice, block: int, text: Json) -> JsonObject:
    choice.silent.discard(block)
    return {"tool_calls": [_piece(choice.calls[block], text)]}


def _thinking_delta(choice: _Choice, block: int, text: Json) -> JsonObject:
    return {"reasoning_content": text, "thinking_blocks": [{"type": "thinking", "thinking": text}]}


def _piece(index: int, arguments: Json) -> JsonObject:
    return {"index": index, "function": {"arguments": arguments}}


_HEADS: dict[type, Callable[[_Choice, int, Block], JsonObject | None]] = {
    Text: _text_head,
    Refusal: _refusal_head,
    Thinking: _thinking_head,
    ToolCall: _call_head,
    Media: _media_head,
}
_DELTAS: dict[type, Callable[[_Choice, int, Json], JsonObject]] = {
    Text: lambda choice, block, text: {"content": text},
    Refusal: lambda choice, block, text: {"refusal": text},
    Thinking: _thinking_delta,
    ToolCall: _call_delta,
}
_WRITERS: dict[type, Callable[..., bytes]] = {
    Start: Encoder._start,
    BlockStart: Encoder._block_start,
    Delta: Encoder._delta,
    Signature: Encoder._signature,
    Annotate: Encoder._annotate,
    Finished: Encoder._finished,
    UsageSeen: Encoder._usage_seen,
    Failed: Encoder._fail,
    Ping: lambda encoder, event: PING,
    OpaqueEvent: Encoder._opaque,
}
