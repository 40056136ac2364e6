"""Reading messages: wire objects to turns.

Marks in `Message.form`, separated by blanks: those of `message`, "role=…" (a role in unusual letters), and for results in
`ToolResult.form` "id:absent". A result without an id belongs to the first unanswered call (of its `tool_name`, when it has one).
"""

from __future__ import annotations

from headgate.dialects.ollama_chat.calls import CallIds
from headgate.dialects.ollama_chat.message import KEYS, parse_inside, render_inside
from headgate.dialects.ollama_chat.values import malformed
from headgate.dialects.ollama_chat.words import ROLES
from headgate.domain.content import Text, ToolResult
from headgate.domain.request import Message
from headgate.wire.json import Json, JsonObject, obj

_RESULT_KEYS = ("tool_name", "tool_call_id")


def parse_messages(items: list[Json]) -> tuple[Message, ...]:
    """Read the messages of a request. Raises `WireError` naming the message that is malformed."""
    ids = CallIds()
    messages = []
    for index, item in enumerate(items):
        path = f"messages[{index}]"
        ids.place(f"m{index}")
        messages.append(_message(obj(item, path), path, ids))
    return tuple(messages)


def _message(raw: JsonObject, path: str, ids: CallIds) -> Message:
    word = raw.get("role")
    role = ROLES.get(word.lower()) if isinstance(word, str) else None
    if role is None:
        raise malformed(f"{path}.role", f"one of {', '.join(sorted(ROLES))}")
    if len(raw) == 2 and word == role != "tool" and isinstance(content := raw.get("content"), str) and content:
        return Message(role, (Text(content),))
    marks = [] if word == role else [f"role={word}"]
    rest: JsonObject = {key: value for key, value in raw.items() if key not in KEYS and key != "role"}
    if role == "tool":
        return _result(raw, path, ids, marks, rest)
    content_blocks = parse_inside(raw, path, ids, marks, rest)
    return Message(role, content_blocks, extra=rest or None, form=" ".join(marks))


def _result(raw: JsonObject, path: str, ids: CallIds, marks: list[str], rest: JsonObject) -> Message:
    name, call_id = raw.get("tool_name"), raw.get("tool_call_id")
    inner: list[str] = []
    blocks = parse_inside(raw, path, ids, inner, rest)
    held_name = name if isinstance(name, str) else None
    held_id = call_id if isinstance(call_id, str) and call_id else None
    for key, held in zip(_RESULT_KEYS, (held_name, held_id), strict=True):
        if held is not None:
            del rest[key]
    if held_id is None:
        inner.append("id:absent")
    result = ToolResult(ids.answered(held_id, held_name), blocks, held_name, form=" ".join(inner))
    return Message("tool", (result,), extra=rest or None, form=" ".join(marks))


def render_own_message(message: Message, path: str) -> JsonObject:
    """A message that came from this wire, as it was. Raises `Unsupported` for blocks it could not have held."""
    marks = message.form.split()
    role = next((mark[5:] for mark in marks if mark.startswith("role=")), message.role)
    shape: JsonObject = {"role": role}
    result = next((block for block in message.content if isinstance(block, ToolResult)), None)
    if result is None:
        shape.update(render_inside(message.content, marks, path))
    else:
        inner = result.form.split()
        shape.update(render_inside(result.content, inner, path))
        if result.name is not None:
            shape["tool_name"] = result.name
        if "id:absent" not in inner:
            shape["tool_call_id"] = result.call_id
    return {**shape, **(message.extra or {})}
