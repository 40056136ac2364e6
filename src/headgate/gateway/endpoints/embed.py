"""The embeddings endpoints of every surface: the same steps, in the embeddings wire of the surface."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from headgate.dialects.embed import EmbedDialect
from headgate.gateway.asking import Ask, read_ask
from headgate.gateway.embedding import EmbedJob, embed
from headgate.gateway.errand import Errand, Visit
from headgate.gateway.execute import Execution
from headgate.gateway.labels import labels_of
from headgate.gateway.outline import Outline
from headgate.gateway.parts import GatewayParts
from headgate.gateway.planning import check_ready, planned
from headgate.serving.envelopes import Surface
from headgate.serving.metering import Tab
from headgate.serving.request import Request
from headgate.serving.response import Answer


class Embed:
    """An embeddings endpoint; `read` opens a request, as for `Chat`. No other model is ever asked than the one that was named."""

    def __init__(
        self, parts: GatewayParts, surface: Surface, dialect: EmbedDialect, read: Callable[[bytes, Request], Ask] = read_ask
    ) -> None:
        self._parts = parts
        self._surface = surface
        self._dialect = dialect
        self._read = read

    async def __call__(self, request: Request) -> Answer:
        """Answer a request. Raises `Refused`, `ConfigError`, `StoreError` before anybody was asked."""
        ask = self._read(await request.body(), request)
        parts, principal, now = self._parts, request.principal, asyncio.get_running_loop().time()
        check_ready(parts.spending)
        seen = Outline(model=ask.model, max_output=0)
        plan, decided = planned(parts, principal, ask, "embed")
        errand = Errand(
            parts,
            principal,
            seen,
            plan,
            route=request.route,
            dialect_in=self._dialect.name,
            clock=now,
            labels=labels_of(request, None),
            operation="embed",
            told=request.settled,
            decided=decided,
        )
        return await Execution(errand, len(ask.body), self._surface, partial(self._perform, request, ask), lambda target: target).run()

    async def _perform(self, request: Request, ask: Ask, visit: Visit, most: int | None) -> Answer:
        return await embed(EmbedJob(self._parts, self._dialect, request, ask, visit, Tab(visit.call)))
