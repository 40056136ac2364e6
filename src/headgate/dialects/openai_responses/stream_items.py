"""Reading the items of a stream: their events to block events.

A block's number is its item's place in the output and its own place in the item, so that folding gives the order of the whole answer.
Text, refusals, calls and thoughts grow; anything else, and thoughts without words, comes whole when its item is done. What the events of
an item left out is made up from the done item.
"""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.openai_chat.lenient import mend, split_tail
from headgate.dialects.openai_responses.items import ITEM, JOINT, MORE, read_output, split_keys
from headgate.dialects.openai_responses.words import NAME
from headgate.domain.content import Block, Media, Opaque, Refusal, Text, Thinking, ToolCall
from headgate.domain.events import Annotate, BlockStart, BlockStop, Delta, OpaqueEvent, Signature, StreamEvent
from headgate.wire.json import Json, JsonObject

_SHIFT = 16
_OWN_EVENTS = frozenset({"message", "function_call", "reasoning"})
"""Kinds of items whose events are read; those of other kinds go on as they came."""


class _Grown:
    """A block that grows: what came of it."""

    __slots__ = ("half", "head", "lists", "number", "parts")

    def __init__(self, number: int, head: JsonObject | None) -> None:
        self.number = number
        self.head = head
        self.parts: list[str] = []
        self.half = ""
        self.lists: dict[str, int] = {}


class _Item:
    """An item that was announced. `paragraph` is the place of the thought that grew last."""

    __slots__ = ("blocks", "done", "paragraph", "raw")

    def __init__(self, raw: JsonObject) -> None:
        self.raw = raw
        self.blocks: dict[int, _Grown] = {}
        self.done = False
        self.paragraph: tuple[str, int] | None = None


class ItemReader:
    """What is known of the items of one answer. Events go to `emit`."""

    __slots__ = ("_emit", "_ids", "_items", "_logprobs", "called")

    def __init__(self, emit: Callable[[StreamEvent], None]) -> None:
        self._emit = emit
        self._items: dict[int, _Item] = {}
        self._ids: dict[str, int] = {}
        self._logprobs = False
        self.called = False

    def take(self, kind: str, event: JsonObject, odd: bool) -> bool:
        """Take one event. False when it is none of an item this reader knows. `odd` says that it may hold half a surrogate pair."""
        reader = _READERS.get(kind)
        if reader is None:
            return False
        reader(self, event, odd)
        return True

    def more_text(self, index: int, sub: int, text: str) -> bool:
        """More text of a part that is open already, as a whole number of characters. False when it is not."""
        item = self._items.get(index)
        grown = None if item is None else item.blocks.get(sub)
        if grown is None or grown.half:
            return False
        if text:
            grown.parts.append(text)
            self._emit(Delta(grown.number, text))
        return True

    def settle(self, output: Json) -> None:
        """The answer is complete: items of `output` that were never done are taken from there, and open ones are closed."""
        for index, raw in enumerate(output if isinstance(output, list) else ()):
            item = self._items.get(index)
            if isinstance(raw, dict) and (item is None or not item.done):
                self._finish(index, raw)
        for item in self._items.values():
            if not item.done:
                self._stop(item)

    def _index(self, event: JsonObject) -> int:
        """The place of an event's item: as stated, else that of its id, else after all others."""
        index = event.get("output_index")
        if type(index) is int:
            return index
        raw = event.get("item")
        name = raw.get("id") if isinstance(raw, dict) else event.get("item_id")
        found = self._ids.get(name) if isinstance(name, str) else None
        return max(self._items, default=-1) + 1 if found is None else found

    def _item(self, event: JsonObject, kind: str) -> tuple[int, _Item]:
        """The item of an event, which may never have been announced."""
        index = self._index(event)
        item = self._items.get(index)
        if item is None:
            item = self._announce(index, {"type": kind, "id": event.get("item_id")})
        return index, item

    def _announce(self, index: int, raw: JsonObject) -> _Item:
        item = self._items[index] = _Item(raw)
        if isinstance(raw.get("id"), str):
            self._ids[raw["id"]] = index
        return item

    def _added(self, event: JsonObject, odd: bool) -> None:
        raw = event.get("item")
        if not isinstance(raw, dict):
            return
        index = self._index(event)
        item = self._announce(index, raw)
        kind = raw.get("type")
        if not isinstance(kind, str) or kind not in _OWN_EVENTS:
            self._emit(OpaqueEvent(event, NAME))
        elif kind == "function_call" and isinstance(raw.get("call_id"), str) and isinstance(raw.get("name"), str):
            self._open(index, item, 0, ToolCall(raw["call_id"], raw["name"]), ("type", "call_id", "name", "arguments"))

    def _open(self, index: int, item: _Item, sub: int, block: Block, named: tuple[str, ...]) -> _Grown:
        """Open a block, with the early head of its item when it is the first one."""
        head: JsonObject | None = None
        if sub == 0:
            head = {"type": "reasoning"} if isinstance(block, Thinking) else {}
            more = split_keys(item.raw, named, head)
            head = {**head, MORE: more} if more else head
        number = (index << _SHIFT) + sub
        grown = item.blocks[sub] = _Grown(number, head)
        self.called = self.called or isinstance(block, ToolCall)
        self._emit(BlockStart(number, _with_head(block, head)))
        return grown

    def _grow(self, grown: _Grown, text: Json, odd: bool) -> None:
        """More of a block. The halves of a cut surrogate pair are joined over events."""
        if not isinstance(text, str) or not text:
            return
        if odd or grown.half:
            text, grown.half = split_tail(grown.half + text)
            text = mend(text)
        if text:
            grown.parts.append(text)
            self._emit(Delta(grown.number, text))

    def _part_added(self, event: JsonObject, odd: bool) -> None:
        part = event.get("part")
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "output_text":
            self._part(event, Text(""))
        elif kind == "refusal":
            self._part(event, Refusal(""))
        elif kind != "reasoning_text":
            self._emit(OpaqueEvent(event, NAME))

    def _part(self, event: JsonObject, empty: Text | Refusal) -> _Grown:
        index, item = self._item(event, "message")
        sub = event.get("content_index")
        place = sub if type(sub) is int else 0
        return item.blocks.get(place) or self._open(index, item, place, empty, ("role", "content"))

    def _text(self, event: JsonObject, odd: bool) -> None:
        self._grow(self._part(event, Text("")), event.get("delta"), odd)
        logprobs = event.get("logprobs")
        if isinstance(logprobs, list) and logprobs:
            self._logprobs = True
            self._emit(Annotate(-1, "logprobs", {"content": logprobs}))

    def _annotation(self, event: JsonObject, odd: bool) -> None:
        self._list(self._part(event, Text("")), "annotations", event.get("annotation"))

    def _list(self, grown: _Grown, key: str, value: Json) -> None:
        grown.lists[key] = grown.lists.get(key, 0) + 1
        self._emit(Annotate(grown.number, key, value))

    def _refusal(self, event: JsonObject, odd: bool) -> None:
        self._grow(self._part(event, Refusal("")), event.get("delta"), odd)

    def _arguments(self, event: JsonObject, odd: bool) -> None:
        grown = self._item(event, "function_call")[1].blocks.get(0)
        if grown is not None:
            self._grow(grown, event.get("delta"), odd)

    def _summary(self, event: JsonObject, odd: bool) -> None:
        self._thought(event, "summary", event.get("summary_index"), odd)

    def _reasoning(self, event: JsonObject, odd: bool) -> None:
        self._thought(event, "content", event.get("content_index"), odd)

    def _thought(self, event: JsonObject, kind: str, place: Json, odd: bool) -> None:
        """More of a thought. A new paragraph is set off; when summary and content both come, the first one is shown."""
        index, item = self._item(event, "reasoning")
        number = place if type(place) is int else 0
        last = item.paragraph
        if last is not None and last[0] != kind:
            return
        grown = item.blocks.get(0) or self._open(index, item, 0, Thinking(), ("type", "summary", "content", "encrypted_content"))
        item.paragraph = (kind, number)
        if last is not None and number > last[1]:
            self._grow(grown, JOINT, False)
        self._grow(grown, event.get("delta"), odd)

    def _done(self, event: JsonObject, odd: bool) -> None:
        raw = event.get("item")
        if isinstance(raw, dict):
            self._finish(self._index(event), raw)

    def _finish(self, index: int, raw: JsonObject) -> None:
        """An item is complete: whatever its events left out follows from it."""
        item = self._items.get(index) or self._announce(index, raw)
        for sub, block in enumerate(read_output(raw, f"output[{index}]")):
            grown = item.blocks.get(sub)
            self.called = self.called or isinstance(block, ToolCall)
            if grown is None:
                item.blocks[sub] = whole = _Grown((index << _SHIFT) + sub, None)
                self._emit(BlockStart(whole.number, block))
            elif not isinstance(block, Opaque | Media):
                self._complete(grown, block)
            if isinstance(block, Text) and block.extra and block.extra.get("logprobs") and not self._logprobs:
                self._emit(Annotate(-1, "logprobs", {"content": block.extra["logprobs"]}))
        self._stop(item)

    def _complete(self, grown: _Grown, block: Block) -> None:
        final = block.arguments if isinstance(block, ToolCall) else getattr(block, "text", "")
        sent = "".join(grown.parts)
        if len(final) > len(sent) and final.startswith(sent):
            grown.half = ""
            self._grow(grown, final[len(sent) :], False)
        if isinstance(block, Text | Thinking | ToolCall) and block.signature is not None:
            self._emit(Signature(grown.number, block.signature))
        extra = getattr(block, "extra", None) or {}
        for key, values in extra.items():
            if key == ITEM:
                if values[0] != grown.head:
                    self._emit(Annotate(grown.number, ITEM, values[0]))
            elif isinstance(values, list):
                for value in values[grown.lists.get(key, 0) :]:
                    self._list(grown, key, value)

    def _stop(self, item: _Item) -> None:
        item.done = True
        for grown in item.blocks.values():
            if grown.half:
                grown.half = ""
                self._emit(Delta(grown.number, "\ufffd"))
            self._emit(BlockStop(grown.number))

    def _nothing(self, event: JsonObject, odd: bool) -> None:
        """The done item says it again."""


def _with_head(block: Block, head: JsonObject | None) -> Block:
    if head is None:
        return block
    extra = {ITEM: [head]}
    if isinstance(block, Text):
        return Text(block.text, extra=extra)
    if isinstance(block, ToolCall):
        return ToolCall(block.id, block.name, extra=extra)
    return Refusal("", extra) if isinstance(block, Refusal) else Thinking(extra=extra)


_READERS: dict[str, Callable[[ItemReader, JsonObject, bool], None]] = {
    "response.output_item.added": ItemReader._added,
    "response.output_item.done": ItemReader._done,
    "response.content_part.added": ItemReader._part_added,
    "response.content_part.done": ItemReader._nothing,
    "response.output_text.delta": ItemReader._text,
    "response.output_text.done": ItemReader._nothing,
    "response.output_text.annotation.added": ItemReader._annotation,
    "response.refusal.delta": ItemReader._refusal,
    "response.refusal.done": ItemReader._nothing,
    "response.function_call_arguments.delta": ItemReader._arguments,
    "response.function_call_arguments.done": ItemReader._nothing,
    "response.reasoning_summary_part.added": ItemReader._nothing,
    "response.reasoning_summary_part.done": ItemReader._nothing,
    "response.reasoning_summary_text.delta": ItemReader._summary,
    "response.reasoning_summary_text.done": ItemReader._nothing,
    "response.reasoning_text.delta": ItemReader._reasoning,
    "response.reasoning_text.done": ItemReader._nothing,
}
"""What each event of an item means. Those of other kinds of items (searches, running code …) go on as they came."""
