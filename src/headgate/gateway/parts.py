"""What a gateway is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from headgate.catalog.cards import ModelCard
from headgate.client import Target
from headgate.gateway.repeats import Count, Repeats, uncounted
from headgate.ledger import Receipt
from headgate.ledger.limiter import Limiter
from headgate.ledger.spending import Spending
from headgate.router import Deployment, Router
from headgate.router.features import Decided
from headgate.serving.load import Load
from headgate.transport.http1 import HttpClient

Counting: TypeAlias = Callable[[str, str, str, int, float, float | None, int, int, int | None], None]
"""Counts a finished request: see `observe.counters.Counters.request`."""


def _nobody(receipt: Receipt, route: str, trace: str | None) -> None:
    """Nobody else wants to know."""


class GatewayParts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts the composition root puts together and closes; the gateway owns none of them.

    `router` says whom to ask, `target` how a deployment is reached (raises `ConfigError`, `MissingKey`), `limiter` and `spending`
    whether it may be. `resolve` finds the target of a model as a client wrote it, for what is free. `models` are listed.
    `clock` is seconds since the epoch, `new_id` makes receipt ids. `settled` is told of every receipt, with the route it came by and
    the header ``traceparent`` of its request; where `counted` is given it may be called in its place, which needs no receipt. `repeats`
    is what answers are given again from, `load` says how much is under way, `count` counts events, `decided` notes down routing decisions.
    """

    resolve: Callable[[str], Target]
    router: Router
    target: Callable[[Deployment], Target]
    limiter: Limiter
    spending: Spending
    http: HttpClient
    models: tuple[ModelCard, ...]
    clock: Callable[[], float]
    new_id: Callable[[], str]
    settled: Callable[[Receipt, str, str | None], None] = _nobody
    counted: Counting | None = None
    repeats: Repeats = msgspec.field(default_factory=Repeats)
    load: Load = msgspec.field(default_factory=Load)
    count: Count = uncounted
    decided: Callable[[Decided], None] | None = None
    tasks: set[asyncio.Task[None]] = msgspec.field(default_factory=set)

    def keep(self, task: asyncio.Task[None]) -> None:
        """Hold on to a task until it is over."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
