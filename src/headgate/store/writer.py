"""The one thread of a process that writes to a file: first come, first served, several functions to a transaction."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from headgate.errors import StoreError
from headgate.store.connect import Synchronous, open_writer
from headgate.store.faults import LOST_CONNECTION, code_of, store_error
from headgate.store.turn import POLL, Turn

T = TypeVar("T")
GROUP = 256
"""Functions committed together at most."""


class Caught:
    """Takes what its block raises as a value, for whoever waits for the outcome in another thread."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> Caught:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self.error = error
        return True


class Job(Generic[T]):
    """A function that writes, and the future of its result. The outcome is known before, but told only after, the commit."""

    def __init__(self, function: Callable[[sqlite3.Connection], T]) -> None:
        self.function = function
        self.future: Future[T] = Future()
        self._result: T
        self._error: BaseException | None = None

    def starts(self) -> bool:
        """Whether the caller still waits; from now on it cannot be cancelled."""
        return self.future.set_running_or_notify_cancel()

    def run(self, connection: sqlite3.Connection, path: Path) -> None:
        """Call the function under a savepoint. What it raises undoes its own changes alone, unless SQLite undid the transaction."""
        connection.execute("SAVEPOINT job")
        with Caught() as caught:
            self._result = self.function(connection)
            if isinstance(self._result, sqlite3.Cursor):
                self._result.close()  # else it would reset its (shared) statement later, from the thread that drops it
        if not connection.in_transaction:
            raise caught.error or RuntimeError("a write function must not end the transaction it is in")
        if caught.error is not None:
            self._error = outcome(caught.error, path)
            connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")

    def finish(self, error: BaseException | None = None) -> None:
        """Tell the result, or the function's own error, or `error`, because of which nothing was committed."""
        found = self._error or error
        if found is None:
            self.future.set_result(self._result)
        else:
            self.future.set_exception(found)


def outcome(error: BaseException, path: Path) -> BaseException:
    """`error`, as `StoreError` where it is a fault of the file or the disk."""
    return (store_error(error, path) if isinstance(error, sqlite3.Error) else None) or error


class Work(Protocol):
    """What the writing thread knows of a job, whatever its result is."""

    def starts(self) -> bool:
        """Whether it is still wanted; from now on it cannot be cancelled."""
        ...

    def run(self, connection: sqlite3.Connection, path: Path) -> None:
        """Do it, inside the open transaction."""
        ...

    def finish(self, error: BaseException | None = None) -> None:
        """Tell the outcome."""
        ...


class Writer:
    """The writing thread of one file. `transactions` counts commits."""

    def __init__(self, path: Path, migrations: str, synchronous: Synchronous, busy_timeout: float) -> None:
        self.path = path
        self.migrations = migrations
        self.synchronous: Synchronous = synchronous
        self.busy_timeout = busy_timeout
        self.transactions = 0
        self._connection: sqlite3.Connection | None = open_writer(path, migrations, synchronous, busy_timeout)
        self._turn = Turn(path.with_name(path.name + "-turn"))
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"store-writer {path.name}", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue a function. Raises `StoreError` after `close`, and `RuntimeError` inside a write function, which would wait for itself."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a write function must use the connection it is given")
        job = Job(function)
        with self._gate:
            if self._closed:
                raise StoreError(f"{self.path} is closed")
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
        if self._connection is not None:
            self._connection.close()
        self._turn.close()

    def _gather(self) -> tuple[list[Work], bool]:
        """What is waiting, oldest first, at least one job; and whether the end of the queue was seen."""
        group: list[Work] = []
        work = self._queue.get()
        while work is not None:
            if work.starts():
                group.append(work)
            if len(group) == GROUP:
                return group, False
            try:
                work = self._queue.get_nowait()
            except Empty:
                return group, False
        return group, True

    def _transact(self, group: Sequence[Work]) -> None:
        with Caught() as caught:
            connection = self._connected()
            self._begin(connection)
            for work in group:
                work.run(connection, self.path)
            connection.execute("COMMIT")
            self.transactions += 1
        if caught.error is not None:
            self._recover(caught.error)
        told = None if caught.error is None else outcome(caught.error, self.path)
        for work in group:
            work.finish(told)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_writer(self.path, self.migrations, self.synchronous, self.busy_timeout)
        return self._connection

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Begin to write, in turn with other processes. Raises when that takes longer than `busy_timeout`."""
        deadline = time.monotonic() + self.busy_timeout
        self._turn.take(deadline)
        try:
            while not self._begun(connection, deadline):
                time.sleep(POLL)
        finally:
            self._turn.give()

    def _begun(self, connection: sqlite3.Connection, deadline: float) -> bool:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if code_of(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            return False
        return True

    def _recover(self, error: BaseException) -> None:
        """Undo the transaction; after a fault of the disk, go on with a new connection only (faults F17)."""
        connection = self._connection
        if connection is None:
            return
        if connection.in_transaction:
            with Caught():
                connection.execute("ROLLBACK")
        if code_of(error) in LOST_CONNECTION or connection.in_transaction:
            connection.close()
            self._connection = None
