"""Token counts: totals that include cached, written and reasoning tokens, to the domain's disjoint buckets, and back (cases 47, 48)."""

from __future__ import annotations

from msgspec.structs import replace

from headgate.dialects.openai_chat.usage import parse_usage as parse_chat_usage
from headgate.domain.cost import cost_field
from headgate.domain.usage import Usage
from headgate.wire.json import Json, JsonObject

_CHAT_KEYS = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
    "total_tokens": "total_tokens",
    "num_sources_used": "num_sources_used",
}
"""The counters are those of the chat wire under other names."""


def parse_usage(value: Json, tools: Json = None) -> Usage | None:
    """Read a usage object; None when there is none. `tools` is `tool_usage` of the answer, which counts web searches apart."""
    if not isinstance(value, dict):
        return None
    found = parse_chat_usage({name: value[key] for key, name in _CHAT_KEYS.items() if key in value})
    if found is None:
        return None
    searches = _searches(tools)
    return replace(found, native=value, fees={**found.fees, "web_search": searches} if searches else found.fees)


def _searches(tools: Json) -> int:
    search = tools.get("web_search") if isinstance(tools, dict) else None
    count = search.get("num_requests") if isinstance(search, dict) else None
    return count if type(count) is int and count > 0 else 0


def render_usage(usage: Usage | None) -> JsonObject | None:
    """Write a usage object of any origin; null when nothing was counted."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_total,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        },
        "output_tokens": usage.output_total,
        "output_tokens_details": {"reasoning_tokens": usage.output_reasoning},
        "total_tokens": usage.total,
        **cost_field(usage.cost),
    }
