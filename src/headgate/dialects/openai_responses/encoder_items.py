"""The items of a written stream: what was announced, what grew, and the item as it stands at last."""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.openai_responses.items import join_keys, write_call, write_picture, write_reasoning
from headgate.dialects.openai_responses.parts import SIGNATURE
from headgate.domain.content import Block, Media, Refusal, Text, Thinking, ToolCall
from headgate.wire.json import Json, JsonObject

Emit = Callable[[str, JsonObject], None]


class Part:
    """A growing text of an item: a part of a message, the arguments of a call, or a thought."""

    __slots__ = ("annotations", "ended", "head", "item", "logprobs", "place", "shown", "signature", "texts")

    def __init__(self, item: OutItem, place: int, head: Block) -> None:
        self.item = item
        self.place = place
        self.head = head
        self.texts: list[str] = []
        self.annotations: list[Json] = []
        self.logprobs: list[Json] = []
        self.signature: str | None = None
        self.shown = False
        self.ended = False

    @property
    def text(self) -> str:
        """All that came."""
        return "".join(self.texts)

    def shape(self) -> JsonObject:
        """The part of a message as it stands."""
        if isinstance(self.head, Refusal):
            return {"type": "refusal", "refusal": self.text}
        part: JsonObject = {"type": "output_text", "annotations": self.annotations, "logprobs": self.logprobs, "text": self.text}
        signature = self.signed
        return part if signature is None else {**part, SIGNATURE: signature}

    @property
    def signed(self) -> str | None:
        """The signature that came, or that the block began with."""
        if self.signature is not None or not isinstance(self.head, Text | Thinking | ToolCall):
            return self.signature
        return self.head.signature

    def where(self) -> JsonObject:
        """The keys with which events name this part."""
        return {**self.item.where(), "content_index": self.place}


class OutItem:
    """An item of the output. `head` and `more` are what its own wire told of it; `raw` is the whole item where it does not grow."""

    __slots__ = ("done", "head", "id", "index", "more", "parts", "raw", "status")

    def __init__(self, index: int, identity: str, head: JsonObject, more: JsonObject | None) -> None:
        self.index = index
        self.id = identity
        self.head = head
        self.more = more
        self.parts: list[Part] = []
        self.raw: JsonObject | None = None
        self.status = "in_progress"
        self.done = False

    @property
    def message(self) -> bool:
        """Whether this is a message, which further texts may join."""
        return bool(self.parts) and isinstance(self.parts[0].head, Text | Refusal)

    @property
    def ended(self) -> bool:
        """Whether all its parts have ended."""
        return all(part.ended for part in self.parts)

    def where(self) -> JsonObject:
        """The keys with which events name this item."""
        return {"item_id": self.id, "output_index": self.index}

    def shape(self) -> JsonObject:
        """The item as it stands."""
        if self.raw is not None or not self.parts:
            return self.raw or {}
        head = {**{key: self.head[key] for key in ("null",) if key in self.head}, "id": self.id, "status": self.status}
        return _SHAPES[type(self.parts[0].head)](self, head)


def _message(item: OutItem, head: JsonObject) -> JsonObject:
    shape = {"type": "message", "role": "assistant", "content": [part.shape() for part in item.parts]}
    return join_keys(shape, head, item.more)


def _call(item: OutItem, head: JsonObject) -> JsonObject:
    part = item.parts[0]
    call = part.head
    if not isinstance(call, ToolCall):
        return {}
    return write_call(ToolCall(call.id, call.name, part.text, signature=part.signed), head, item.more)


def _reasoning(item: OutItem, head: JsonObject) -> JsonObject:
    """A reasoning item, whose status is written only where its own wire did."""
    part = item.parts[0]
    block = part.head
    if not isinstance(block, Thinking):
        return {}
    if "status" not in item.head:
        del head["status"]
    if in_content(item):
        head["of"] = "content"
    return write_reasoning(Thinking(part.text, part.signed, block.redacted), head, item.more)


def in_content(item: OutItem) -> bool:
    """Whether a thought is shown as reasoning text, not as a summary."""
    return item.head.get("of") in ("content", "both")


_SHAPES: dict[type, Callable[[OutItem, JsonObject], JsonObject]] = {
    Text: _message,
    Refusal: _message,
    ToolCall: _call,
    Thinking: _reasoning,
}


def picture_item(block: Media, head: JsonObject | None, identity: str) -> JsonObject:
    """A generated picture as an item."""
    return write_picture(block, head if head is not None else {"id": identity, "status": "completed"})


# The events with which a part begins, grows and ends


def begin(part: Part, emit: Emit) -> None:
    """Announce a part of a message; a thought is announced with its first word, a call by its item."""
    if isinstance(part.head, Text | Refusal):
        emit("response.content_part.added", {**part.where(), "part": part.shape()})


def grow(part: Part, text: str, emit: Emit) -> None:
    """More of a part."""
    if not text:
        return
    if isinstance(part.head, Thinking) and not part.shown:
        part.shown = True
        _begin_thought(part, emit)
    part.texts.append(text)
    tell(part, text, emit)


def tell(part: Part, text: Json, emit: Emit) -> None:
    """The event with which a part grows."""
    _GROW[type(part.head)](part, text, emit)


def _begin_thought(part: Part, emit: Emit) -> None:
    if in_content(part.item):
        emit("response.content_part.added", {**part.where(), "part": {"type": "reasoning_text", "text": ""}})
    else:
        shape = {**part.item.where(), "summary_index": 0, "part": {"type": "summary_text", "text": ""}}
        emit("response.reasoning_summary_part.added", shape)


def _grow_text(part: Part, text: Json, emit: Emit) -> None:
    emit("response.output_text.delta", {**part.where(), "delta": text, "logprobs": []})


def _grow_refusal(part: Part, text: Json, emit: Emit) -> None:
    emit("response.refusal.delta", {**part.where(), "delta": text})


def _grow_call(part: Part, text: Json, emit: Emit) -> None:
    emit("response.function_call_arguments.delta", {**part.item.where(), "delta": text})


def _grow_thought(part: Part, text: Json, emit: Emit) -> None:
    if in_content(part.item):
        emit("response.reasoning_text.delta", {**part.where(), "delta": text})
    else:
        emit("response.reasoning_summary_text.delta", {**part.item.where(), "summary_index": 0, "delta": text})


def end(part: Part, emit: Emit) -> None:
    """A part is complete."""
    part.ended = True
    _END[type(part.head)](part, emit)


def _end_text(part: Part, emit: Emit) -> None:
    emit("response.output_text.done", {**part.where(), "text": part.text, "logprobs": part.logprobs})
    emit("response.content_part.done", {**part.where(), "part": part.shape()})


def _end_refusal(part: Part, emit: Emit) -> None:
    emit("response.refusal.done", {**part.where(), "refusal": part.text})
    emit("response.content_part.done", {**part.where(), "part": part.shape()})


def _end_call(part: Part, emit: Emit) -> None:
    if isinstance(part.head, ToolCall):
        emit("response.function_call_arguments.done", {**part.item.where(), "arguments": part.text, "name": part.head.name})


def _end_thought(part: Part, emit: Emit) -> None:
    if not part.shown:
        return
    if in_content(part.item):
        emit("response.reasoning_text.done", {**part.where(), "text": part.text})
        emit("response.content_part.done", {**part.where(), "part": {"type": "reasoning_text", "text": part.text}})
        return
    where: JsonObject = {**part.item.where(), "summary_index": 0}
    emit("response.reasoning_summary_text.done", {**where, "text": part.text})
    emit("response.reasoning_summary_part.done", {**where, "part": {"type": "summary_text", "text": part.text}})


_GROW: dict[type, Callable[[Part, Json, Emit], None]] = {
    Text: _grow_text,
    Refusal: _grow_refusal,
    ToolCall: _grow_call,
    Thinking: _grow_thought,
}
_END: dict[type, Callable[[Part, Emit], None]] = {
    Text: _end_text,
    Refusal: _end_refusal,
    ToolCall: _end_call,
    Thinking: _end_thought,
}
