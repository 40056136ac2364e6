"""The embeddings endpoints of every surface: the same steps, in the embeddings wire of the surface."""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.embed import EmbedDialect
from headgate.errors import HeadgateError
from headgate.gateway.asking import Ask, read_ask
from headgate.gateway.embedding import EmbedJob, embed
from headgate.gateway.parts import GatewayParts
from headgate.gateway.stamps import stamps
from headgate.gateway.visible import visible_target
from headgate.serving.envelopes import Surface, error_response
from headgate.serving.metering import Meter, Tab
from headgate.serving.request import Request
from headgate.serving.response import Answer


class Embed:
    """An embeddings endpoint; `read` opens a request, as for `Chat`."""

    def __init__(
        self,
        parts: GatewayParts,
        meter: Meter,
        surface: Surface,
        dialect: EmbedDialect,
        read: Callable[[bytes, Request], Ask] = read_ask,
    ) -> None:
        self._parts = parts
        self._meter = meter
        self._surface = surface
        self._dialect = dialect
        self._read = read

    async def __call__(self, request: Request) -> Answer:
        """Answer a request. Raises `Refused`, `ConfigError`, `StoreError` before a target is known."""
        body = await request.body()
        await self._meter.ready()
        ask = self._read(body, request)
        target = await visible_target(self._parts.resolve, request.principal, ask.model).ready()
        tab = Tab(self._meter.call("gateway", target, dialect_in=self._dialect.name, operation="embed"))
        job = EmbedJob(self._parts, self._meter, self._dialect, request, ask, target, tab)
        try:
            return await embed(job)
        except HeadgateError as error:
            return error_response(error, self._surface, job.tab.call.id, stamps(job.tab.call))
