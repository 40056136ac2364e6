"""The chat endpoints of every surface: the same steps, in the dialect of the surface."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from headgate.client import Target
from headgate.gateway.asking import Ask, Job, read_ask
from headgate.gateway.errand import Errand, Visit
from headgate.gateway.execute import Execution
from headgate.gateway.labels import labels_of
from headgate.gateway.outline import outline
from headgate.gateway.parts import GatewayParts
from headgate.gateway.passthrough import pass_through
from headgate.gateway.planning import cheaper, check_ready, planned
from headgate.gateway.translated import translate
from headgate.serving.envelopes import Surface
from headgate.serving.metering import Tab
from headgate.serving.request import Request
from headgate.serving.response import Answer


class Chat:
    """A chat endpoint. A target that speaks the surface's dialect gets the client's bytes, any other a translation of them.

    `read` opens a request: `read_ask` where the body names the model, `read_ask_in_path` where the path does.
    """

    def __init__(self, parts: GatewayParts, surface: Surface, read: Callable[[bytes, Request], Ask] = read_ask) -> None:
        self._read = read
        self._parts = parts
        self._surface = surface

    async def __call__(self, request: Request) -> Answer:
        """Answer a chat request, whole or as a stream. Raises `Refused`, `ConfigError`, `StoreError` before anybody was asked."""
        ask = self._read(await request.body(), request)
        errand = self._errand(request, ask)
        return await self.execution(errand, request, ask).run()

    def _errand(self, request: Request, ask: Ask) -> Errand:
        assert self._surface.dialect is not None
        parts, principal = self._parts, request.principal
        check_ready(parts.spending)
        loop = asyncio.get_running_loop()
        seen = outline(self._surface.dialect.name, ask.body, ask.model, ask.stream)
        labels = labels_of(request, seen.session)
        plan, decided = planned(parts, principal, ask, "chat", labels.session)
        return Errand(
            parts,
            principal,
            seen,
            plan,
            route=request.route,
            dialect_in=self._surface.dialect.name,
            clock=loop.time(),
            labels=labels,
            told=request.settled,
            decided=decided,
        )

    def execution(self, errand: Errand, request: Request, ask: Ask) -> Execution:
        """The attempts of an errand of this endpoint."""
        perform = partial(self._perform, request, ask)
        plans = cheaper(self._parts, errand.principal, ask, errand.labels.session)
        return Execution(errand, len(ask.body), self._surface, perform, self._on, plans)

    def _on(self, target: Target) -> Target:
        assert self._surface.dialect is not None
        return target.on(self._surface.dialect.name)

    async def _perform(self, request: Request, ask: Ask, visit: Visit, most: int | None) -> Answer:
        assert self._surface.dialect is not None
        job = Job(self._parts, self._surface, self._surface.dialect, request, ask, visit, Tab(visit.call), most)
        return await (pass_through(job) if job.same_dialect and not ask.array else translate(job))
