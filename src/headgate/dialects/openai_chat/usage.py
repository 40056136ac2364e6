"""Token counts: this wire's overlapping totals to the domain's disjoint buckets, and back (cases 47, 48, 51, 52).

`prompt_tokens` includes cached, audio and image tokens; `completion_tokens` includes reasoning, except at providers whose total is
larger than the sum of the two: what is missing from the sum is the reasoning (xAI), or the audio that was heard (Mistral).
"""

from __future__ import annotations

from headgate.domain.cost import cost_field
from headgate.domain.usage import Usage
from headgate.wire.json import Json, JsonObject

_NO_DETAILS: JsonObject = {}
_PLAIN = {"prompt_tokens", "completion_tokens", "total_tokens"}
_USUAL_TIERS = ("standard", "standard_only", "unspecified", "on_demand")
_FOREIGN_TIERS = {**dict.fromkeys(_USUAL_TIERS, "default"), "batch": None, "reserved": None}
"""Tiers that only others name → the word of this wire, None when it has none."""


def parse_usage(value: Json) -> Usage | None:
    """Read a usage object; None when there is none. Counts that are no whole numbers count as zero; no bucket is ever negative."""
    if not isinstance(value, dict) or ("prompt_tokens" not in value and "completion_tokens" not in value):
        return None
    if value.keys() == _PLAIN and (plain := _plain(value)) is not None:
        return plain
    prompt, completion = _count(value, "prompt_tokens"), _count(value, "completion_tokens")
    inside, outside = _details(value, "prompt_tokens_details"), _details(value, "completion_tokens_details")
    unseen = max(0, _count(value, "total_tokens") - prompt - completion)
    if unseen and unseen == _count(inside, "audio_tokens") and unseen > prompt:
        prompt, unseen = prompt + unseen, 0
    left, cached = _take(prompt, _cached(value, inside))
    left, written = _take(left, _count(inside, "cache_write_tokens") or _count(inside, "cache_creation_tokens"))
    left, audio_in = _take(left, _count(inside, "audio_tokens"))
    left, image_in = _take(left, _count(inside, "image_tokens"))
    rest, reasoning = (completion, unseen) if unseen else _take(completion, _count(outside, "reasoning_tokens"))
    rest, audio_out = _take(rest, _count(outside, "audio_tokens"))
    rest, image_out = _take(rest, _count(outside, "image_tokens"))
    sources = _count(value, "num_sources_used")
    return Usage(
        input_uncached=left,
        cache_read=cached,
        cache_write_5m=written,
        input_audio=audio_in,
        input_image=image_in,
        output_text=rest,
        output_reasoning=reasoning,
        output_audio=audio_out,
        output_image=image_out,
        fees={"search_source": sources} if sources else {},
        native=value,
    )


def _plain(value: JsonObject) -> Usage | None:
    """Usage that says no more than how much went in and came out, as most does; None when its numbers say more than that."""
    prompt, completion, total = value["prompt_tokens"], value["completion_tokens"], value["total_tokens"]
    if type(prompt) is not int or type(completion) is not int or prompt < 0 or completion < 0 or total != prompt + completion:
        return None
    return Usage(input_uncached=prompt, output_text=completion, native=value)


def tier_word(tier: str | None) -> str | None:
    """The tier of an answer of any origin as this wire words it; None for none. A word nobody else has is kept."""
    return None if tier is None else _FOREIGN_TIERS.get(tier, tier)


def find_usage(answer: JsonObject) -> Usage | None:
    """The usage of an answer or of a stream chunk, wherever its provider puts it (Groq: `x_groq`; Moonshot: in the choice)."""
    if answer.get("usage") is not None:
        return parse_usage(answer["usage"])
    groq = answer.get("x_groq")
    if isinstance(groq, dict) and groq.get("usage") is not None:
        return parse_usage(groq["usage"])
    choices = answer.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return parse_usage(choices[0].get("usage"))
    return None


def render_usage(usage: Usage) -> JsonObject:
    """Write a usage object of any origin: totals include every bucket, cached and reasoning tokens are named in the details."""
    prompt, completion = usage.input_total, usage.output_total
    inside: JsonObject = {"cached_tokens": usage.cache_read, "audio_tokens": usage.input_audio}
    written = usage.cache_write_5m + usage.cache_write_1h
    if written:
        inside["cache_write_tokens"] = written
    if usage.input_image:
        inside["image_tokens"] = usage.input_image
    outside: JsonObject = {"reasoning_tokens": usage.output_reasoning, "audio_tokens": usage.output_audio}
    if usage.output_image:
        outside["image_tokens"] = usage.output_image
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": inside,
        "completion_tokens_details": outside,
        **cost_field(usage.cost),
    }


def _cached(value: JsonObject, inside: JsonObject) -> int:
    """Cached tokens: in the details, or beside the totals (Together and Moonshot: cached_tokens; DeepSeek: prompt_cache_hit_tokens)."""
    return _count(inside, "cached_tokens") or _count(value, "cached_tokens") or _count(value, "prompt_cache_hit_tokens")


def _details(value: JsonObject, key: str) -> JsonObject:
    found = value.get(key)
    return found if isinstance(found, dict) else _NO_DETAILS


def _count(value: JsonObject, key: str) -> int:
    found = value.get(key)
    if type(found) is float and found.is_integer():
        found = int(found)
    return found if type(found) is int and found > 0 else 0


def _take(total: int, part: int) -> tuple[int, int]:
    """What is left of `total` after taking `part`, and what could be taken."""
    taken = min(total, part)
    return total - taken, taken
