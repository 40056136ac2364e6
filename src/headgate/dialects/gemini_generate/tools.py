"""Tools, hosted tools and the choice among them.

The wire groups function declarations in tool objects. Canonical is one object per run of functions and one per hosted tool; marks
``tools:split:N`` (a new object begins at tool N) and ``tools:join:N`` (tool N shares the object before) keep other groupings.
"""

from __future__ import annotations

import re

from headgate.dialects.gemini_generate.names import NAME
from headgate.dialects.gemini_generate.schema import from_subset, is_open_object, raised, to_subset
from headgate.dialects.gemini_generate.writer import Writer
from headgate.domain.request import HostedTool, Request, Tool, ToolChoice
from headgate.errors import Unsupported
from headgate.wire.json import Json, JsonObject, arr, obj, text

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
_DATED = re.compile(r"[_-]?\d{4}[_-]?\d{2}[_-]?\d{2}$")
_NATIVE = {
    "web_search": "googleSearch",
    "web_search_preview": "googleSearch",
    "code_interpreter": "codeExecution",
    "code_execution": "codeExecution",
    "web_fetch": "urlContext",
}


def parse_tools(value: Json, form: list[str]) -> tuple[Tool | HostedTool, ...]:
    """All tool objects, flattened. A hosted tool keeps its wire object as it came, keyed by its name."""
    found: list[Tool | HostedTool] = []
    for index, raw in enumerate(arr(value, "tools")):
        wire = dict(obj(raw, f"tools[{index}]"))
        declared = wire.pop("functionDeclarations", None)
        first = len(found)
        if declared:
            path = f"tools[{index}].functionDeclarations"
            found += [_parse_function(obj(item, f"{path}[{i}]"), f"{path}[{i}]") for i, item in enumerate(arr(declared, path))]
            if first and isinstance(found[first - 1], Tool):
                form.append(f"tools:split:{first}")
        elif "functionDeclarations" in raw:
            wire["functionDeclarations"] = declared
        for key, options in wire.items():
            if len(found) > first:
                form.append(f"tools:join:{len(found)}")
            found.append(HostedTool(key, {key: options}, NAME))
        if not raw:
            found.append(HostedTool("", {}, NAME))
    return tuple(found)


def _parse_function(raw: JsonObject, path: str) -> Tool:
    wire = dict(raw)
    name = text(wire.pop("name", None), f"{path}.name")
    description = wire.pop("description") if isinstance(wire.get("description"), str) else None
    parameters: Json = None
    form = ""
    if isinstance(wire.get("parametersJsonSchema"), dict):
        parameters = wire.pop("parametersJsonSchema")
    elif isinstance(wire.get("parameters"), dict):
        parameters, changed = from_subset(wire.pop("parameters"))
        form = "capitals" if changed else "subset"
    return Tool(name, description, parameters, extra=wire or None, form=form)


def render_tools(request: Request, writer: Writer) -> list[JsonObject]:
    """Tool objects. Functions of another dialect share one object, before the hosted tools."""
    if writer.same:
        return _grouped(request, writer)
    if not writer.capabilities.tools:
        raise Unsupported("this model takes no tools", param="tools")
    functions = []
    hosted = []
    for index, tool in enumerate(request.tools):
        if isinstance(tool, Tool):
            functions.append(_render_function(tool, writer, f"tools[{index}]"))
        else:
            hosted.append(_render_hosted(tool, writer, f"tools[{index}]"))
    return [{"functionDeclarations": functions}, *hosted] if functions else hosted


def _grouped(request: Request, writer: Writer) -> list[JsonObject]:
    groups: list[JsonObject] = []
    for index, tool in enumerate(request.tools):
        joins = bool(groups) and f"tools:join:{index}" in request.form
        if isinstance(tool, HostedTool):
            wire = _render_hosted(tool, writer, f"tools[{index}]")
            if joins:
                groups[-1].update(wire)
            else:
                groups.append(dict(wire))
            continue
        alone = not groups or not isinstance(request.tools[index - 1], Tool) or f"tools:split:{index}" in request.form
        if alone:
            groups.append({"functionDeclarations": []})
        groups[-1]["functionDeclarations"].append(_render_function(tool, writer, f"tools[{index}]"))
    return groups


def _render_function(tool: Tool, writer: Writer, field: str) -> JsonObject:
    if not writer.same and not _NAME.fullmatch(tool.name):
        raise Unsupported(
            f"{field}.name {tool.name!r}: the Gemini API wants a letter or underscore, then letters, digits and _ . : -, at most 64",
            param=f"{field}.name",
        )
    wire: JsonObject = {"name": tool.name}
    if tool.description or (tool.description is not None and writer.same):
        wire["description"] = tool.description
    _set_parameters(wire, tool, writer, field)
    if tool.strict:
        writer.drop(f"{field}.strict", "the Gemini API does not promise that arguments follow the schema")
    if tool.cache is not None:
        writer.drop(f"{field}.cache_control", "the Gemini API has no cache breakpoints")
    if tool.extra is not None:
        wire.update(writer.kept(tool.extra, field) or {})
    return wire


def _set_parameters(wire: JsonObject, tool: Tool, writer: Writer, field: str) -> None:
    """The parameters' schema under the name the model understands (translation cases 16 and 80)."""
    parameters = tool.parameters
    if writer.same and tool.form:
        wire["parameters"] = raised(tool.schema) if tool.form == "capitals" else parameters
    elif writer.same:
        if parameters is not None:
            wire["parametersJsonSchema"] = parameters
    elif writer.capabilities.json_schema_field:
        wire["parametersJsonSchema"] = parameters or {"type": "object", "properties": {}}
    elif not is_open_object(tool.schema):
        wire["parameters"] = to_subset(tool.schema, writer, f"{field}.parameters")


def _render_hosted(tool: HostedTool, writer: Writer, field: str) -> JsonObject:
    if tool.dialect == NAME and isinstance(tool.raw, dict):
        return tool.raw
    native = _NATIVE.get(_DATED.sub("", tool.kind))
    if native is None:
        raise Unsupported(f"{field}: the Gemini API has no equivalent of the hosted tool {tool.kind!r}", param=field)
    if isinstance(tool.raw, dict) and tool.raw.keys() - {"type", "name"}:
        writer.approximate(field, f"sent as {native} without its options")
    return {native: {}}


def parse_tool_choice(config: JsonObject) -> ToolChoice | None:
    """The choice in a `functionCallingConfig`; known keys are removed from `config`. None when it names no mode."""
    path = "toolConfig.functionCallingConfig"
    names: tuple[str, ...] = ()
    if config.get("allowedFunctionNames"):
        allowed = arr(config["allowedFunctionNames"], f"{path}.allowedFunctionNames")
        names = tuple(text(name, f"{path}.allowedFunctionNames[{i}]") for i, name in enumerate(allowed))
    if config.get("mode") is None:
        return None
    word = text(config.pop("mode"), f"{path}.mode")
    if names:
        del config["allowedFunctionNames"]
    choice, canonical = _choice(word.upper(), names)
    if canonical != word:
        config["mode"] = word
    return ToolChoice(choice.mode, choice.names, choice.required, config or None)


def _choice(mode: str, names: tuple[str, ...]) -> tuple[ToolChoice, str]:
    """The domain's choice for a wire mode, and the word this dialect would write for it."""
    if names and mode == "ANY":
        return (ToolChoice("tool", names) if len(names) == 1 else ToolChoice("allowed", names, required=True)), "ANY"
    if names:
        return ToolChoice("allowed", names), "VALIDATED"
    if mode == "NONE":
        return ToolChoice("none"), "NONE"
    return (ToolChoice("required"), "ANY") if mode == "ANY" else (ToolChoice("auto"), "AUTO")


def render_tool_choice(choice: ToolChoice, writer: Writer) -> JsonObject:
    """A `functionCallingConfig`."""
    forced = choice.mode in ("required", "tool") or (choice.mode == "allowed" and choice.required)
    words = {"auto": "AUTO", "none": "NONE", "allowed": "VALIDATED"}
    config: JsonObject = {"mode": "ANY" if forced else words[choice.mode]}
    if choice.names:
        config["allowedFunctionNames"] = list(choice.names)
    if choice.extra is not None:
        config.update(writer.kept(choice.extra, "tool_choice") or {})
    return config
