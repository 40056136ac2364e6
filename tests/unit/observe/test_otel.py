"""Spans as a collector receives them: over a real socket, read with OpenTelemetry's own definitions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from headgate.observe.facts import AttemptFacts, RequestFacts
from headgate.observe.otel import OtlpSink
from headgate.observe.spans import spans_of
from headgate.observe.trace import TraceContext

CONTEXT = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


class Collector:
    """Answers with `status` and keeps what it gets."""

    def __init__(self) -> None:
        self.status = 200
        self.requests: list[ExportTraceServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    thread = threading.Thread(target=found.server.serve_forever)
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def request() -> RequestFacts:
    attempt = AttemptFacts(provider="openai", model="gpt-4o-mini", started=10.0, duration=1.0, status=200)
    return RequestFacts(
        id="01J", route="/v1/responses", status=200, started=10.0, duration=1.25, provider="openai", model="gpt-4o-mini", input_tokens=3,
        output_tokens=4, cost_nanos=5, finish="stop", attempts=(attempt,), trace=CONTEXT,
    )  # fmt: skip


def test_a_collector_gets_the_spans(collector: Collector) -> None:
    sink = OtlpSink("1.0", f"http://127.0.0.1:{collector.server.server_port}/v1/traces")
    assert sink.export(spans_of(request()))
    sink.close()
    (resource,) = collector.requests[0].resource_spans
    assert {pair.key: pair.value.string_value for pair in resource.resource.attributes}["service.name"] == "headgate"
    server, client = resource.scope_spans[0].spans
    assert server.trace_id.hex() == client.trace_id.hex() == CONTEXT.trace_id
    assert (server.parent_span_id.hex(), client.parent_span_id) == (CONTEXT.span_id, server.span_id)
    assert (server.name, client.name) == ("POST /v1/responses", "chat gpt-4o-mini")
    assert (server.start_time_unix_nano, server.end_time_unix_nano) == (10_000_000_000, 11_250_000_000)
    values = {pair.key: pair.value for pair in client.attributes}
    assert values["gen_ai.usage.output_tokens"].int_value == 4
    assert values["gen_ai.response.finish_reasons"].array_value.values[0].string_value == "stop"


def test_a_collector_that_refuses_is_told(collector: Collector) -> None:
    collector.status = 400
    sink = OtlpSink("1.0", f"http://127.0.0.1:{collector.server.server_port}/v1/traces")
    assert not sink.export(spans_of(request()))
    sink.close()
