"""The routes for those who run a gateway: liveness, readiness, metrics."""

from __future__ import annotations

import time
from typing import Literal

import msgspec

from headgate.gateway.endpoints.health import LIVE, READY, Ready, healthz
from headgate.gateway.endpoints.metrics import Metrics
from headgate.observe.counters import Counters
from headgate.observe.scrape import Scraper
from headgate.serving.auth import Access
from headgate.serving.observing import Observer
from headgate.serving.readiness import Readiness
from headgate.serving.routes import Route


class Operations(msgspec.Struct, frozen=True, kw_only=True):
    """What is told about a gateway. `metrics` says who may read the counts: bearers of a key with that right, everybody who reaches the
    port, or nobody."""

    observer: Observer
    scraper: Scraper
    readiness: Readiness
    metrics: Literal["key", "open", "none"] = "key"


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
        *_metrics(operations),
    )


def _metrics(operations: Operations) -> tuple[Route, ...]:
    if operations.metrics == "none":
        return ()
    scope: Access = None if operations.metrics == "open" else "metrics:read"
    return (Route(method="GET", path="/metrics", endpoint=Metrics(operations.scraper), scope=scope),)
