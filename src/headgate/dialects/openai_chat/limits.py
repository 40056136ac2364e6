"""What a model cannot do, applied to a request: each loss is reported, each impossibility refused."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headgate.dialects.openai_chat.report import Report
from headgate.domain.capabilities import Capabilities
from headgate.domain.request import Reasoning, Request
from headgate.errors import Unsupported
from headgate.wire.json import Json

_EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh"})
_BUDGETS = ((0, "none"), (1024, "minimal"), (4096, "low"), (16384, "medium"))
_SERVICE_TIERS = {
    "auto": "auto",
    "default": "default",
    "standard": "default",
    "standard_only": "default",
    "flex": "flex",
    "priority": "priority",
    "scale": "scale",
}

_Droppable = tuple[str, Callable[[Capabilities], bool], str]
_DROPPED: tuple[_Droppable, ...] = (
    ("temperature", lambda can: can.sampling, "the model does not take sampling parameters"),
    ("top_p", lambda can: can.sampling, "the model does not take sampling parameters"),
    ("top_k", lambda can: can.sampling, "the model does not take sampling parameters"),
    ("seed", lambda can: can.seed, "the model does not take a seed"),
    ("presence_penalty", lambda can: can.penalties, "the model does not take penalties"),
    ("frequency_penalty", lambda can: can.penalties, "the model does not take penalties"),
    ("logprobs", lambda can: can.logprobs, "the model does not give log probabilities"),
    ("top_logprobs", lambda can: can.logprobs, "the model does not give log probabilities"),
)


def apply_limits(request: Request, report: Report) -> Request:
    """The request as this model can take it. Raises `Unsupported` for tools, several choices or stop words it cannot do."""
    can = report.capabilities
    changes: dict[str, Json] = {}
    if request.tools and not can.tools:
        raise Unsupported("the model does not take tools", param="tools")
    if request.n is not None and request.n > 1 and not can.choices:
        raise Unsupported("the model gives one answer per call", param="n", hint="send n calls")
    if can.stop_max is not None and len(request.stop) > can.stop_max:
        raise Unsupported(f"at most {can.stop_max} stop sequences are taken, not {len(request.stop)}", param="stop")
    for field, able, reason in _DROPPED:
        if getattr(request, field) is not None and not able(can):
            changes[field] = None
            report.drop(field, reason)
    _sampling(request, report, changes)
    _structure(request, report, changes)
    if not report.own:
        _foreign(request, report, changes)
    return msgspec.structs.replace(request, **changes) if changes else request


def _sampling(request: Request, report: Report, changes: dict[str, Json]) -> None:
    can, temperature = report.capabilities, request.temperature
    if not can.sampling or temperature is None:
        return
    if can.temperature_max is not None and temperature > can.temperature_max:
        changes["temperature"] = can.temperature_max
        report.change("temperature", f"clamped to {can.temperature_max}")
    if request.top_p is not None and not can.temperature_and_top_p:
        changes["top_p"] = None
        report.drop("top_p", "the model takes temperature or top_p, not both")


def _structure(request: Request, report: Report, changes: dict[str, Json]) -> None:
    form, ability = request.response_format, report.capabilities.structured_output
    if form is None or form.kind == "text" or ability == "native":
        return
    if ability == "json_object":
        if form.kind == "json_schema":
            changes["response_format"] = msgspec.structs.replace(form, kind="json_object", schema=None, name=None, strict=None, extra=None)
            report.change("response_format", "the model takes no schema: any JSON object is asked for")
        return
    changes["response_format"] = None
    report.drop("response_format", "the model has no structured output on this wire")


def _foreign(request: Request, report: Report, changes: dict[str, Json]) -> None:
    """Fields of another wire that this one does not have, or words differently."""
    if request.dialect and request.top_k is not None and "top_k" not in changes:
        changes["top_k"] = None
        report.drop("top_k", "this wire has no top_k")
    if request.metadata is not None and request.dialect:
        changes["metadata"] = None
        report.drop("metadata", "metadata belongs to another provider")
    if request.service_tier is not None:
        changes["service_tier"] = _SERVICE_TIERS.get(request.service_tier)
        if changes["service_tier"] is None:
            report.drop("service_tier", f"this wire has no tier {request.service_tier!r}")
    if not request.tools:
        for field in ("tool_choice", "parallel_tools"):
            if getattr(request, field) is not None:
                changes[field] = None
                report.drop(field, "there are no tools to choose from")
    if request.reasoning is not None:
        changes["reasoning"] = reasoning_for(request.reasoning, report)


def reasoning_for(wish: Reasoning, report: Report) -> Reasoning | None:
    """Any wish about thinking as an effort word, None when nothing can be said (case 76)."""
    can = report.capabilities
    report.drop_extra(wish.extra, "reasoning.")
    if wish.visible:
        report.drop("reasoning.visible", "this wire does not return thoughts")
    effort = wish.effort or _effort_of(wish, report)
    if effort is None:
        return None
    if can.reasoning == "none":
        if effort != "none":
            report.drop("reasoning", "the model does not think")
        return None
    if effort == "none" and can.reasoning_required:
        report.change("reasoning", "the model always thinks: low is the least")
        effort = "low"
    elif effort not in _EFFORTS:
        report.change("reasoning", f"{effort} became {'xhigh' if effort == 'max' else 'medium'}")
        effort = "xhigh" if effort == "max" else "medium"
    return Reasoning(effort=effort)


def _effort_of(wish: Reasoning, report: Report) -> str | None:
    if wish.mode == "disabled":
        return "none"
    if wish.budget is None or wish.budget < 0:
        if wish.budget is not None or wish.mode is not None:
            report.change("reasoning", "how much to think is left to the model")
        return None
    effort = next((word for limit, word in _BUDGETS if wish.budget <= limit), "high")
    if wish.budget:
        report.change("reasoning.budget", f"{wish.budget} tokens became {effort} effort")
    return effort
