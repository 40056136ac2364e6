"""Counts and usage buckets (case 52).

`prompt_eval_count` contains the tokens read from the cache, which newer servers name in `prompt_eval_cached_count`; `eval_count` contains
the thoughts, which nobody counts apart. Older servers leave `prompt_eval_count` out when the whole prompt was cached: the input is then
zero and the usage marked as estimated, so that whoever knows the request puts an estimate in its place.
"""

from __future__ import annotations

from headgate.dialects.ollama_chat.words import METRICS
from headgate.domain.usage import Usage
from headgate.wire.json import JsonObject


def parse_usage(raw: JsonObject) -> Usage | None:
    """The buckets of a finished answer; None when it counts nothing. `native` holds counts and durations (ns) as they came."""
    if "prompt_eval_count" not in raw and "eval_count" not in raw:
        return None
    prompt = _count(raw, "prompt_eval_count")
    cached = min(_count(raw, "prompt_eval_cached_count"), prompt)
    return Usage(
        input_uncached=prompt - cached,
        cache_read=cached,
        output_text=_count(raw, "eval_count"),
        source="provider" if prompt else "estimated",
        native={key: raw[key] for key in METRICS if key in raw},
    )


def _count(raw: JsonObject, key: str) -> int:
    value = raw.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def render_usage(usage: Usage) -> JsonObject:
    """The counts of a usage of any origin."""
    shape: JsonObject = {"prompt_eval_count": usage.input_total, "eval_count": usage.output_total}
    if usage.cache_read:
        shape["prompt_eval_cached_count"] = usage.cache_read
    return shape
