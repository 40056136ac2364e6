"""From a request to its endpoint: ingress checks, route, key, and errors in the right envelope. Knows no server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from headgate.config import Secret
from headgate.errors import HeadgateError
from headgate.serving.auth import KeyCheck
from headgate.serving.envelopes import PLAIN, Refused, error_response
from headgate.serving.ingress import check_encoding, check_headers, check_host, check_origin, clean_headers
from headgate.serving.request import Request
from headgate.serving.response import Answer
from headgate.serving.routes import Route, Routes


class App:
    """Routes under one policy.

    `key` None leaves every route open. `hosts` are the names the Host header may carry (None: any). `on_stop` is awaited once, after the
    last request and before the server ends.
    """

    def __init__(
        self,
        routes: Routes,
        *,
        key: Secret | None,
        hosts: frozenset[str] | None,
        on_stop: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.routes = routes
        self._check = None if key is None else KeyCheck(key)
        self._hosts = hosts
        self._on_stop = on_stop

    async def __call__(self, request: Request) -> Answer:
        """Serve one request. Never raises a `HeadgateError`: those are answered."""
        surface = PLAIN
        try:
            surface = self.routes.surface_of(request.path, request.method)
            request = msgspec.structs.replace(request, headers=clean_headers(request.headers))
            match = self.routes.find(request.method, request.path)
            self._admit(request, match.route)
            inner = msgspec.structs.replace(request, params=match.params, body_limit=match.route.body_limit)
            return await match.route.endpoint(inner)
        except HeadgateError as error:
            return error_response(error, surface)

    def answers_to(self, host: str) -> bool:
        """Whether a Host header names this server."""
        try:
            check_host(host, self._hosts)
        except Refused:
            return False
        return True

    async def stop(self) -> None:
        """Finish what requests left to be done."""
        if self._on_stop is not None:
            await self._on_stop()

    def _admit(self, request: Request, route: Route) -> None:
        check_headers(request, None if route.any_host else self._hosts)
        if self._check is None:
            check_origin(request, self._hosts)
        elif route.auth:
            self._check.check(request)
        check_encoding(request)
        _check_length(request, route.body_limit)


def _check_length(request: Request, limit: int) -> None:
    """Refuse a body that announces itself as too long before a byte of it is read."""
    announced = request.header("content-length")
    if announced is not None and announced.isdigit() and int(announced[:20]) > limit:
        raise too_large(limit)


def too_large(limit: int) -> Refused:
    """The refusal (413) of a body longer than `limit` bytes."""
    return Refused(413, f"the request body is longer than {limit} bytes", code="request_too_large")
