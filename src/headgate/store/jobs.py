"""Functions that write, waiting for their turn: the future of each, and what a database offers to run them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
C = TypeVar("C")
Given = TypeVar("Given", contravariant=True)


class Caught:
    """Takes what its block raises as a value, for whoever waits for the outcome in another thread."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> Caught:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self.error = error
        return True


class Work(Protocol[Given]):
    """What the writing thread knows of a job, whatever its result is."""

    def starts(self) -> bool:
        """Whether it is still wanted; from now on it cannot be cancelled."""
        ...

    def call(self, connection: Given) -> BaseException | None:
        """Do it, inside the open transaction, and give what it raised."""
        ...

    def fail(self, error: BaseException) -> None:
        """Tell `error` after the commit, in place of a result."""
        ...

    def finish(self, error: BaseException | None = None) -> None:
        """Tell the outcome."""
        ...


class Job(Generic[C, T]):
    """A function that writes, and the future of its result. The outcome is known before, but told only after, the commit."""

    def __init__(self, function: Callable[[C], T]) -> None:
        self.function = function
        self.future: Future[T] = Future()
        self._result: T
        self._error: BaseException | None = None

    def starts(self) -> bool:
        """Whether the caller still waits; from now on it cannot be cancelled."""
        return self.future.set_running_or_notify_cancel()

    def call(self, connection: C) -> BaseException | None:
        """Call the function and keep its result; give what it raised."""
        self._error = None
        with Caught() as caught:
            self._result = self.function(connection)
            if isinstance(self._result, sqlite3.Cursor):
                self._result.close()  # else it would reset its (shared) statement later, from the thread that drops it
        return caught.error

    def fail(self, error: BaseException) -> None:
        """Tell `error` after the commit, in place of a result."""
        self._error = error

    def finish(self, error: BaseException | None = None) -> None:
        """Tell the result, or the function's own error, or `error`, because of which nothing was committed."""
        found = self._error or error
        if found is None:
            self.future.set_result(self._result)
        else:
            self.future.set_exception(found)


class Session(Protocol[C]):
    """The writing connection of one database, made anew when it was lost. Used by one thread."""

    @property
    def place(self) -> str:
        """Where the database is, for messages."""
        ...

    @property
    def group(self) -> int:
        """Functions committed together at most."""
        ...

    @property
    def backlog(self) -> int | None:
        """Functions that may wait at most; None: any number."""
        ...

    def begin(self) -> C:
        """A connection in a transaction that no other writer is in. Raises `StoreError`."""
        ...

    def apply(self, connection: C, work: Work[C], alone: bool) -> None:
        """Do the work; what it raises undoes its own changes alone. Raises when the whole transaction is lost. `alone`: it has no other."""
        ...

    def commit(self, connection: C) -> None:
        """Commit the transaction."""
        ...

    def undo(self, error: BaseException) -> bool:
        """Roll back because of `error`. Whether the same work may be tried again: nothing was committed, and it may go better."""
        ...

    def told(self, error: BaseException) -> BaseException:
        """`error`, as `StoreError` where it is a fault of the database or its machine."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...
