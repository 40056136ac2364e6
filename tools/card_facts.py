"""What the sources say of a model, as the fields of a card. A field that a card already has is never touched."""

from __future__ import annotations

from second_source import Facts

from headgate.wire.json import JsonObject

_OPENAI: JsonObject = {"audio": False, "prefill": False, "system_anywhere": True, "stop_max": 4, "temperature_max": 2}
_OPENAI_THINKING: JsonObject = {
    "prefill": False,
    "system_anywhere": True,
    "stop_max": 0,
    "reasoning": "effort",
    "sampling": False,
    "penalties": False,
    "logprobs": False,
    "max_tokens_field": "max_completion_tokens",
}
_CLAUDE: JsonObject = {"temperature_max": 1, "choices": False, "seed": False, "penalties": False, "logprobs": False}
_BASES: dict[str, JsonObject] = {
    "openai": _OPENAI,
    "azure_openai": _OPENAI,
    "anthropic": _CLAUDE,
    "gemini": {"temperature_max": 2, "stop_max": 5, "penalties": False},
    "vertex": {"temperature_max": 2, "stop_max": 5, "penalties": False},
    "xai": {"prefill": False, "system_anywhere": True, "stop_max": 4, "temperature_max": 2},
    "groq": {"choices": False, "logprobs": False, "documents": False, "temperature_max": 2},
    "together": {"documents": False},
    "bedrock": _CLAUDE,
}
"""What holds for a provider's wire, whatever the model."""

_DEFAULTS: JsonObject = {"tools": True, "vision": True, "documents": True, "audio": False, "structured_output": "native"}


def capabilities(provider: str, name: str, facts: Facts | None) -> JsonObject:
    """The capabilities of a card that has none yet."""
    found = dict(_BASES[provider])
    if facts is None:
        return found
    if facts.supports_reasoning and "non-reasoning" not in name:
        found = _thinking(provider, name, facts, found)
    flags: JsonObject = {
        "tools": facts.supports_function_calling,
        "vision": facts.supports_vision,
        "documents": facts.supports_pdf_input,
        "audio": facts.supports_audio_input,
        "structured_output": _structured(provider, facts),
    }
    if facts.max_output_tokens:
        found = {"max_output": facts.max_output_tokens} | found
    return found | {flag: value for flag, value in flags.items() if value != _DEFAULTS[flag]}


def _structured(provider: str, facts: Facts) -> str:
    if provider == "bedrock":
        return "native" if facts.supports_native_structured_output else "tool"
    return "native" if facts.supports_response_schema else "json_object"


def _thinking(provider: str, name: str, facts: Facts, base: JsonObject) -> JsonObject:
    """The fields of a model that thinks."""
    if provider in ("openai", "azure_openai"):
        return _OPENAI_THINKING | {"reasoning_required": not facts.supports_none_reasoning_effort}
    if provider == "xai":
        return base | {"stop_max": 0, "reasoning": "effort", "penalties": False, "logprobs": False}
    if provider in ("gemini", "vertex"):
        return base | {"reasoning": "budget" if "2.5" in name else "level"}
    if provider in ("anthropic", "bedrock"):
        control = "adaptive" if facts.supports_adaptive_thinking else "budget" if "claude" in name else "none"
        extra: JsonObject = {"reasoning_required": True} if facts.thinking_always_on else {}
        plain: JsonObject = {} if facts.supports_assistant_prefill is not False else {"prefill": False}
        steady: JsonObject = {"sampling": False} if facts.supports_sampling_params is False else {}
        return base | {"reasoning": control} | extra | plain | steady
    return base | ({"reasoning": "effort"} if "gpt-oss" in name else {})


def modalities(facts: Facts) -> list[str]:
    """What goes into a model, in a fixed order; empty for text alone."""
    listed = set(facts.supported_modalities)
    listed |= {"image"} if facts.supports_vision else set()
    listed |= {"audio"} if facts.supports_audio_input else set()
    listed |= {"pdf"} if facts.supports_pdf_input else set()
    found: list[str] = [name for name in ("text", "image", "audio", "video", "pdf") if name in listed or name == "text"]
    return found if len(found) > 1 else []


def outputs(facts: Facts) -> list[str]:
    """What comes out of a model; empty for text alone."""
    found: list[str] = [name for name in ("text", "image", "audio", "video") if name in facts.supported_output_modalities]
    return [] if found == ["text"] else found


def context(provider: str, facts: Facts) -> int | None:
    """Tokens of input and output together. The map counts input alone where a provider of OpenAI's models states both."""
    size = facts.max_input_tokens
    if size is not None and provider in ("openai", "azure_openai") and facts.supports_reasoning and size in (272_000, 922_000):
        return size + (facts.max_output_tokens or 0)
    return size
