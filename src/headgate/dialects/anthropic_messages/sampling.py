"""Sampling, stops, tiers and everything this wire does not have (translation cases 33–40)."""

from __future__ import annotations

from operator import attrgetter

from headgate.dialects.anthropic_messages.notes import Losses
from headgate.domain.capabilities import Capabilities
from headgate.domain.request import Request
from headgate.wire.json import JsonObject

_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}

_ABSENT = ("presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "metadata")
"""Request fields without a counterpart on this wire, `seed` apart."""

_absent = attrgetter(*_ABSENT)
_unknown = attrgetter("seed", "service_tier", "extra", *_ABSENT)
_NOTHING = (None,) * (3 + len(_ABSENT))


def render_sampling(request: Request, payload: JsonObject, losses: Losses, *, thinking: bool) -> None:
    """Temperature, top_p and top_k as the model takes them; what it refuses is left out."""
    temperature, top_p, top_k = request.temperature, request.top_p, request.top_k
    if temperature is None and top_p is None and top_k is None:
        return
    capabilities = losses.capabilities
    refused: dict[str, str] = {}
    if thinking or not capabilities.sampling or not capabilities.temperature_and_top_p:
        refused = _refused(request, capabilities, thinking=thinking)
        for name in refused:
            losses.dropped(name, refused[name])
    if temperature is not None and "temperature" not in refused:
        payload["temperature"] = _clamp(temperature, losses)
    if top_p is not None and "top_p" not in refused:
        payload["top_p"] = top_p
    if top_k is not None and "top_k" not in refused:
        payload["top_k"] = top_k


def _refused(request: Request, capabilities: Capabilities, *, thinking: bool) -> dict[str, str]:
    """The sampling fields that cannot go along, with the reason. Beside thinking only temperature 1 and top_p from 0.95 may stand."""
    given = {name: getattr(request, name) for name in ("temperature", "top_p", "top_k") if getattr(request, name) is not None}
    if not capabilities.sampling:
        return dict.fromkeys(given, "the model chooses its own sampling")
    if thinking:
        fine = {"temperature": request.temperature == 1, "top_p": (request.top_p or 0) >= 0.95}
        return {name: "excluded by thinking" for name in given if not fine.get(name, False)}
    if "temperature" in given and "top_p" in given and not capabilities.temperature_and_top_p:
        return {"top_p": "the model takes temperature or top_p, not both"}
    return {}


def _clamp(value: float, losses: Losses) -> float:
    most = losses.capabilities.temperature_max
    most = 1 if most is None else most
    if value <= most:
        return value
    losses.approximated("temperature", f"{min(value, 1e308):g} is above this wire's range: {most:g} was sent")
    return most


def stop_sequences(request: Request, losses: Losses) -> list[str]:
    """Stop sequences the wire takes: none of white space only, at most as many as the model allows."""
    stops = [word for word in request.stop if word.strip()]
    if len(stops) < len(request.stop):
        losses.dropped("stop", "stop sequences of white space only are refused by this wire")
    most = losses.capabilities.stop_max
    if most is not None and len(stops) > most:
        losses.dropped("stop", f"only the first {most} of {len(stops)} stop sequences are taken")
        stops = stops[:most]
    return stops


def report_unknown(request: Request, payload: JsonObject, losses: Losses) -> None:
    """Service tier, and a note for each field or key this wire does not have; zero and false change nothing and need none."""
    if _unknown(request) == _NOTHING:
        return
    if request.seed is not None:
        losses.dropped("seed", "not part of this wire")
    for name, value in zip(_ABSENT, _absent(request), strict=True):
        if value:
            losses.dropped(name, "not part of this wire")
    tier = request.service_tier
    if tier is not None:
        if tier in _TIERS:
            payload["service_tier"] = _TIERS[tier]
        else:
            losses.dropped("service_tier", f"{tier!r} is not a tier of this wire")
    if request.extra:
        losses.foreign(request.extra)
