"""The seam over both databases: what everything above knows of where its rows are."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Literal, Protocol, TypeAlias, TypeVar

from headgate.store.connection import Connection

T = TypeVar("T")
Dialect: TypeAlias = Literal["sqlite", "postgresql"]


class Store(Protocol):
    """One open database. Usable from any thread and any event loop.

    A write function gets the writing connection inside a transaction and returns its result; it must not commit, and must not wait for
    anything. All writers of all processes take turns: what a write function reads does not change before its commit. Functions of one
    process run in the order they were queued; several may share a transaction, each undone alone when it raises. A result is told only
    after the commit. A function may be called a second time when the database undid the first, so it must act on nothing but its
    connection. Rows are plain tuples; parameters are named (``:name``) and passed as a mapping.
    """

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        ...

    @property
    def place(self) -> str:
        """Where it is, without any password."""
        ...

    @property
    def transactions(self) -> int:
        """How many transactions this process has committed to it."""
        ...

    def submit(self, function: Callable[[Connection], T]) -> Future[T]:
        """Queue a write function; the future has its result after the commit. Cancelling it before it began takes it back."""
        ...

    async def write(self, function: Callable[[Connection], T]) -> T:
        """Run a write function and wait for its commit. Raises what it raised, or `StoreError`."""
        ...

    def write_now(self, function: Callable[[Connection], T]) -> T:
        """As `write`, blocking the calling thread."""
        ...

    def read(self, function: Callable[[Connection], T]) -> T:
        """Run `function` on a connection that cannot write, in one snapshot, blocking the calling thread."""
        ...

    async def read_async(self, function: Callable[[Connection], T]) -> T:
        """As `read`, in a thread."""
        ...

    def now(self) -> float:
        """The database's own time, seconds since the epoch. Inside a transaction `connection.clock` gives it without asking again."""
        ...

    def close(self) -> None:
        """Wait until everything queued is written, and let go of the database. Closing twice is allowed."""
        ...
