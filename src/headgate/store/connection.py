"""What a write or read function gets, whichever database is below: statements with named parameters, rows as tuples."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

Value: TypeAlias = str | int | float | bytes | None
Row: TypeAlias = tuple[Value, ...]


class Cursor(Protocol):
    """The outcome of a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""
        ...

    @property
    def description(self) -> Sequence[Sequence[str | int | None]] | None:
        """One entry a column; its name comes first."""
        ...

    def fetchone(self) -> Row | None:
        """The next row, None at the end."""
        ...

    def fetchall(self) -> list[Row]:
        """All rows left."""
        ...


class Connection(Protocol):
    """A connection inside a transaction that its owner ends.

    Parameters are written ``:name`` and passed as a mapping; where every microsecond counts, ``?`` and a tuple.
    """

    def execute(self, sql: str, parameters: Mapping[str, Value] | Row = ..., /) -> Cursor:
        """Run one statement."""
        ...

    def executemany(self, sql: str, rows: Iterable[Mapping[str, Value] | Row], /) -> Cursor:
        """Run one statement for each of `rows`."""
        ...


class Url(Protocol):
    """A database's URL, kept from being shown because it may hold a password: `headgate.config.Secret` is one."""

    def reveal(self) -> str:
        """The URL itself."""
        ...


class Timed:
    """A connection that knows the time at its server: `began`, seconds since the epoch, read when its transaction could begin."""

    began: float


def clock(connection: Connection) -> float:
    """The database's own time for this transaction, seconds since the epoch: what leases are made and judged by (faults F15).

    PostgreSQL's is read once, after the transaction's turn has come, so that it never runs back from one write to the next unless the
    server's clock does. A file's is that of this machine.
    """
    return connection.began if isinstance(connection, Timed) else time.time()
