"""Tools and tool choice, both ways (Anthropic API reference, "Tool use"; translation cases 16–22)."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from headgate.dialects.anthropic_messages.blocks import split_cache
from headgate.dialects.anthropic_messages.notes import Losses
from headgate.dialects.anthropic_messages.words import NAME
from headgate.domain.request import HostedTool, Request, Tool, ToolChoice
from headgate.errors import Unsupported, WireError
from headgate.wire.json import Json, JsonObject, text, type_name

CUSTOM = "custom"
"""Spelling mark: the tool says ``"type": "custom"``."""

_KNOWN = frozenset(("type", "name", "description", "input_schema", "strict"))
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}").fullmatch
_MODES: dict[str, Literal["auto", "required", "none", "tool"]] = {"auto": "auto", "any": "required", "none": "none", "tool": "tool"}
_TYPES = {"auto": "auto", "required": "any", "none": "none"}


def parse_tools(items: list[Json]) -> tuple[Tool | HostedTool, ...]:
    """The `tools` list. Raises `WireError` naming the element that is malformed."""
    return tuple([_parse_tool(item, f"tools[{number}]") for number, item in enumerate(items)])


def _parse_tool(value: Json, path: str) -> Tool | HostedTool:
    if not isinstance(value, dict):
        raise WireError(f"{path} must be an object, not {type_name(value)}", param=path)
    kind = value.get("type")
    if kind is not None and kind != CUSTOM:
        return HostedTool(text(kind, f"{path}.type"), value, NAME)
    cache, extra = split_cache(value, _KNOWN)
    odd: JsonObject = {}
    for key in ("type", "input_schema"):
        if key in value and value[key] is None:
            odd[key] = None
    description, strict = value.get("description"), value.get("strict")
    if "description" in value and not isinstance(description, str):
        description, odd["description"] = None, description
    if "strict" in value and not isinstance(strict, bool):
        strict, odd["strict"] = None, strict
    if odd:
        extra = {**(extra or {}), **odd}
    name = text(value.get("name"), f"{path}.name")
    return Tool(name, description, value.get("input_schema"), strict, cache, extra, CUSTOM if kind else "")


def parse_tool_choice(value: JsonObject) -> tuple[ToolChoice | None, bool | None]:
    """A `tool_choice` object as choice and `parallel_tools`; (None, None) when it says something else."""
    kind = value.get("type")
    mode = _MODES.get(kind) if isinstance(kind, str) else None
    if mode is None or (mode == "tool" and not isinstance(value.get("name"), str)):
        return None, None
    single = value.get("disable_parallel_tool_use")
    skip = {"type"}
    if mode == "tool":
        skip.add("name")
    if isinstance(single, bool):
        skip.add("disable_parallel_tool_use")
    extra = {key: item for key, item in value.items() if key not in skip} or None
    names = (value["name"],) if mode == "tool" else ()
    return ToolChoice(mode, names, extra=extra), not single if isinstance(single, bool) else None


def render_tools(request: Request, losses: Losses) -> list[JsonObject]:
    """The `tools` list; for an "allowed" choice only the tools it names. Raises `Unsupported` for what cannot be expressed."""
    if not losses.own and not losses.capabilities.tools:
        raise Unsupported("this model takes no tools", param="tools", hint="headgate models")
    choice = request.tool_choice
    allowed = frozenset(choice.names) if choice is not None and choice.mode == "allowed" else None
    tools = []
    own = losses.own
    for number, tool in enumerate(request.tools):
        if not isinstance(tool, Tool):
            tools.append(_hosted(tool, losses, number))
        elif allowed is None or tool.name in allowed:
            tools.append(_own_tool(tool, losses) if own else _foreign_tool(tool, losses, number))
    return tools


def input_schema(parameters: Json, path: str) -> JsonObject:
    """A tool's schema as this wire wants it: an object schema, empty when the caller gave none (translation case 16)."""
    if parameters is None or parameters == {}:
        return {"type": "object", "properties": {}}
    if not isinstance(parameters, dict):
        raise Unsupported(f"{path} must be a JSON Schema object, not {type_name(parameters)}", param=path)
    return parameters if "type" in parameters else {"type": "object", **parameters}


def _own_tool(tool: Tool, losses: Losses) -> JsonObject:
    schema = tool.parameters
    wire: JsonObject = {"name": tool.name, "input_schema": input_schema(None, "") if schema is None else schema}
    if tool.form == CUSTOM:
        wire["type"] = CUSTOM
    if tool.description is not None:
        wire["description"] = tool.description
    if tool.strict is not None:
        wire["strict"] = tool.strict
    if tool.cache is not None:
        losses.mark(wire, tool.cache)
    if tool.extra:
        wire.update(tool.extra)
    return wire


class _Shell(msgspec.Struct):
    """What must be known of a schema that is passed along raw."""

    type: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decode_shell = msgspec.json.Decoder(_Shell).decode


def _says_type(schema: msgspec.Raw) -> bool:
    """Whether raw JSON is an object with a `type`, as nearly all schemas are."""
    if bytes(schema).startswith(b'{"type"'):
        return True
    try:
        return _decode_shell(schema).type is not msgspec.UNSET
    except msgspec.DecodeError:
        return False


def _foreign_tool(tool: Tool, losses: Losses, number: int) -> JsonObject:
    name, schema = tool.name, tool.parameters
    if not (name.isascii() and name.isidentifier() and len(name) <= 128) and not _NAME(name):
        raise Unsupported(
            f"tool name {tool.name!r} cannot be sent: this wire takes 1 to 128 letters, digits, '_' and '-'",
            param=f"tools[{number}].name",
            hint="rename the tool",
        )
    wire: JsonObject = {"name": name}
    if tool.description:
        wire["description"] = tool.description
    raw = type(schema) is msgspec.Raw and _says_type(schema)
    wire["input_schema"] = schema if raw else input_schema(tool.schema, f"tools[{number}].parameters")
    if tool.strict or tool.cache is not None or tool.extra:
        _put_rest(wire, tool, losses, number)
    return wire


def _put_rest(wire: JsonObject, tool: Tool, losses: Losses, number: int) -> None:
    """What few tools have: strictness, a cache breakpoint, further keys."""
    if tool.strict:
        if losses.capabilities.structured_output == "native":
            wire["strict"] = True
        else:
            losses.dropped(f"tools[{number}].strict", "the model does not enforce tool schemas")
    if tool.cache is not None:
        losses.mark(wire, tool.cache)
    if tool.extra:
        losses.foreign(tool.extra, f"tools[{number}].")


_HOSTED: dict[str, JsonObject] = {
    "web_search": {"type": "web_search_20250305", "name": "web_search"},
    "code_execution": {"type": "code_execution_20250825", "name": "code_execution"},
    "web_fetch": {"type": "web_fetch_20250910", "name": "web_fetch"},
}

_EQUIVALENT = {
    "web_search": "web_search",
    "web_search_preview": "web_search",
    "web_search_options": "web_search",
    "google_search": "web_search",
    "googleSearch": "web_search",
    "code_interpreter": "code_execution",
    "code_execution": "code_execution",
    "codeExecution": "code_execution",
    "url_context": "web_fetch",
    "urlContext": "web_fetch",
}
"""Other wires' names for tools that have a counterpart here."""


def _hosted(tool: HostedTool, losses: Losses, number: int) -> JsonObject:
    if tool.dialect == NAME and isinstance(tool.raw, dict):
        return tool.raw
    equivalent = _EQUIVALENT.get(tool.kind)
    if equivalent is None:
        raise Unsupported(f"hosted tool {tool.kind!r} has no counterpart on this wire", param=f"tools[{number}]", hint="remove the tool")
    losses.approximated(f"tools[{number}]", f"{tool.kind} becomes {equivalent}, without its settings")
    return dict(_HOSTED[equivalent])


def render_tool_choice(request: Request, tools: list[JsonObject], losses: Losses) -> JsonObject | None:
    """The `tool_choice` object, or None when there is nothing to say. Raises `Unsupported` when a call is demanded without tools."""
    choice, parallel = request.tool_choice, request.parallel_tools
    if choice is None:
        return {"type": "auto", "disable_parallel_tool_use": True} if parallel is False and tools else None
    if not tools and not losses.own:
        if choice.mode in ("auto", "none"):
            return None
        raise Unsupported("tool_choice demands a call but the request names no tool", param="tool_choice", hint="add tools")
    wire = _choice(choice, losses)
    if parallel is not None and (losses.own or choice.mode != "none"):
        wire["disable_parallel_tool_use"] = not parallel
    if choice.extra and losses.own:
        wire.update(choice.extra)
    elif choice.extra:
        losses.foreign(choice.extra, "tool_choice.")
    return wire


def _choice(choice: ToolChoice, losses: Losses) -> JsonObject:
    if choice.mode == "tool":
        return {"type": "tool", "name": choice.names[0] if choice.names else ""}
    if choice.mode != "allowed":
        return {"type": _TYPES[choice.mode]}
    losses.approximated("tool_choice", "only the allowed tools are sent")
    if choice.required and len(choice.names) == 1:
        return {"type": "tool", "name": choice.names[0]}
    return {"type": "any" if choice.required else "auto"}
