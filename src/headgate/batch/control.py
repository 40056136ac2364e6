"""Stopping a run: one switch that every phase looks at, and the word why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
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


class Control:
    """Bound to the loop it is used in. The first `stop` wins."""

    def __init__(self) -> None:
        self.stopped: Stop | None = None
        self._event = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self._under_way: dict[asyncio.Task[object], float] = {}

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
            for task, grace in self._under_way.items():
                self._limit(task, grace)

    def check(self) -> None:
        """Raise `Pausing` if the run is stopping."""
        if self.stopped is not None:
            raise Pausing

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

    async def finish(self, work: Coroutine[object, object, T], grace: float) -> T:
        """Run `work`; once the run stops, give it `grace` more seconds, then cancel it and raise `Pausing`."""
        task = asyncio.ensure_future(work)
        self._under_way[task] = grace
        if self.stopping:
            self._limit(task, grace)
        try:
            await asyncio.wait({task})
        finally:
            del self._under_way[task]
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if task.cancelled() and self.stopping:
            raise Pausing
        return task.result()

    def _limit(self, task: asyncio.Task[object], grace: float) -> None:
        asyncio.get_running_loop().call_later(grace, task.cancel)

    async def parked(self) -> None:
        """Return at once while the run goes on; never, once it stops: the process ends around it."""
        if self.stopped is not None:
            await asyncio.Event().wait()
