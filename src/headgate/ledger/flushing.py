"""Committing what requests left, many together: one batch at a time, tried until it is in the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from headgate.errors import StoreError
from headgate.ledger.balances import Alert
from headgate.ledger.journal import Journal
from headgate.ledger.moves import Move
from headgate.ledger.settling import Batch, commit
from headgate.ledger.spending_settings import SpendingSettings
from headgate.store.base import Store
from headgate.store.connection import Row

_LOG = logging.getLogger("headgate.ledger")
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


class Flusher:
    """Collects closed requests and commits them every `flush_interval` seconds while there are any. Belongs to one event loop.

    `trouble` is why the last attempt failed, None while all is well. `committed` is the loop's time of the last
    commit.
    """

    def __init__(
        self,
        store: Store,
        process: str,
        journal: Journal,
        *,
        settings: SpendingSettings,
        told: Callable[[Alert], None],
        count: Callable[[str, int], None],
    ) -> None:
        self._store = store
        self._process = process
        self._journal = journal
        self._interval = settings.flush_interval
        self._lease = settings.lease
        self._stall = settings.stall
        self._told = told
        self._count = count
        self._loop = asyncio.get_running_loop()
        self._rows: list[Row] = []
        self._moves: list[tuple[Move, ...]] = []
        self._slots: list[tuple[int, ...]] = []
        self._returns: list[Move] = []
        self._batch: Batch | None = None
        self._leaving: list[tuple[int, ...]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._number = 0
        self._careful = False
        self._pause = FIRST_PAUSE
        self.trouble: StoreError | None = None
        self.committed = self._loop.time()
        self._watch: asyncio.TimerHandle | None = None
        self._stopped = False

    @property
    def empty(self) -> bool:
        """Whether everything is committed."""
        return self._batch is None and not self._rows and not self._returns

    @property
    def unwritten(self) -> int:
        """Closed requests that are not committed yet."""
        return len(self._rows) + (0 if self._batch is None else len(self._batch.rows))

    def add(self, row: Row, moves: tuple[Move, ...], slots: tuple[int, ...]) -> None:
        """A closed request; its `slots` are freed once it is committed, the one with its receipt last."""
        self._rows.append(row)
        self._moves.append(moves)
        self._slots.append(slots)
        if self._timer is None and self._batch is None:
            self._timer = self._loop.call_later(self._interval, self._go)

    def give_back(self, returns: Iterable[Move]) -> None:
        """Parts of slabs that are given back, with the next batch."""
        self._returns += returns
        if self._returns and self._timer is None and self._batch is None:
            self._timer = self._loop.call_later(self._interval, self._go)

    def touch(self) -> None:
        """Commit now, be it nothing, so that the lease is prolonged."""
        if self._batch is None:
            self._go()

    async def flushed(self) -> None:
        """Return when all that was added before is committed. Waits as long as that takes."""
        if self.empty:
            return
        done: asyncio.Future[None] = self._loop.create_future()
        pending = self._number + (1 if self._rows or self._returns else 0)
        self._waiting.append((pending, done))
        if self._batch is None:
            self._go()
        await done

    def _go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._batch is None:
            self._number += 1
            self._batch = Batch(self._number, tuple(self._rows), tuple(self._moves), tuple(self._returns))
            self._leaving = self._slots
            self._rows, self._moves, self._slots, self._returns = [], [], [], []
        self._submit(self._batch)

    def _submit(self, batch: Batch) -> None:
        process, lease, careful = self._process, self._lease, self._careful
        self._watched()
        self._watch = self._loop.call_later(self._stall, self._stalled)
        try:
            future = self._store.submit(lambda connection: commit(connection, process, batch, lease, careful=careful))
        except StoreError as error:
            self._failed(error)
        else:
            future.add_done_callback(self._tell)

    def _watched(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _stalled(self) -> None:
        self.trouble = StoreError("the ledger does not answer", hint="headgate doctor")

    def _tell(self, future: Future[list[Alert]]) -> None:
        """In the writing thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._finish, future)

    def _finish(self, future: Future[list[Alert]]) -> None:
        self._watched()
        if self._stopped:
            return
        error = future.exception()
        if error is not None:
            self._failed(error)
            return
        for slots in self._leaving:
            for slot in slots:
                self._journal.free(slot)
        if self._batch is not None and self._batch.rows:
            self._count("written", len(self._batch.rows))
        self._batch, self._leaving = None, []
        self._careful, self._pause, self.trouble = False, FIRST_PAUSE, None
        self.committed = self._loop.time()
        for alert in future.result():
            self._told(alert)
        self._wake()
        if self._rows or self._returns:
            wait = 0.0 if self._waiting else self._interval
            self._timer = self._loop.call_later(wait, self._go)

    def _wake(self) -> None:
        for number, done in self._waiting:
            if number <= self._number and not done.done():
                done.set_result(None)
        self._waiting = [(number, done) for number, done in self._waiting if number > self._number]

    def _failed(self, error: BaseException) -> None:
        """Keep the batch for the next try. What is no fault of the store may be one receipt's, whose id is known: leave such out."""
        if not isinstance(error, StoreError):
            _LOG.error("receipts could not be written at once, and are written one by one: %s", error)
            again, self._careful = not self._careful, True
            error = StoreError(f"receipts could not be written: {error}", hint="headgate doctor")
            if again:
                self._timer = self._loop.call_later(0.0, self._go)
                return
        elif self.trouble is None:
            self._count("delayed", self.unwritten)
            _LOG.error("receipts could not be written and are kept for the next try: %s", error.message)
        self.trouble = error
        self._timer = self._loop.call_later(self._pause, self._go)
        self._pause = min(LONGEST_PAUSE, self._pause * 2)

    def stop(self) -> None:
        """Do nothing any more; a batch on its way may still be committed, which whoever reads the journal finds in the ledger."""
        self._stopped = True
        self._watched()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
