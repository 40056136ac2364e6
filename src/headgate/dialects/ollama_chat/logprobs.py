"""Log probabilities: a list beside the message, here; ``{"content": […]}`` in the domain (case 38)."""

from __future__ import annotations

from headgate.wire.json import Json, JsonObject

_KEYS = ("token", "logprob", "bytes")


def parse_logprobs(raw: Json) -> JsonObject | None:
    """The domain's shape; None for anything but a list."""
    return {"content": raw} if isinstance(raw, list) else None


def render_own_logprobs(logprobs: Json) -> Json:
    """The list as it came from this wire."""
    return logprobs.get("content") if isinstance(logprobs, dict) else None


def render_logprobs(logprobs: Json) -> list[Json] | None:
    """The list for log probabilities of any origin."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return None
    entries = [entry for entry in content if isinstance(entry, dict)]
    return [{**_entry(entry), "top_logprobs": [_entry(top) for top in _tops(entry)]} for entry in entries]


def _tops(entry: JsonObject) -> list[JsonObject]:
    tops = entry.get("top_logprobs")
    return [top for top in tops if isinstance(top, dict)] if isinstance(tops, list) else []


def _entry(entry: JsonObject) -> JsonObject:
    return {key: entry[key] for key in _KEYS if entry.get(key) is not None}
