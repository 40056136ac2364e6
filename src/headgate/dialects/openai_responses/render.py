"""Writing a request body."""

from __future__ import annotations

from msgspec.structs import replace

from headgate.dialects.base import RenderedRequest
from headgate.dialects.openai_chat.limits import apply_limits
from headgate.dialects.openai_chat.report import Report
from headgate.dialects.openai_responses.formats import (
    ENCRYPTED,
    LOGPROBS,
    render_foreign_reasoning,
    render_format,
    render_own_reasoning,
)
from headgate.dialects.openai_responses.render_turns import render_input
from headgate.dialects.openai_responses.request import SCALARS
from headgate.dialects.openai_responses.tools import render_foreign_tool, render_own_tool, render_tool_choice
from headgate.dialects.openai_responses.turns import INSTRUCTIONS
from headgate.dialects.openai_responses.words import NAME, PATH
from headgate.domain.capabilities import Capabilities
from headgate.domain.content import Text
from headgate.domain.request import Message, Request, ResponseFormat, require_unbound
from headgate.errors import Unsupported
from headgate.wire.json import Json, JsonObject

_ABSENT: dict[str, Json] = {"seed": None, "top_k": None, "presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}}
"""Request fields without a counterpart on this wire, and the value that changes nothing."""


def render_request(request: Request, capabilities: Capabilities) -> RenderedRequest:
    """Write a request of any origin. What came from this wire is written back as it was.

    Towards this wire nothing is stored unless the caller said so here: other wires do not keep answers.
    Raises `Unsupported` for what the wire or the model cannot do at all; every other loss is a note.
    """
    require_unbound(request, NAME)
    report = Report(request.dialect, capabilities, NAME)
    visible = not report.own and request.reasoning is not None and bool(request.reasoning.visible)
    request = apply_limits(_without_visible(request) if visible else request, report)
    payload: JsonObject = {}
    for key, (field, _) in SCALARS.items():
        value = getattr(request, field)
        if value is not None:
            payload[key] = value
    if report.own:
        _put_own(payload, request, report)
    else:
        _put_foreign(payload, request, visible, report)
    return RenderedRequest(PATH, payload, tuple(report.notes))


def _without_visible(request: Request) -> Request:
    """The request without the wish to see thoughts, which this wire can grant and the common limits would report."""
    wish = request.reasoning
    return request if wish is None else replace(request, reasoning=replace(wish, visible=None))


def _put_own(payload: JsonObject, request: Request, report: Report) -> None:
    form, extra = request.form, request.extra or {}
    messages = request.messages
    if messages and messages[0].form == INSTRUCTIONS:
        payload["instructions"] = _plain(messages[0])
        messages = messages[1:]
    items = render_input(messages, report)
    if "input:string" in form and len(items) == 1 and isinstance(items[0].get("content"), str):
        payload["input"] = items[0]["content"]
    elif items or not {"input:absent", "null:input"}.intersection(form):
        payload["input"] = items
    if request.tools or "tools:empty" in form:
        payload["tools"] = [render_own_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        payload["tool_choice"] = render_tool_choice(request.tool_choice)
    if request.reasoning is not None:
        payload["reasoning"] = render_own_reasoning(request.reasoning, form)
    if "model:absent" in form and not request.model:
        del payload["model"]
    payload.update(extra)
    _put_text(payload, request, form, extra)
    _put_marks(payload, form)


def _plain(message: Message) -> str:
    return "".join(block.text for block in message.content if isinstance(block, Text))


def _put_text(payload: JsonObject, request: Request, form: tuple[str, ...], extra: JsonObject) -> None:
    if request.response_format is not None:
        payload["text"] = {"format": render_format(request.response_format), **extra.get("text", {})}
    elif "text:empty" in form:
        payload["text"] = {}


def _put_marks(payload: JsonObject, form: tuple[str, ...]) -> None:
    """What only the spelling tells: keys that were null, what had to be included, what was not to be kept."""
    for mark in form:
        name, _, rest = mark.partition(":")
        if name == "null":
            payload.setdefault(rest, None)
        elif name == "include":
            payload["include"] = rest.split(",")
        elif mark == "store:false":
            payload["store"] = False


def _put_foreign(payload: JsonObject, request: Request, visible: bool, report: Report) -> None:
    payload["input"] = render_input(request.messages, report)
    payload["store"] = False
    _refuse(request, report)
    if request.tools:
        payload["tools"] = [render_foreign_tool(tool, f"tools[{index}]", report) for index, tool in enumerate(request.tools)]
    if request.tool_choice is not None:
        payload["tool_choice"] = render_tool_choice(request.tool_choice)
        report.drop_extra(request.tool_choice.extra, "tool_choice.")
    if request.response_format is not None:
        payload["text"] = {"format": _foreign_format(request.response_format, report)}
    includes = _put_reasoning(payload, request, visible, report)
    if request.logprobs:
        includes.append(LOGPROBS)
    if includes:
        payload["include"] = includes
    report.drop_extra(request.extra, "")


def _refuse(request: Request, report: Report) -> None:
    """What this wire does not have: several answers are refused, the rest is reported."""
    if request.n is not None and request.n != 1:
        raise Unsupported(f"this wire gives one answer per call, not {request.n}", param="n", hint="send the request n times")
    if request.stop:
        report.drop("stop", "this wire has no stop sequences")
    for field, nothing in _ABSENT.items():
        if getattr(request, field) not in (None, nothing):
            report.drop(field, "not part of this wire")


def _put_reasoning(payload: JsonObject, request: Request, visible: bool, report: Report) -> list[Json]:
    """Write `reasoning`; thoughts that think are asked for in a form that can be sent back, since nothing is stored."""
    if visible and report.capabilities.reasoning == "none":
        report.drop("reasoning.visible", "the model does not think")
        visible = False
    shape = render_foreign_reasoning(request.reasoning, visible=visible)
    if not shape:
        return []
    payload["reasoning"] = shape
    return [] if shape.get("effort") == "none" else [ENCRYPTED]


def _foreign_format(value: ResponseFormat, report: Report) -> JsonObject:
    report.drop_extra(value.extra, "response_format.")
    name = (value.name or "response") if value.kind == "json_schema" else None
    return render_format(ResponseFormat(value.kind, value.schema, name, value.description, value.strict))
