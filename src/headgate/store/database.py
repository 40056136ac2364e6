"""A SQLite file: writes go through one thread, reads through connections that cannot write."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from headgate.store.base import Dialect
from headgate.store.connect import Synchronous, open_reader
from headgate.store.faults import store_error
from headgate.store.opened import Opened
from headgate.store.sqlite_session import SqliteSession
from headgate.store.writer import Writer, Writers

T = TypeVar("T")
IDLE_READERS = 4

_writers: Writers[sqlite3.Connection] = Writers()


class Database(Opened[sqlite3.Connection]):
    """One open file: a `base.Store` whose functions may use all of SQLite's connection."""

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path, migrations: str, writer: Writer[sqlite3.Connection] | None, busy_timeout: float) -> None:
        super().__init__(str(path), str(path.resolve()), _writers, writer)
        self.path = path
        self.migrations = migrations
        self.busy_timeout = busy_timeout
        self._idle: list[sqlite3.Connection] = []

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

        def make() -> Writer[sqlite3.Connection]:
            return Writer(SqliteSession(place, migrations, synchronous, busy_timeout), place.name)

        settings = f"{migrations} with synchronous={synchronous}"
        writer = None if read_only else _writers.take(str(place.resolve()), settings, make)
        database = cls(place, migrations, writer, busy_timeout)
        if read_only:
            database._idle.append(open_reader(place, migrations, busy_timeout))
        return database

    def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` on a connection that cannot write, in one snapshot: everything committed before, nothing after."""
        with self._reader() as connection:
            connection.execute("BEGIN")
            try:
                return function(connection)
            finally:
                connection.execute("ROLLBACK")

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

    def now(self) -> float:
        """This machine's time, seconds since the epoch."""
        return time.time()

    def _end_readers(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
