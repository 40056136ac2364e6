"""The sign of life of one stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Pulse:
    """Sends `sign` after every `silence` seconds in which nothing was sent. One timer; `sent` costs next to nothing."""

    def __init__(self, sign: bytes, silence: float, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._sign = sign
        self._silence = silence
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._task: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(silence, self._beat) if sign else None

    def sent(self) -> None:
        """Something was sent."""
        self._last = self._loop.time()

    def stop(self) -> None:
        """No more of it."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _beat(self) -> None:
        due = self._last + self._silence
        if self._loop.time() >= due and (self._task is None or self._task.done()):
            self._task = self._loop.create_task(self._ping())
            due = self._loop.time() + self._silence
        self._timer = self._loop.call_at(max(due, self._loop.time() + self._silence / 10), self._beat)

    async def _ping(self) -> None:
        await self._send(self._sign)
        self.sent()
