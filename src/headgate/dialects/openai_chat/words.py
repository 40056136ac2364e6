"""The words of this wire: its name, its finish reasons, its defaults for what the domain leaves open."""

from __future__ import annotations

from headgate.domain.response import Finish
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject

NAME = "openai_chat"
PATH = "/chat/completions"
MODEL_IN_PATH = "model:path"
"""Spelling mark of a request whose model is the deployment its path names (Azure OpenAI)."""

FINISH: dict[str, Finish] = {
    "stop": Finish.STOP,
    "eos": Finish.STOP,
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "model_length": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "tool_use": Finish.TOOL_CALLS,
    "content_filter": Finish.CONTENT_FILTER,
    "refusal": Finish.CONTENT_FILTER,
    "pause_turn": Finish.PAUSE,
    "error": Finish.ERROR,
    "network_error": Finish.ERROR,
    "insufficient_system_resource": Finish.ERROR,
}
"""`finish_reason` of OpenAI and of those who speak its wire (Together "eos", Z.ai "network_error", DeepSeek the last)."""

FINISH_WORD: dict[Finish, str] = {
    Finish.STOP: "stop",
    Finish.LENGTH: "length",
    Finish.TOOL_CALLS: "tool_calls",
    Finish.CONTENT_FILTER: "content_filter",
    Finish.PAUSE: "length",
    Finish.ERROR: "error",
}
"""The word written for each finish. A pause is written "length" (not complete, go on), with `native_finish_reason: "pause_turn"`."""

NATIVE_FINISH = "native_finish_reason"
"""Extension key with the upstream's own word, as OpenRouter spells it."""

EMPTY_SCHEMA: JsonObject = {"type": "object", "properties": {}}


def parse_finish(word: Json, native: Json, calls: bool) -> tuple[Finish | None, str | None]:
    """Finish and native word of a choice. Unknown words count as a stop; a stop with tool calls in it is `TOOL_CALLS` (case 28)."""
    if not isinstance(word, str) or not word:
        return None, None
    finish = Finish.PAUSE if native == "pause_turn" else FINISH.get(word, Finish.STOP)
    if calls and finish is Finish.STOP:
        finish = Finish.TOOL_CALLS
    return finish, native if isinstance(native, str) and native else word


def malformed(param: str, must: str) -> WireError:
    """The error for a field that breaks the wire's grammar."""
    return WireError(f"{param} must be {must}", param=param)
