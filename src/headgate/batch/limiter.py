"""How many realtime calls are in flight: additive increase, multiplicative decrease, and a common pause after a rate limit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headgate.batch.control import Control


class Limiter:
    """Slots for calls to one target. `ceiling` is never passed; a rate limit halves the width and holds everybody for the time asked."""

    def __init__(self, ceiling: int, control: Control) -> None:
        self.ceiling = ceiling
        self.width = float(ceiling)
        self.in_flight = 0
        self._control = control
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._resume_at = 0.0
        control.on_stop(self.release_all)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one slot. Raises `Pausing` when the run stops meanwhile."""
        await self._enter()
        try:
            yield
        finally:
            self.in_flight -= 1
            self._wake()

    async def _enter(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._control.check()
            delay = self._resume_at - loop.time()
            if delay > 0:
                await self._control.sleep(delay)
            elif self.in_flight < max(1, int(self.width)):
                self.in_flight += 1
                return
            else:
                await self._queue(loop)

    async def _queue(self, loop: asyncio.AbstractEventLoop) -> None:
        turn = loop.create_future()
        self._waiting.append(turn)
        try:
            await turn
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _wake(self) -> None:
        free = max(1, int(self.width)) - self.in_flight
        while self._waiting and free > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1

    def succeeded(self) -> None:
        """A call was answered: widen a little."""
        self.width = min(float(self.ceiling), self.width + 1.0 / max(self.width, 1.0))

    def limited(self, seconds: float) -> None:
        """A call met a rate limit: halve the width, and let nobody start for `seconds`."""
        self.width = max(1.0, self.width / 2)
        self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + seconds)

    def release_all(self) -> None:
        """Wake every waiter (the run is stopping)."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
