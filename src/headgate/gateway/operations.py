"""The routes for those who run a gateway: liveness, readiness, metrics."""

from __future__ import annotations

import time

import msgspec

from headgate.gateway.endpoints.health import LIVE, READY, Ready, healthz
from headgate.gateway.endpoints.metrics import Metrics
from headgate.observe.counters import Counters
from headgate.observe.scrape import Scraper
from headgate.serving.observing import Observer
from headgate.serving.readiness import Readiness
from headgate.serving.routes import Route


class Operations(msgspec.Struct, frozen=True, kw_only=True):
    """What is told about a gateway. `open_metrics` lets everybody who reaches the port read the metrics: for loopback only."""

    observer: Observer
    scraper: Scraper
    readiness: Readiness
    open_metrics: bool = False


def plain_operations() -> Operations:
    """Counts of this process alone, and no checks."""
    counters = Counters()
    scraper = Scraper(counters, time.time)
    return Operations(observer=Observer(counters), scraper=scraper, readiness=Readiness(time.monotonic, {}))


def operations_routes(operations: Operations) -> tuple[Route, ...]:
    """The routes."""
    ready, metrics = Ready(operations.readiness), Metrics(operations.scraper)
    return (
        *(Route(method="GET", path=path, endpoint=healthz, scope=None, any_host=True) for path in LIVE),
        *(Route(method="GET", path=path, endpoint=ready, scope=None, any_host=True) for path in READY),
        Route(method="GET", path="/metrics", endpoint=metrics, scope=None if operations.open_metrics else "metrics:read"),
    )
