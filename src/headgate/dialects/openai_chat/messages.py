"""Reading messages: wire objects to turns.

Spelling marks in `Message.form`, separated by blanks: "list" (a single plain text written as a list), "absent" and "null" (how missing
content was written), "refusal:part", "calls:empty", "function_call" and "function" (the older spelling), "thinking:…" (see `reasoning`).
"""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.openai_chat.parts import parse_parts
from headgate.dialects.openai_chat.reasoning import FIELDS, parse_thinking
from headgate.dialects.openai_chat.tools import parse_calls
from headgate.dialects.openai_chat.words import malformed
from headgate.domain.content import Block, Refusal, Text, ToolCall, ToolResult
from headgate.domain.request import Message, Role
from headgate.wire.json import Json, JsonObject

_PLAIN: dict[str, Role] = {"system": "system", "developer": "developer", "user": "user", "assistant": "assistant"}


def parse_messages(items: list[Json]) -> tuple[Message, ...]:
    """Read the messages of a request. Raises `WireError` naming the message that is malformed."""
    messages: list[Message] = []
    append = messages.append
    for index, item in enumerate(items):
        if type(item) is not dict:
            raise malformed(f"messages[{index}]", "an object")
        role = item.get("role")
        if type(role) is not str:
            raise malformed(f"messages[{index}].role", "a string")
        size, content = len(item), item.get("content")
        if size == 2 and type(content) is str and role in _PLAIN:
            append(Message(_PLAIN[role], (Text(content),)))
        else:
            usual = _USUAL.get(role)
            append((usual and usual(item, size, content)) or _unusual(role, item, index, messages))
    return tuple(messages)


def _unusual(role: str, item: JsonObject, index: int, before: list[Message]) -> Message:
    reader = _READERS.get(role)
    if reader is None:
        raise malformed(f"messages[{index}].role", f"one of {', '.join(sorted(_READERS))}, not {role!r}")
    return reader(item, index, before)


def _usual_parts(item: JsonObject, size: int, content: Json) -> Message | None:
    """Role and content alone, the content plain text parts."""
    if size != 2 or type(content) is not list or not content:
        return None
    texts = []
    for part in content:
        if type(part) is not dict or len(part) != 2 or part.get("type") != "text" or type(text := part.get("text")) is not str:
            return None
        texts.append(Text(text))
    return Message(_PLAIN[item["role"]], tuple(texts), None, None, "list" if len(texts) == 1 else "")


def _usual_calls(item: JsonObject, size: int, content: Json) -> Message | None:
    """Role, content and tool calls alone, each call with exactly id, type and function."""
    calls = item.get("tool_calls")
    if size != 3 or type(calls) is not list or not calls or "content" not in item:
        return None
    if content is not None and type(content) is not str:
        return None
    blocks: list[Block] = [] if content is None else [Text(content)]
    for call in calls:
        if type(call) is not dict or len(call) != 3 or call.get("type") != "function":
            return None
        function, call_id = call.get("function"), call.get("id")
        if type(function) is not dict or len(function) != 2 or type(call_id) is not str or not call_id:
            return None
        name, arguments = function.get("name"), function.get("arguments")
        if type(name) is not str or type(arguments) is not str:
            return None
        blocks.append(ToolCall(call_id, name, arguments))
    return Message("assistant", tuple(blocks))


def _usual_result(item: JsonObject, size: int, content: Json) -> Message | None:
    """Role, call id and a string alone."""
    call_id = item.get("tool_call_id")
    if size == 3 and type(content) is str and type(call_id) is str:
        return Message("tool", (ToolResult(call_id, (Text(content),)),))
    return None


_USUAL: dict[str, Callable[[JsonObject, int, Json], Message | None]] = {
    "system": _usual_parts,
    "developer": _usual_parts,
    "user": _usual_parts,
    "assistant": _usual_calls,
    "tool": _usual_result,
}
"""Role -> a reader for its usual shape (with number of keys and content), which gives None for any other."""


def _plain(item: JsonObject, index: int, before: list[Message]) -> Message:
    """A system, developer or user message."""
    blocks, form = _content(item, f"messages[{index}].content", "null")
    extra = {key: value for key, value in item.items() if key not in ("role", "content", "name")}
    return Message(_PLAIN[item["role"]], tuple(blocks), _name(item, extra), extra or None, form)


def _content(item: JsonObject, param: str, missing: str) -> tuple[list[Block], str]:
    """The blocks of `content`, and the mark of its spelling. `missing` is the mark of an explicit null ("" where that is canonical)."""
    content = item.get("content")
    if type(content) is str:
        return [Text(content)], ""
    if content is None:
        return [], missing if "content" in item else "absent"
    if type(content) is not list:
        raise malformed(param, "a string or an array of parts")
    blocks = parse_parts(content, param)
    return blocks, "list" if not blocks or (len(blocks) == 1 and is_plain(blocks[0])) else ""


def is_plain(block: Block) -> bool:
    """A text with nothing but its text, which is written as a string when it is alone."""
    return type(block) is Text and block.cache is None and block.extra is None


def _name(item: JsonObject, extra: JsonObject) -> str | None:
    name = item.get("name")
    if isinstance(name, str):
        return name
    if "name" in item:
        extra["name"] = name
    return None


_ASSISTANT = frozenset({"role", "content", "name", "tool_calls", "function_call", "refusal"})


def _assistant(item: JsonObject, index: int, before: list[Message]) -> Message:
    param = f"messages[{index}]"
    blocks, form = _content(item, f"{param}.content", "")
    marks = [form] if form else []
    extra = {key: value for key, value in item.items() if key not in _ASSISTANT}
    if any(field in item for field in FIELDS):
        thinking, mark, rest = parse_thinking(item)
        extra = {**{key: value for key, value in extra.items() if key not in FIELDS}, **rest}
        blocks = [*thinking, *blocks]
        if mark:
            marks.append(mark)
    _refusal(item, blocks, marks, extra)
    _calls(item, blocks, marks, extra, param)
    if "function_call" in item:
        _function_call(item, blocks, marks, extra, index)
    return Message("assistant", tuple(blocks), _name(item, extra), extra or None, " ".join(marks))


def _refusal(item: JsonObject, blocks: list[Block], marks: list[str], extra: JsonObject) -> None:
    part = any(type(block) is Refusal for block in blocks)
    if part:
        marks.append("refusal:part")
    if "refusal" in item:
        if isinstance(item["refusal"], str) and not part:
            blocks.append(Refusal(item["refusal"]))
        else:
            extra["refusal"] = item["refusal"]


def _calls(item: JsonObject, blocks: list[Block], marks: list[str], extra: JsonObject, param: str) -> None:
    calls = item.get("tool_calls")
    if calls is None:
        if "tool_calls" in item:
            extra["tool_calls"] = None
    elif type(calls) is not list:
        raise malformed(f"{param}.tool_calls", "an array")
    elif not calls:
        marks.append("calls:empty")
    else:
        blocks += parse_calls(calls, f"{param}.tool_calls")


def _function_call(item: JsonObject, blocks: list[Block], marks: list[str], extra: JsonObject, index: int) -> None:
    call = item["function_call"]
    plain = isinstance(call, dict) and len(call) == 2 and isinstance(call.get("name"), str) and isinstance(call.get("arguments"), str)
    if not plain or item.get("tool_calls"):
        extra["function_call"] = call
        return
    blocks.append(ToolCall(f"call_function_{index}", call["name"], call["arguments"]))
    marks.append("function_call")


def _tool(item: JsonObject, index: int, before: list[Message]) -> Message:
    call_id = item.get("tool_call_id")
    if type(call_id) is not str:
        raise malformed(f"messages[{index}].tool_call_id", "a string")
    blocks, form = _content(item, f"messages[{index}].content", "null")
    extra = {key: value for key, value in item.items() if key not in ("role", "content", "name", "tool_call_id")}
    name = _name(item, extra)
    return Message("tool", (ToolResult(call_id, tuple(blocks), name, form=form),), extra=extra or None)


def _function(item: JsonObject, index: int, before: list[Message]) -> Message:
    """The older result message, which names the function instead of the call: it answers the last open call of that name."""
    name = item.get("name")
    if type(name) is not str:
        raise malformed(f"messages[{index}].name", "a string")
    blocks, form = _content(item, f"messages[{index}].content", "null")
    extra = {key: value for key, value in item.items() if key not in ("role", "content", "name")}
    found = [b.id for m in before for b in m.content if type(b) is ToolCall and b.name == name and b.id.startswith("call_function_")]
    call_id = found[-1] if found else f"call_function_{index}"
    return Message("tool", (ToolResult(call_id, tuple(blocks), name, form=form),), extra=extra or None, form="function")


_READERS: dict[str, Callable[[JsonObject, int, list[Message]], Message]] = {
    "system": _plain,
    "developer": _plain,
    "user": _plain,
    "assistant": _assistant,
    "tool": _tool,
    "function": _function,
}
