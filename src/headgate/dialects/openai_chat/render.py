"""Writing a request body."""

from __future__ import annotations

import re

from headgate.dialects.base import RenderedRequest
from headgate.dialects.openai_chat.formats import render_reasoning, render_response_format
from headgate.dialects.openai_chat.limits import apply_limits
from headgate.dialects.openai_chat.render_messages import render_messages
from headgate.dialects.openai_chat.report import Report
from headgate.dialects.openai_chat.tools import foreign_schema, render_function, render_tool, render_tool_choice
from headgate.dialects.openai_chat.words import MODEL_IN_PATH, NAME, PATH
from headgate.domain.capabilities import Capabilities
from headgate.domain.request import HostedTool, Request, ResponseFormat, Tool, require_unbound
from headgate.errors import Unsupported
from headgate.wire.json import Json, JsonObject

_SCALARS = (
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("seed", "seed"),
    ("n", "n"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("logit_bias", "logit_bias"),
    ("logprobs", "logprobs"),
    ("top_logprobs", "top_logprobs"),
    ("parallel_tools", "parallel_tool_calls"),
    ("user", "user"),
    ("metadata", "metadata"),
    ("service_tier", "service_tier"),
    ("stream", "stream"),
)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEARCH = ("web_search", "google_search")


def render_request(request: Request, capabilities: Capabilities) -> RenderedRequest:
    """Write a request of any origin. What came from this wire is written back as it was.

    The output limit is written as `max_tokens_field` of the card, else as the caller spelled it, else `max_completion_tokens`.
    Raises `Unsupported` for what the wire or the model cannot do at all; every other loss is a note.
    """
    require_unbound(request, NAME)
    report = Report(request.dialect, capabilities)
    request = apply_limits(request, report)
    payload: JsonObject = {"model": request.model, "messages": render_messages(request.messages, report)}
    form = request.form if report.own else ()
    if MODEL_IN_PATH in form:
        del payload["model"]
    for field, key in _SCALARS:
        value = getattr(request, field)
        if value is not None:
            payload[key] = value
    if request.max_tokens is not None:
        payload[_limit_key(form, capabilities)] = request.max_tokens
    if request.stop or "stop:empty" in form:
        payload["stop"] = request.stop[0] if "stop:string" in form and len(request.stop) == 1 else list(request.stop)
    _put_tools(payload, request, form, report)
    if request.response_format is not None:
        payload["response_format"] = _response_format(request.response_format, report)
    if request.reasoning is not None:
        _put_reasoning(payload, request, form)
    _put_stream_options(payload, request, form, report)
    if request.extra:
        _put_extra(payload, request.extra, report)
    return RenderedRequest(PATH, payload, tuple(report.notes))


def _limit_key(form: tuple[str, ...], capabilities: Capabilities) -> str:
    return capabilities.max_tokens_field or next((mark for mark in form if mark.startswith("max_")), "max_completion_tokens")


def _put_tools(payload: JsonObject, request: Request, form: tuple[str, ...], report: Report) -> None:
    if request.tools or "tools:empty" in form:
        if "functions" in form:
            payload["functions"] = [render_function(tool) for tool in request.tools if isinstance(tool, Tool)]
        else:
            _put_tool_list(payload, request.tools, report)
    choice = request.tool_choice
    if choice is None:
        return
    if "function_call" in form:
        payload["function_call"] = {"name": choice.names[0]} if choice.mode == "tool" and choice.names else choice.mode
    else:
        payload["tool_choice"] = "any" if "tool_choice:any" in form and choice.mode == "required" else render_tool_choice(choice)
    report.drop_extra(choice.extra, "tool_choice.")


def _put_tool_list(payload: JsonObject, tools: tuple[Tool | HostedTool, ...], report: Report) -> None:
    shapes: list[Json] = []
    for index, tool in enumerate(tools):
        if isinstance(tool, Tool):
            shapes.append(render_tool(tool) if report.own else _foreign_tool(tool, index, report))
        elif tool.dialect == NAME:
            shapes.append(tool.raw)
        elif tool.kind.startswith(_SEARCH):
            payload["web_search_options"] = {}
            report.change(f"tools[{index}]", f"{tool.kind} became web_search_options, which only search models take")
        else:
            raise Unsupported(f"{tool.kind} is run by its own provider and has no equivalent here", param=f"tools[{index}]")
    if shapes or not tools:
        payload["tools"] = shapes


def _foreign_tool(tool: Tool, index: int, report: Report) -> JsonObject:
    where = f"tools[{index}]"
    if not _NAME.fullmatch(tool.name):
        raise Unsupported(f"{where}: {tool.name!r} is no function name here (1-64 letters, digits, _ or -)", param=f"{where}.name")
    function: JsonObject = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = foreign_schema(tool)
    if tool.strict is not None:
        function["strict"] = tool.strict
    if tool.cache is not None:
        report.drop(f"{where}.cache_control", "prompts are cached without breakpoints on this wire")
    report.drop_extra(tool.extra, f"{where}.")
    return {"type": "function", "function": function}


def _response_format(value: ResponseFormat, report: Report) -> JsonObject:
    if report.own:
        return render_response_format(value)
    report.drop_extra(value.extra, "response_format.")
    name = (value.name or "response") if value.kind == "json_schema" else value.name
    return render_response_format(ResponseFormat(value.kind, value.schema, name, value.description, value.strict))


def _put_reasoning(payload: JsonObject, request: Request, form: tuple[str, ...]) -> None:
    if request.reasoning is None:
        return
    if "reasoning" in form:
        payload["reasoning"] = render_reasoning(request.reasoning)
    elif request.reasoning.effort is not None:
        payload["reasoning_effort"] = request.reasoning.effort


def _put_stream_options(payload: JsonObject, request: Request, form: tuple[str, ...], report: Report) -> None:
    """Usage is asked for in every stream that came from elsewhere, since only this wire leaves it out by default (case 55)."""
    wanted = request.stream_usage
    if wanted is None and not report.own and request.stream:
        wanted = True
    if wanted is not None and (report.own or request.stream):
        payload["stream_options"] = {"include_usage": wanted}
    elif "stream_options:empty" in form:
        payload["stream_options"] = {}


def _put_extra(payload: JsonObject, extra: JsonObject, report: Report) -> None:
    report.drop_extra(extra, "")
    if not report.own:
        return
    options = payload.get("stream_options")
    payload.update(extra)
    if options and isinstance(extra.get("stream_options"), dict):
        payload["stream_options"] = {**options, **extra["stream_options"]}
