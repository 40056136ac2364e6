"""Tools, tool choice and tool calls, in both directions, the older `functions` spelling included."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

from headgate.dialects.openai_chat.parts import parse_cache, render_cache
from headgate.dialects.openai_chat.words import EMPTY_SCHEMA, NAME, malformed
from headgate.domain.content import Block, Opaque, ToolCall
from headgate.domain.request import HostedTool, Tool, ToolChoice
from headgate.wire.json import Json, JsonObject, Raw, encode_text

_MODES = {"auto": ToolChoice("auto"), "none": ToolChoice("none"), "required": ToolChoice("required")}


def parse_tools(items: list[Json]) -> tuple[Tool | HostedTool, ...]:
    """Read `tools`. Anything but a function is a `HostedTool`, kept as it came. Raises `WireError` for a function without a name."""
    tools: list[Tool | HostedTool] = []
    for index, item in enumerate(items):
        if type(item) is not dict:
            raise malformed(f"tools[{index}]", "an object")
        kind = item.get("type", "function")
        if kind != "function":
            if not isinstance(kind, str):
                raise malformed(f"tools[{index}].type", "a string")
            tools.append(HostedTool(kind, item, NAME))
            continue
        function = item.get("function")
        if type(function) is not dict:
            raise malformed(f"tools[{index}].function", "an object")
        tools.append(_tool(item, function, "tools", index))
    return tuple(tools)


def parse_functions(items: list[Json]) -> tuple[Tool, ...]:
    """Read the older `functions` list."""
    tools = []
    for index, item in enumerate(items):
        if type(item) is not dict:
            raise malformed(f"functions[{index}]", "an object")
        tools.append(_tool({"type": "function"}, item, "functions", index))
    return tuple(tools)


def _tool(item: JsonObject, function: JsonObject, field: str, index: int) -> Tool:
    name = function.get("name")
    if type(name) is not str:
        raise malformed(f"{field}[{index}].{'' if field == 'functions' else 'function.'}name", "a string")
    description, parameters, strict = function.get("description"), function.get("parameters"), function.get("strict")
    if type(description) is not str:
        description = None
    if type(strict) is not bool:
        strict = None
    held = 1 + (description is not None) + (parameters is not None) + (strict is not None)
    if len(item) == 2 and held == len(function):
        return Tool(name, description, parameters, strict)
    return _odd_tool(item, function, Tool(name, description, parameters, strict))


def _odd_tool(item: JsonObject, function: JsonObject, tool: Tool) -> Tool:
    """A tool with unknown keys or nulls: they go to `extra`, those of the inner object under "function"."""
    extra = {key: value for key, value in item.items() if key not in ("type", "function", "cache_control")}
    cache = parse_cache(item.get("cache_control"))
    if cache is None and "cache_control" in item:
        extra["cache_control"] = item["cache_control"]
    known: JsonObject = {"name": tool.name, "description": tool.description, "parameters": tool.parameters, "strict": tool.strict}
    inner = {key: value for key, value in function.items() if known.get(key) is None}
    if inner:
        extra["function"] = inner
    form = "" if "type" in item else "untyped"
    return Tool(tool.name, tool.description, tool.parameters, tool.strict, cache, extra or None, form)


def render_tool(tool: Tool) -> JsonObject:
    """Write one function tool, extra keys included."""
    shape: JsonObject = {} if tool.form == "untyped" else {"type": "function"}
    shape["function"] = render_function(tool)
    if tool.cache is not None:
        shape["cache_control"] = render_cache(tool.cache)
    if tool.extra:
        shape.update((key, value) for key, value in tool.extra.items() if key != "function")
    return shape


def render_function(tool: Tool) -> JsonObject:
    """The inner object of a function tool, which is an item of the older `functions`."""
    function: JsonObject = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    if tool.extra:
        function.update(tool.extra.get("function", {}))
    return function


_SHAPED = frozenset({"properties", "$ref", "anyOf", "oneOf", "allOf"})


def foreign_schema(tool: Tool) -> Json:
    """The parameters of a tool of another wire: an object without `properties` is refused here, so it gets none in so many words (case 16).

    Raises `Unsupported` for a raw schema that cannot be read.
    """
    given = tool.parameters
    if not given:
        return EMPTY_SCHEMA
    if type(given) is Raw and b'"properties"' in bytes(given):
        return given
    schema = tool.schema
    bare = isinstance(schema, dict) and schema.get("type") == "object" and not _SHAPED & schema.keys()
    return {**schema, "properties": {}} if bare else given


def parse_tool_choice(value: Json) -> tuple[ToolChoice | None, str]:
    """Read `tool_choice` and the mark of its spelling; (None, "") for a shape the domain cannot hold."""
    if isinstance(value, str):
        if value in _MODES:
            return _MODES[value], ""
        return (ToolChoice("required"), "tool_choice:any") if value == "any" else (None, "")
    if not isinstance(value, dict):
        return None, ""
    kind = value.get("type")
    reader = _CHOICES.get(kind) if isinstance(kind, str) else None
    return (reader(value) if reader is not None else None), ""


def parse_function_call_choice(value: Json) -> ToolChoice | None:
    """Read the older `function_call` of a request."""
    if isinstance(value, str):
        return _MODES.get(value)
    name = _only(value, "name")
    return None if name is None else ToolChoice("tool", (name,))


def render_tool_choice(choice: ToolChoice) -> Json:
    """Write `tool_choice`."""
    if choice.mode == "tool":
        return {"type": "function", "function": {"name": choice.names[0] if choice.names else ""}}
    if choice.mode != "allowed":
        return choice.mode
    tools = [{"type": "function", "function": {"name": name}} for name in choice.names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": "required" if choice.required else "auto", "tools": tools}}


def _only(value: Json, key: str) -> str | None:
    """The string under `key` of an object that has no other key."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get(key), str):
        return str(value[key])
    return None


def _one(value: JsonObject) -> ToolChoice | None:
    name = _only(value.get("function"), "name") if len(value) == 2 else None
    return None if name is None else ToolChoice("tool", (name,))


def _allowed(value: JsonObject) -> ToolChoice | None:
    inner = value.get("allowed_tools")
    if not isinstance(inner, dict) or inner.get("mode") not in ("auto", "required") or not isinstance(inner.get("tools"), list):
        return None
    names = tuple(str(item["function"]["name"]) for item in inner["tools"] if _is_function(item))
    choice = ToolChoice("allowed", names, inner["mode"] == "required")
    return choice if render_tool_choice(choice) == value else None


def _is_function(item: Json) -> bool:
    return isinstance(item, dict) and item.get("type") == "function" and _only(item.get("function"), "name") is not None


_CHOICES: dict[str, Callable[[JsonObject], ToolChoice | None]] = {"function": _one, "allowed_tools": _allowed}


PLACE = "tool_calls"
"""Where an unknown kind of call lay."""


def is_call(block: Block) -> TypeGuard[ToolCall | Opaque]:
    """A tool call, of a known kind or not."""
    return type(block) is ToolCall or (type(block) is Opaque and block.place == PLACE and block.dialect == NAME)


def parse_calls(items: list[Json], param: str) -> list[Block]:
    """Read `tool_calls` of an assistant message. A call that is no function call becomes `Opaque`."""
    blocks: list[Block] = []
    for index, item in enumerate(items):
        if type(item) is not dict:
            raise malformed(f"{param}[{index}]", "an object")
        function = item.get("function")
        if type(function) is not dict:
            if item.get("type", "function") == "function":
                raise malformed(f"{param}[{index}].function", "an object")
            blocks.append(Opaque(item, NAME, PLACE))
            continue
        blocks.append(_call(item, function, f"{param}[{index}]", index))
    return blocks


def _call(item: JsonObject, function: JsonObject, param: str, index: int) -> ToolCall:
    call_id, name, arguments = item.get("id"), function.get("name"), function.get("arguments")
    if type(name) is not str:
        raise malformed(f"{param}.function.name", "a string")
    if type(call_id) is str and type(arguments) is str and len(item) == 3 and len(function) == 2 and item.get("type") == "function":
        return ToolCall(call_id, name, arguments)
    return _odd_call(item, function, param, index)


def _odd_call(item: JsonObject, function: JsonObject, param: str, index: int) -> ToolCall:
    """A call with further keys (Together's index, Google's thought signature), without an id, or with arguments as an object."""
    extra = {key: value for key, value in item.items() if key not in ("id", "type", "function")}
    marks = [f"{key}:absent" for key in ("id", "type") if key not in item]
    if "type" in item and item["type"] != "function":
        extra["type"] = item["type"]
    inner = {key: value for key, value in function.items() if key not in ("name", "arguments")}
    text = function.get("arguments")
    if "arguments" not in function:
        marks.append("arguments:absent")
        text = ""
    elif not isinstance(text, str):
        inner["arguments"] = text
        text = arguments_text(text)
        if text is None:
            raise malformed(f"{param}.function.arguments", "a string")
    if inner:
        extra["function"] = inner
    signature = _signature(extra)
    call_id = item.get("id")
    if not isinstance(call_id, str) or not call_id:
        if "id" in item:
            extra["id"] = call_id
        call_id = synthetic_id(index)
    return ToolCall(call_id, function["name"], text, signature=signature, extra=extra or None, form=" ".join(marks))


def synthetic_id(index: int) -> str:
    """The id of a call that came without one, by its place among the calls of its message."""
    return f"call_{index}"


def arguments_text(value: Json) -> str | None:
    """Arguments as JSON text: missing ones are "", an object is written out, anything else is None."""
    if value is None:
        return ""
    return encode_text(value) if isinstance(value, dict) else None


def _signature(extra: JsonObject) -> str | None:
    """Take Google's thought signature out of a call's further keys, when it is there in its exact shape (case 74)."""
    found = parse_signature(extra.get("extra_content"))
    if found is not None:
        del extra["extra_content"]
    return found


def parse_signature(content: Json) -> str | None:
    """The signature in an `extra_content` of exactly Google's shape."""
    inner = content.get("google") if isinstance(content, dict) and len(content) == 1 else None
    return _only(inner, "thought_signature")


def render_signature(signature: str) -> JsonObject:
    """A thought signature as Google's OpenAI-compatible endpoint spells it."""
    return {"google": {"thought_signature": signature}}


def render_call(call: ToolCall | Opaque) -> Json:
    """Write one tool call, extra keys included; `form` names the keys that were absent. An unknown kind is written as it came."""
    if isinstance(call, Opaque):
        return call.raw
    shape: JsonObject = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
    if call.signature is not None:
        shape["extra_content"] = render_signature(call.signature)
    if call.extra:
        for key, value in call.extra.items():
            if key == "function":
                shape[key].update(value)
            else:
                shape[key] = value
    for mark in call.form.split():
        key = mark.removesuffix(":absent")
        (shape["function"] if key == "arguments" else shape).pop(key, None)
    return shape
