"""Writing a request body."""

from __future__ import annotations

from headgate.dialects.base import RenderedRequest
from headgate.dialects.openai_chat.limits import apply_limits
from headgate.dialects.openai_chat.report import Report
from headgate.dialects.openai_completions.words import NAME, PATH
from headgate.domain.capabilities import Capabilities
from headgate.domain.content import Text, text_of
from headgate.domain.request import Message, Request, require_unbound
from headgate.errors import Unsupported
from headgate.wire.json import Json, JsonObject

_SCALARS = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "n",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "user",
    "stream",
)
_MISSING = (
    ("reasoning", "this wire has no reasoning effort"),
    ("service_tier", "this wire has no service tiers"),
    ("metadata", "this wire takes no metadata"),
    ("tool_choice", "there are no tools to choose from"),
    ("parallel_tools", "there are no tools to choose from"),
)
MOST_ALTERNATIVES = 5
"""The greatest `logprobs` (OpenAI API reference)."""


def render_request(request: Request, capabilities: Capabilities) -> RenderedRequest:
    """Write a request of any origin. Raises `Unsupported` for what is no single prompt: there are no turns, tools or formats here."""
    require_unbound(request, NAME)
    report = Report(request.dialect, capabilities, NAME)
    form = request.form if report.own else ()
    payload: JsonObject = {"model": request.model}
    _put_prompt(payload, request, form, report)
    request = apply_limits(request, report)
    if not report.own:
        _foreign(request, report)
    payload.update({field: value for field in _SCALARS if (value := getattr(request, field)) is not None})
    if request.stop or "stop:empty" in form:
        payload["stop"] = request.stop[0] if "stop:string" in form and len(request.stop) == 1 else list(request.stop)
    _put_logprobs(payload, request, form, report)
    _put_stream_options(payload, request, form, report)
    report.drop_extra(request.extra, "")
    if report.own:
        _put_extra(payload, request.extra or {})
    return RenderedRequest(PATH, payload, tuple(report.notes))


def _put_prompt(payload: JsonObject, request: Request, form: tuple[str, ...], report: Report) -> None:
    if report.own:
        prompts = [text_of(message.content) for message in request.messages]
        if prompts:
            payload["prompt"] = prompts if "prompt:list" in form else prompts[0]
        return
    if len(request.messages) != 1:
        raise Unsupported(f"this wire takes one prompt, not {len(request.messages)} messages", param="messages")
    payload["prompt"] = _prompt(request.messages[0], report)


def _prompt(message: Message, report: Report) -> str:
    if message.role != "user":
        raise Unsupported(f"this wire takes a prompt of the user, not of {message.role}", param="messages[0].role")
    for place, block in enumerate(message.content):
        if not isinstance(block, Text):
            raise Unsupported("this wire takes text only", param=f"messages[0].content[{place}]")
        if block.cache is not None:
            report.drop(f"messages[0].content[{place}].cache_control", "prompts are cached without breakpoints on this wire")
        report.drop_extra(block.extra, f"messages[0].content[{place}].")
    if message.name is not None:
        report.drop("messages[0].name", "this wire has no names")
    report.drop_extra(message.extra, "messages[0].")
    return text_of(message.content)


def _foreign(request: Request, report: Report) -> None:
    """Refuse what would be missed, report what would not."""
    if request.tools:
        raise Unsupported("this wire has no tools", param="tools")
    if request.response_format is not None and request.response_format.kind != "text":
        raise Unsupported("this wire has no structured answers", param="response_format")
    for field, reason in _MISSING:
        if getattr(request, field) is not None:
            report.drop(field, reason)


def _put_logprobs(payload: JsonObject, request: Request, form: tuple[str, ...], report: Report) -> None:
    if "logprobs:boolean" in form:
        payload["logprobs"] = request.logprobs
    elif request.logprobs:
        count = request.top_logprobs or 0
        if not report.own and count > MOST_ALTERNATIVES:
            report.change("top_logprobs", f"{count} became {MOST_ALTERNATIVES}")
            count = MOST_ALTERNATIVES
        payload["logprobs"] = count


def _put_stream_options(payload: JsonObject, request: Request, form: tuple[str, ...], report: Report) -> None:
    """Usage is asked for in every stream that came from elsewhere (translation case 55)."""
    wanted = request.stream_usage
    if wanted is None and not report.own and request.stream:
        wanted = True
    if wanted is not None and (report.own or request.stream):
        payload["stream_options"] = {"include_usage": wanted}
    elif "stream_options:empty" in form:
        payload["stream_options"] = {}


def _put_extra(payload: JsonObject, extra: JsonObject) -> None:
    options: Json = payload.get("stream_options")
    payload.update(extra)
    if options and isinstance(extra.get("stream_options"), dict):
        payload["stream_options"] = {**options, **extra["stream_options"]}
