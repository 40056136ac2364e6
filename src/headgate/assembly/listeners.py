"""Who is told of finished requests besides the counters: a collector of spans, and the access log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module

from headgate import __version__
from headgate.config import redact
from headgate.errors import ConfigError
from headgate.observe.counters import Counters
from headgate.observe.facts import RequestFacts
from headgate.observe.log import json_lines, log_access
from headgate.observe.span_queue import SpanQueue

COLLECTORS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Variables of OpenTelemetry that name a collector: when one is set, spans are sent."""

Listener = Callable[[RequestFacts], None]


def wants_spans(variables: Mapping[str, str]) -> bool:
    """Whether a collector is named, and OpenTelemetry not switched off by its own variable."""
    return any(variables.get(name) for name in COLLECTORS) and variables.get("OTEL_SDK_DISABLED", "").lower() != "true"


@contextmanager
def listeners(variables: Mapping[str, str], counters: Counters, *, access: bool) -> Iterator[tuple[Listener, ...]]:
    """The listeners, while the block runs; log lines are JSON on standard error meanwhile.

    `access` asks for a line for each request. Raises `ConfigError` when a collector is named and the extra ``otel`` is not installed.
    """
    with ExitStack() as stack:
        stack.enter_context(json_lines(sys.stderr, redact, access=access))
        found: list[Listener] = [log_access] if access else []
        if wants_spans(variables):
            spans = open_spans(counters)
            stack.callback(spans.close)
            found.append(spans.offer)
        yield tuple(found)


def open_spans(counters: Counters) -> SpanQueue:
    """A queue that leads to the collector. Raises `ConfigError` without the extra ``otel``."""
    try:
        sink = import_module("headgate.observe.otel").OtlpSink(__version__)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{' or '.join(COLLECTORS)} is set, and spans need the extra otel ({error.name} is not installed)",
            hint="pip install 'headgate[otel]'",
        ) from error
    return SpanQueue(sink, lambda outcome, number: counters.event("spans", outcome, number))
