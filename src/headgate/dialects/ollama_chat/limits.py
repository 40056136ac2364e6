"""What this wire or this model cannot do, applied to a request of another wire: each loss is reported, each impossibility refused."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

import msgspec

from headgate.dialects.ollama_chat.report import Report
from headgate.domain.capabilities import Capabilities
from headgate.domain.request import Request
from headgate.errors import Unsupported
from headgate.wire.json import Json

_NO_SAMPLING = "the model does not take sampling parameters"
_DROPPED: tuple[tuple[str, Callable[[Capabilities], bool], str], ...] = (
    ("temperature", lambda can: can.sampling, _NO_SAMPLING),
    ("top_p", lambda can: can.sampling, _NO_SAMPLING),
    ("top_k", lambda can: can.sampling, _NO_SAMPLING),
    ("seed", lambda can: can.seed, "the model does not take a seed"),
    ("presence_penalty", lambda can: can.penalties, "the model does not take penalties"),
    ("frequency_penalty", lambda can: can.penalties, "the model does not take penalties"),
    ("logprobs", lambda can: can.logprobs, "the model does not give log probabilities"),
    ("top_logprobs", lambda can: can.logprobs, "the model does not give log probabilities"),
    ("logit_bias", lambda can: False, "Ollama has no logit bias"),
    ("user", lambda can: False, "Ollama has no end-user id"),
    ("metadata", lambda can: False, "Ollama has no request metadata"),
    ("service_tier", lambda can: False, "Ollama has no service tiers"),
)
_values = attrgetter(*[field for field, _, _ in _DROPPED])
_NOTHING = (None,) * len(_DROPPED)


def apply_limits(request: Request, report: Report) -> Request:
    """The request as this model can take it. Raises `Unsupported` for several choices and for too many stop words."""
    can = report.capabilities
    if request.n is not None and request.n != 1:
        raise Unsupported("Ollama gives one answer per call", param="n", hint="send n calls")
    if can.stop_max is not None and len(request.stop) > can.stop_max:
        raise Unsupported(f"at most {can.stop_max} stop sequences are taken, not {len(request.stop)}", param="stop")
    changes: dict[str, Json] = {}
    values = _values(request)
    if values != _NOTHING:
        for (field, able, reason), value in zip(_DROPPED, values, strict=True):
            if value is not None and not able(can):
                changes[field] = None
                report.drop(field, reason)
    if can.sampling and request.temperature is not None:
        _sampling(request, report, changes)
    return msgspec.structs.replace(request, **changes) if changes else request


def _sampling(request: Request, report: Report, changes: dict[str, Json]) -> None:
    can = report.capabilities
    if can.temperature_max is not None and request.temperature is not None and request.temperature > can.temperature_max:
        changes["temperature"] = can.temperature_max
        report.change("temperature", f"clamped to {can.temperature_max}")
    if request.top_p is not None and not can.temperature_and_top_p:
        changes["top_p"] = None
        report.drop("top_p", "the model takes temperature or top_p, not both")
