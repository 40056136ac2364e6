"""Tools and the choice among them. This wire has no tool choice: what can be said by leaving tools out is said so (cases 18, 19, 21)."""

from __future__ import annotations

from headgate.dialects.ollama_chat.report import Report
from headgate.dialects.ollama_chat.values import malformed
from headgate.dialects.ollama_chat.words import NAME
from headgate.domain.request import HostedTool, Request, Tool
from headgate.errors import Unsupported
from headgate.wire.json import Json, JsonObject, obj, text

_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}


_OUTER = frozenset(("type", "function"))


def parse_tools(items: list[Json]) -> tuple[Tool | HostedTool, ...]:
    """Read `tools`, which are shaped as OpenAI's. Raises `WireError` for a function without a name."""
    return tuple([_parse_tool(item, f"tools[{index}]") for index, item in enumerate(items)])


def _parse_tool(item: Json, path: str) -> Tool | HostedTool:
    raw = obj(item, path)
    kind = text(raw.get("type", "function"), f"{path}.type")
    if kind != "function":
        return HostedTool(kind, raw, NAME)
    function = obj(raw.get("function"), f"{path}.function")
    name, description, parameters = function.get("name"), function.get("description"), function.get("parameters")
    if not isinstance(name, str):
        raise malformed(f"{path}.function.name", "a string")
    if not isinstance(description, str):
        description = None
    held = {"name": name, "description": description, "parameters": parameters}
    extra = {} if _OUTER.issuperset(raw) else {key: value for key, value in raw.items() if key not in _OUTER}
    inner = {key: value for key, value in function.items() if held.get(key) is None}
    if inner:
        extra["function"] = inner
    return Tool(name, description, parameters, extra=extra or None, form="" if "type" in raw else "untyped")


def _render_own(tool: Tool) -> JsonObject:
    extra = dict(tool.extra or {})
    held = (("description", tool.description), ("parameters", tool.parameters))
    function: JsonObject = {"name": tool.name, **{key: value for key, value in held if value is not None}, **extra.pop("function", {})}
    return {**({} if tool.form == "untyped" else {"type": "function"}), "function": function, **extra}


def render_own_tools(tools: tuple[Tool | HostedTool, ...]) -> list[Json]:
    """Tools that came from this wire, as they were."""
    return [_render_own(tool) if isinstance(tool, Tool) else _hosted(tool, index) for index, tool in enumerate(tools)]


def _hosted(tool: HostedTool, index: int) -> Json:
    if tool.dialect != NAME:
        raise Unsupported(f"{tool.kind} is run by its own provider and has no equivalent at Ollama", param=f"tools[{index}]")
    return tool.raw


def render_tools(request: Request, report: Report) -> list[Json]:
    """The tools of a request of any origin that its tool choice allows. Raises `Unsupported` for tools run by a provider."""
    if request.tools and not report.capabilities.tools:
        raise Unsupported("the model does not take tools", param="tools")
    shapes: list[Json] = []
    names = _allowed(request, report)
    for index, tool in enumerate(request.tools):
        if not isinstance(tool, Tool):
            shapes.append(_hosted(tool, index))
        elif names is None or tool.name in names:
            shapes.append(_tool(tool, f"tools[{index}]", report))
        else:
            report.drop(f"tools[{index}]", "the tool choice does not allow it, which Ollama is told by leaving it out")
    return shapes


def _allowed(request: Request, report: Report) -> frozenset[str] | None:
    """The names that may be called, None for all."""
    choice = request.tool_choice
    if request.parallel_tools is not None:
        report.drop("parallel_tool_calls", "Ollama cannot forbid several calls at once")
    if choice is None:
        return None
    report.drop_extra(choice.extra, "tool_choice.")
    if not request.tools:
        report.drop("tool_choice", "there are no tools to choose from")
    elif choice.mode == "required" or choice.mode == "tool" or choice.required:
        report.drop("tool_choice", "Ollama cannot force a call: the model may answer without one")
    elif choice.mode != "auto":
        report.change("tool_choice", "Ollama has no tool choice: the tools that may not be called are left out")
    if choice.mode == "none":
        return frozenset()
    return frozenset(choice.names) if choice.mode in ("tool", "allowed") else None


def _tool(tool: Tool, where: str, report: Report) -> JsonObject:
    function: JsonObject = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or _NO_PARAMETERS
    if tool.strict:
        report.drop(f"{where}.strict", "Ollama does not hold arguments to their schema")
    if tool.cache is not None:
        report.drop(f"{where}.cache_control", "Ollama caches prompts without breakpoints")
    report.drop_extra(tool.extra, f"{where}.")
    return {"type": "function", "function": function}
