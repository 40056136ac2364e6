"""The clock of one stream: a sign of life after silence, and the end of patience with a client that does not read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from headgate.serving.limits import ServerLimits


class Pulse:
    """One timer. `send` takes the sign of life, `lose` is called when a piece was left unread for too long."""

    def __init__(self, limits: ServerLimits, sign: bytes, send: Callable[[bytes], Awaitable[None]], lose: Callable[[], None]) -> None:
        self._limits = limits
        self._sign = sign
        self._send = send
        self._lose = lose
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._since: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._period = min(limits.write_timeout, limits.silence) if sign else limits.write_timeout
        self._timer = self._loop.call_later(self._period, self._beat)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A piece is being written while the block runs."""
        self._since = self._loop.time()
        yield
        self._last, self._since = self._loop.time(), None

    def stop(self) -> None:
        """No more of it."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _beat(self) -> None:
        now = self._loop.time()
        if self._since is not None and now - self._since >= self._limits.write_timeout:
            self._lose()
            return
        pinging = self._task is not None and not self._task.done()
        if self._sign and self._since is None and not pinging and now - self._last >= self._limits.silence:
            self._last = now
            self._task = self._loop.create_task(self._ping())
        self._timer = self._loop.call_later(self._period, self._beat)

    async def _ping(self) -> None:
        await self._send(self._sign)
