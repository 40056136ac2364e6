"""Finished requests as spans, in the words of OpenTelemetry's conventions for generative AI. Pure, and without content."""

from __future__ import annotations

import hashlib
from typing import Literal, TypeAlias

import msgspec

from headgate.domain.cost import usd_text
from headgate.observe.facts import AttemptFacts, RequestFacts
from headgate.observe.trace import TraceContext

Attribute: TypeAlias = str | int | float | bool | tuple[str, ...]
LONGEST = 256

PROVIDERS = {
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""Our names of providers where the conventions have another."""
OPERATIONS = {"embed": "embeddings"}
"""Our names of operations where the conventions have another."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One span. Identifiers are hexadecimal; `start` and `end` are nanoseconds since the epoch; `error` the class of a failure."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: Literal["server", "client"]
    start: int
    end: int
    attributes: dict[str, Attribute]
    error: str | None = None


def own_context(facts: RequestFacts) -> TraceContext:
    """The span of a request: in the client's trace when it sent one, else in a trace that its id determines."""
    trace_id = facts.trace.trace_id if facts.trace is not None else _digest(facts.id, "trace", 16)
    return TraceContext(trace_id, _digest(facts.id, "span", 8), facts.trace is None or facts.trace.sampled)


def spans_of(facts: RequestFacts) -> tuple[Span, ...]:
    """A server span for the request, and a client span for each attempt; none for a trace that its sender does not sample."""
    own = own_context(facts)
    if not own.sampled:
        return ()
    request = Span(
        trace_id=own.trace_id,
        span_id=own.span_id,
        parent_id=None if facts.trace is None else facts.trace.span_id,
        name=f"POST {facts.route}"[:LONGEST],
        kind="server",
        start=_nanos(facts.started),
        end=_nanos(facts.started + facts.duration),
        attributes=_request_attributes(facts),
        error=facts.error if facts.status >= 500 else None,
    )
    return (request, *(_attempt_span(facts, own, n, attempt) for n, attempt in enumerate(facts.attempts)))


def _attempt_span(facts: RequestFacts, own: TraceContext, n: int, attempt: AttemptFacts) -> Span:
    attributes = _target_attributes(facts.operation, attempt.provider, attempt.model)
    if attempt.status is not None:
        attributes["http.response.status_code"] = attempt.status
    if attempt.error is not None:
        attributes["error.type"] = attempt.error
    if n == len(facts.attempts) - 1:
        attributes |= _answer_attributes(facts)
    return Span(
        trace_id=own.trace_id,
        span_id=_digest(facts.id, f"attempt {n}", 8),
        parent_id=own.span_id,
        name=f"{attributes['gen_ai.operation.name']} {attempt.model}"[:LONGEST],
        kind="client",
        start=_nanos(attempt.started),
        end=_nanos(attempt.started + attempt.duration),
        attributes=attributes,
        error=attempt.error,
    )


def _request_attributes(facts: RequestFacts) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {
        "http.request.method": "POST",
        "http.route": facts.route,
        "http.response.status_code": facts.status,
        "headgate.request.id": facts.id,
        "headgate.attempts": len(facts.attempts),
        **_target_attributes(facts.operation, facts.provider, facts.model),
        **_answer_attributes(facts),
    }
    if facts.error is not None:
        found["error.type"] = facts.error
    if facts.cache is not None:
        found["headgate.cache"] = facts.cache
    if facts.key_id:
        found["headgate.key.id"] = facts.key_id
    return found


def _target_attributes(operation: str, provider: str, model: str) -> dict[str, Attribute]:
    return {
        "gen_ai.operation.name": OPERATIONS.get(operation, operation),
        "gen_ai.provider.name": PROVIDERS.get(provider, provider),
        "gen_ai.request.model": model[:LONGEST],
    }


def _answer_attributes(facts: RequestFacts) -> dict[str, Attribute]:
    possible: dict[str, Attribute | None] = {
        "gen_ai.request.stream": facts.stream or None,
        "gen_ai.response.model": None if facts.model_answered is None else facts.model_answered[:LONGEST],
        "gen_ai.response.finish_reasons": None if facts.finish is None else (facts.finish,),
        "gen_ai.response.time_to_first_chunk": facts.first_byte,
        "gen_ai.usage.input_tokens": facts.input_tokens or None,
        "gen_ai.usage.cache_read.input_tokens": facts.cache_read_tokens or None,
        "gen_ai.usage.output_tokens": facts.output_tokens or None,
        "gen_ai.usage.reasoning.output_tokens": facts.reasoning_tokens or None,
        "headgate.cost.usd": "unpriced" if facts.cost_nanos is None else usd_text(facts.cost_nanos),
    }
    return {name: value for name, value in possible.items() if value is not None}


def _digest(seed: str, what: str, size: int) -> str:
    """Identifiers that follow from the request's own: the same request never has two."""
    return hashlib.sha256(f"{what}\0{seed}".encode()).digest()[:size].hex()


def _nanos(seconds: float) -> int:
    return int(seconds * 1e9)
