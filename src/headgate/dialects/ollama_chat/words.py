"""The words of this wire: names, roles, reasons to stop, counters (Ollama API reference, "Chat"; recorded traffic)."""

from __future__ import annotations

from headgate.domain.request import Role
from headgate.domain.response import Finish
from headgate.wire.json import Json

NAME = "ollama_chat"
PATH = "/api/chat"

ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}

FINISH: dict[str, Finish] = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "content_filter": Finish.CONTENT_FILTER,
    "error": Finish.ERROR,
    "load": Finish.ERROR,
    "unload": Finish.ERROR,
}
"""`done_reason`. After "load" and "unload" no model has spoken. Ollama itself says neither "tool_calls", "content_filter" nor "error"."""

FINISH_WORD: dict[Finish, str] = {
    Finish.STOP: "stop",
    Finish.TOOL_CALLS: "stop",
    Finish.LENGTH: "length",
    Finish.PAUSE: "length",
    Finish.CONTENT_FILTER: "content_filter",
    Finish.ERROR: "error",
}

METRICS = (
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_cached_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
)
"""Counts in tokens, durations in nanoseconds, as they stand beside the message of a finished answer."""


def parse_finish(word: Json, calls: bool) -> tuple[Finish, str | None]:
    """How a finished answer ended, and the wire's word for it.

    Older servers give no reason, which is a stop, as is an unknown word; a stop with tool calls in it is `TOOL_CALLS` (case 28).
    """
    native = word if isinstance(word, str) else None
    finish = Finish.STOP if native is None else FINISH.get(native, Finish.STOP)
    return (Finish.TOOL_CALLS if calls and finish is Finish.STOP else finish), native
