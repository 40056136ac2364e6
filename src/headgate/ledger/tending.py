"""What a process does for its money besides requests: give back what lies idle, keep its lease, hear of changes, finish dead processes."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec

from headgate.errors import StoreError
from headgate.ledger.accounts import Accounts, Slab
from headgate.ledger.alerts import Deliverer
from headgate.ledger.balances import SQL, Alert, mark_lost, number
from headgate.ledger.budget_book import read_budgets, version_of
from headgate.ledger.flushing import Flusher
from headgate.ledger.journal import claim, journals, remains, sweep
from headgate.ledger.moves import Move
from headgate.ledger.old_balances import delete_balances, unreachable
from headgate.ledger.settling import reap
from headgate.ledger.spending_settings import SpendingSettings
from headgate.store.base import Store
from headgate.store.connection import Connection, clock

_LOG = logging.getLogger("headgate.ledger")
LOOK = 1.0
"""Seconds between two looks for changed budgets."""
PRUNE = 300.0
"""Seconds between two looks for balances that no window reaches any more."""


class Tending(msgspec.Struct, frozen=True):
    """Who tends what: the process, where its journal is, how it makes itself known and sure of what it holds, and who is told of
    thresholds."""

    store: Store
    process: str
    folder: Path
    settings: SpendingSettings
    now: Callable[[], float]
    register: Callable[[], Awaitable[int]]
    undoubt: Callable[[], Awaitable[None]]
    told: Callable[[Alert], None]
    deliverer: Deliverer | None = None


class Tender:
    """Looks after one process's slabs, budgets and lease. `trouble` is why the last round failed, None while all is well."""

    def __init__(self, tending: Tending, accounts: Accounts, flusher: Flusher) -> None:
        self._store = tending.store
        self._process = tending.process
        self._folder = tending.folder
        self._settings = tending.settings
        self._now = tending.now
        self._register = tending.register
        self._undoubt = tending.undoubt
        self._told = tending.told
        self._deliverer = tending.deliverer
        self._accounts = accounts
        self._flusher = flusher
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._version: int | None = None
        self._wanted = 0.0
        self._looked = self._reaped = self._delivered = -1e9
        self._pruned = self._loop.time()
        self._delivery: asyncio.Task[int] | None = None
        self._foreign: set[str] = set()
        self.trouble: StoreError | None = None

    async def start(self) -> None:
        """Make the process known and finish what dead ones left; then go on in the background."""
        await self._round()
        self._task = self._loop.create_task(self._run())

    async def stop(self) -> None:
        """End the background work."""
        tasks: list[asyncio.Task[None] | asyncio.Task[int]] = [task for task in (self._task, self._delivery) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._settings.tick)
            await self._round()

    async def _round(self) -> None:
        try:
            await self.tend()
        except StoreError as error:
            if self.trouble is None:
                _LOG.error("the ledger cannot be reached: %s", error.message)
            self.trouble = error
        else:
            self.trouble = None

    async def tend(self) -> None:
        """One round of everything that is due. Raises `StoreError`."""
        if self._version is None:
            self._version = await self._register()
        time = self._loop.time()
        if time - self._reaped >= self._settings.reap_interval:
            self._reaped = time
            await self.reap()
        if time - self._looked >= LOOK:
            self._looked = time
            await self._look()
        await self._undoubt()
        await self._give_back()
        if time - self._pruned >= PRUNE:
            self._pruned = time
            await self.prune()
            sweep(self._folder, self._now())
        if self._deliverer is not None:
            self._deliver(self._deliverer, time)
        if time - self._flusher.committed > self._settings.lease / 3:
            self._flusher.touch()

    def _deliver(self, deliverer: Deliverer, time: float) -> None:
        """Deliver alerts beside everything else, which does not wait for a webhook."""
        if time - self._delivered >= LOOK and (self._delivery is None or self._delivery.done()):
            if self._delivery is not None and not self._delivery.cancelled() and (error := self._delivery.exception()) is not None:
                _LOG.error("alerts could not be delivered: %s", error)
            self._delivered = time
            self._delivery = self._loop.create_task(deliverer.run())

    def outdated(self) -> None:
        """The budgets of the settings have changed: say so to the ledger in the next round."""
        self._version = None

    async def _look(self) -> None:
        """Take over budgets that were changed."""
        if await self._store.read_async(version_of) != self._version:
            self._version, budgets = await self._store.read_async(read_budgets)
            self._accounts.replace(budgets)

    async def _give_back(self) -> None:
        """Give back what lies idle, what is of a window that is over, and what somebody else was turned away for."""
        self.release([slab for slab in self._accounts.slabs if slab.retired])
        holding = [slab for slab in self._accounts.slabs if slab.hard and slab.free > 0]
        if holding:
            wanted = await self._store.read_async(self._read_wanted)
            now = self._now()
            idle = self._settings.idle
            self.release([slab for slab in holding if slab.number in wanted or slab.ends <= now or abs(now - slab.used) >= idle])
        self._accounts.prune(self._now())

    async def prune(self) -> int:
        """Delete balances that no window reaches any more, a few at a time. Returns how many. Raises `StoreError`."""
        mine, total = self._now(), 0
        while numbers := await self._store.read_async(lambda connection: unreachable(connection, min(mine, clock(connection)))):
            deleted = await self._store.write(partial(delete_balances, numbers=numbers))
            total += deleted
            if not deleted:
                break
        return total

    def _read_wanted(self, connection: Connection) -> set[int]:
        since = min(self._wanted, clock(connection))  # the database's clock may have been set back
        rows = connection.execute(SQL["wanted"], {"process": self._process, "since": since}).fetchall()
        self._wanted = max((float(row[1] or 0) for row in rows), default=self._wanted)
        return {number(row[0]) for row in rows}

    def release(self, slabs: list[Slab]) -> None:
        """Give back the free parts of `slabs`."""
        returns = [Move(slab.number, 0, slab.free) for slab in slabs if slab.hard and slab.free > 0]
        for slab in slabs:
            if slab.hard and slab.free > 0:
                slab.free = 0
        self._flusher.give_back(returns)

    async def reap(self) -> None:
        """Finish the requests of dead processes of this machine, and count as spent what silent ones of others hold."""
        here = [path for path in journals(self._folder) if path.stem not in self._foreign]
        for path in here:
            await self._finish(path)
        known = {path.stem for path in here} | {self._process}
        if await self._store.read_async(lambda connection: _silent(connection, known)):
            lost = await self._store.write(lambda connection: _lose(connection, known))
            for process in lost:
                _LOG.error("process %s has not been heard of: all it had reserved counts as spent until it is heard of again", process)

    async def _finish(self, path: Path) -> None:
        try:
            file = claim(path, lambda process: process == self._process)
        except StoreError as error:
            self._leave_alone(path, error.message)
            return
        if file is not None:
            try:
                await self._finish_claimed(path, file)
            finally:
                os.close(file)

    async def _finish_claimed(self, path: Path, file: int) -> None:
        try:
            found = remains(file)
        except StoreError as error:
            self._leave_alone(path, error.message)
            return
        outcome = await self._store.write(lambda connection: reap(connection, found))
        if outcome is None:
            self._leave_alone(path, "it is the journal of another ledger")
            return
        alerts, estimated = outcome
        os.unlink(path)
        if found.closed or found.sent:
            _LOG.warning("finished process %s: %d requests closed, %d estimated", path.stem, len(found.closed), len(estimated))
        for alert in alerts:
            self._told(alert)

    def _leave_alone(self, path: Path, reason: str) -> None:
        """Look at a file no more, and go on with the others: this process cannot finish it."""
        self._foreign.add(path.stem)
        _LOG.error("%s is left alone: %s", path, reason)


def _silent(connection: Connection, known: set[str]) -> list[str]:
    """Processes whose lease is over and whose journal is not here."""
    rows = connection.execute(SQL["expired"], {"now": clock(connection)}).fetchall()
    return [str(row[0]) for row in rows if row[0] not in known]


def _lose(connection: Connection, known: set[str]) -> list[str]:
    lost = _silent(connection, known)
    for process in lost:
        mark_lost(connection, process)
    return lost
