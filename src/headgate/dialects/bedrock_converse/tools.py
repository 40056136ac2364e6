"""Tools and tool choice, both ways (Amazon Bedrock API reference, "ToolConfiguration"; translation cases 16–22)."""

from __future__ import annotations

import re
from typing import Literal

from msgspec.structs import replace

from headgate.dialects.bedrock_converse.notes import Losses
from headgate.dialects.bedrock_converse.words import BESIDE, NAME, cache_of, cache_point
from headgate.domain.content import ToolCall, ToolResult
from headgate.domain.request import HostedTool, Request, Tool, ToolChoice
from headgate.errors import Unsupported
from headgate.wire.json import Json, JsonObject, obj, text, type_name

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}").fullmatch
_MODES: dict[str, Literal["auto", "required", "tool"]] = {"auto": "auto", "any": "required", "tool": "tool"}


def parse_tools(items: list[Json]) -> tuple[Tool | HostedTool, ...]:
    """The `tools` list; a cache point belongs to the tool before it. Raises `WireError` naming the element that is malformed."""
    tools: list[Tool | HostedTool] = []
    for place, item in enumerate(items):
        cache = cache_of(item)
        last = tools[-1] if tools else None
        if cache is not None and isinstance(last, Tool) and last.cache is None:
            tools[-1] = replace(last, cache=cache)
        else:
            tools.append(_parse_tool(obj(item, f"toolConfig.tools[{place}]"), f"toolConfig.tools[{place}]"))
    return tuple(tools)


def _parse_tool(wire: JsonObject, path: str) -> Tool | HostedTool:
    spec = wire.get("toolSpec")
    if spec is None:
        system = wire.get("systemTool")
        name = system.get("name") if isinstance(system, dict) else None
        return HostedTool(name if isinstance(name, str) else next(iter(wire), ""), wire, NAME)
    inner = obj(spec, f"{path}.toolSpec")
    schema, known = inner.get("inputSchema"), {"name"}
    parameters = description = strict = None
    if isinstance(schema, dict) and schema.keys() == {"json"} and schema["json"] is not None:
        parameters = schema["json"]
        known.add("inputSchema")
    if isinstance(inner.get("description"), str):
        description = inner["description"]
        known.add("description")
    if isinstance(inner.get("strict"), bool):
        strict = inner["strict"]
        known.add("strict")
    extra = {key: value for key, value in inner.items() if key not in known}
    if len(wire) > 1:
        extra[BESIDE] = {key: value for key, value in wire.items() if key != "toolSpec"}
    return Tool(text(inner.get("name"), f"{path}.toolSpec.name"), description, parameters, strict, None, extra or None)


def parse_tool_choice(value: Json) -> ToolChoice | None:
    """A `toolChoice` object; None when it says something else."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    ((key, inner),) = value.items()
    if key not in _MODES or not isinstance(inner, dict):
        return None
    named = key == "tool"
    if named and not isinstance(inner.get("name"), str):
        return None
    extra = {name: item for name, item in inner.items() if not named or name != "name"}
    return ToolChoice(_MODES[key], (inner["name"],) if named else (), extra=extra or None)


def own_tools(request: Request) -> JsonObject:
    """The fields that `toolConfig` holds, for a request of this wire."""
    wire: JsonObject = {}
    tools: list[JsonObject] = []
    for tool in request.tools:
        if isinstance(tool, Tool):
            tools.append(_own_tool(tool))
            if tool.cache is not None:
                tools.append(cache_point(tool.cache))
        elif tool.dialect == NAME:
            tools.append(tool.raw)
    if tools:
        wire["tools"] = tools
    choice = request.tool_choice
    if choice is not None and choice.mode != "none":
        wire["toolChoice"] = _choice(choice)
        if choice.extra:
            ((key, inner),) = wire["toolChoice"].items()
            wire["toolChoice"] = {key: {**inner, **choice.extra}}
    return wire


def _own_tool(tool: Tool) -> JsonObject:
    extra = dict(tool.extra or {})
    beside = extra.pop(BESIDE, {})
    inner: JsonObject = {"name": tool.name}
    if tool.parameters is not None:
        inner["inputSchema"] = {"json": tool.parameters}
    if tool.description is not None:
        inner["description"] = tool.description
    if tool.strict is not None:
        inner["strict"] = tool.strict
    return {"toolSpec": inner | extra, **beside}


def _choice(choice: ToolChoice) -> JsonObject:
    if choice.mode == "tool" or (choice.mode == "allowed" and choice.required and len(choice.names) == 1):
        return {"tool": {"name": choice.names[0] if choice.names else ""}}
    return {"any": {}} if choice.mode == "required" or choice.required else {"auto": {}}


def input_schema(parameters: Json, path: str) -> JsonObject:
    """A tool's schema as this wire wants it: an object schema, empty when the caller gave none (translation case 16)."""
    if parameters is None or parameters == {}:
        return {"type": "object", "properties": {}}
    if not isinstance(parameters, dict):
        raise Unsupported(f"{path} must be a JSON Schema object, not {type_name(parameters)}", param=path)
    return parameters if "type" in parameters else {"type": "object", **parameters}


def foreign_tools(request: Request, losses: Losses) -> JsonObject:
    """The `toolConfig` for a request of another wire; empty when no tool is offered. Raises `Unsupported` for what cannot be expressed."""
    choice = request.tool_choice
    if request.tools and not losses.capabilities.tools:
        raise Unsupported("this model takes no tools", param="tools", hint="headgate models")
    if choice is not None and choice.mode == "none" and request.tools and not _calls_made(request):
        losses.dropped("tool_choice", 'this wire has no "none": the tools were left out instead')
        losses.dropped("tools", "no tool may be called")
        return {}
    allowed = frozenset(choice.names) if choice is not None and choice.mode == "allowed" else None
    tools: list[JsonObject] = []
    for place, tool in enumerate(request.tools):
        if not isinstance(tool, Tool):
            tools.append(_hosted(tool, losses, place))
        elif allowed is None or tool.name in allowed:
            tools.append(_foreign_tool(tool, losses, place))
            tools += losses.points(tool.cache)
    if request.parallel_tools is False and tools:
        losses.dropped("parallel_tools", "this wire cannot limit a model to one call")
    return _with_choice(tools, choice, losses)


def _with_choice(tools: list[JsonObject], choice: ToolChoice | None, losses: Losses) -> JsonObject:
    if choice is not None:
        losses.foreign(choice.extra, "tool_choice.")
    if not tools:
        if choice is None or choice.mode in ("auto", "none"):
            return {}
        raise Unsupported("tool_choice demands a call but the request names no tool", param="tool_choice", hint="add tools")
    if choice is None:
        return {"tools": tools}
    if choice.mode == "none":
        losses.dropped("tool_choice", 'this wire has no "none", and a talk with tool calls must name its tools: the model may call them')
        return {"tools": tools}
    if choice.mode == "allowed":
        losses.approximated("tool_choice", "only the allowed tools are sent")
    return {"tools": tools, "toolChoice": _choice(choice)}


def _calls_made(request: Request) -> bool:
    return any(isinstance(block, ToolCall | ToolResult) for message in request.messages for block in message.content)


def _foreign_tool(tool: Tool, losses: Losses, place: int) -> JsonObject:
    if not _NAME(tool.name):
        raise Unsupported(
            f"tool name {tool.name!r} cannot be sent: this wire takes 1 to 64 letters, digits, '_' and '-'",
            param=f"tools[{place}].name",
            hint="rename the tool",
        )
    inner: JsonObject = {"name": tool.name, "inputSchema": {"json": input_schema(tool.schema, f"tools[{place}].parameters")}}
    if tool.description:
        inner["description"] = tool.description
    if tool.strict and losses.capabilities.structured_output == "native":
        inner["strict"] = True
    elif tool.strict:
        losses.dropped(f"tools[{place}].strict", "the model does not enforce tool schemas")
    losses.foreign(tool.extra, f"tools[{place}].")
    return {"toolSpec": inner}


_NOVA_TOOLS = {
    "web_search": "nova_grounding",
    "web_search_preview": "nova_grounding",
    "web_search_options": "nova_grounding",
    "google_search": "nova_grounding",
    "googleSearch": "nova_grounding",
    "code_interpreter": "nova_code_interpreter",
    "code_execution": "nova_code_interpreter",
    "codeExecution": "nova_code_interpreter",
}
"""Other wires' names for tools that Amazon's own models have a counterpart of."""


def _hosted(tool: HostedTool, losses: Losses, place: int) -> JsonObject:
    if tool.dialect == NAME and isinstance(tool.raw, dict):
        return tool.raw
    equivalent = _NOVA_TOOLS.get(tool.kind.partition("_20")[0]) if losses.maker == "amazon" else None
    if equivalent is None:
        raise Unsupported(f"hosted tool {tool.kind!r} has no counterpart here", param=f"tools[{place}]", hint="remove the tool")
    losses.approximated(f"tools[{place}]", f"{tool.kind} becomes {equivalent}, without its settings")
    return {"systemTool": {"name": equivalent}}
