"""The words of the Anthropic Messages wire, in tables (Anthropic API reference, "Messages"; translation section 4)."""

from __future__ import annotations

import re

from headgate.domain.content import Block, Cache, ToolCall
from headgate.domain.response import Finish
from headgate.wire.json import Json

NAME = "anthropic_messages"
PATH = "/v1/messages"

STRUCTURED_TOOL = "headgate_structured_output"
"""Reserved name of the tool that stands in for a JSON Schema answer on models without native structured output."""

FINISH: dict[str, Finish] = {
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "tool_use": Finish.TOOL_CALLS,
    "pause_turn": Finish.PAUSE,
    "compaction": Finish.PAUSE,
    "refusal": Finish.CONTENT_FILTER,
}

STABLE = FINISH.keys() - {"compaction"}
"""Words that clients know without a beta."""

STOP_REASON: dict[Finish, str] = {
    Finish.STOP: "end_turn",
    Finish.LENGTH: "max_tokens",
    Finish.TOOL_CALLS: "tool_use",
    Finish.CONTENT_FILTER: "refusal",
    Finish.PAUSE: "pause_turn",
}

_OUTSIDE_ID = re.compile(r"[^A-Za-z0-9_-]")


def finish_of(native: str | None, content: tuple[Block, ...]) -> Finish | None:
    """The neutral word for a `stop_reason`; an ended turn that holds tool calls asks for tools, an unknown word is a stop."""
    if native is None:
        return None
    finish = FINISH.get(native, Finish.STOP)
    if finish is Finish.STOP and any(isinstance(block, ToolCall) for block in content):
        return Finish.TOOL_CALLS
    return finish


def stop_reason_of(finish: Finish | None, stop_sequence: str | None) -> str | None:
    """The `stop_reason` for a neutral word; None while it is not known."""
    if finish is None:
        return None
    if finish is Finish.STOP and stop_sequence is not None:
        return "stop_sequence"
    return STOP_REASON.get(finish, "end_turn")


def message_id(upstream: str, fallback: str = "") -> str:
    """An id in this wire's form: the upstream's own if it has it, else `fallback`, else one derived from the upstream's."""
    if upstream.startswith("msg_"):
        return upstream
    safe = _OUTSIDE_ID.sub("", fallback or upstream)
    return safe if safe.startswith("msg_") else f"msg_{safe}"


def cache_of(value: Json) -> Cache | None:
    """A `cache_control` object as a breakpoint; None when it says more than a breakpoint can hold."""
    if not isinstance(value, dict) or value.get("type") != "ephemeral":
        return None
    if len(value) == 1:
        return Cache()
    ttl = value.get("ttl")
    return Cache(ttl) if len(value) == 2 and isinstance(ttl, str) else None
