"""From a request to its endpoint: ingress checks, route, key, and errors in the right envelope. Knows no server."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable

import msgspec

from headgate.errors import HeadgateError, StoreError
from headgate.ledger.principal import Principal
from headgate.ledger.receipt import RANDOM_BYTES, new_id
from headgate.serving.auth import Authenticator, check_access, moved_key
from headgate.serving.envelopes import PLAIN, Refused, Surface, error_response, fault_of, is_providers_own
from headgate.serving.ingress import check_encoding, check_headers, check_host, clean_headers
from headgate.serving.load import Load
from headgate.serving.request import NOBODY, Request
from headgate.serving.response import Answer, Endpoint, Response
from headgate.serving.routes import Route, Routes

_LOG = logging.getLogger("headgate.server")
REQUEST_ID = "x-request-id"
RECEIPT_ID = "x-headgate-request-id"
CALLS = "completions:read"
"""The scope of what calls providers; such requests are turned away when there is too much under way."""


def _fresh_id() -> str:
    return new_id(time.time(), os.urandom(RANDOM_BYTES))


def _uncounted(code: str) -> None:
    """Nobody counts."""


class App:
    """Routes under one policy.

    `door` says who asks; a route that declares no access is not there to be asked. `hosts` are the names the Host header may carry (None:
    any). `on_stop` is awaited once, after the last request and before the server ends. `load` says how much is under way, `ids` makes
    request ids, `refused` is told the codes of what was turned down. `routes` may be exchanged while serving.
    """

    def __init__(
        self,
        routes: Routes,
        *,
        door: Authenticator,
        hosts: frozenset[str] | None,
        on_stop: Callable[[], Awaitable[None]] | None = None,
        load: Load | None = None,
        ids: Callable[[], str] = _fresh_id,
        refused: Callable[[str], None] = _uncounted,
    ) -> None:
        self.routes = routes
        self.load = load or Load()
        self._ids = ids
        self._refused = refused
        self._door = door
        self._hosts = hosts
        self._on_stop = on_stop
        self._trouble = ""

    async def __call__(self, request: Request) -> Answer:
        """Serve one request. Never raises a `HeadgateError`: those are answered."""
        return await self.answer(self._routed, request)

    async def answer(self, endpoint: Endpoint, request: Request) -> Answer:
        """What `endpoint` answers to a request, with an id; its errors of the tree in the envelope of the request's surface."""
        try:
            return self.identified(await endpoint(request))
        except HeadgateError as error:
            return self.refuse(error, self.routes.surface_of(request.path, request.method))

    def refuse(self, error: HeadgateError, surface: Surface = PLAIN) -> Response:
        """The answer for an error. What we turn down ourselves is counted; what the store says is logged, when it says something new."""
        if isinstance(error, StoreError) and error.message != self._trouble:
            self._trouble = error.message
            _LOG.warning("requests are refused for what the store says: %s", error.message)
        if not is_providers_own(error):
            fault = fault_of(error)
            self._refused(fault.code or f"http_{fault.status}")
        id = self._ids()
        return error_response(error, surface, id, ((REQUEST_ID, id),))

    def identified(self, answer: Answer) -> Answer:
        """The answer with a request id: the provider's own where it passed one on, else that of the receipt, else a new one (SPN-32)."""
        receipt = ""
        for name, value in answer.headers:
            if name == REQUEST_ID:
                return answer
            if name == RECEIPT_ID:
                receipt = value
        return msgspec.structs.replace(answer, headers=(*answer.headers, (REQUEST_ID, receipt or self._ids())))

    async def _routed(self, request: Request) -> Answer:
        request = msgspec.structs.replace(request, headers=clean_headers(request.headers))
        match = self.routes.find(request.method, request.path)
        check_headers(request, None if match.route.any_host else self._hosts)
        request = moved_key(request, match.route.surface.key_in_query)
        principal = await self._admit(request, match.route)
        inner = msgspec.structs.replace(
            request, params=match.params, body_limit=match.route.body_limit, principal=principal, route=match.route.path
        )
        return await match.route.endpoint(inner)

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
        if route.scope == CALLS:
            self.load.check()
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
