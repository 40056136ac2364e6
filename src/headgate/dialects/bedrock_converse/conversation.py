"""Messages of a request from another wire, as this one wants them: system prompts apart, turns that alternate, tool results complete and
first in the user turn, in the order of the calls (translation cases 1–6, 10, 11)."""

from __future__ import annotations

from headgate.dialects.bedrock_converse.foreign import foreign_block, foreign_blocks
from headgate.dialects.bedrock_converse.notes import Losses
from headgate.domain.content import Block, Media, ToolCall, ToolResult
from headgate.domain.request import Message
from headgate.errors import Unsupported
from headgate.wire.json import JsonObject

_ROLES = {"user": "user", "tool": "user", "assistant": "assistant"}


class _Turn:
    """A turn under construction. `calls` are the ids an assistant turn asks for, `results` what a user turn answers, each with its cache
    point; `message` is the last message that went into it."""

    __slots__ = ("calls", "content", "message", "results", "role")

    def __init__(self, role: str) -> None:
        self.role = role
        self.content: list[JsonObject] = []
        self.calls: dict[str, None] = {}
        self.results: dict[str, list[JsonObject]] = {}
        self.message = 0


def render_conversation(messages: tuple[Message, ...], losses: Losses) -> tuple[list[JsonObject], list[JsonObject]]:
    """The `system` list and the `messages` list. Raises `Unsupported` for talks the wire refuses."""
    system: list[JsonObject] = []
    turns: list[_Turn] = []
    for number, message in enumerate(messages):
        losses.message, losses.block = number, 0
        if message.name is not None:
            losses.dropped(f"messages[{number}].name", "messages carry no name on this wire")
        losses.foreign(message.extra, f"messages[{number}].")
        role = _ROLES.get(message.role)
        if role is not None:
            _add(turns, role, message.content, losses)
        elif turns and losses.capabilities.system_anywhere and not turns[-1].calls:
            _add(turns, "system", message.content, losses)
        else:
            if turns:
                losses.approximated(f"messages[{number}]", "a system message in mid-conversation moves to the system prompt")
            system += foreign_blocks(message.content, losses)
    return system, _finished(turns, len(messages), losses)


def _add(turns: list[_Turn], role: str, content: tuple[Block, ...], losses: Losses) -> None:
    """The content of one message, to the current turn if it is of the same role; a message that says nothing makes no turn."""
    fresh = not turns or turns[-1].role != role
    turn = _Turn(role) if fresh else turns[-1]
    asked = turns[-1].calls if fresh and turns else turns[-2].calls if len(turns) > 1 else {}
    before = len(turn.content) + len(turn.results)
    for number, block in enumerate(content):
        losses.block = number
        _add_block(turn, block, asked, losses)
    if len(turn.content) + len(turn.results) == before:
        losses.dropped(f"messages[{losses.message}]", "a message without content is refused by this wire")
        return
    turn.message = losses.message
    if fresh:
        turns.append(turn)


def _add_block(turn: _Turn, block: Block, asked: dict[str, None], losses: Losses) -> None:
    if isinstance(block, ToolResult):
        _check_result(turn, block.call_id, asked, losses)
        turn.results[block.call_id] = foreign_block(block, losses)
    elif turn.role != "user" and isinstance(block, Media):
        losses.dropped(losses.here, f"{turn.role} turns carry no {block.kind} on this wire")
    else:
        if isinstance(block, ToolCall):
            turn.calls[block.id] = None
        turn.content += foreign_block(block, losses)


def _check_result(turn: _Turn, call_id: str, asked: dict[str, None], losses: Losses) -> None:
    if turn.role == "user" and call_id in asked and call_id not in turn.results:
        return
    why = "was answered twice" if call_id in turn.results else "is not a call of the assistant message before"
    raise Unsupported(
        f"tool result for {call_id!r}: this {why}",
        param=f"messages[{losses.message}]",
        hint="send each tool result once, right after the assistant message that asked for it",
    )


def _finished(turns: list[_Turn], count: int, losses: Losses) -> list[JsonObject]:
    """The `messages` list; `count` messages were given."""
    if not turns:
        raise Unsupported("the conversation holds no user message", param="messages", hint='add {"role": "user", "content": "…"}')
    out: list[JsonObject] = []
    for place, turn in enumerate(turns):
        ordered = _ordered(turn, turns[place - 1].calls if place else {})
        out.append({"role": turn.role, "content": ordered + turn.content})
    if turns[-1].calls:
        _missing(list(turns[-1].calls), turns[-1])
    if turns[-1].role == "assistant":
        _prefill(out[-1]["content"], count - 1, losses)
    return out


def _ordered(turn: _Turn, asked: dict[str, None]) -> list[JsonObject]:
    """The results of a turn in the order of the calls before it."""
    if not asked:
        return []
    missing = [identifier for identifier in asked if identifier not in turn.results]
    if missing:
        _missing(missing, turn)
    return [wire for identifier in asked for wire in turn.results[identifier]]


def _missing(identifiers: list[str], turn: _Turn) -> None:
    raise Unsupported(
        f"no tool result for {', '.join(map(repr, identifiers))}",
        param=f"messages[{turn.message}]",
        hint="send one tool message for each tool call, right after the assistant message",
    )


def _prefill(content: list[JsonObject], number: int, losses: Losses) -> None:
    """The talk ends with an assistant turn to be continued (translation case 6)."""
    if not losses.capabilities.prefill:
        raise Unsupported("this model does not continue an assistant message", param=f"messages[{number}]", hint="end with a user message")
    words = content[-1].get("text")
    if isinstance(words, str) and words != words.rstrip():
        losses.approximated(f"messages[{number}]", "white space at the end is refused and was cut")
        content[-1] = {**content[-1], "text": words.rstrip()}
