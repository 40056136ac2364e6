"""Trace context, spans, and their queue."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.observe.facts import AttemptFacts, RequestFacts
from headgate.observe.span_queue import SpanQueue
from headgate.observe.spans import Span, own_context, spans_of
from headgate.observe.trace import TraceContext, parse_traceparent, render_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def facts(**changes: object) -> RequestFacts:
    """A request that was answered at its second attempt."""
    values: dict[str, object] = {
        "id": "01JCXW6Z3V0000000000000000",
        "route": "/v1/chat/completions",
        "status": 200,
        "started": 1_000.0,
        "duration": 2.5,
        "provider": "gemini",
        "model": "gemini-2.5-flash",
        "model_answered": "gemini-2.5-flash-001",
        "input_tokens": 12,
        "output_tokens": 7,
        "cost_nanos": 4_200,
        "finish": "stop",
        "first_byte": 0.4,
        "attempts": (
            AttemptFacts(provider="openai", model="gpt-4o-mini", started=1_000.1, duration=0.2, status=503, error="overloaded"),
            AttemptFacts(provider="gemini", model="gemini-2.5-flash", started=1_000.4, duration=2.0, status=200),
        ),
    }
    return RequestFacts(**(values | changes))  # type: ignore[arg-type]


ids = st.integers(1, 2**128 - 1).map(lambda n: f"{n:032x}")
spans = st.integers(1, 2**64 - 1).map(lambda n: f"{n:016x}")


@given(st.builds(TraceContext, ids, spans, st.booleans()))
def test_what_is_rendered_is_parsed(context: TraceContext) -> None:
    assert parse_traceparent(render_traceparent(context)) == context


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01" + "x" * 600,
        "٠٠-" + TRACE,
    ],
)
def test_what_is_no_context_is_ignored(value: str | None) -> None:
    assert parse_traceparent(value) is None


def test_later_versions_are_read_as_far_as_they_are_known() -> None:
    assert parse_traceparent(f"cc-{TRACE}-{SPAN}-01-what-the-future-holds") == TraceContext(TRACE, SPAN)


@given(st.text())
def test_any_header_is_borne(value: str) -> None:
    parse_traceparent(value)


def test_a_request_and_its_attempts() -> None:
    request, first, second = spans_of(facts(trace=TraceContext(TRACE, SPAN)))
    assert (request.kind, request.trace_id, request.parent_id) == ("server", TRACE, SPAN)
    assert {first.parent_id, second.parent_id} == {request.span_id}
    assert len({request.span_id, first.span_id, second.span_id}) == 3
    assert first.name == "chat gpt-4o-mini"
    assert first.attributes["error.type"] == first.error == "overloaded"
    assert "gen_ai.usage.input_tokens" not in first.attributes
    assert second.attributes["gen_ai.provider.name"] == "gcp.gemini"
    assert second.attributes["gen_ai.usage.input_tokens"] == 12
    assert second.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert request.attributes["headgate.cost.usd"] == "0.0000042"
    assert (request.start, request.end) == (1_000_000_000_000, 1_002_500_000_000)


def test_an_unpriced_request_says_so() -> None:
    assert spans_of(facts(cost_nanos=None))[0].attributes["headgate.cost.usd"] == "unpriced"


def test_who_does_not_sample_gets_none() -> None:
    assert spans_of(facts(trace=TraceContext(TRACE, SPAN, sampled=False))) == ()


def test_identifiers_follow_from_the_request() -> None:
    assert own_context(facts()) == own_context(facts()) != own_context(facts(id="01JCXW6Z3V0000000000000001"))


class Sink:
    """Takes spans when it may."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.busy = threading.Event()
        self.names: list[str] = []
        self.works = True
        self.closed = False

    def export(self, spans: Sequence[Span]) -> bool:
        self.busy.set()
        assert self.open.wait(10)
        self.names += [span.name for span in spans]
        return self.works

    def close(self) -> None:
        self.closed = True


def test_what_finds_no_room_is_counted() -> None:
    sink, counted = Sink(), []
    queue = SpanQueue(sink, lambda outcome, number: counted.append((outcome, number)), capacity=3)
    queue.offer(facts())
    assert sink.busy.wait(10)  # from now on the thread is held up
    for _ in range(5):
        queue.offer(facts())
    assert counted == [("dropped", 1)] * 2
    sink.open.set()
    queue.close()
    assert sink.closed
    assert sum(number for outcome, number in counted if outcome == "exported") == 4
    assert len(sink.names) == 12


def test_a_collector_that_fails_costs_nothing_but_its_spans() -> None:
    sink, counted = Sink(), []
    sink.works = False
    sink.open.set()
    queue = SpanQueue(sink, lambda outcome, number: counted.append((outcome, number)))
    queue.offer(facts())
    queue.close()
    queue.offer(facts())
    assert counted == [("failed", 1), ("dropped", 1)]
