"""Trace context between services (W3C Trace Context, level 1)."""

from __future__ import annotations

import re

import msgspec

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_SAMPLED = 1


class TraceContext(msgspec.Struct, frozen=True):
    """Which trace a request belongs to, and which span asked: 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str
    sampled: bool = True


def parse_traceparent(value: str | None) -> TraceContext | None:
    """The context in a ``traceparent`` header; None for none, and for what the specification says to ignore."""
    match = _TRACEPARENT.fullmatch(value.strip()) if value is not None and len(value) <= 512 else None
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def render_traceparent(context: TraceContext) -> str:
    """The header for a call made on behalf of `context`."""
    return f"00-{context.trace_id}-{context.span_id}-{int(context.sampled):02x}"
