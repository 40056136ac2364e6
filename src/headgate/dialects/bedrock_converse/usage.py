"""Token counts, both ways (translation case 50): `inputTokens` excludes what was read from or written to the cache, and `outputTokens`
includes reasoning, which the wire does not count apart."""

from __future__ import annotations

from headgate.domain.usage import Usage
from headgate.wire.json import Json, JsonObject


def count(value: Json) -> int:
    """A token count; anything that is not a positive whole number is 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def parse_usage(wire: JsonObject) -> Usage:
    """A `usage` object in disjoint buckets. A cache write without its split by lifetime counts as the five-minute kind."""
    split = wire.get("cacheDetails")
    written = count(wire.get("cacheWriteInputTokens"))
    hour = sum(_written(part, "1h") for part in split) if isinstance(split, list) else 0
    five = sum(_written(part, "5m") for part in split) if isinstance(split, list) else 0
    used = wire.get("serverToolUsage")
    return Usage(
        input_uncached=count(wire.get("inputTokens")),
        cache_read=count(wire.get("cacheReadInputTokens")),
        cache_write_5m=max(five, written - hour),
        cache_write_1h=hour,
        output_text=count(wire.get("outputTokens")),
        fees={name: times for name, times in used.items() if count(times)} if isinstance(used, dict) else {},
        native=wire,
    )


def _written(part: Json, ttl: str) -> int:
    return count(part.get("inputTokens")) if isinstance(part, dict) and part.get("ttl") == ttl else 0


def render_usage(usage: Usage | None) -> JsonObject:
    """A `usage` object for an answer of any origin. Unknown usage is zeros, which the wire requires."""
    usage = usage or Usage()
    written = usage.cache_write_5m + usage.cache_write_1h
    wire: JsonObject = {
        "inputTokens": usage.input_total - usage.cache_read - written,
        "outputTokens": usage.output_total,
        "totalTokens": usage.total,
        "cacheReadInputTokens": usage.cache_read,
        "cacheWriteInputTokens": written,
    }
    if written:
        parts = (("1h", usage.cache_write_1h), ("5m", usage.cache_write_5m))
        wire["cacheDetails"] = [{"ttl": ttl, "inputTokens": tokens} for ttl, tokens in parts if tokens]
    return wire
