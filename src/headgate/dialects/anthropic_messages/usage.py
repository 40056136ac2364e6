"""Token counts, both ways (translation cases 48 and 53).

On this wire `input_tokens` excludes what was read from or written to the cache, and `output_tokens` includes thinking. Tokens of
compaction passes are listed apart and are not in the totals, so they are reported as fees of their own.
"""

from __future__ import annotations

from headgate.domain.cost import cost_field
from headgate.domain.usage import Usage
from headgate.wire.json import Json, JsonObject

_ITERATION_FEES = {
    "input_tokens": "compaction_input",
    "cache_read_input_tokens": "compaction_cache_read",
    "cache_creation_input_tokens": "compaction_cache_write",
    "output_tokens": "compaction_output",
}
_TIERS = {"standard": "standard", "default": "standard", "on_demand": "standard", "priority": "priority", "batch": "batch"}
"""The tier an answer was served in, as any wire words it → as this one does, whose words are a closed set."""


def count(value: Json) -> int:
    """A token count; anything that is not a positive whole number is 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def parse_usage(wire: JsonObject) -> Usage:
    """A `usage` object in disjoint buckets. A cache write without its split by lifetime counts as the five-minute kind."""
    written = count(wire.get("cache_creation_input_tokens"))
    split = wire.get("cache_creation")
    hour = count(split.get("ephemeral_1h_input_tokens")) if isinstance(split, dict) else 0
    five = count(split.get("ephemeral_5m_input_tokens")) if isinstance(split, dict) else 0
    output = count(wire.get("output_tokens"))
    details = wire.get("output_tokens_details")
    thinking = min(count(details.get("thinking_tokens")), output) if isinstance(details, dict) else 0
    return Usage(
        input_uncached=count(wire.get("input_tokens")),
        cache_read=count(wire.get("cache_read_input_tokens")),
        cache_write_5m=max(five, written - hour),
        cache_write_1h=hour,
        output_text=output - thinking,
        output_reasoning=thinking,
        fees=_fees(wire),
        native=wire,
    )


def _fees(wire: JsonObject) -> dict[str, int]:
    fees: dict[str, int] = {}
    used = wire.get("server_tool_use")
    if isinstance(used, dict):
        for name, times in used.items():
            if count(times):
                fees[name.removesuffix("_requests")] = times
    passes = wire.get("iterations")
    for one in passes if isinstance(passes, list) else ():
        if isinstance(one, dict) and one.get("type") == "compaction":
            for key, fee in _ITERATION_FEES.items():
                if count(one.get(key)):
                    fees[fee] = fees.get(fee, 0) + one[key]
    return fees


def merge_usage(before: JsonObject, news: Json) -> JsonObject:
    """Cumulative usage of a stream: what the later event says wins, null says nothing."""
    if not isinstance(news, dict):
        return before
    return {**before, **{key: value for key, value in news.items() if value is not None}}


def render_usage(usage: Usage | None, service_tier: str | None = None) -> JsonObject:
    """A `usage` object for an answer of any origin. Unknown usage is zeros, which the wire requires; a tier without a word is left out."""
    usage = usage or Usage()
    wire: JsonObject = {
        "input_tokens": usage.input_uncached + usage.input_audio + usage.input_image,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.cache_write_5m, "ephemeral_1h_input_tokens": usage.cache_write_1h},
        "output_tokens": usage.output_total,
        **cost_field(usage.cost),
    }
    if usage.output_reasoning:
        wire["output_tokens_details"] = {"thinking_tokens": usage.output_reasoning}
    searches, fetches = usage.fees.get("web_search", 0), usage.fees.get("web_fetch", 0)
    if searches or fetches:
        wire["server_tool_use"] = {"web_search_requests": searches, "web_fetch_requests": fetches}
    tier = _TIERS.get(service_tier or "")
    if tier is not None:
        wire["service_tier"] = tier
    return wire
