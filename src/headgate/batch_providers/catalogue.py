"""Classes for every provider that has a batch envelope, and the names they go by."""

from __future__ import annotations

import re
from functools import lru_cache

from headgate.batch_providers.base import BaseBatchProvider
from headgate.batch_providers.envelope import EnvelopeBatchProvider
from headgate.dialects.batch_words import facts_of
from headgate.providers import PROVIDERS


class OpenAIBatchProvider(EnvelopeBatchProvider):
    """OpenAI: chat, older completions and embeddings."""

    PROVIDER_NAME = "openai"


class AnthropicBatchProvider(EnvelopeBatchProvider):
    """Anthropic: chat."""

    PROVIDER_NAME = "anthropic"


class GeminiBatchProvider(EnvelopeBatchProvider):
    """Google Gemini: chat."""

    PROVIDER_NAME = "gemini"


_WRITTEN = {cls.PROVIDER_NAME: cls for cls in (OpenAIBatchProvider, AnthropicBatchProvider, GeminiBatchProvider)}
_CAPITALS = {"openai": "OpenAI", "xai": "XAI"}


def names() -> tuple[str, ...]:
    """The providers that have a batch envelope."""
    return tuple(name for name, provider in PROVIDERS.items() if provider.batch is not None)


@lru_cache(maxsize=64)
def class_of(name: str) -> type[EnvelopeBatchProvider]:
    """The class of a provider, always the same one: ``GroqBatchProvider`` for "groq"."""
    written = _WRITTEN.get(name)
    if written is not None:
        return written
    label = PROVIDERS[name].label
    fields = {"PROVIDER_NAME": name, "__doc__": f"{label}.", "__module__": __name__}
    return type(f"{_camel(name)}BatchProvider", (EnvelopeBatchProvider,), fields)


def _camel(name: str) -> str:
    return "".join(_CAPITALS.get(part, part.capitalize()) for part in re.split("[-_]", name))


def builtin() -> list[type[BaseBatchProvider]]:
    """Every class, in the order of the providers."""
    return [class_of(name) for name in names()]


def aliases() -> dict[str, str]:
    """Further names of these providers: "claude", "google" …"""
    found: dict[str, str] = {}
    for name in names():
        facts = facts_of(name)
        for other in facts.providers if facts is not None and facts.providers[0] == name else ():
            if other not in PROVIDERS:
                found[other] = name
    return found
