"""Writing a stream: events of any origin to this wire's typed events (translation case 70).

`sequence_number` counts from 0 over all events. Neighbouring texts share one message item; an item whose parts have ended is done when
another begins or the answer ends. Items may be open side by side, as this wire allows, since some wires mark no ends. There is exactly one
terminal event: `response.failed` at once on an error, else `response.completed` or `response.incomplete` at `close()`, with usage and an
output equal to what was streamed.
"""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.base import StreamContext
from headgate.dialects.openai_chat.errors import error_body
from headgate.dialects.openai_responses.encoder_items import OutItem, Part, begin, end, grow, picture_item, tell
from headgate.dialects.openai_responses.items import ITEM, MORE, head_of
from headgate.dialects.openai_responses.response import entries_of, put_ending, put_tier
from headgate.dialects.openai_responses.usage import render_usage
from headgate.dialects.openai_responses.words import NAME, OBJECT, item_id, response_id, skeleton
from headgate.domain.content import Block, Media, Opaque, Refusal, Text, Thinking, ToolCall
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
from headgate.wire.json import HOLE, Json, JsonObject, encode, frame_of
from headgate.wire.sse import sse_event

PING = b": ping\n\n"

_FAILURE: dict[ErrorKind, str] = {
    ErrorKind.RATE_LIMIT: "rate_limit_exceeded",
    ErrorKind.BAD_REQUEST: "invalid_prompt",
    ErrorKind.CONTEXT_LENGTH: "invalid_prompt",
    ErrorKind.CONTENT_FILTER: "invalid_prompt",
    ErrorKind.UNSUPPORTED: "invalid_prompt",
    ErrorKind.NOT_FOUND: "invalid_prompt",
}
"""`error.code` of a failed answer, from the wire's closed list; the exact word stands beside it as `type`."""

_PREFIX: dict[type, str] = {Text: "msg", Refusal: "msg", ToolCall: "fc", Thinking: "rs", Media: "ig", Opaque: "item"}


class Encoder:
    """One answer. Only choice 0 has a place on this wire."""

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self._out: list[bytes] = []
        self._sequence = 0
        self._shape: JsonObject | None = None
        self._own = False
        self._items: list[OutItem] = []
        self._ending: set[int] = set()
        self._parts: dict[int, Part] = {}
        self._frames: dict[int, tuple[Part, list[bytes]]] = {}
        self._relayed: dict[str, OutItem] = {}
        self._loose: list[Json] = []
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._finished: Finished | None = None
        self._closed = False

    def render_event(self, event: StreamEvent) -> bytes:
        """Wire bytes for one event; empty when it has nothing to say here, or after the terminal event."""
        if type(event) is Delta:
            found = self._frames.get(event.block)
            if found is not None and event.choice == 0 and event.text:
                return self._more(event.text, *found)
        elif type(event) is not UsageSeen:
            self._frames.clear()
        writer = _WRITERS.get(type(event))
        if writer is None or self._closed or getattr(event, "choice", 0) != 0:
            return b""
        writer(self, event)
        return self._drain()

    def _more(self, text: str, part: Part, frame: list[bytes]) -> bytes:
        """More of a part that grew before: its event but for number and text stands ready."""
        part.texts.append(text)
        number, self._sequence = self._sequence, self._sequence + 1
        return b"%b%d%b%b%b" % (frame[0], number, frame[1], encode(text), frame[2])

    def close(self) -> bytes:
        """The terminal event. Empty after an error and when the answer is unfinished: a cut answer must not look complete."""
        ending = self._finished
        if self._closed or ending is None or ending.finish is None:
            return b""
        self._closed = True
        shape = self._answer()
        put_ending(shape, ending.finish)
        if self._own and ending.extra:
            shape.update(ending.extra)
        self._emit("response.incomplete" if shape["status"] == "incomplete" else "response.completed", {"response": shape})
        return self._drain()

    def _drain(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _emit(self, kind: str, fields: JsonObject) -> None:
        self._out.append(sse_event(encode({"type": kind, "sequence_number": self._sequence, **fields}), kind))
        self._sequence += 1

    def _answer(self) -> JsonObject:
        """The answer object as it stands."""
        self._begin(Start())
        shape = dict(self._shape or {})
        shape["output"] = [item.shape() for item in self._items]
        usage = self._usage
        shape["usage"] = usage.native if self._own and usage is not None and usage.native is not None else render_usage(usage)
        if self._own and self._tier is not None:
            shape["service_tier"] = self._tier
        else:
            put_tier(shape, self._tier)
        return shape

    def _begin(self, event: Start) -> None:
        if self._shape is not None:
            return
        extra = event.extra or {}
        context = self._context
        self._own = extra.get("object") == OBJECT
        identity = event.id if self._own and event.id else response_id(event.id or context.id)
        created = context.created if event.created is None else event.created
        self._shape = skeleton(identity, event.model or context.model, created)
        self._shape.update(extra if self._own else context.echo)
        self._emit("response.created", {"response": self._shape})
        self._emit("response.in_progress", {"response": self._shape})

    def _new_item(self, head: Block, identity: str = "") -> OutItem:
        """Announce nothing yet, but take the next place in the output."""
        self._begin(Start())
        for place in sorted(self._ending):
            if self._items[place].ended:
                self._finish_item(self._items[place])
        self._ending.clear()
        found = head_of(head)
        spelled, more = found if found is not None else ({}, None)
        own = spelled.get("id")
        index = len(self._items)
        fallback = item_id(_PREFIX[type(head)], str((self._shape or {}).get("id", "")), index)
        item = OutItem(index, identity or (own if isinstance(own, str) else fallback), spelled, more)
        self._items.append(item)
        return item

    def _block_start(self, event: BlockStart) -> None:
        head = event.head
        last = self._items[-1] if self._items else None
        joins = isinstance(head, Text | Refusal) and head_of(head) is None
        if joins and last is not None and last.message and not last.done:
            self._add_part(event.block, last, head)
        elif isinstance(head, Text | Refusal):
            item = self._new_item(head)
            self._emit("response.output_item.added", {"output_index": item.index, "item": self._empty_message(item)})
            self._add_part(event.block, item, head)
        elif isinstance(head, ToolCall | Thinking):
            self._add_item(event.block, head)
        else:
            self._whole(head)

    def _add_item(self, block: int, head: ToolCall | Thinking) -> None:
        """An item of one part."""
        item = self._new_item(head)
        part = self._parts[block] = Part(item, 0, head)
        item.parts.append(part)
        self._emit("response.output_item.added", {"output_index": item.index, "item": item.shape()})
        grow(part, head.arguments if isinstance(head, ToolCall) else head.text, self._emit)

    def _empty_message(self, item: OutItem) -> JsonObject:
        return {"id": item.id, "type": "message", "role": "assistant", "status": "in_progress", "content": [], **(item.more or {})}

    def _add_part(self, block: int, item: OutItem, head: Block) -> None:
        part = Part(item, len(item.parts), head)
        item.parts.append(part)
        self._parts[block] = part
        begin(part, self._emit)
        if isinstance(head, Text | Refusal):
            grow(part, head.text, self._emit)
        extra = getattr(head, "extra", None) or {}
        for annotation in extra.get("annotations") or () if head_of(head) is not None or self._own else ():
            self._add_annotation(part, annotation)

    def _whole(self, head: Block) -> None:
        """An item that does not grow: announced, unless its own events did that, and done at once."""
        if isinstance(head, Opaque) and head.dialect == NAME and isinstance(head.raw, dict):
            name = head.raw.get("id")
            item = self._known(head, name)
            self._show(item, head.raw, head.raw, name)
        elif isinstance(head, Media) and head.kind == "image" and head.data is not None:
            found = head_of(head)
            name = found[0].get("id") if found is not None else None
            item = self._known(head, name)
            raw = picture_item(head, found[0] if found is not None else None, item.id)
            self._show(item, {**raw, "result": None}, raw, name)

    def _known(self, head: Block, name: Json) -> OutItem:
        """The item of this id whose events were passed on, else a new one."""
        item = self._relayed.get(name) if isinstance(name, str) else None
        return item if item is not None else self._new_item(head, name if isinstance(name, str) else "")

    def _show(self, item: OutItem, early: JsonObject, raw: JsonObject, name: Json) -> None:
        item.raw = raw
        if not isinstance(name, str) or name not in self._relayed:
            self._emit("response.output_item.added", {"output_index": item.index, "item": early})
        self._finish_item(item)

    def _delta(self, event: Delta) -> None:
        part = self._parts.get(event.block)
        if part is None:
            return
        if part.ended:
            raise WireError(f"block {event.block} goes on after its end", fault="local")
        grow(part, event.text, self._emit)
        if event.text:
            tell(part, HOLE, lambda kind, fields: self._keep(event.block, part, kind, fields))

    def _keep(self, block: int, part: Part, kind: str, fields: JsonObject) -> None:
        """Keep the event with which a part grows, for its next piece."""
        shape = {"type": kind, "sequence_number": HOLE, **fields}
        self._frames[block] = (part, frame_of(sse_event(encode(shape), kind)))

    def _sign(self, event: Signature) -> None:
        part = self._parts.get(event.block)
        if part is not None:
            part.signature = event.signature

    def _annotate(self, event: Annotate) -> None:
        part = self._parts.get(event.block)
        if event.block < 0:
            if event.key == "logprobs":
                self._add_logprobs(entries_of(event.value))
        elif part is None:
            return
        elif event.key == "annotations":
            self._add_annotation(part, event.value)
        elif event.key == ITEM and isinstance(event.value, dict):
            part.item.head, part.item.more = event.value, event.value.get(MORE)

    def _add_annotation(self, part: Part, value: Json) -> None:
        place = len(part.annotations)
        part.annotations.append(value)
        self._emit("response.output_text.annotation.added", {**part.where(), "annotation_index": place, "annotation": value})

    def _add_logprobs(self, entries: list[Json]) -> None:
        """Log probabilities go to the text that came last, or to the first that will come."""
        texts = [part for part in self._parts.values() if isinstance(part.head, Text) and not part.ended]
        (texts[-1].logprobs if texts else self._loose).extend(entries)

    def _block_stop(self, event: BlockStop) -> None:
        """A part is complete; its item is when another begins. A call without arguments waits for the answer's end (case 29)."""
        part = self._parts.get(event.block)
        if part is not None and not part.ended and (part.texts or not isinstance(part.head, ToolCall)):
            self._end_part(part)

    def _end_part(self, part: Part) -> None:
        if isinstance(part.head, Text) and self._loose:
            part.logprobs[:0] = self._loose
            self._loose = []
        end(part, self._emit)
        self._ending.add(part.item.index)

    def _finish_item(self, item: OutItem, status: str = "completed") -> None:
        if item.done:
            return
        item.done = True
        item.status = status
        self._emit("response.output_item.done", {"output_index": item.index, "item": item.shape()})

    def _finish(self, event: Finished) -> None:
        if event.finish is Finish.ERROR:
            message = f"the model ended with an error ({event.native or 'no reason given'})"
            self._fail(Failed(ProviderError(ErrorKind.SERVER, message)))
            return
        self._begin(Start())
        self._finished = event
        whole = event.finish in (Finish.STOP, Finish.TOOL_CALLS)
        for item in self._items:
            for part in item.parts:
                if part.ended:
                    continue
                if whole and isinstance(part.head, ToolCall) and not part.texts:
                    grow(part, "{}", self._emit)
                self._end_part(part)
            cut = not whole and item is self._items[-1] and event.finish is not None
            self._finish_item(item, "incomplete" if cut else "completed")

    def _usage_seen(self, event: UsageSeen) -> None:
        self._usage = event.usage
        self._tier = event.service_tier or self._tier

    def _fail(self, event: Failed) -> None:
        """The answer failed: what came of it stands in the output, unfinished."""
        self._closed = True
        error = event.error
        for item in self._items:
            item.status = item.status if item.done else "incomplete"
        shape = self._answer()
        shape["status"] = "failed"
        told = error_body(error)["error"]
        code = _FAILURE.get(error.kind, "server_error")
        shape["error"] = {"code": code, "message": error.message, "param": error.param, "type": told["code"] or told["type"]}
        self._emit("response.failed", {"response": shape})

    def _ping(self, event: Ping) -> None:
        self._out.append(PING)

    def _opaque(self, event: OpaqueEvent) -> None:
        """An event of this wire that is not read goes on, its item's place and its number being ours."""
        raw = event.raw
        if event.dialect != NAME or not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
            return
        self._begin(Start())
        fields = {key: value for key, value in raw.items() if key not in ("type", "sequence_number")}
        inner = raw.get("item")
        name = inner.get("id") if isinstance(inner, dict) else raw.get("item_id")
        if isinstance(inner, dict) and isinstance(name, str) and raw["type"] == "response.output_item.added":
            item = self._relayed[name] = self._new_item(Opaque(inner, NAME), name)
            item.raw = inner
        known = self._relayed.get(name) if isinstance(name, str) else None
        if known is not None:
            fields["output_index"] = known.index
        self._emit(raw["type"], fields)


_WRITERS: dict[type, Callable[..., None]] = {
    Start: Encoder._begin,
    BlockStart: Encoder._block_start,
    Delta: Encoder._delta,
    Signature: Encoder._sign,
    Annotate: Encoder._annotate,
    BlockStop: Encoder._block_stop,
    Finished: Encoder._finish,
    UsageSeen: Encoder._usage_seen,
    Failed: Encoder._fail,
    Ping: Encoder._ping,
    OpaqueEvent: Encoder._opaque,
}
