"""Reading `input`: items to turns.

What the model said stands in items of its own here: consecutive reasoning, message, call and unknown items become one assistant turn, so
that other wires see one. `Message.form` is JSON text: the heads (see `items`) of the turn's message and reasoning items, in order. It is
empty when they are all as this dialect writes them. The instructions are a system turn whose form is "instructions".
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from headgate.dialects.openai_responses.items import read_call, read_message, read_reasoning, read_result
from headgate.dialects.openai_responses.words import NAME, malformed
from headgate.domain.content import Block, Opaque, Text
from headgate.domain.request import Message, Role
from headgate.wire.json import Json, JsonObject, encode_text

INSTRUCTIONS = "instructions"
REFERENCE = "reference"
"""`Opaque.place` of an item that stands for one kept by the provider."""

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "developer": "developer"}


class Turns:
    """The turns read so far, and the assistant turn that is still growing. `bound` lists the paths of item references."""

    __slots__ = ("_blocks", "_called", "_extra", "_heads", "_spoke", "bound", "messages")

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.bound: list[str] = []
        self._reset()

    def _reset(self) -> None:
        self._blocks: list[Block] = []
        self._heads: list[JsonObject] = []
        self._extra: JsonObject = {}
        self._spoke = self._called = False

    def take(self, item: Json, param: str) -> None:
        """Read one item. Raises `WireError` naming what is malformed."""
        if type(item) is not dict:
            raise malformed(param, "an object")
        kind = item.get("type")
        if kind is None:
            kind = "message" if "role" in item else "item_reference"
        if type(kind) is not str:
            raise malformed(f"{param}.type", "a string")
        _READERS.get(kind, Turns._opaque)(self, item, param)

    def finish(self) -> None:
        """The growing assistant turn is complete."""
        if self._blocks or self._heads:
            form = encode_text(self._heads) if any(self._heads) else ""
            self.messages.append(Message("assistant", tuple(self._blocks), None, self._extra or None, form))
            self._reset()

    def _message(self, item: JsonObject, param: str) -> None:
        word = item.get("role")
        role = _ROLES.get(word) if isinstance(word, str) else None
        if role is None:
            raise malformed(f"{param}.role", f"one of {', '.join(_ROLES)}, not {word!r}")
        if role != "assistant":
            self.finish()
            if len(item) == 2 and type(text := item.get("content")) is str:
                self.messages.append(Message(role, (Text(text),)))
                return
        blocks, head, more = read_message(item, param)
        if role == "assistant" and not blocks:
            self._opaque(item, param)
        elif role == "assistant":
            self._speech(blocks, head, more)
        else:
            self.messages.append(Message(role, tuple(blocks), None, more or None, _form(head)))

    def _speech(self, blocks: list[Block], head: JsonObject, more: JsonObject) -> None:
        """An assistant's message joins the growing turn, unless that has spoken already and nothing forces them together."""
        if self._spoke and (not self._called or more or self._extra):
            self.finish()
        self._spoke = True
        self._extra = more
        self._blocks += blocks
        self._heads.append(head)

    def _call(self, item: JsonObject, param: str) -> None:
        call, head, more = read_call(item, param)
        self._called = True
        self._blocks.append(replace(call, extra=more or None, form=encode_text(head) if head else ""))

    def _result(self, item: JsonObject, param: str) -> None:
        self.finish()
        result, head, more = read_result(item, param)
        block = replace(result, extra=more or None, form=encode_text(head) if head else "")
        self.messages.append(Message("tool", (block,)))

    def _reasoning(self, item: JsonObject, param: str) -> None:
        found = read_reasoning(item)
        if found is None:
            self._opaque(item, param)
            return
        block, head, more = found
        self._heads.append(head)
        self._blocks.append(replace(block, extra=more or None))

    def _reference(self, item: JsonObject, param: str) -> None:
        self.bound.append(param)
        self._blocks.append(Opaque(item, NAME, REFERENCE))

    def _tools(self, item: JsonObject, param: str) -> None:
        self.finish()
        role = item.get("role")
        self.messages.append(Message("system" if role == "system" else "developer", (Opaque(item, NAME),)))

    def _opaque(self, item: JsonObject, param: str) -> None:
        self._blocks.append(Opaque(item, NAME))


def _form(head: JsonObject) -> str:
    """The form of a turn of one item. The number of parts is told by the turn itself."""
    spelled = {key: value for key, value in head.items() if key != "n"}
    return encode_text([spelled]) if spelled else ""


_READERS: dict[str, Callable[[Turns, JsonObject, str], None]] = {
    "message": Turns._message,
    "function_call": Turns._call,
    "function_call_output": Turns._result,
    "reasoning": Turns._reasoning,
    "item_reference": Turns._reference,
    "additional_tools": Turns._tools,
}
