"""What an open database is, whichever it is: a queue of writes, readers, and the process it belongs to."""

from __future__ import annotations

import asyncio
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, wait
from types import TracebackType
from typing import Generic, Self, TypeVar

from headgate.errors import StoreError
from headgate.store.writer import Writer, Writers

T = TypeVar("T")
C = TypeVar("C")


def _nothing(connection: object) -> None:
    """Written last, so that everything before it is written too."""


class Opened(ABC, Generic[C]):
    """One open database. Usable from any thread and any event loop; `close` it, or use it as a context manager.

    What write functions may do is said at `base.Store`.
    """

    def __init__(self, place: str, key: str, writers: Writers[C], writer: Writer[C] | None) -> None:
        self.place = place
        self._key = key
        self._writers = writers
        self._writer = writer
        self._lock = threading.Lock()
        self._closed = False
        self._process = os.getpid()

    @property
    def transactions(self) -> int:
        """How many transactions this process has committed to the database."""
        return 0 if self._writer is None else self._writer.transactions

    def submit(self, function: Callable[[C], T]) -> Future[T]:
        """Queue a write function; the future has its result after the commit. Cancelling it before it began takes it back."""
        self._check()
        if self._writer is None:
            raise StoreError(f"{self.place} is open for reading only")
        return self._writer.submit(function)

    async def write(self, function: Callable[[C], T]) -> T:
        """Run a write function and wait for its commit. Raises what it raised, or `StoreError`."""
        return await asyncio.wrap_future(self.submit(function))

    def write_now(self, function: Callable[[C], T]) -> T:
        """As `write`, blocking the calling thread."""
        return self.submit(function).result()

    @abstractmethod
    def read(self, function: Callable[[C], T]) -> T:
        """Run `function` on a connection that cannot write, in one snapshot: everything committed before, nothing after."""

    async def read_async(self, function: Callable[[C], T]) -> T:
        """As `read`, in a thread, for queries that may take a while."""
        return await asyncio.to_thread(self.read, function)

    @abstractmethod
    def _end_readers(self) -> None:
        """Close the connections that read and are idle."""

    def _check(self) -> None:
        if self._closed:
            raise StoreError(f"{self.place} is closed")
        if self._process != os.getpid():
            raise StoreError(f"{self.place} was opened before this process was forked", hint="open it again in the new process")

    def close(self) -> None:
        """Wait until everything queued is written, and let go of the database. Closing twice is allowed."""
        with self._lock:
            if self._closed or self._process != os.getpid():
                return
            self._closed = True
        self._end_readers()
        if self._writer is not None:
            wait([self._writer.submit(_nothing)])
            self._writers.give(self._key, self._writer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
