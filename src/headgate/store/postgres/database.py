"""A schema of a PostgreSQL database: writes go through one thread, reads through a few connections that cannot write."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from headgate.errors import StoreError
from headgate.store.base import Dialect
from headgate.store.connect import Synchronous
from headgate.store.connection import Url
from headgate.store.jobs import Caught
from headgate.store.opened import Opened
from headgate.store.postgres.address import Address, parse_address
from headgate.store.postgres.connect import USUAL, Limits, PostgresConnection, connect, milliseconds
from headgate.store.postgres.faults import store_error
from headgate.store.postgres.schema import current_version, migrations_of, require_current
from headgate.store.postgres.session import PostgresSession
from headgate.store.schema import refuse_newer
from headgate.store.writer import Writer, Writers

T = TypeVar("T")
READERS = 4
"""Connections of one store that read at the same time."""

_writers: Writers[PostgresConnection] = Writers()


class PostgresStore(Opened[PostgresConnection]):
    """One open schema: a `base.Store`."""

    dialect: Dialect = "postgresql"

    def __init__(self, address: Address, migrations: str, writer: Writer[PostgresConnection] | None, limits: Limits) -> None:
        super().__init__(address.shown, address.key, _writers, writer)
        self.address = address
        self.migrations = migrations
        self.limits = limits
        self._idle: list[PostgresConnection] = []
        self._slots = threading.BoundedSemaphore(READERS)

    @classmethod
    def open(
        cls, url: Url, *, migrations: str, read_only: bool = False, synchronous: Synchronous = "NORMAL", limits: Limits = USUAL
    ) -> PostgresStore:
        """Open the schema of `url` (``?schema=NAME``, else ``headgate``), made or brought up to date unless `read_only`.

        Raises `ConfigError` when the URL is none, `StoreError`: out of reach, refused, another kind of schema, a newer one.
        """
        address = parse_address(url)

        def make() -> Writer[PostgresConnection]:
            return Writer(PostgresSession(address, migrations, synchronous, limits), address.schema)

        settings = f"{migrations} with synchronous={synchronous}"
        writer = None if read_only else _writers.take(address.key, settings, make)
        store = cls(address, migrations, writer, limits)
        if read_only:
            store._idle.append(store._open_reader())
        return store

    def read(self, function: Callable[[PostgresConnection], T]) -> T:
        """Run `function` on a connection that cannot write, in one snapshot: everything committed before, nothing after."""
        self._check()
        if not self._slots.acquire(timeout=self.limits.pool):
            raise StoreError(f"{self.place} could not be read: {READERS} other queries are still under way", hint="ask for less at once")
        try:
            connection = self._begun_reader()
            try:
                return function(connection)
            finally:
                self._keep(connection)
        except psycopg.Error as error:
            told = store_error(error, self.place)
            if told is None:
                raise
            raise told from error
        finally:
            self._slots.release()

    def now(self) -> float:
        """The server's time, seconds since the epoch."""
        return self.read(lambda connection: connection.began)

    def _begun_reader(self) -> PostgresConnection:
        """A connection in a new transaction; one that was lost while idle is replaced."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is not None:
            with Caught() as caught:
                connection.begin(_SNAPSHOT)
            if caught.error is None:
                return connection
            connection.close()
        connection = self._open_reader()
        connection.begin(_SNAPSHOT)
        return connection

    def _open_reader(self) -> PostgresConnection:
        limits = self.limits
        connection = connect(
            self.address,
            {
                "default_transaction_read_only": "on",
                "lock_timeout": milliseconds(limits.lock),
                "statement_timeout": milliseconds(limits.query),
                "idle_in_transaction_session_timeout": milliseconds(limits.idle),
            },
        )
        try:
            require_current(connection, self.migrations, self.address)
        except (psycopg.Error, StoreError):
            connection.close()
            raise
        return connection

    def _keep(self, connection: PostgresConnection) -> None:
        with Caught():
            connection.command("ROLLBACK")
        with self._lock:
            if not self._closed and connection.state == TransactionStatus.IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _end_readers(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


_SNAPSHOT = "ISOLATION LEVEL REPEATABLE READ READ ONLY"


def describe(url: Url, migrations: str) -> str:
    """What answers at `url`, and how far its schema is, in one line. Changes nothing. Raises `ConfigError` and `StoreError`."""
    address = parse_address(url)
    connection = connect(address, {"default_transaction_read_only": "on", "statement_timeout": "5000"})
    try:
        version = current_version(connection, migrations, address)
        refuse_newer(version, migrations_of(migrations), address.shown)
        server = connection.raw.info.server_version
    except psycopg.Error as error:
        raise store_error(error, address.shown) or error from error
    finally:
        connection.close()
    wanted = len(migrations_of(migrations))
    state = f"tables of version {version}" + ("" if version == wanted else f", brought to {wanted} when it is first written to")
    return f"PostgreSQL {server // 10000}.{server % 10000} at {address.shown}, {state}"
