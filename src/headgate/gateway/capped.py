"""A request that may not say as much as it wants: its maximum of output, lowered for a budget or set for a key."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headgate.client import Target
from headgate.dialects.base import Note
from headgate.wire.json import encode

Fields = dict[str, msgspec.Raw]


def _named(name: str) -> Callable[[Fields, Target, int], Fields]:
    def put(fields: Fields, target: Target, most: int) -> Fields:
        return {**fields, name: msgspec.Raw(encode(most))}

    return put


def _chat(fields: Fields, target: Target, most: int) -> Fields:
    wanted = target.capabilities.max_tokens_field
    name = "max_completion_tokens" if "max_completion_tokens" in fields else wanted or "max_tokens"
    return {**fields, name: msgspec.Raw(encode(most))}


def _gemini(fields: Fields, target: Target, most: int) -> Fields:
    name = "generation_config" if "generation_config" in fields else "generationConfig"
    raw = fields.get(name)
    config = {} if raw is None else msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    config.pop("max_output_tokens", None)
    return {**fields, name: msgspec.Raw(encode({**config, "maxOutputTokens": most}))}


_PUT: dict[str, Callable[[Fields, Target, int], Fields]] = {
    "openai_chat": _chat,
    "openai_completions": _named("max_tokens"),
    "openai_responses": _named("max_output_tokens"),
    "anthropic_messages": _named("max_tokens"),
    "gemini_generate": _gemini,
}


def capped(dialect: str, fields: Fields, target: Target, most: int) -> Fields:
    """The fields of a request of `dialect` with `most` as its maximum of output tokens."""
    return _PUT[dialect](fields, target, most)


def notes_of(most: int | None, degraded: bool) -> tuple[Note, ...]:
    """What the client is told: of its maximum, when it is `most` now, and that another model answers."""
    lowered = () if most is None else (Note("max_tokens", "approximated", f"the key or a budget allows no more than {most} tokens"),)
    return (*lowered, _CHEAPER) if degraded else lowered


_CHEAPER = Note("model", "approximated", "a budget has only room for a model that costs less")
