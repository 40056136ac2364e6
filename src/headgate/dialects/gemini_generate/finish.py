"""Finish reasons, both ways (translation §4)."""

from __future__ import annotations

from headgate.domain.response import Finish

_FILTERED = (
    "SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII MODEL_ARMOR IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION"
)
_FAILED = (
    "MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MISSING_THOUGHT_SIGNATURE MALFORMED_RESPONSE "
    "NO_IMAGE IMAGE_OTHER OTHER"
)
_PARSED = {
    "STOP": Finish.STOP,
    "MAX_TOKENS": Finish.LENGTH,
    **dict.fromkeys(_FILTERED.split(), Finish.CONTENT_FILTER),
    **dict.fromkeys(_FAILED.split(), Finish.ERROR),
}
_RENDERED = {
    Finish.STOP: "STOP",
    Finish.TOOL_CALLS: "STOP",
    Finish.LENGTH: "MAX_TOKENS",
    Finish.CONTENT_FILTER: "SAFETY",
    Finish.PAUSE: "OTHER",
    Finish.ERROR: "OTHER",
}


def parse_finish(native: str, *, calls: bool) -> Finish:
    """The domain's word. STOP with tool calls is `tool_calls` (never when truncated); an unknown word is `stop`, its native word kept."""
    finish = _PARSED.get(native, Finish.STOP)
    return Finish.TOOL_CALLS if calls and finish is Finish.STOP else finish


def render_finish(finish: Finish) -> str:
    """The wire's word for a finish of any origin."""
    return _RENDERED[finish]
