"""The connection that writes to a SQLite file, in turn with other processes."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

from headgate.store.connect import Synchronous, open_writer
from headgate.store.faults import LOST_CONNECTION, code_of, store_error
from headgate.store.jobs import Caught, Work
from headgate.store.turn import POLL, Turn

GROUP = 256
"""Functions committed together at most."""
LONG = 32 << 20
"""Bytes of the log from which on it is shortened."""
PATIENCE = 200
"""Milliseconds to wait for readers then."""


class SqliteSession:
    """The writing connection of one file. Raises `StoreError` when the file cannot be opened."""

    group = GROUP
    backlog = None

    def __init__(self, path: Path, migrations: str, synchronous: Synchronous, busy_timeout: float) -> None:
        self.path = path
        self.place = str(path)
        self._open = (path, migrations, synchronous, busy_timeout)
        self._busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = open_writer(*self._open)
        self._log = path.with_name(path.name + "-wal")
        self._long = LONG
        self._turn = Turn(path.with_name(path.name + "-turn"))

    def begin(self) -> sqlite3.Connection:
        """Begin to write, in turn with other processes. Raises when that takes longer than `busy_timeout`."""
        if self._connection is None:
            self._connection = open_writer(*self._open)
        connection = self._connection
        deadline = time.monotonic() + self._busy_timeout
        self._turn.take(deadline)
        try:
            while not self._begun(connection, deadline):
                time.sleep(POLL)
        finally:
            self._turn.give()
        return connection

    def _begun(self, connection: sqlite3.Connection, deadline: float) -> bool:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if code_of(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            return False
        return True

    def apply(self, connection: sqlite3.Connection, work: Work[sqlite3.Connection], alone: bool) -> None:
        """Do the work under a savepoint. What it raises undoes its own changes alone, unless SQLite undid the transaction."""
        connection.execute("SAVEPOINT job")
        error = work.call(connection)
        if not connection.in_transaction:
            raise error or RuntimeError("a write function must not end the transaction it is in")
        if error is not None:
            work.fail(self.told(error))
            connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")

    def commit(self, connection: sqlite3.Connection) -> None:
        """Commit the transaction."""
        connection.execute("COMMIT")
        with contextlib.suppress(FileNotFoundError):
            size = self._log.stat().st_size
            if size >= self._long:
                self._long = LONG if self._shortened(connection) else size + LONG

    def _shortened(self, connection: sqlite3.Connection) -> bool:
        """Begin the log anew, which readers that never pause would let grow (faults F4): wait a moment for those of now, and no longer."""
        connection.execute(f"PRAGMA busy_timeout = {PATIENCE}")
        try:
            return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error:
            return False  # the commit stands; a fault of the disk shows at the next one
        finally:
            connection.execute("PRAGMA busy_timeout = 0")

    def undo(self, error: BaseException) -> bool:
        """Undo the transaction; after a fault of the disk, go on with a new connection only (faults F17). Nothing is tried again."""
        connection = self._connection
        if connection is None:
            return False
        if connection.in_transaction:
            with Caught():
                connection.execute("ROLLBACK")
        if code_of(error) in LOST_CONNECTION or connection.in_transaction:
            connection.close()
            self._connection = None
        return False

    def told(self, error: BaseException) -> BaseException:
        """`error`, as `StoreError` where it is a fault of the file or the disk."""
        return (store_error(error, self.path) if isinstance(error, sqlite3.Error) else None) or error

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
        self._turn.close()
