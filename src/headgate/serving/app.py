"""From a request to its endpoint: ingress checks, route, key, and errors in the right envelope. Knows no server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from headgate.errors import HeadgateError
from headgate.ledger.principal import Principal
from headgate.serving.auth import Authenticator, check_access
from headgate.serving.envelopes import PLAIN, Refused, error_response
from headgate.serving.ingress import check_encoding, check_headers, check_host, clean_headers
from headgate.serving.request import NOBODY, Request
from headgate.serving.response import Answer
from headgate.serving.routes import Route, Routes


class App:
    """Routes under one policy.

    `door` says who asks; a route that declares no access is not there to be asked. `hosts` are the names the Host header may carry (None:
    any). `on_stop` is awaited once, after the last request and before the server ends.
    """

    def __init__(
        self,
        routes: Routes,
        *,
        door: Authenticator,
        hosts: frozenset[str] | None,
        on_stop: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.routes = routes
        self._door = door
        self._hosts = hosts
        self._on_stop = on_stop

    async def __call__(self, request: Request) -> Answer:
        """Serve one request. Never raises a `HeadgateError`: those are answered."""
        surface = PLAIN
        try:
            surface = self.routes.surface_of(request.path, request.method)
            request = msgspec.structs.replace(request, headers=clean_headers(request.headers))
            match = self.routes.find(request.method, request.path)
            principal = await self._admit(request, match.route)
            inner = msgspec.structs.replace(request, params=match.params, body_limit=match.route.body_limit, principal=principal)
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

    async def _admit(self, request: Request, route: Route) -> Principal:
        """Who asks, once everything is checked that can be before the body is read. Access is the matched route's alone (faults H7)."""
        check_headers(request, None if route.any_host else self._hosts)
        principal = NOBODY if route.scope is None else await self._door.principal(request)
        check_access(principal, route.scope)
        check_encoding(request)
        _check_length(request, route.body_limit)
        return principal


def _check_length(request: Request, limit: int) -> None:
    """Refuse a body that announces itself as too long before a byte of it is read."""
    announced = request.header("content-length")
    if announced is not None and announced.isdigit() and int(announced[:20]) > limit:
        raise too_large(limit)


def too_large(limit: int) -> Refused:
    """The refusal (413) of a body longer than `limit` bytes."""
    return Refused(413, f"the request body is longer than {limit} bytes", code="request_too_large")
