"""Connections to PostgreSQL, with the settings every one of ours has, and its transactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.rows import TupleRow

from headgate.errors import StoreError
from headgate.store.connection import Cursor, Timed, Value
from headgate.store.postgres.address import Address
from headgate.store.postgres.faults import said, state_of, store_error
from headgate.store.postgres.sql import translate
from headgate.store.postgres.values import adapt

_NONE: dict[str, Value] = {}
_UNKNOWN = "the connection was lost during a commit: whether it was written is not known"
_TIME = "SELECT extract(epoch FROM clock_timestamp())::float8"


class Limits(msgspec.Struct, frozen=True):
    """How long anything may take, in seconds: waiting for other writers, one statement, a pause inside a transaction, one query."""

    lock: float = 5.0
    statement: float = 10.0
    idle: float = 15.0
    query: float = 20.0
    pool: float = 5.0
    """Waiting until one of the reading connections is free."""


USUAL = Limits()


class PostgresConnection(Timed):
    """A connection as `headgate.store.connection.Connection`: inside a transaction, parameters written ``:name``."""

    def __init__(self, raw: psycopg.Connection[TupleRow]) -> None:
        self.raw = raw
        self.began = 0.0

    def execute(self, sql: str, parameters: Mapping[str, Value] = _NONE, /) -> Cursor:
        """Run one statement."""
        statement = translate(sql)
        return self.raw.execute(statement.text, statement.values(parameters))

    def executemany(self, sql: str, rows: Iterable[Mapping[str, Value]], /) -> Cursor:
        """Run one statement for each of `rows`, sent without waiting for each."""
        statement = translate(sql)
        values = [statement.values(row) or () for row in rows]
        if len(values) == 1:
            return self.raw.execute(statement.text, values[0])
        cursor = self.raw.cursor()
        cursor.executemany(statement.text, values)
        return cursor

    @property
    def state(self) -> TransactionStatus:
        """Whether a transaction is open or failed, or the connection is lost."""
        return TransactionStatus(self.raw.pgconn.transaction_status)

    def command(self, text: str) -> bytes:
        """Run statements of our own that take no values. Gives the first value of the last, else its tag. Raises `psycopg.Error`."""
        result = self.raw.pgconn.exec_(text.encode())
        if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
            error = psycopg.errors.error_from_result(result)
            raise psycopg.OperationalError(str(error)) if self.lost and error.sqlstate is None else error
        return (result.get_value(0, 0) if result.ntuples else result.command_status) or b""

    def begin(self, mode: str, lock: int | None = None) -> None:
        """Begin a transaction of that mode and, with `lock`, wait for its turn."""
        wait = "" if lock is None else f"SELECT pg_advisory_xact_lock({lock}); "
        self.began = float(self.command(f"BEGIN {mode}; {wait}{_TIME}"))

    def commit(self) -> None:
        """Commit. Raises `RuntimeError` when the transaction had failed before, and `StoreError` when nobody knows whether it succeeded."""
        try:
            tag = self.command("COMMIT")
        except psycopg.OperationalError as error:
            if not self.lost:
                raise
            raise StoreError(_UNKNOWN, hint="headgate doctor") from error
        if tag != b"COMMIT":
            raise RuntimeError("a write function must not go on after a failed statement")

    @property
    def lost(self) -> bool:
        """Whether the server has gone away."""
        return self.raw.closed or self.state == TransactionStatus.UNKNOWN

    def close(self) -> None:
        """End it."""
        self.raw.close()


def connect(address: Address, settings: Mapping[str, str]) -> PostgresConnection:
    """A new connection with the server's `settings` in force. Raises `StoreError`."""
    raw: psycopg.Connection[TupleRow] | None = None
    try:
        raw = psycopg.connect(address.conninfo, autocommit=True)
        adapt(raw)
        wanted = {"search_path": address.schema, "default_transaction_isolation": "read committed", **settings}
        calls = ", ".join(["set_config(%s, %s, false)"] * len(wanted))
        raw.execute(f"SELECT {calls}".encode(), [text for pair in wanted.items() for text in pair])
    except psycopg.Error as error:
        if raw is not None:
            raw.close()
        raise unreachable(error, address) from error
    return PostgresConnection(raw)


def unreachable(error: psycopg.Error, address: Address) -> StoreError:
    """Why no connection could be made. The driver gives no SQLSTATE for most of it, so its words are repeated."""
    known = store_error(error, address.shown) if state_of(error) else None
    return known or StoreError(
        f"{address.shown} cannot be reached: {said(error)}",
        hint="check that PostgreSQL runs and HEADGATE_DATABASE_URL is right: psql \"$HEADGATE_DATABASE_URL\" -c 'SELECT 1'",
    )


def milliseconds(seconds: float) -> str:
    """As PostgreSQL's settings of time want it."""
    return str(max(1, round(seconds * 1000)))
