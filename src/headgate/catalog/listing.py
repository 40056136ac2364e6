"""What providers say they serve: their list endpoints, read as cards. Pure.

A card made of a list has what the list states and nothing else: most state names alone, Together AI and xAI prices too. Sources: the API
references of OpenAI, Groq, Together AI, xAI, Anthropic, Gemini and Ollama; recorded traffic.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

import msgspec

from headgate.catalog.cards import Kind, ModelCard, Price, Rates, Tier
from headgate.catalog.prices import decimal_text
from headgate.domain.capabilities import Capabilities
from headgate.wire.http import Flow, Reply, Send, send
from headgate.wire.json import Json, JsonObject, arr, decode, obj, text

_PAGES = 100
_KINDS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"embed"), "embedding"),
    (re.compile(r"moderation|guard"), "moderation"),
    (re.compile(r"realtime|-live|native-audio|voice-(?:think|latest|\d)"), "realtime"),
    (re.compile(r"transcri|whisper"), "transcription"),
    (re.compile(r"tts|orpheus|lyria|speech"), "speech"),
    (re.compile(r"image|dall-e|imagen|flux|banana"), "image"),
    (re.compile(r"sora|veo-|video"), "video"),
    (re.compile(r"rerank"), "rerank"),
    (re.compile(r"instruct$|davinci|babbage"), "completion"),
)


class Listing(msgspec.Struct, frozen=True):
    """A provider's list: where it lies, how an entry of it is read, and how the next page is asked for."""

    path: str
    entries: Callable[[Json], list[Json]]
    card: Callable[[JsonObject, str, str], ModelCard]
    more: Callable[[JsonObject], str | None] = lambda page: None


def list_models(listing: Listing, day: str, source: str, check: Callable[[Reply], None]) -> Flow[tuple[ModelCard, ...]]:
    """Ask for the whole list. Prices in it are dated `day`. `check` raises for a refusal; what is no such list is a `WireError`."""
    found: list[ModelCard] = []
    path = listing.path
    for _ in range(_PAGES):
        reply = yield from send(Send("GET", path))
        check(reply)
        page = decode(reply.body, what="the list of models")
        found += (listing.card(obj(entry, "model"), day, source) for entry in listing.entries(page))
        following = listing.more(page) if isinstance(page, dict) else None
        if following is None:
            break
        path = f"{listing.path}{'&' if '?' in listing.path else '?'}{following}"
    return tuple(found)


def kind_of(name: str) -> Kind:
    """What a model is for, by the words in its name."""
    return next((kind for pattern, kind in _KINDS if pattern.search(name.lower())), "chat")


def _card(
    name: str,
    *,
    label: Json = None,
    kind: Kind | None = None,
    context: Json = None,
    output: Json = None,
    prices: tuple[Price, ...] = (),
) -> ModelCard:
    return ModelCard(
        id=name,
        display_name=label if isinstance(label, str) and label else name,
        kind=kind or kind_of(name),
        capabilities=Capabilities(context=_count(context), max_output=_count(output)),
        prices=prices,
    )


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _within(key: str) -> Callable[[Json], list[Json]]:
    return lambda page: arr(obj(page, "list").get(key, []), key)


def _openai(entry: JsonObject, day: str, source: str) -> ModelCard:
    """OpenAI and Groq: the latter adds the window and the longest answer."""
    return _card(text(entry.get("id"), "id"), context=entry.get("context_window"), output=entry.get("max_completion_tokens"))


_TOGETHER: dict[str, Kind] = {
    "language": "completion",
    "code": "completion",
    "image": "image",
    "embedding": "embedding",
    "moderation": "moderation",
    "rerank": "rerank",
    "audio": "speech",
    "video": "video",
    "transcribe": "transcription",
}


def _together(entry: JsonObject, day: str, source: str) -> ModelCard:
    """Together AI: a bare array; ``pricing`` is dollars per million tokens, zero where the model is not sold by the token."""
    name, pricing = text(entry.get("id"), "id"), entry.get("pricing") or {}
    rates = Rates(
        input=_dollars(pricing.get("input")),
        output=_dollars(pricing.get("output")),
        cache_read=_dollars(pricing.get("cached_input")),
    )
    sold = rates.input not in (None, "0") and rates.output is not None
    return _card(
        name,
        label=entry.get("display_name"),
        kind=_TOGETHER.get(str(entry.get("type")), "chat"),
        context=entry.get("context_length"),
        prices=(Price(since=day, source=source, rates=rates),) if sold else (),
    )


def _dollars(value: Json, part: int = 1) -> str | None:
    """A number of the list in dollars, of which it counts `part`s; None where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return decimal_text(Fraction(str(value)) / part)


def _xai(entry: JsonObject, day: str, source: str) -> ModelCard:
    """xAI: prices in cents per hundred million tokens, and those of prompts of ``long_context_threshold`` tokens or more."""
    rates, long = _xai_rates(entry, ""), _xai_rates(entry, "_long_context")
    threshold = _count(entry.get("long_context_threshold"))
    tiers = (Tier(above=threshold - 1, rates=long),) if threshold and long.input not in (None, "0") else ()
    sold = rates.input not in (None, "0") and rates.output is not None
    return _card(
        text(entry.get("id"), "id"),
        context=entry.get("context_length"),
        prices=(Price(since=day, source=source, rates=rates, tiers=tiers),) if sold else (),
    )


def _xai_rates(entry: JsonObject, size: str) -> Rates:
    return Rates(
        input=_dollars(entry.get(f"prompt_text_token_price{size}"), 10_000),
        output=_dollars(entry.get(f"completion_text_token_price{size}"), 10_000),
        cache_read=_dollars(entry.get(f"cached_prompt_text_token_price{size}"), 10_000),
    )


def _anthropic(entry: JsonObject, day: str, source: str) -> ModelCard:
    return _card(
        text(entry.get("id"), "id"),
        label=entry.get("display_name"),
        context=entry.get("max_input_tokens"),
        output=entry.get("max_tokens"),
    )


def _after(page: JsonObject) -> str | None:
    return f"after_id={page['last_id']}" if page.get("has_more") and page.get("last_id") else None


def _gemini(entry: JsonObject, day: str, source: str) -> ModelCard:
    name = text(entry.get("name"), "name").removeprefix("models/")
    methods = entry.get("supportedGenerationMethods") or ["generateContent"]
    kind: Kind | None = None if "generateContent" in methods else "embedding" if "embedContent" in methods else kind_of(f"{name}-video")
    limits = entry.get("inputTokenLimit"), entry.get("outputTokenLimit")
    return _card(name, label=entry.get("displayName"), kind=kind, context=limits[0], output=limits[1])


def _token(page: JsonObject) -> str | None:
    return f"pageToken={page['nextPageToken']}" if page.get("nextPageToken") else None


def _ollama(entry: JsonObject, day: str, source: str) -> ModelCard:
    return _card(text(entry.get("model") or entry.get("name"), "model"))


LISTINGS: dict[str, Listing] = {
    "openai": Listing("/models", _within("data"), _openai),
    "groq": Listing("/models", _within("data"), _openai),
    "together": Listing("/models", lambda page: arr(page, "list"), _together),
    "xai": Listing("/language-models", _within("models"), _xai),
    "anthropic": Listing("/v1/models?limit=1000", _within("data"), _anthropic, _after),
    "gemini": Listing("/v1beta/models?pageSize=1000", _within("models"), _gemini, _token),
    "ollama": Listing("/api/tags", _within("models"), _ollama),
}
"""The lists there are, by provider. Azure OpenAI, Bedrock and Vertex AI have none on the interface that their models are called on."""

WIRES = {
    "openai_chat": "openai",
    "openai_responses": "openai",
    "anthropic_messages": "anthropic",
    "gemini_generate": "gemini",
    "ollama_chat": "ollama",
}
"""Whose list a provider is asked for that merely speaks a wire."""
_WITHOUT = frozenset({"azure_openai", "vertex", "bedrock"})


def listing_of(provider: str, dialect: str) -> Listing | None:
    """The list of a provider, by its name, else by the chat wire it speaks."""
    if provider.removeprefix("sim-") in _WITHOUT:
        return None
    return LISTINGS.get(provider) or LISTINGS.get(WIRES.get(dialect, ""))
