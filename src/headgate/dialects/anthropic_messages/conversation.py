"""Messages of a request from another wire, as this one wants them: system prompts apart, turns that alternate, tool results complete and
first in the user turn, in the order of the calls (translation cases 1–6, 10, 11)."""

from __future__ import annotations

from headgate.dialects.anthropic_messages.blocks import plain_text
from headgate.dialects.anthropic_messages.foreign import WRITERS, foreign_blocks, foreign_call, foreign_result
from headgate.dialects.anthropic_messages.notes import Losses
from headgate.domain.content import Block, Media, ToolCall, ToolResult
from headgate.domain.request import Message
from headgate.errors import Unsupported
from headgate.wire.json import Json, JsonObject


def render_conversation(messages: tuple[Message, ...], losses: Losses) -> tuple[Json, list[JsonObject]]:
    """The `system` value (None when there is none) and the `messages` list. Raises `Unsupported` for talks the wire refuses."""
    return plain_talk(messages) or _any_talk(messages, losses)


def plain_talk(messages: tuple[Message, ...]) -> tuple[str | None, list[JsonObject]] | None:
    """A talk that needs no care: a system prompt or none, plain texts in turns, the user last. None for any other talk."""
    system: str | None = None
    role = ""
    turns: list[JsonObject] = []
    for message in messages:
        words = plain_text(message.content)
        if not words or words.isspace() or message.extra is not None or message.name is not None:
            return None
        before, role = role, message.role
        if role == "user" or role == "assistant":
            if role == before:
                return None
            turns.append({"role": role, "content": words})
        elif role == "system" and not before:
            system = words
        else:
            return None
    return (system, turns) if role == "user" else None


def _any_talk(messages: tuple[Message, ...], losses: Losses) -> tuple[Json, list[JsonObject]]:
    system: Json = None
    turns = _Turns(losses)
    for number, message in enumerate(messages):
        losses.message = number
        if message.extra or message.name is not None:
            _report_message(message, losses)
        role, content = message.role, message.content
        if role == "user" or role == "assistant":
            turns.add(role, content)
        elif role == "tool":
            turns.add_tool(content)
        elif turns.role is None:
            system = _add_system(system, content, losses)
        elif losses.capabilities.system_anywhere and not turns.open_calls:
            turns.add_system(content)
        else:
            losses.approximated(f"messages[{number}]", "a system message in mid-conversation moves to the system prompt")
            system = _add_system(system, content, losses)
    return system, turns.finish(len(messages))


def _add_system(system: Json, content: tuple[Block, ...], losses: Losses) -> Json:
    """The system prompt with a message more: a string while it is one plain text, else blocks."""
    words = plain_text(content)
    if system is None and words and not words.isspace():
        return words
    blocks = foreign_blocks(content, losses)
    if not blocks:
        return system
    if system is None:
        return blocks
    return [{"type": "text", "text": system}, *blocks] if isinstance(system, str) else system + blocks


def _report_message(message: Message, losses: Losses) -> None:
    if message.name is not None:
        losses.dropped(f"messages[{losses.message}].name", "messages carry no name on this wire")
    if message.extra:
        losses.foreign(message.extra, f"messages[{losses.message}].")


class _Turns:
    """Turns under construction: `role` is the current one's (None before the first), `turn` its object once it has content.

    `open_calls` are the calls of the last assistant turn, in order, `asked` their ids; `results` the answers to them so far.
    """

    __slots__ = ("asked", "losses", "open_calls", "out", "results", "role", "turn")

    def __init__(self, losses: Losses) -> None:
        self.losses = losses
        self.out: list[JsonObject] = []
        self.role: str | None = None
        self.turn: JsonObject | None = None
        self.results: dict[str, JsonObject] = {}
        self.open_calls: list[str] = []
        self.asked: set[str] = set()

    def add(self, role: str, content: tuple[Block, ...]) -> None:
        """The content of a message of the conversation proper."""
        if role != self.role:
            if self.turn is None or self.open_calls:
                self._switch(role)
            else:
                self.role, self.turn = role, None
        words = plain_text(content)
        if words is None or not words or words.isspace():
            self._add_blocks(role, content)
        elif self.turn is None:
            self.turn = {"role": role, "content": words}
            self.out.append(self.turn)
        else:
            self._blocks().append({"type": "text", "text": words})

    def _add_blocks(self, role: str, content: tuple[Block, ...]) -> None:
        """Any content, block by block, to the current turn, which is one of `role`."""
        losses = self.losses
        wires: list[JsonObject] = []
        for number, block in enumerate(content):
            losses.block = number
            if isinstance(block, ToolCall):
                self.open_calls.append(block.id)
                self.asked.add(block.id)
                wires.append(foreign_call(block, losses))
            elif isinstance(block, ToolResult):
                self._result(block.call_id, foreign_result(block, losses))
            elif role == "assistant" and isinstance(block, Media):
                losses.dropped(losses.here, f"assistant turns carry no {block.kind} on this wire")
            elif (wire := WRITERS[type(block)](block, losses)) is not None:
                wires.append(wire)
        if not wires:
            return
        if self.turn is None:
            self.turn = {"role": role, "content": wires}
            self.out.append(self.turn)
        else:
            self._blocks().extend(wires)

    def add_tool(self, content: tuple[Block, ...]) -> None:
        """The content of a tool message, nearly always one result."""
        block = content[0] if len(content) == 1 else None
        if not isinstance(block, ToolResult):
            self.add("user", content)
            return
        if self.role != "user":
            if self.turn is None:
                self._switch("user")
            else:
                self.role, self.turn = "user", None
        self.losses.block = 0
        self._result(block.call_id, foreign_result(block, self.losses))

    def add_system(self, content: tuple[Block, ...]) -> None:
        """A system message that may stay where it is."""
        words = _add_system(None, content, self.losses)
        if words is not None:
            self._switch("system")
            self._begin(words)

    def finish(self, count: int) -> list[JsonObject]:
        """The finished list; `count` messages were given."""
        if self.open_calls or self.turn is None:
            self._switch("end")
            if self.open_calls:
                self._missing(f"messages[{count - 1}]")
        if not self.out:
            raise Unsupported("the conversation holds no user message", param="messages", hint='add {"role": "user", "content": "…"}')
        if self.out[-1]["role"] == "assistant":
            self._prefill(count - 1)
        return self.out

    def _switch(self, role: str) -> None:
        """End the current turn and begin one of `role`; a turn left out lets the one before go on."""
        if self.open_calls and self.role == "user":
            self._settle()
        elif self.turn is None and self.role is not None:
            number = max(self.losses.message - (role != "end"), 0)
            self.losses.dropped(f"messages[{number}]", "a message without content is refused by this wire")
            self.role = role
            self.turn = self.out[-1] if self.out and self.out[-1]["role"] == role else None
            return
        self.role, self.turn = role, None

    def _begin(self, content: str | list[JsonObject]) -> None:
        self.turn = {"role": self.role, "content": content}
        self.out.append(self.turn)

    def _blocks(self) -> list[JsonObject]:
        """The content of the current turn, which has begun, as a list to append to."""
        assert self.turn is not None
        content = self.turn["content"]
        if isinstance(content, str):
            content = self.turn["content"] = [{"type": "text", "text": content}]
        blocks: list[JsonObject] = content
        return blocks

    def _result(self, call_id: str, wire: JsonObject) -> None:
        results = self.results
        if call_id not in self.asked or call_id in results:
            why = "was answered twice" if call_id in results else "is not a call of the assistant message before"
            raise Unsupported(
                f"tool result for {call_id!r}: this {why}",
                param=f"messages[{self.losses.message}]",
                hint="send each tool result once, right after the assistant message that asked for it",
            )
        results[call_id] = wire

    def _settle(self) -> None:
        """Put the results first in the user turn, in the order of the calls."""
        results, calls = self.results, self.open_calls
        if len(results) < len(calls):
            self._missing(f"messages[{self.losses.message}]")
        ordered = list(results.values()) if len(calls) == 1 else [results[identifier] for identifier in calls]
        turn = self.turn
        if turn is None:
            self._begin(ordered)
        elif isinstance(turn["content"], str):
            turn["content"] = [*ordered, {"type": "text", "text": turn["content"]}]
        else:
            turn["content"][:0] = ordered
        self.results, self.open_calls, self.asked = {}, [], set()

    def _missing(self, param: str) -> None:
        missing = [identifier for identifier in self.open_calls if identifier not in self.results]
        raise Unsupported(
            f"no tool result for {', '.join(map(repr, missing))}",
            param=param,
            hint="send one tool message for each tool call, right after the assistant message",
        )

    def _prefill(self, number: int) -> None:
        """The talk ends with an assistant turn to be continued (translation case 6)."""
        if not self.losses.capabilities.prefill:
            raise Unsupported(
                "this model does not continue an assistant message", param=f"messages[{number}]", hint="end with a user message"
            )
        last = self.out[-1]
        content = last["content"]
        words = content if isinstance(content, str) else content[-1].get("text")
        if not isinstance(words, str) or words == words.rstrip():
            return
        self.losses.approximated(f"messages[{number}]", "white space at the end is refused and was cut")
        if isinstance(content, str):
            last["content"] = words.rstrip()
        else:
            content[-1] = {**content[-1], "text": words.rstrip()}
