"""Reading LiteLLM's public price map, the second source: facts to complete cards with, and prices to compare ours with."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import msgspec

from headgate.catalog.cards import Kind


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the map says of one model. Prices are dollars per token."""

    litellm_provider: str = ""
    mode: str = ""
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    output_vector_size: int | None = None
    deprecation_date: str | None = None
    supported_modalities: tuple[str, ...] = ()
    supported_output_modalities: tuple[str, ...] = ()
    supports_function_calling: bool = False
    supports_vision: bool = False
    supports_pdf_input: bool = False
    supports_audio_input: bool = False
    supports_response_schema: bool = False
    supports_native_structured_output: bool = False
    supports_reasoning: bool = False
    supports_none_reasoning_effort: bool = False
    supports_adaptive_thinking: bool = False
    supports_sampling_params: bool | None = None
    supports_assistant_prefill: bool | None = None
    thinking_always_on: bool = False
    input_cost_per_token: Decimal | None = None
    output_cost_per_token: Decimal | None = None
    cache_read_input_token_cost: Decimal | None = None
    cache_creation_input_token_cost: Decimal | None = None
    cache_creation_input_token_cost_above_1hr: Decimal | None = None
    input_cost_per_token_batches: Decimal | None = None
    output_cost_per_token_batches: Decimal | None = None

    @property
    def kind(self) -> Kind | None:
        """What the model is for; None for what is no model."""
        return KINDS.get(self.mode)

    @property
    def batch_factor(self) -> Fraction | None:
        """What a batch costs as a part of the list price, where both directions agree."""
        plain = (self.input_cost_per_token, self.output_cost_per_token)
        batch = (self.input_cost_per_token_batches, self.output_cost_per_token_batches)
        found = {Fraction(b) / Fraction(p) for p, b in zip(plain, batch, strict=True) if p and b}
        return found.pop() if len(found) == 1 else None


KINDS: dict[str, Kind] = {
    "chat": "chat",
    "responses": "chat",
    "completion": "completion",
    "embedding": "embedding",
    "image_generation": "image",
    "image_edit": "image",
    "audio_speech": "speech",
    "audio_transcription": "transcription",
    "realtime": "realtime",
    "moderation": "moderation",
    "rerank": "rerank",
    "video_generation": "video",
}

_AZURE = ("gpt", "o1", "o3", "o4", "text-", "codex", "computer", "dall", "whisper", "tts", "sora", "davinci", "ada")


def _bare(*owners: str) -> Callable[[str, Facts], str | None]:
    return lambda name, facts: name if facts.litellm_provider in owners and "/" not in name and not name.startswith("ft:") else None


def _below(owner: str, prefix: str) -> Callable[[str, Facts], str | None]:
    return lambda name, facts: name.removeprefix(prefix) if facts.litellm_provider == owner and name.startswith(prefix) else None


def _azure(name: str, facts: Facts) -> str | None:
    found = _below("azure", "azure/")(name, facts)
    return found if found and "/" not in found and found.startswith(_AZURE) else None


def _vertex(name: str, facts: Facts) -> str | None:
    mine = facts.litellm_provider == "vertex_ai-language-models" and "gemini" in name
    return name.removeprefix("vertex_ai/") if mine else None


NAMES: dict[str, Callable[[str, Facts], str | None]] = {
    "openai": _bare("openai", "text-completion-openai"),
    "anthropic": _bare("anthropic"),
    "gemini": _below("gemini", "gemini/"),
    "xai": _below("xai", "xai/"),
    "groq": _below("groq", "groq/"),
    "together": _below("together_ai", "together_ai/"),
    "bedrock": _bare("bedrock", "bedrock_converse"),
    "azure_openai": _azure,
    "vertex": _vertex,
    "ollama": _below("ollama", "ollama/"),
}
"""By provider: the name it uses for an entry of the map, or None when the entry is not one of its models."""


def read_map(path: Path) -> dict[str, dict[str, Facts]]:
    """The facts of a ``model_prices_and_context_window.json``, by provider of ours and name."""
    entries = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
    found: dict[str, dict[str, Facts]] = {provider: {} for provider in NAMES}
    for name, raw in entries.items():
        try:
            facts = msgspec.json.decode(raw, type=Facts, strict=False)
        except msgspec.ValidationError:
            if name == "sample_spec":
                continue
            raise
        for provider, named in NAMES.items():
            own = named(name, facts)
            if own is not None and facts.kind is not None:
                found[provider][own] = facts
    return found
