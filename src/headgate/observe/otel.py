"""Spans to a collector over OTLP/HTTP, by OpenTelemetry's own exporter: the one module that imports it (extra ``otel``).

Address, headers, certificates and compression come from the variables OpenTelemetry defines (OTEL_EXPORTER_OTLP_ENDPOINT and so on).
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from headgate.observe.spans import Span

_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT}


class OtlpSink:
    """Sends spans. See `span_queue.SpanSink`."""

    def __init__(self, version: str, endpoint: str | None = None, timeout: float = 5.0) -> None:
        """`endpoint` is the full address of the collector's traces (None: as the variables say), `timeout` in seconds."""
        self._exporter: SpanExporter = OTLPSpanExporter(endpoint=endpoint, timeout=timeout)
        self._resource = Resource.create({"service.name": "headgate", "service.version": version})
        self._scope = InstrumentationScope("headgate", version)

    def export(self, spans: Sequence[Span]) -> bool:
        """Send them, trying again as the exporter sees fit; False when they did not arrive."""
        return self._exporter.export([self._readable(span) for span in spans]) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """Let go of the connection."""
        self._exporter.shutdown()

    def _readable(self, span: Span) -> ReadableSpan:
        return ReadableSpan(
            span.name,
            context=_context(span.trace_id, span.span_id, remote=False),
            parent=None if span.parent_id is None else _context(span.trace_id, span.parent_id, remote=span.kind == "server"),
            resource=self._resource,
            attributes=span.attributes,
            kind=_KINDS[span.kind],
            status=Status(StatusCode.UNSET if span.error is None else StatusCode.ERROR),
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=self._scope,
        )


def _context(trace_id: str, span_id: str, *, remote: bool) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), remote, TraceFlags(TraceFlags.SAMPLED))
