"""`usageMetadata` and the usage buckets (translation cases 49 and 54).

`promptTokenCount` contains cached tokens, `candidatesTokenCount` does not contain thoughts, tokens of tool results count as input.
Details by modality split sound and pictures off; text, documents and video stay in the plain buckets.
"""

from __future__ import annotations

from headgate.domain.usage import Usage
from headgate.wire.json import Json, JsonObject

_COUNTS = ("promptTokenCount", "candidatesTokenCount", "totalTokenCount")
_TIERS = {
    "standard": "standard",
    "unspecified": "standard",
    "default": "standard",
    "on_demand": "standard",
    "flex": "flex",
    "priority": "priority",
}
"""The tier an answer was served in, as any wire words it → as this one does, whose words are a closed set."""


def parse_usage(raw: Json) -> Usage | None:
    """The buckets of one `usageMetadata`; None when it counts nothing. Odd values count as zero, no bucket is ever negative."""
    if not isinstance(raw, dict) or not any(key in raw for key in _COUNTS):
        return None
    cached = _count(raw, "cachedContentTokenCount")
    cached_by = _by_modality(raw, "cacheTokensDetails")
    prompt_by = _by_modality(raw, "promptTokensDetails")
    prompt = _count(raw, "promptTokenCount")
    cached = min(cached, prompt)
    audio, image = (min(max(prompt_by.get(kind, 0) - cached_by.get(kind, 0), 0), prompt - cached) for kind in ("AUDIO", "IMAGE"))
    image = min(image, prompt - cached - audio)
    answer = _count(raw, "candidatesTokenCount")
    answer_by = _by_modality(raw, "candidatesTokensDetails")
    said = min(answer_by.get("AUDIO", 0), answer)
    drawn = min(answer_by.get("IMAGE", 0), answer - said)
    return Usage(
        input_uncached=prompt - cached - audio - image + _count(raw, "toolUsePromptTokenCount"),
        cache_read=cached,
        input_audio=audio,
        input_image=image,
        output_text=answer - said - drawn,
        output_reasoning=_count(raw, "thoughtsTokenCount"),
        output_audio=said,
        output_image=drawn,
        native=raw,
    )


def parse_tier(raw: Json) -> str | None:
    """The tier the call was served on, in lower case without the enum's prefix."""
    word = raw.get("serviceTier") if isinstance(raw, dict) else None
    return word.removeprefix("SERVICE_TIER_").lower() if isinstance(word, str) else None


def _count(raw: JsonObject, key: str) -> int:
    value = raw.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _by_modality(raw: JsonObject, key: str) -> dict[str, int]:
    found: dict[str, int] = {}
    details = raw.get(key)
    for item in details if isinstance(details, list) else ():
        if isinstance(item, dict) and isinstance(item.get("modality"), str):
            found[item["modality"]] = found.get(item["modality"], 0) + _count(item, "tokenCount")
    return found


def render_usage(usage: Usage, service_tier: str | None = None) -> JsonObject:
    """A `usageMetadata` for buckets of any origin. A tier that this wire has no word for is left out."""
    raw: JsonObject = {
        "promptTokenCount": usage.input_total,
        "candidatesTokenCount": usage.output_total - usage.output_reasoning,
        "totalTokenCount": usage.total,
    }
    if usage.output_reasoning:
        raw["thoughtsTokenCount"] = usage.output_reasoning
    if usage.cache_read:
        raw["cachedContentTokenCount"] = usage.cache_read
    sound, pictures = usage.input_audio, usage.input_image
    if sound or pictures:
        raw["promptTokensDetails"] = _details(usage.input_total - sound - pictures, sound, pictures)
    if usage.output_audio or usage.output_image:
        raw["candidatesTokensDetails"] = _details(usage.output_text, usage.output_audio, usage.output_image)
    tier = _TIERS.get(service_tier or "")
    if tier is not None:
        raw["serviceTier"] = tier
    return raw


def _details(plain: int, sound: int, pictures: int) -> list[JsonObject]:
    counts = (("TEXT", plain), ("AUDIO", sound), ("IMAGE", pictures))
    return [{"modality": name, "tokenCount": count} for name, count in counts if count]
