"""Writing a request: one value to path and payload, with a note for whatever does not arrive as asked."""

from __future__ import annotations

from operator import attrgetter

from headgate.dialects.base import RenderedRequest
from headgate.dialects.gemini_generate.blocks import render_block
from headgate.dialects.gemini_generate.config import render_config
from headgate.dialects.gemini_generate.names import NAME, render_path, resource
from headgate.dialects.gemini_generate.spelling import respell
from headgate.dialects.gemini_generate.tools import render_tool_choice, render_tools
from headgate.dialects.gemini_generate.turns import render_turns
from headgate.dialects.gemini_generate.writer import Writer
from headgate.domain.capabilities import Capabilities
from headgate.domain.request import Message, Request, require_unbound
from headgate.wire.json import JsonObject

_ELSEWHERE = {
    "logit_bias": "the Gemini API has no logit bias",
    "user": "the Gemini API has no end-user id",
    "metadata": "the Gemini API has no request metadata",
    "service_tier": "the Gemini API has no service tier in this dialect",
}
_elsewhere_of = attrgetter(*_ELSEWHERE)
_NOTHING = (None,) * len(_ELSEWHERE)
_ROLES = {"assistant": "model"}


def render_request(request: Request, capabilities: Capabilities) -> RenderedRequest:
    """Write one request for a model with these capabilities.

    A request that came from this dialect is written back as it came. Raises `Unsupported` for what must be refused; every other
    loss is a note.
    """
    require_unbound(request, NAME)
    same = request.dialect == NAME
    writer = Writer(capabilities, same=same)
    payload: JsonObject = {}
    if same:
        _render_own(request, payload, writer)
    else:
        system, payload["contents"] = render_turns(request.messages, writer)
        if system:
            payload["systemInstruction"] = {"parts": system}
        _report_rest(request, writer)
    if request.tools:
        payload["tools"] = render_tools(request, writer)
    if request.tool_choice is not None:
        payload["toolConfig"] = {"functionCallingConfig": render_tool_choice(request.tool_choice, writer)}
    config = render_config(request, writer)
    if config is not None:
        payload["generationConfig"] = config
    if same:
        payload = _with_extra(request, payload)
    path = render_path(request.model, stream=bool(request.stream), form=request.form if same else ())
    return RenderedRequest(path, payload, tuple(writer.notes))


def _report_rest(request: Request, writer: Writer) -> None:
    """Fields that this wire has no place for."""
    values = _elsewhere_of(request)
    if values != _NOTHING:
        for (field, reason), value in zip(_ELSEWHERE.items(), values, strict=True):
            if value is not None:
                writer.drop(field, reason)
    if request.parallel_tools is False:
        writer.drop("parallel_tool_calls", "the Gemini API cannot forbid several calls at once")
    if request.extra is not None:
        writer.kept(request.extra, "")


def _with_extra(request: Request, payload: JsonObject) -> JsonObject:
    """Add the keys this dialect does not name, and restore the caller's spelling."""
    for key, value in (request.extra or {}).items():
        if key == "toolConfig" and isinstance(value, dict):
            payload[key] = {**value, **payload.get(key, {})}
        elif key != "generationConfig" or not isinstance(value, dict):
            payload[key] = value
    if "body:model" in request.form:
        payload["model"] = resource(request.model)
    return respell(payload, request.form)


def _render_own(request: Request, payload: JsonObject, writer: Writer) -> None:
    """Messages exactly as this dialect would have read them."""
    contents = []
    system: JsonObject | None = None
    for index, message in enumerate(request.messages):
        content = _render_content(message, f"messages[{index}]", writer)
        if message.role not in ("system", "developer"):
            contents.append(content)
        elif system is None:
            system = content
        else:
            system["parts"] = [*system["parts"], *content.get("parts", [])]
    payload["contents"] = contents
    if system is not None:
        payload["systemInstruction"] = system


def _role(message: Message, marks: list[str]) -> str | None:
    """The role as it was written: a system instruction has none, unless a mark ``role=…`` says so."""
    if message.role in ("system", "developer"):
        return next((mark[5:] for mark in marks if mark.startswith("role=")), None)
    if "norole" in marks:
        return None
    return "function" if "function" in marks else _ROLES.get(message.role, "user")


def _render_content(message: Message, field: str, writer: Writer) -> JsonObject:
    marks = message.form.split(",") if message.form else []
    content: JsonObject = {}
    role = _role(message, marks)
    if role is not None:
        content["role"] = role
    parts = [part for block in message.content if (part := render_block(block, writer, field)) is not None]
    if "object" in marks and len(parts) == 1:
        content["parts"] = parts[0]
    elif "noparts" not in marks or parts:
        content["parts"] = parts
    if message.extra is not None:
        content.update(message.extra)
    return content
