"""Tools and tool choice, in both directions. Function tools are flat on this wire; any other kind is a `HostedTool`."""

from __future__ import annotations

import re

from headgate.dialects.openai_chat.report import Report
from headgate.dialects.openai_chat.tools import foreign_schema
from headgate.dialects.openai_responses.words import NAME, malformed
from headgate.domain.request import HostedTool, Tool, ToolChoice
from headgate.errors import Unsupported
from headgate.wire.json import Json, JsonObject

_MODES = {"auto": ToolChoice("auto"), "none": ToolChoice("none"), "required": ToolChoice("required")}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_EQUIVALENT: tuple[tuple[tuple[str, ...], JsonObject], ...] = (
    (("web_search", "google_search"), {"type": "web_search"}),
    (("code_execution", "code_interpreter"), {"type": "code_interpreter", "container": {"type": "auto"}}),
)
"""Beginnings of the names of hosted tools, and what does the same here."""


def parse_tools(items: list[Json]) -> tuple[Tool | HostedTool, ...]:
    """Read `tools`. Anything but a function is a `HostedTool`, kept as it came. Raises `WireError` for a function without a name."""
    return tuple(_parse_tool(item, f"tools[{index}]") for index, item in enumerate(items))


def _parse_tool(item: Json, param: str) -> Tool | HostedTool:
    if type(item) is not dict:
        raise malformed(param, "an object")
    kind = item.get("type")
    if type(kind) is not str:
        raise malformed(f"{param}.type", "a string")
    if kind != "function":
        return HostedTool(kind, item, NAME)
    name = item.get("name")
    if type(name) is not str:
        raise malformed(f"{param}.name", "a string")
    description, strict = item.get("description"), item.get("strict")
    known: JsonObject = {
        "type": kind,
        "name": name,
        "description": description if type(description) is str else None,
        "parameters": item.get("parameters"),
        "strict": strict if type(strict) is bool else None,
    }
    nulls = [key for key in known if key in item and item[key] is None]
    extra = {key: value for key, value in item.items() if value is not None and known.get(key) is None}
    extra.update((key, None) for key in item if key not in known and item[key] is None)
    return Tool(name, known["description"], known["parameters"], known["strict"], None, extra or None, " ".join(nulls))


def render_own_tool(tool: Tool | HostedTool) -> Json:
    """Write a tool that came from this wire."""
    if isinstance(tool, HostedTool):
        return tool.raw
    shape: JsonObject = {"type": "function", "name": tool.name}
    for key, value in (("description", tool.description), ("parameters", tool.parameters), ("strict", tool.strict)):
        if value is not None:
            shape[key] = value
    shape.update(dict.fromkeys(tool.form.split()))
    if tool.extra:
        shape.update(tool.extra)
    return shape


def render_foreign_tool(tool: Tool | HostedTool, where: str, report: Report) -> Json:
    """Write a tool of another wire. Raises `Unsupported` for a hosted tool without an equivalent here and for a name this wire refuses."""
    if isinstance(tool, HostedTool):
        return _hosted(tool, where, report)
    if not _NAME.fullmatch(tool.name):
        raise Unsupported(f"{where}: {tool.name!r} is no function name here (1-64 letters, digits, _ or -)", param=f"{where}.name")
    shape: JsonObject = {"type": "function", "name": tool.name}
    if tool.description:
        shape["description"] = tool.description
    shape["parameters"] = foreign_schema(tool)
    shape["strict"] = bool(tool.strict)
    if tool.cache is not None:
        report.drop(f"{where}.cache_control", "prompts are cached without breakpoints on this wire")
    report.drop_extra(tool.extra, f"{where}.")
    return shape


def _hosted(tool: HostedTool, where: str, report: Report) -> Json:
    if tool.dialect == NAME:
        return tool.raw
    for names, shape in _EQUIVALENT:
        if tool.kind.startswith(names):
            report.change(where, f"{tool.kind} became {shape['type']}, without its settings")
            return shape
    raise Unsupported(f"{tool.kind} is run by its own provider and has no equivalent here", param=where)


def parse_tool_choice(value: Json) -> ToolChoice | None:
    """Read `tool_choice`; None for a shape the domain cannot hold (a hosted tool)."""
    if isinstance(value, str):
        return _MODES.get(value)
    if not isinstance(value, dict):
        return None
    choice: ToolChoice | None = None
    if value.get("type") == "function" and isinstance(value.get("name"), str):
        choice = ToolChoice("tool", (value["name"],))
    elif value.get("type") == "allowed_tools" and isinstance(value.get("tools"), list):
        names = tuple(str(tool.get("name")) for tool in value["tools"] if isinstance(tool, dict))
        choice = ToolChoice("allowed", names, value.get("mode") == "required")
    return choice if choice is not None and render_tool_choice(choice) == value else None


def render_tool_choice(choice: ToolChoice) -> Json:
    """Write `tool_choice`."""
    if choice.mode == "tool":
        return {"type": "function", "name": choice.names[0] if choice.names else ""}
    if choice.mode != "allowed":
        return choice.mode
    tools = [{"type": "function", "name": name} for name in choice.names]
    return {"type": "allowed_tools", "mode": "required" if choice.required else "auto", "tools": tools}
