"""The connection that writes to a PostgreSQL database, in turn with the writers of all processes."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
from psycopg.pq import TransactionStatus

from headgate.errors import StoreError
from headgate.store.connect import Synchronous
from headgate.store.jobs import Caught, Work
from headgate.store.postgres.address import Address
from headgate.store.postgres.connect import Limits, PostgresConnection, connect, milliseconds
from headgate.store.postgres.faults import DROPPED, RETRIED, state_of, store_error
from headgate.store.postgres.schema import migrate

GROUP = 64
"""Functions committed together at most: PostgreSQL keeps so many subtransactions of a session at hand."""
BACKLOG = 20_000
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between attempts to connect; whoever writes in between is refused at once."""

_ENDED = "end the transaction it is in"
_OPEN = frozenset({TransactionStatus.INTRANS, TransactionStatus.INERROR})


def open_writer(address: Address, migrations: str, synchronous: Synchronous, limits: Limits) -> PostgresConnection:
    """A connection that may write, the schema made or brought up to date. Raises `StoreError`.

    NORMAL leaves the server's own ``synchronous_commit``; FULL insists that a commit waits for the disk.
    """
    settings = {
        "lock_timeout": milliseconds(limits.lock),
        "statement_timeout": milliseconds(limits.statement),
        "idle_in_transaction_session_timeout": milliseconds(limits.idle),
        **({"synchronous_commit": "on"} if synchronous == "FULL" else {}),
    }
    connection = connect(address, settings)
    try:
        migrate(connection, migrations, address)
    except (psycopg.Error, StoreError) as error:
        connection.close()
        if isinstance(error, psycopg.Error):
            raise store_error(error, address.shown) or error from error
        raise
    return connection


class PostgresSession:
    """The writing connection of one schema. Raises `StoreError` when it cannot be reached."""

    group = GROUP
    backlog = BACKLOG

    def __init__(
        self, address: Address, migrations: str, synchronous: Synchronous, limits: Limits, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self.place = address.shown
        self._address = address
        self._open = (address, migrations, synchronous, limits)
        self._timer = timer
        self._connection: PostgresConnection | None = open_writer(*self._open)
        self._saved = False
        self._refusal = ""
        self._hint: str | None = None
        self._pause = 0.0
        self._next = 0.0

    def begin(self) -> PostgresConnection:
        """Begin to write when it is our turn. Raises `StoreError`, at once while the server is known to be away."""
        connection = self._connection or self._reconnected()
        self._saved = False
        connection.begin("ISOLATION LEVEL READ COMMITTED", self._address.lock)
        return connection

    def _reconnected(self) -> PostgresConnection:
        if self._timer() < self._next:
            raise StoreError(self._refusal, hint=self._hint)
        try:
            self._connection = open_writer(*self._open)
        except StoreError as error:
            self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self._pause))
            self._next = self._timer() + self._pause
            self._refusal, self._hint = error.message, error.hint
            raise
        self._pause = 0.0
        return self._connection

    def apply(self, connection: PostgresConnection, work: Work[PostgresConnection], alone: bool) -> None:
        """Do the work under a savepoint, which one without company does not need. What it raises undoes its own changes alone."""
        if not alone:
            connection.command("RELEASE job; SAVEPOINT job" if self._saved else "SAVEPOINT job")
            self._saved = True
        error = work.call(connection)
        if error is None and connection.state == TransactionStatus.INTRANS:
            return
        if error is None:
            failed = connection.state == TransactionStatus.INERROR
            error = RuntimeError(f"a write function must not {'go on after a failed statement' if failed else _ENDED}")
        if alone or connection.state not in _OPEN or state_of(error) in RETRIED | DROPPED:
            raise error
        work.fail(self.told(error))
        connection.command("ROLLBACK TO job")

    def commit(self, connection: PostgresConnection) -> None:
        """Commit the transaction."""
        connection.commit()

    def undo(self, error: BaseException) -> bool:
        """Roll back; go on with a new connection when this one is lost or leads to a standby. Tried again: what the server undid."""
        connection = self._connection
        if connection is None:
            return False
        lost = connection.lost
        if not lost and connection.state in _OPEN:
            with Caught():
                connection.command("ROLLBACK")
        if state_of(error) in DROPPED or connection.state != TransactionStatus.IDLE:
            connection.close()
            self._connection = None
        return state_of(error) in RETRIED or (lost and not isinstance(error, StoreError))

    def told(self, error: BaseException) -> BaseException:
        """`error`, as `StoreError` where it is a fault of the server or the way to it."""
        return (store_error(error, self.place) if isinstance(error, psycopg.Error) else None) or error

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
