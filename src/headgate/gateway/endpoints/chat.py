"""The chat endpoints of every surface: the same steps, in the dialect of the surface."""

from __future__ import annotations

from collections.abc import Callable

from headgate.client import Target
from headgate.errors import HeadgateError
from headgate.gateway.asking import Ask, Job, read_ask
from headgate.gateway.parts import GatewayParts
from headgate.gateway.passthrough import pass_through
from headgate.gateway.stamps import stamps
from headgate.gateway.translated import translate
from headgate.serving.envelopes import Surface, error_response
from headgate.serving.metering import Meter, Tab
from headgate.serving.request import Request
from headgate.serving.response import Answer


class Chat:
    """A chat endpoint. A target that speaks the surface's dialect gets the client's bytes, any other a translation of them.

    `read` opens a request: `read_ask` where the body names the model, `read_ask_in_path` where the path does.
    """

    def __init__(self, parts: GatewayParts, meter: Meter, surface: Surface, read: Callable[[bytes, Request], Ask] = read_ask) -> None:
        self._read = read
        self._parts = parts
        self._meter = meter
        self._surface = surface

    async def __call__(self, request: Request) -> Answer:
        """Answer a chat request, whole or as a stream. Raises `Refused`, `ConfigError`, `StoreError` before a target is known."""
        body = await request.body()
        await self._meter.ready()
        ask = self._read(body, request)
        target = await self._parts.resolve(ask.model).ready()
        job = self._job(request, ask, target)
        try:
            return await (pass_through(job) if job.same_dialect and not ask.array else translate(job))
        except HeadgateError as error:
            return error_response(error, self._surface, job.tab.call.id, stamps(job.tab.call))

    def _job(self, request: Request, ask: Ask, target: Target) -> Job:
        assert self._surface.dialect is not None
        target = target.on(self._surface.dialect.name)
        call = self._meter.call("gateway", target, dialect_in=self._surface.dialect.name, stream=ask.stream)
        return Job(self._parts, self._meter, self._surface, self._surface.dialect, request, ask, target, Tab(call))
