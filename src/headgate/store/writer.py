"""The one thread of a process that writes to a database: first come, first served, several functions to a transaction."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from headgate.errors import StoreError
from headgate.store.jobs import Caught, Job, Session, Work

T = TypeVar("T")
C = TypeVar("C")
TRIES = 3
"""How often a transaction that the database undid is tried in all."""


class Writer(Generic[C]):
    """The writing thread of one database. `transactions` counts commits."""

    def __init__(self, session: Session[C], name: str) -> None:
        self.place = session.place
        self.transactions = 0
        self._session = session
        self._group = session.group
        self._backlog = session.backlog
        self._queue: SimpleQueue[Work[C] | None] = SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"store-writer {name}", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[C], T]) -> Future[T]:
        """Queue a function.

        Raises `StoreError` after `close` and when too many wait, `RuntimeError` inside a write function, which would wait for itself.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("a write function must use the connection it is given")
        job: Job[C, T] = Job(function)
        with self._gate:
            if self._closed:
                raise StoreError(f"{self.place} is closed")
            if self._backlog is not None and self._queue.qsize() >= self._backlog:
                raise StoreError(f"{self.place} is too slow: {self._backlog} writes wait for it", hint="headgate doctor")
            self._queue.put(job)
        return job.future

    def close(self) -> None:
        """Finish what is queued and end the thread."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        closing = False
        while not closing:
            group, closing = self._gather()
            if group:
                self._transact(group)
        self._session.close()

    def _gather(self) -> tuple[list[Work[C]], bool]:
        """What is waiting, oldest first, at least one job; and whether the end of the queue was seen."""
        group: list[Work[C]] = []
        work = self._queue.get()
        while work is not None:
            if work.starts():
                group.append(work)
            if len(group) == self._group:
                return group, False
            try:
                work = self._queue.get_nowait()
            except Empty:
                return group, False
        return group, True

    def _transact(self, group: Sequence[Work[C]]) -> None:
        told: BaseException | None = None
        for _ in range(TRIES):
            with Caught() as caught:
                self._once(group)
            if caught.error is None:
                told = None
                break
            told = self._session.told(caught.error)
            if not self._session.undo(caught.error):
                break
        for work in group:
            work.finish(told)

    def _once(self, group: Sequence[Work[C]]) -> None:
        session = self._session
        connection = session.begin()
        alone = len(group) == 1
        for work in group:
            session.apply(connection, work, alone)
        session.commit(connection)
        self.transactions += 1


class Writers(Generic[C]):
    """The writing threads of this process, one for each database, shared by everything that opens it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[int, str], tuple[Writer[C], str, int]] = {}
        atexit.register(self.close_all)

    def take(self, key: str, settings: str, make: Callable[[], Writer[C]]) -> Writer[C]:
        """The writer called `key`, made when this process has none yet. Raises `ValueError` when it is in use with other `settings`."""
        with self._lock:
            found = self._open.get((os.getpid(), key))
            writer, known, users = found or (make(), settings, 0)
            if known != settings:
                raise ValueError(f"{writer.place} is already open as {known}")
            self._open[os.getpid(), key] = (writer, known, users + 1)
            return writer

    def give(self, key: str, writer: Writer[C]) -> None:
        """One user fewer; the last one ends the thread, once everything queued is written."""
        with self._lock:
            found = self._open.get((os.getpid(), key))
            if found is None or found[0] is not writer:
                return
            _, settings, users = found
            if users > 1:
                self._open[os.getpid(), key] = (writer, settings, users - 1)
                return
            del self._open[os.getpid(), key]
        writer.close()

    def close_all(self) -> None:
        """Write out what is queued anywhere. Called when the interpreter ends."""
        with self._lock:
            mine = [key for key in self._open if key[0] == os.getpid()]
            writers = [self._open.pop(key)[0] for key in mine]
        for writer in writers:
            writer.close()
