"""Counting tokens on the surfaces that have an endpoint for it: Anthropic's and Google's."""

from __future__ import annotations

from collections.abc import Callable

from headgate.client.counting import count_tokens
from headgate.dialects.counting import CountDialect
from headgate.errors import HeadgateError, WireError
from headgate.gateway.asking import Ask, read_ask
from headgate.gateway.parts import GatewayParts
from headgate.gateway.planning import first_choice
from headgate.serving.envelopes import Refused, Surface, error_response
from headgate.serving.request import Request
from headgate.serving.response import JSON, NO_STORE, Answer, Response

SOURCE = "x-headgate-count-source"
"""Response header that says who counted: the provider, or an estimate."""


class Count:
    """A counting endpoint; `read` opens a request, as for `Chat`. It costs nothing and leaves no receipt."""

    def __init__(
        self, parts: GatewayParts, surface: Surface, dialect: CountDialect, read: Callable[[bytes, Request], Ask] = read_ask
    ) -> None:
        self._parts = parts
        self._surface = surface
        self._dialect = dialect
        self._read = read

    async def __call__(self, request: Request) -> Answer:
        """Answer with a count. Raises `Refused` for a malformed request, `ConfigError` for an unknown model."""
        ask = self._read(await request.body(), request)
        target = self._parts.target(first_choice(self._parts, request.principal, ask))
        try:
            conversation = self._dialect.parse_request(ask.body, ask.path)
        except WireError as error:
            raise Refused(400, error.message, code="invalid_request", param=error.param) from error
        try:
            found = await count_tokens(self._parts.http, target, conversation)
        except HeadgateError as error:
            return error_response(error, self._surface)
        return Response(200, (JSON, NO_STORE, (SOURCE, found.source)), self._dialect.render_response(found.tokens))
