"""How many realtime calls are in flight: additive increase, multiplicative decrease, and a common pause after a rate limit."""

from __future__ import annotations

import asyncio
from collections import deque

from headgate.batch.control import Control, Pausing


class Limiter:
    """Slots for calls to one target. `ceiling` is never passed; a rate limit halves the width and holds everybody for the time asked."""

    def __init__(self, ceiling: int, control: Control) -> None:
        self.ceiling = ceiling
        self.width = float(ceiling)
        self.in_flight = 0
        self.silent = 0
        """Calls in a row that no answer came to, good or bad."""
        self._control = control
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._resume_at = 0.0
        control.on_stop(self.release_all)

    def slot(self) -> Slot:
        """``async with limiter.slot():`` holds one slot, first come, first served. Raises `Pausing` when the run stops meanwhile."""
        return Slot(self)

    async def enter(self) -> None:
        """Take a slot, to be given back with `leave`."""
        self._control.check()
        loop = asyncio.get_running_loop()
        if self._waiting or self.in_flight >= max(1, int(self.width)):
            await self._queue(loop)
        else:
            self.in_flight += 1
        try:
            while (delay := self._resume_at - loop.time()) > 0:
                await self._control.sleep(delay)
            self._control.check()
        except BaseException:
            self.leave()
            raise

    async def _queue(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for a slot; when this returns, it is held."""
        turn = loop.create_future()
        self._waiting.append(turn)
        try:
            given = await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.result():
                self.leave()
            raise
        if not given:
            raise Pausing

    def leave(self) -> None:
        """Give a slot back."""
        self.in_flight -= 1
        while self._waiting and self.in_flight < max(1, int(self.width)):
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(True)

    def succeeded(self) -> None:
        """A call was answered: widen a little."""
        self.silent = 0
        self.width = min(float(self.ceiling), self.width + 1.0 / max(self.width, 1.0))

    def refused(self) -> None:
        """A call was answered with an error: the provider is there."""
        self.silent = 0

    def unanswered(self) -> int:
        """A call had no answer at all; returns how many in a row that were."""
        self.silent += 1
        return self.silent

    def limited(self, seconds: float) -> None:
        """A call met a rate limit: halve the width, and let nobody start for `seconds`."""
        self.width = max(1.0, self.width / 2)
        self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + seconds)

    def release_all(self) -> None:
        """Wake every waiter (the run is stopping)."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(False)


class Slot:
    """One slot of a limiter, held inside an ``async with``."""

    __slots__ = ("_limiter",)

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    async def __aenter__(self) -> None:
        await self._limiter.enter()

    async def __aexit__(self, *_: object) -> None:
        self._limiter.leave()
