"""What a model can do and how much, as a value that dialects take as an argument. Data comes from the catalog's cards."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

StructuredOutput: TypeAlias = Literal["native", "tool", "json_object", "none"]
ReasoningControl: TypeAlias = Literal["none", "effort", "budget", "adaptive", "level"]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits and abilities of one model. Defaults are permissive, for models without a card."""

    context: int | None = None
    """Tokens of input and output together."""
    max_output: int | None = None
    default_output: int | None = None
    """Tokens to ask for when the caller said nothing and the wire requires a number; None takes `max_output`."""
    streaming: bool = True
    tools: bool = True
    vision: bool = True
    documents: bool = True
    audio: bool = False
    structured_output: StructuredOutput = "native"
    reasoning: ReasoningControl = "none"
    reasoning_required: bool = False
    """The model always thinks: "none" cannot be honoured."""
    sampling: bool = True
    """Accepts temperature, top_p and top_k."""
    temperature_and_top_p: bool = True
    """Accepts both at once."""
    temperature_max: float | None = None
    prefill: bool = True
    """Accepts a trailing assistant message to continue."""
    system_anywhere: bool = False
    """Accepts system messages in the middle of a conversation."""
    stop_max: int | None = None
    choices: bool = True
    """Accepts n > 1."""
    seed: bool = True
    penalties: bool = True
    logprobs: bool = True
    json_schema_field: bool = True
    """Takes a full JSON Schema for tools and answers rather than the provider's older subset."""
    max_tokens_field: str | None = None
    """Wire name of the output limit where a model insists on one (OpenAI: max_tokens or max_completion_tokens)."""
    cache_breakpoints: int = 4
    batch: bool = False


ANY_MODEL = Capabilities()
"""What is assumed of a model without a card."""
