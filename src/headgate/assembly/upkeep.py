"""What a serving process looks after besides requests: its gauges, its readiness, what has expired, how its settings were read."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from headgate.config.reload import ReloadState
from headgate.errors import StoreError
from headgate.gateway.parts import GatewayParts
from headgate.ledger.budget_book import BudgetBook, BudgetStanding
from headgate.ledger.leases import Leases
from headgate.observe.counters import Counters
from headgate.observe.snapshot import Labels, Number
from headgate.serving.answer_store import AnswerStore
from headgate.serving.idempotency import LEASE, Idempotency
from headgate.serving.readiness import Probe, Readiness

_LOG = logging.getLogger("headgate.server")
INTERVAL = 5.0
"""Seconds between two looks."""
BUDGETS = 30.0
"""Seconds between two looks at every budget."""
PURGE = 600.0
"""Seconds between two clearings of what has expired."""
RENEW = LEASE / 5
"""Seconds between two prolongations of the keys of requests that take long."""
BREAKERS = {"closed": 0, "half_open": 1, "open": 2}
LEVELS = {"ready": 1.0, "degraded": 0.5, "unready": 0.0}


class Upkeep:
    """Looks every few seconds. `answers` and `keys` grow until they are purged; `keys` of requests under way are renewed."""

    def __init__(
        self,
        readiness: Readiness,
        budgets: BudgetBook,
        answers: AnswerStore,
        keys: Idempotency,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._readiness = readiness
        self._budgets = budgets
        self._answers = answers
        self._keys = keys
        self._clock = clock
        self._purged = self._renewed = clock()
        self._asked = float("-inf")
        self._failing = False
        self._standings: tuple[BudgetStanding, ...] = ()

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look until cancelled. A database that cannot be asked is reported once, until it can be again."""
        while True:
            try:
                await self.look()
                self._failing = False
            except StoreError as error:
                if not self._failing:
                    _LOG.error("%s", error.message)
                self._failing = True
            await sleep(INTERVAL)

    async def look(self) -> None:
        """One look. Raises `StoreError`."""
        await self._readiness.report()
        now = self._clock()
        if now - self._renewed >= RENEW:
            self._renewed = now
            await self._keys.renew(now)
        if now - self._asked >= BUDGETS:
            self._asked = now
            self._standings = tuple(one for found in await self._budgets.in_force(now) for one in found.balances)
        if now - self._purged >= PURGE:
            self._purged = now
            await self._answers.purge(now)
            await self._keys.purge(now)

    def used(self) -> Mapping[Labels, Number]:
        """By scope of a budget, the share of it that is spent or reserved, of the fullest balance."""
        found: dict[Labels, Number] = {}
        for one in self._standings:
            if one.limit_nanos:
                share = (one.spent_nanos + one.reserved_nanos) / one.limit_nanos
                found[one.scope,] = max(share, found.get((one.scope,), 0.0))
        return found


def tell_gauges(counters: Counters, own: GatewayParts, readiness: Readiness, upkeep: Upkeep) -> None:
    """Have the gauges of a gateway read."""

    def upstream() -> Mapping[Labels, Number]:
        idle = own.http.idle_connections
        return {("idle",): idle, ("busy",): own.http.open_connections - idle}

    counters.gauge("in_flight", lambda: {(): own.load.in_flight})
    counters.gauge("upstream_connections", upstream)
    counters.gauge("queue_length", lambda: {(): own.limiter.waiting})
    counters.gauge("journal_depth", lambda: {(): own.spending.unwritten})
    counters.gauge("breaker", lambda: {(id,): BREAKERS[state] for id, state in own.router.breakers().items()})
    counters.gauge("budget_used", upkeep.used)
    counters.gauge("cache_bytes", lambda: {(): own.repeats.cache.memory.held})
    counters.gauge("ready", lambda: {(): LEVELS[readiness.status]})


class Readings:
    """How the settings were read of late. `told` are called after each reading."""

    def __init__(self, counters: Counters, *told: Callable[[ReloadState], None]) -> None:
        self._counters = counters
        self._told = list(told)
        self.state = ReloadState()

    def tell(self, told: Callable[[ReloadState], None]) -> None:
        """Call `told` as well from now on."""
        self._told.append(told)

    def note(self, state: ReloadState) -> None:
        """The settings were read."""
        self.state = state
        self._counters.event("reload", "ok" if state.error is None else "failed")
        for told in self._told:
            told(state)

    async def probe(self) -> str | None:
        """A check of readiness: whether the file on disk is the one in force."""
        return None if self.state.error is None else "file not taken"


class Needs(msgspec.Struct):
    """What readiness asks of parts that are opened after it."""

    trouble: Callable[[], StoreError | None] | None = None
    leases: Leases | None = None

    async def spending(self) -> str | None:
        """Whether what requests cost can be booked."""
        return "nothing can be booked" if self.trouble is not None and self.trouble() is not None else None

    async def limits(self) -> str | None:
        """Whether the processes that share limits can be asked."""
        return "shares cannot be asked" if self.leases is not None and self.leases.down else None

    def probes(self) -> tuple[Mapping[str, Probe], Mapping[str, Probe]]:
        """Those without which no request is served, and the others."""
        return {"spending": self.spending}, {"limits": self.limits}
