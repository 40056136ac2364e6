"""Liveness and readiness: ``/healthz``, ``/livez``, ``/health``; ``/readyz``, ``/ready``."""

from __future__ import annotations

from headgate.serving.readiness import Readiness
from headgate.serving.request import Request
from headgate.serving.response import NO_STORE, Response, json_response

LIVE = ("/healthz", "/livez", "/health")
READY = ("/readyz", "/ready")


async def healthz(request: Request) -> Response:
    """200 as long as requests are served; says nothing else."""
    return json_response({"status": "ok"}, headers=(NO_STORE,))


class Ready:
    """``GET /readyz``: whether this process should get requests, and why not."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def __call__(self, request: Request) -> Response:
        """200 for ready and degraded, 503 for unready, with the outcome of each check."""
        report = await self._readiness.report()
        status = 503 if report.status == "unready" else 200
        return json_response({"status": report.status, "checks": report.checks}, status, (NO_STORE,))
