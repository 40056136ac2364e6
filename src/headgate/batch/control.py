"""Stopping a run: one switch that every phase looks at, and the word why."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Pausing(Exception):
    """Raised inside a phase to leave it because the run is stopping; never leaves the phase."""


class Stop(msgspec.Struct, frozen=True):
    """Why a run stops before its end. `exit_code` follows OCT-42; `failed` marks the run failed rather than paused."""

    reason: str
    exit_code: int
    failed: bool = False
    hint: str | None = None


INTERRUPTED = Stop("interrupted", 130)
TIMED_OUT = Stop("the time given with --timeout is up", 3)


class _Limit:
    """How long a task may go on with what it does once the run stops. `passed`: it was cancelled for that."""

    def __init__(self, task: asyncio.Task[object], grace: float) -> None:
        self.passed = False
        self.before = task.cancelling()
        self._task = task
        self._grace = grace
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """The run stops now."""
        self._timer = asyncio.get_running_loop().call_later(self._grace, self._pass)

    def end(self) -> None:
        """It ended in time."""
        if self._timer is not None:
            self._timer.cancel()

    def _pass(self) -> None:
        self.passed = True
        self._task.cancel()


class Control:
    """Bound to the loop it is used in. The first `stop` wins."""

    def __init__(self) -> None:
        self.stopped: Stop | None = None
        self._event = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self._under_way: set[_Limit] = set()

    def on_stop(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the run stops."""
        self._listeners.append(listener)

    @property
    def stopping(self) -> bool:
        """The run is stopping: take no new calls."""
        return self.stopped is not None

    def stop(self, why: Stop) -> None:
        """Stop the run."""
        if self.stopped is None:
            self.stopped = why
            self._event.set()
            for listener in self._listeners:
                listener()
            for limit in self._under_way:
                limit.begin()

    def check(self) -> None:
        """Raise `Pausing` if the run is stopping."""
        if self.stopped is not None:
            raise Pausing

    def heeded(self, items: Iterable[T]) -> Iterator[T]:
        """The same items, and `Pausing` in place of the next one as soon as the run stops. For whatever thread goes through them."""
        for item in items:
            self.check()
            yield item

    async def sleep(self, seconds: float) -> None:
        """Sleep, or raise `Pausing` as soon as the run stops."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return
        raise Pausing

    async def wait(self) -> Stop:
        """Return when the run stops."""
        await self._event.wait()
        assert self.stopped is not None
        return self.stopped

    async def finish(self, work: Awaitable[T], grace: float) -> T:
        """Do `work`; once the run stops, give it `grace` more seconds, then cancel it and raise `Pausing`."""
        task = asyncio.current_task()
        assert task is not None
        limit = _Limit(task, grace)
        self._under_way.add(limit)
        if self.stopping:
            limit.begin()
        try:
            return await work
        except asyncio.CancelledError:
            if limit.passed and task.uncancel() <= limit.before:
                raise Pausing from None
            raise
        finally:
            self._under_way.discard(limit)
            limit.end()

    async def parked(self) -> None:
        """Return at once while the run goes on; never, once it stops: the process ends around it."""
        if self.stopped is not None:
            await asyncio.Event().wait()
