"""A conversation of another dialect (or made by hand) as Gemini contents.

Turns alternate: neighbours of one role are merged, tool results come first in their turn, in the order of the calls they answer.
Calls and results must match one to one, as they must on the wire; nothing is invented to fill a gap (translation case 11).
"""

from __future__ import annotations

import msgspec

from headgate.dialects.gemini_generate.blocks import plain_answer, plain_part, render_block
from headgate.dialects.gemini_generate.writer import Writer
from headgate.domain.content import Block, Opaque, Text, ToolCall, ToolResult
from headgate.domain.request import Message
from headgate.errors import Unsupported
from headgate.wire.json import JsonObject

SKIP_VALIDATION = "skip_thought_signature_validator"
"""Google's stand-in for a lost thought signature (Gemini API, thought signatures)."""


def render_turns(messages: tuple[Message, ...], writer: Writer) -> tuple[list[JsonObject], list[JsonObject]]:
    """(parts of the system instruction, contents). Raises `Unsupported` for a history the wire cannot hold."""
    turns = _Turns(writer)
    for index, message in enumerate(messages):
        if message.name is not None:
            writer.drop(f"messages[{index}].name", "the Gemini API has no names on messages")
        if message.extra is not None:
            writer.kept(message.extra, f"messages[{index}]")
        _ACTS[message.role](turns, message, index)
    turns.end()
    return turns.system_parts, turns.contents


class _Turns:
    """The contents so far, and the calls of the last model turn that still wait for a result."""

    def __init__(self, writer: Writer) -> None:
        self.system_parts: list[JsonObject] = []
        self.contents: list[JsonObject] = []
        self._writer = writer
        self._waiting: dict[str, tuple[int, str]] = {}
        self._asked = 0
        self._ranks: list[int] = []

    def system(self, message: Message, index: int) -> None:
        """A system or developer message; one in mid-conversation moves to the front (translation case 1)."""
        for block in message.content:
            if not isinstance(block, Text | Opaque):
                raise Unsupported(f"messages[{index}]: a system message of the Gemini API holds text only", param=f"messages[{index}]")
        parts = self._parts(message.content, index)
        if self.contents and parts:
            self._writer.approximate(f"messages[{index}]", "moved to systemInstruction: the order of messages changed")
        self.system_parts += parts

    def model(self, message: Message, index: int) -> None:
        """An assistant turn: its calls begin to wait for their results."""
        if not (self.contents and self.contents[-1]["role"] == "model"):
            if self._waiting:
                self._refuse_gap(f"messages[{index}]")
            self._order()
            self._asked = 0
        parts = self._parts(message.content, index)
        asked = self._asked
        signed = False
        for block in message.content:
            if type(block) is ToolCall:
                self._waiting[block.id] = (self._asked, block.name)
                self._asked += 1
                signed = signed or block.signature is not None
        if self._asked > asked and not signed and self._writer.capabilities.reasoning == "level":
            self._sign(parts, f"messages[{index}]")
        self._add("model", parts)

    def _sign(self, parts: list[JsonObject], field: str) -> None:
        """Models that think in levels refuse a call whose signature was lost: the first of a turn gets the stand-in (case 74)."""
        first = next(part for part in parts if "functionCall" in part)
        first["thoughtSignature"] = SKIP_VALIDATION
        self._writer.approximate(f"{field}.tool_calls", "the thought signature was lost on the way; a stand-in is sent")

    def user(self, message: Message, index: int) -> None:
        """A user or tool turn."""
        parts: list[JsonObject] = []
        ranks: list[int] = []
        for place, block in enumerate(message.content):
            rank = self._asked
            if type(block) is ToolResult:
                rank, part = self._answer(block, index, place)
            else:
                part = plain_part(block) or render_block(block, self._writer, f"messages[{index}].content[{place}]")
            if part is not None:
                parts.append(part)
                ranks.append(rank)
        if not (self.contents and self.contents[-1]["role"] == "user"):
            self._ranks = []
        self._ranks += ranks
        self._add("user", parts)

    def _answer(self, block: ToolResult, index: int, place: int) -> tuple[int, JsonObject | None]:
        """The place of a result among the calls, and its part with the name its call had."""
        found = self._waiting.pop(block.call_id, None)
        if found is None:
            field = f"messages[{index}].content[{place}]"
            raise Unsupported(f"{field}: no call {block.call_id!r} waits for this result", param=field)
        rank, name = found
        part = plain_answer(block, name)
        if part is None:
            named = block if block.name == name else msgspec.structs.replace(block, name=name)
            part = render_block(named, self._writer, f"messages[{index}].content[{place}]")
        return rank, part

    def end(self) -> None:
        """Check and finish the last turn."""
        if self._waiting:
            self._refuse_gap("messages")
        self._order()
        if not self.contents:
            raise Unsupported("the Gemini API needs at least one user message", param="messages", hint="add a user message")
        if self.contents[-1]["role"] == "model" and not self._writer.capabilities.prefill:
            raise Unsupported("this model does not continue an assistant message", param="messages")

    def _refuse_gap(self, field: str) -> None:
        missing = ", ".join(repr(call) for call in self._waiting)
        raise Unsupported(f"{field}: the tool results for {missing} are missing", param=field)

    def _parts(self, content: tuple[Block, ...], index: int) -> list[JsonObject]:
        found = []
        for place, block in enumerate(content):
            part = plain_part(block) or render_block(block, self._writer, f"messages[{index}].content[{place}]")
            if part is not None:
                found.append(part)
        return found

    def _add(self, role: str, parts: list[JsonObject]) -> None:
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role:
            self.contents[-1]["parts"] += parts
        else:
            self.contents.append({"role": role, "parts": parts})

    def _order(self) -> None:
        """Results first, in call order, in the user turn that has just ended."""
        ranks = self._ranks
        if len(ranks) > 1 and self._asked and self.contents[-1]["role"] == "user" and ranks != sorted(ranks):
            parts = self.contents[-1]["parts"]
            self.contents[-1]["parts"] = [parts[place] for place in sorted(range(len(parts)), key=ranks.__getitem__)]


_ACTS = {
    "system": _Turns.system,
    "developer": _Turns.system,
    "assistant": _Turns.model,
    "user": _Turns.user,
    "tool": _Turns.user,
}
