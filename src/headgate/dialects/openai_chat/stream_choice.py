"""Reading one choice of a stream: its deltas to block events.

Blocks have fixed places, since this wire marks no boundaries: plain reasoning 0, text 1, refusal 2, the i-th tool call 10 + i. Signed
thinking (`thinking_blocks`, `reasoning_details`) comes in blocks of its own, numbered from -1000, so that it stands first.
"""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.openai_chat.lenient import mend, split_tail
from headgate.dialects.openai_chat.reasoning import parse_detail, parse_thinking_block
from headgate.dialects.openai_chat.response import LEGACY_CALL, thought_of
from headgate.dialects.openai_chat.tools import arguments_text, parse_signature, synthetic_id
from headgate.dialects.openai_chat.words import NAME, NATIVE_FINISH, malformed, parse_finish
from headgate.domain.content import Block, Opaque, Refusal, Text, Thinking, ToolCall
from headgate.domain.events import Annotate, BlockStart, BlockStop, Delta, Finished, OpaqueEvent, Signature, StreamEvent
from headgate.wire.json import Json, JsonObject

THINKING, TEXT, REFUSAL, CALLS = 0, 1, 2, 10
SIGNED = -1000
_HEADS: dict[int, Block] = {THINKING: Thinking(), TEXT: Text(""), REFUSAL: Refusal("")}
_SIGNED = frozenset({"thinking_blocks", "reasoning_details"})
_STRUCTURED = (("thinking_blocks", parse_thinking_block), ("reasoning_details", parse_detail))


class _Call:
    """A tool call whose head may still be incomplete."""

    __slots__ = ("block", "held", "id", "name", "open", "signature")

    def __init__(self, block: int) -> None:
        self.block = block
        self.id = ""
        self.name = ""
        self.signature: str | None = None
        self.held: list[str] = []
        self.open = False


class ChoiceReader:
    """What is known of one choice while its chunks come in. Events go to `emit`."""

    __slots__ = ("_aliases", "_calls", "_emit", "_finished", "_halves", "_index", "_odd", "_open", "_signed_done", "_signed_next")

    def __init__(self, index: int, emit: Callable[[StreamEvent], None]) -> None:
        self._index = index
        self._emit = emit
        self._open: set[int] = set()
        self._calls: dict[int, _Call] = {}
        self._aliases: dict[int, int] = {}
        self._halves: dict[int, str] = {}
        self._odd = False
        self._finished = False
        self._signed_next = SIGNED
        self._signed_done = True

    def delta(self, delta: JsonObject, odd: bool) -> None:
        """Take one delta. `odd` says that the stream has lone surrogates. Raises `WireError` for a key of the wrong type."""
        self._odd = odd
        content = delta.get("content")
        if type(content) is str and content and len(delta) == 1 and not odd and TEXT in self._open:
            self._emit(Delta(TEXT, content, self._index))
            return
        signed = not _SIGNED.isdisjoint(delta) and any(self._structured(delta.get(field), parse) for field, parse in _STRUCTURED)
        for key, value in delta.items():
            if not value or key in _SILENT:
                continue
            reader = _READERS.get(key)
            if reader is None:
                self._emit(Annotate(-1, key, value, self._index))
            elif not (signed and reader is ChoiceReader._reasoning) and not (key == "reasoning" and delta.get("reasoning_content")):
                reader(self, value)

    def finish(self, item: JsonObject) -> None:
        """Take the choice's `finish_reason`, once; nothing is left open."""
        if self._finished:
            return
        self._finished = True
        self.settle()
        finish, native = parse_finish(item["finish_reason"], item.get(NATIVE_FINISH), bool(self._calls))
        stop = item.get("stop_sequence")
        self._emit(Finished(finish, native, self._index, stop if isinstance(stop, str) else None))

    def settle(self) -> None:
        """Nothing more comes: open what was held back, close what is open."""
        for call in self._calls.values():
            if not call.open:
                self._open_call(call)
        for number in list(self._halves):
            del self._halves[number]
            self._grow_checked(number, "\ufffd")
        for number in sorted(self._open):
            self._emit(BlockStop(number, self._index))
        self._open.clear()

    def _structured(self, items: Json, parse: Callable[[Json], Thinking | None]) -> bool:
        """Pieces of signed thinking: text grows the open block, a signature closes it, an encrypted block is whole."""
        if type(items) is not list:
            return False
        blocks = [block for block in map(parse, items) if block is not None]
        for block in blocks:
            if block.redacted is not None:
                self._begin_signed(block, done=True)
                continue
            if self._signed_done:
                self._begin_signed(Thinking(extra=block.extra), done=False)
            number = self._signed_next - 1
            if block.text:
                self._emit(Delta(number, block.text, self._index))
            if block.signature:
                self._emit(Signature(number, block.signature, self._index))
                self._signed_done = True
        return bool(blocks)

    def _begin_signed(self, head: Thinking, done: bool) -> None:
        self._begin(self._signed_next, head)
        self._signed_next += 1
        self._signed_done = done

    def _begin(self, number: int, head: Block) -> None:
        self._open.add(number)
        self._emit(BlockStart(number, head, self._index))

    def _grow(self, number: int, text: str) -> None:
        """More of a block. The halves of a cut surrogate pair are joined over chunks."""
        if self._odd:
            text = self._joined(number, text)
        if text:
            self._grow_checked(number, text)

    def _grow_checked(self, number: int, text: str) -> None:
        if number not in self._open and number in _HEADS:
            self._begin(number, _HEADS[number])
        self._emit(Delta(number, text, self._index))

    def _joined(self, number: int, text: str) -> str:
        text, half = split_tail(self._halves.pop(number, "") + text)
        if half:
            self._halves[number] = half
        return mend(text)

    def _reasoning(self, value: Json) -> None:
        if isinstance(value, str):
            self._grow(THINKING, value)

    def _refusal(self, value: Json) -> None:
        if isinstance(value, str):
            self._grow(REFUSAL, value)

    def _content(self, value: Json) -> None:
        """Text, or a list of parts (Mistral): text and thinking parts grow their blocks."""
        if isinstance(value, str):
            self._grow(TEXT, value)
            return
        if not isinstance(value, list):
            raise malformed("choices.delta.content", "a string")
        for part in value:
            block = thought_of(Opaque(part, NAME)) if isinstance(part, dict) else None
            if isinstance(block, Thinking):
                self._grow(THINKING, block.text)
            elif isinstance(part, dict) and isinstance(part.get("text"), str):
                self._grow(TEXT, part["text"])
            else:
                self._emit(OpaqueEvent({"content": [part]}, NAME))

    def _tool_calls(self, value: Json) -> None:
        """Pieces of tool calls: the first names the call, later ones bring arguments."""
        if not isinstance(value, list):
            raise malformed("choices.delta.tool_calls", "an array")
        for place, item in enumerate(value):
            if not isinstance(item, dict):
                raise malformed(f"choices.delta.tool_calls[{place}]", "an object")
            function = item.get("function")
            if isinstance(function, dict) or "custom" not in item:
                self._call(item, function if isinstance(function, dict) else {}, place)
            else:
                self._emit(OpaqueEvent({"tool_calls": [item]}, NAME))

    def _call(self, item: JsonObject, function: JsonObject, place: int) -> None:
        index, call_id, name = item.get("index"), item.get("id"), function.get("name")
        call = self._call_at(index if type(index) is int else place, call_id if name else None)
        if isinstance(call_id, str):
            call.id = call.id or call_id
        if isinstance(name, str):
            call.name = call.name or name
        call.signature = call.signature or parse_signature(item.get("extra_content"))
        self._grow_call(call, function.get("arguments"))

    def _call_at(self, index: int, new_id: Json) -> _Call:
        """The call at a wire index. Some servers give every call index 0: a new id there is a new call."""
        number = self._aliases.get(index, index)
        call = self._calls.get(number)
        if call is not None and new_id and call.id and new_id != call.id:
            number = self._aliases[index] = max(self._calls) + 1
            call = None
        if call is None:
            call = self._calls[number] = _Call(CALLS + number)
        return call

    def _grow_call(self, call: _Call, arguments: Json) -> None:
        """More arguments; some servers send the whole object at once. They are held until the call has a name."""
        text = arguments if isinstance(arguments, str) else arguments_text(arguments) or ""
        if call.open:
            self._grow(call.block, text)
            return
        call.held.append(text)
        if call.name:
            self._open_call(call)

    def _open_call(self, call: _Call) -> None:
        call.open = True
        self._begin(call.block, ToolCall(call.id or synthetic_id(call.block - CALLS), call.name, signature=call.signature))
        self._grow(call.block, "".join(call.held))

    def _function_call(self, value: Json) -> None:
        """The older spelling: one call, without an id."""
        if not isinstance(value, dict):
            raise malformed("choices.delta.function_call", "an object")
        call = self._call_at(0, None)
        call.id = LEGACY_CALL
        call.name = call.name or str(value.get("name") or "")
        self._grow_call(call, value.get("arguments"))

    def _sign_text(self, value: Json) -> None:
        """A thought signature beside the text (Google)."""
        signature = parse_signature(value)
        if signature is None:
            self._emit(Annotate(-1, "extra_content", value, self._index))
        elif TEXT in self._open:
            self._emit(Signature(TEXT, signature, self._index))


_SILENT = frozenset({"role", "thinking_blocks", "reasoning_details"})
_READERS: dict[str, Callable[[ChoiceReader, Json], None]] = {
    "reasoning_content": ChoiceReader._reasoning,
    "reasoning": ChoiceReader._reasoning,
    "content": ChoiceReader._content,
    "refusal": ChoiceReader._refusal,
    "tool_calls": ChoiceReader._tool_calls,
    "function_call": ChoiceReader._function_call,
    "extra_content": ChoiceReader._sign_text,
}
