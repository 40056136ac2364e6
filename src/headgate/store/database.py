"""A SQLite file: writes go through one thread, reads through connections that cannot write."""

from __future__ import annotations

import asyncio
import atexit
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from headgate.errors import StoreError
from headgate.store.connect import Synchronous, open_reader
from headgate.store.faults import store_error
from headgate.store.writer import Writer

T = TypeVar("T")
IDLE_READERS = 4


class Writers:
    """The writing threads of this process, one for each file, shared by everything that opens it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[int, Path], tuple[Writer, int]] = {}

    def take(self, path: Path, migrations: str, synchronous: Synchronous, busy_timeout: float) -> Writer:
        """The writer of `path`, made when this process has none yet. Raises `ValueError` when it is in use with other settings."""
        key = (os.getpid(), path.resolve())
        with self._lock:
            writer, users = self._open.get(key, (None, 0))
            if writer is None:
                writer = Writer(path, migrations, synchronous, busy_timeout)
            elif (writer.migrations, writer.synchronous) != (migrations, synchronous):
                raise ValueError(f"{path} is already open as {writer.migrations} with synchronous={writer.synchronous}")
            self._open[key] = (writer, users + 1)
            return writer

    def give(self, writer: Writer) -> None:
        """One user fewer; the last one ends the thread, once everything queued is written."""
        key = (os.getpid(), writer.path.resolve())
        with self._lock:
            known, users = self._open.get(key, (None, 0))
            if known is not writer:
                return
            if users > 1:
                self._open[key] = (writer, users - 1)
                return
            del self._open[key]
        writer.close()

    def close_all(self) -> None:
        """Write out what is queued anywhere. Called when the interpreter ends."""
        with self._lock:
            mine = [key for key in self._open if key[0] == os.getpid()]
            writers = [self._open.pop(key)[0] for key in mine]
        for writer in writers:
            writer.close()


_writers = Writers()
atexit.register(_writers.close_all)


def _nothing(connection: sqlite3.Connection) -> None:
    """Written last, so that everything before it is written too."""


class Database:
    """One open file. Usable from any thread and any event loop; `close` it, or use it as a context manager.

    A write function gets the writing connection inside a transaction and returns its result; it must not commit, and must not wait for
    anything. Functions run in the order they were queued; several may share a transaction, each undone alone when it raises. A result is
    told only after the commit. Rows are plain tuples; parameters are named (``:name``) and passed as a mapping.
    """

    def __init__(self, path: Path, migrations: str, writer: Writer | None, busy_timeout: float) -> None:
        self.path = path
        self.migrations = migrations
        self.busy_timeout = busy_timeout
        self._writer = writer
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        self._process = os.getpid()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        migrations: str,
        read_only: bool = False,
        synchronous: Synchronous = "NORMAL",
        busy_timeout: float = 5.0,
    ) -> Database:
        """Open `path` with the schema `migrations` (a folder of ``store/sql``), made or brought up to date unless `read_only`.

        `busy_timeout`: seconds to wait for another process. Raises `StoreError`: no access, another kind of file, a newer schema, damage.
        """
        place = Path(path).absolute()
        writer = None if read_only else _writers.take(place, migrations, synchronous, busy_timeout)
        database = cls(place, migrations, writer, busy_timeout)
        if read_only:
            database._idle.append(open_reader(place, migrations, busy_timeout))
        return database

    @property
    def transactions(self) -> int:
        """How many transactions this process has committed to the file."""
        return 0 if self._writer is None else self._writer.transactions

    def submit(self, function: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue a write function; the future has its result after the commit. Cancelling it before it began takes it back."""
        self._check()
        if self._writer is None:
            raise StoreError(f"{self.path} is open for reading only")
        return self._writer.submit(function)

    async def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a write function and wait for its commit. Raises what it raised, or `StoreError`."""
        return await asyncio.wrap_future(self.submit(function))

    def write_now(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """As `write`, blocking the calling thread."""
        return self.submit(function).result()

    def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` on a connection that cannot write, in one snapshot: everything committed before, nothing after."""
        with self._reader() as connection:
            connection.execute("BEGIN")
            try:
                return function(connection)
            finally:
                connection.execute("ROLLBACK")

    async def read_async(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """As `read`, in a thread, for queries that may take a while."""
        return await asyncio.to_thread(self.read, function)

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        self._check()
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        try:
            if connection is None:
                connection = open_reader(self.path, self.migrations, self.busy_timeout)
            yield connection
        except sqlite3.Error as error:
            told = store_error(error, self.path)
            if told is None:
                raise
            raise told from error
        finally:
            if connection is not None:
                self._keep(connection)

    def _keep(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed and not connection.in_transaction and len(self._idle) < IDLE_READERS:
                self._idle.append(connection)
                return
        connection.close()

    def _check(self) -> None:
        if self._closed:
            raise StoreError(f"{self.path} is closed")
        if self._process != os.getpid():
            raise StoreError(f"{self.path} was opened before this process was forked", hint="open it again in the new process")

    def close(self) -> None:
        """Wait until everything queued is written, and let go of the file. Closing twice is allowed."""
        with self._lock:
            if self._closed or self._process != os.getpid():
                return
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        if self._writer is not None:
            wait([self._writer.submit(_nothing)])
            _writers.give(self._writer)

    def __enter__(self) -> Database:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
