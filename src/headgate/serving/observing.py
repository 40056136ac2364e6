"""From a receipt to counts, spans and the access log."""

from __future__ import annotations

from collections.abc import Callable

from headgate.ledger.receipt import Receipt
from headgate.observe.counters import Counters
from headgate.observe.facts import AttemptFacts, RequestFacts
from headgate.observe.trace import TraceContext


def facts_of(
    receipt: Receipt, route: str, status: int, *, key_id: str = "", cache: str | None = None, trace: TraceContext | None = None
) -> RequestFacts:
    """What may be told of a finished request. `route` is the path of its route, `status` what the client got."""
    usage = receipt.usage
    return RequestFacts(
        id=receipt.id,
        route=route,
        status=status,
        started=receipt.at,
        duration=receipt.duration or 0.0,
        provider=receipt.provider,
        model=receipt.model,
        model_answered=receipt.model_answered,
        operation=receipt.operation,
        stream=receipt.stream,
        first_byte=receipt.first_byte,
        input_tokens=usage.input_total,
        cache_read_tokens=usage.cache_read,
        output_tokens=usage.output_total,
        reasoning_tokens=usage.output_reasoning,
        cost_nanos=receipt.cost_nanos,
        finish=receipt.finish,
        error=receipt.error,
        key_id=key_id,
        cache=cache,
        attempts=tuple(
            AttemptFacts(
                provider=attempt.provider,
                model=attempt.model,
                started=attempt.started,
                duration=attempt.duration or 0.0,
                status=attempt.status,
                error=attempt.kind,
            )
            for attempt in receipt.attempts
        ),
        trace=trace,
    )


class Observer:
    """Tells of finished requests: counts always, and whatever else listens (spans, access log).

    Counting costs under a microsecond; facts are made only when somebody listens.
    """

    def __init__(self, counters: Counters, *listeners: Callable[[RequestFacts], None]) -> None:
        self.counters = counters
        self._listeners = listeners

    @property
    def heard(self) -> bool:
        """Whether somebody listens, so that facts are needed."""
        return bool(self._listeners)

    def finished(
        self,
        receipt: Receipt,
        route: str,
        status: int,
        *,
        key_id: str = "",
        cache: str | None = None,
        trace: TraceContext | None = None,
    ) -> None:
        """A request is over and has its receipt. See `facts_of`."""
        usage = receipt.usage
        self.counters.request(
            route,
            receipt.provider,
            receipt.model,
            status,
            receipt.duration or 0.0,
            receipt.first_byte,
            usage.input_total,
            usage.output_total,
            receipt.cost_nanos,
        )
        if self._listeners:
            facts = facts_of(receipt, route, status, key_id=key_id, cache=cache, trace=trace)
            for listener in self._listeners:
                listener(facts)
