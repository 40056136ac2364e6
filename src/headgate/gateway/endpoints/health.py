"""``GET /healthz``."""

from __future__ import annotations

from headgate.serving.request import Request
from headgate.serving.response import NO_STORE, Response, json_response


async def healthz(request: Request) -> Response:
    """200 as long as requests are served; says nothing else."""
    return json_response({"status": "ok"}, headers=(NO_STORE,))
