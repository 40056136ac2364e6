"""Writing a request body."""

from __future__ import annotations

from headgate.dialects.base import RenderedRequest
from headgate.dialects.ollama_chat.context import check_fit, window
from headgate.dialects.ollama_chat.formats import render_format, render_own_format
from headgate.dialects.ollama_chat.limits import apply_limits
from headgate.dialects.ollama_chat.options import num_ctx_of, render_options
from headgate.dialects.ollama_chat.render_messages import render_messages
from headgate.dialects.ollama_chat.report import Report
from headgate.dialects.ollama_chat.think import render_own_think, render_think
from headgate.dialects.ollama_chat.tools import render_own_tools, render_tools
from headgate.dialects.ollama_chat.words import NAME, PATH
from headgate.domain.capabilities import Capabilities
from headgate.domain.request import Request, require_unbound
from headgate.wire.json import Json, JsonObject


def render_request(request: Request, capabilities: Capabilities) -> RenderedRequest:
    """Write a request of any origin. What came from this wire is written back as it was.

    Raises `Unsupported` for what the wire or the model cannot do at all, and `ProviderError` of kind `CONTEXT_LENGTH` for a prompt that
    certainly does not fit (see `context`); every other loss is a note.
    """
    require_unbound(request, NAME)
    report = Report(request.dialect, capabilities)
    payload = _own(request, report) if report.own else _foreign(request, report)
    return RenderedRequest(PATH, payload, tuple(report.notes))


def _head(request: Request, report: Report) -> JsonObject:
    payload: JsonObject = {"model": request.model, "messages": render_messages(request.messages, report)}
    _put(payload, "logprobs", request.logprobs)
    _put(payload, "top_logprobs", request.top_logprobs)
    return payload


def _own(request: Request, report: Report) -> JsonObject:
    extra, form = request.extra or {}, request.form
    if extra.get("truncate") is not True:
        check_fit(request, report.capabilities, num_ctx_of(request))
    payload = _head(request, report)
    if "stream:absent" not in form or not request.stream:
        payload["stream"] = bool(request.stream)
    if request.tools or "tools:empty" in form:
        payload["tools"] = render_own_tools(request.tools)
    if request.response_format is not None:
        _put(payload, "format", render_own_format(request.response_format))
    if request.reasoning is not None:
        _put(payload, "think", render_own_think(request.reasoning))
    _put(payload, "options", render_options(request, form, extra.get("options")))
    payload.update((key, value) for key, value in extra.items() if key != "options")
    return _marked(payload, request)


def _put(payload: JsonObject, key: str, value: Json) -> None:
    if value is not None:
        payload[key] = value


def _marked(payload: JsonObject, request: Request) -> JsonObject:
    """Restore the spelling of what was said with nothing in it."""
    for mark in request.form:
        key, _, how = mark.partition(":")
        if how == "null" and (request.stream if key == "stream" else not payload.get(key)):
            payload[key] = None
    if "format:empty" in request.form:
        payload.setdefault("format", "")
    if "messages:absent" in request.form and not request.messages:
        del payload["messages"]
    return payload


def _foreign(request: Request, report: Report) -> JsonObject:
    request = apply_limits(request, report)
    check_fit(request, report.capabilities, answer=max(request.max_tokens or 1, 1))
    payload = _head(request, report)
    payload["stream"] = bool(request.stream)
    tools = render_tools(request, report)
    if tools:
        payload["tools"] = tools
    if request.response_format is not None:
        _put(payload, "format", render_format(request.response_format, report))
    if request.reasoning is not None:
        _put(payload, "think", render_think(request.reasoning, report))
    size = window(request, report.capabilities)
    _put(payload, "options", render_options(request, (), None if size is None else {"num_ctx": size}))
    payload["truncate"] = payload["shift"] = False
    report.drop_extra(request.extra, "")
    return payload
