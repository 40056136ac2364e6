"""The routes for those who run a gateway: liveness, readiness, metrics."""

from __future__ import annotations

import time

import msgspec

from headgate.config.gate_settings import Metrics
from headgate.gateway.endpoints.health import LIVE, READY, Ready, healthz
from headgate.gateway.endpoints.metrics import MetricsPage
from headgate.observe.counters import Counters
from headgate.observe.scrape import Scraper
from headgate.serving.auth import Access
from headgate.serving.observing import Observer
from headgate.serving.readiness import Readiness
from headgate.serving.routes import Route


class Operations(msgspec.Struct, frozen=True, kw_only=True):
    """What is told about a gateway. `metrics` says who may read them: bearers of a key with that right; with ``open`` everybody who
    reaches the port, for loopback only; with ``none`` there is no such route."""

    observer: Observer
    scraper: Scraper
    readiness: Readiness
    metrics: Metrics = "key"


def plain_operations() -> Operations:
    """Counts of this process alone, and no checks."""
    counters = Counters()
    scraper = Scraper(counters, time.time)
    return Operations(observer=Observer(counters), scraper=scraper, readiness=Readiness(time.monotonic, {}))


def operations_routes(operations: Operations) -> tuple[Route, ...]:
    """The routes."""
    ready = Ready(operations.readiness)
    return (
        *(Route(method="GET", path=path, endpoint=healthz, scope=None, any_host=True) for path in LIVE),
        *(Route(method="GET", path=path, endpoint=ready, scope=None, any_host=True) for path in READY),
        *_metrics_routes(operations),
    )


def _metrics_routes(operations: Operations) -> tuple[Route, ...]:
    if operations.metrics == "none":
        return ()
    scope: Access = None if operations.metrics == "open" else "metrics:read"
    return (Route(method="GET", path="/metrics", endpoint=MetricsPage(operations.scraper), scope=scope),)
