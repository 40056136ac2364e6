"""Doing many small things at once: items written in groups, and tasks of which only so many are under way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Generic, Self, TypeVar

from headgate.batch.control import Pausing

T = TypeVar("T")


class _Group(Generic[T]):
    """Items that are written together."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self.waiting: list[asyncio.Future[None]] = []

    def tell(self, error: Exception | None) -> None:
        """Wake everybody who waits, unless they are gone."""
        for future in self.waiting:
            if not future.done():
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)


class Together(Generic[T]):
    """Writes items as they come, all those that came during one write with the next.

    Nothing waits for company: an item alone is written at once.
    """

    def __init__(self, write: Callable[[list[T]], Awaitable[None]]) -> None:
        self._write = write
        self._next: _Group[T] | None = None
        self._task: asyncio.Task[None] | None = None

    async def add(self, item: T) -> None:
        """Return when the item is written. Raises what the write of its group raised."""
        group = self._next
        if group is None:
            group = self._next = _Group()
            if self._task is None:
                self._task = asyncio.create_task(self._run())
        group.items.append(item)
        told = asyncio.get_running_loop().create_future()
        group.waiting.append(told)
        await told

    async def _run(self) -> None:
        try:
            while (group := self._next) is not None:
                self._next = None
                try:
                    await self._write(group.items)
                except Exception as error:  # everybody who waits for this group raises it
                    group.tell(error)
                else:
                    group.tell(None)
        finally:
            self._task = None

    async def close(self) -> None:
        """Return when everything that was added is written."""
        while self._task is not None:
            await asyncio.wait({self._task})


class Crowd:
    """Tasks of which about `most` are under way. An async context manager: leaving it waits for all, or cancels them after an exception.

    After the last has ended it raises what one of them raised: `Pausing` only if nothing worse was.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._tasks: set[asyncio.Task[None]] = set()
        self._faults: list[BaseException] = []
        self._changed = asyncio.Event()

    @property
    def failed(self) -> bool:
        """Some task raised: begin no more."""
        return bool(self._faults)

    def start(self, work: Coroutine[object, object, None]) -> None:
        """Begin one more, whether there is room or not."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        fault = asyncio.CancelledError() if task.cancelled() else task.exception()
        if fault is not None:
            self._faults.append(fault)
        if len(self._tasks) < self.most or fault is not None:
            self._changed.set()

    async def room(self) -> None:
        """Return when fewer than `most` are under way, or some task raised."""
        await self._until(lambda: len(self._tasks) < self.most or self.failed)

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            for task in tuple(self._tasks):
                task.cancel()
        self.most = 1
        await self._until(lambda: not self._tasks)
        if error is not None:
            return
        for fault in sorted(self._faults, key=lambda fault: isinstance(fault, Pausing)):
            raise fault
