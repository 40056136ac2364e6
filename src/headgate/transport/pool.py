"""The connections of one origin: who gets one, who waits, which are kept.

All state changes here are synchronous. A *place* is the right to own a connection; it is held by a connection (`members`) or by a
caller who is opening one (`opening`), and passed on first come, first served.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from headgate.errors import ErrorKind, HeadgateError, ProviderError
from headgate.transport.connection import Connection
from headgate.transport.faults import Place, shut_down
from headgate.transport.settings import TransportSettings

Opener: TypeAlias = Callable[["Pool", float], Awaitable[Connection]]
"""(pool, seconds it may take) -> an open connection."""
Waiter: TypeAlias = "asyncio.Future[Connection | None]"


class Pool:
    """At most `max_connections` connections to `place`. Implements `connection.Owner`."""

    def __init__(self, place: Place, settings: TransportSettings, opener: Opener) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._opener = opener
        self._idle: list[Connection] = []
        self._waiters: deque[Waiter] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._sockets: set[Connection] = set()
        self._all_gone: asyncio.Future[None] | None = None
        self._closed = False
        self.place = place
        self.members: set[Connection] = set()
        self.opening = 0

    @property
    def open_connections(self) -> int:
        """Connections in use, idle, or being opened."""
        return len(self.members) + self.opening

    @property
    def idle_connections(self) -> int:
        """Connections kept for the next request."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """Requests that wait for a connection."""
        return len(self._waiters)

    def take(self) -> Connection | None:
        """The idle connection used last, if there is one that has not idled too long."""
        while self._idle:
            connection = self._idle.pop()
            if self._loop.time() - connection.idle_since <= self._settings.idle_expiry:
                return connection
            connection.kill()
        return None

    async def acquire(self, deadline: float, *, fresh: bool = False) -> Connection:
        """An idle connection, or a new one, or the next one to come free. `fresh` passes over those that have idled.

        Raises `ProviderError` (TIMEOUT, not sent) when none came free in time, whatever opening one raises, and nothing leaks either way.
        """
        while True:
            self._check_open()
            connection = None if fresh else self.take()
            if connection is None:
                connection = await self._fresh_or_next(deadline, evict=fresh)
            if not connection.dead:
                return connection

    def release(self, connection: Connection) -> None:
        """See `connection.Owner`: hand it to the first who waits, else keep it, else close it."""
        if self._closed or self._pass_on(connection):
            if self._closed:
                connection.kill()
        elif len(self._idle) < self._settings.max_idle:
            connection.idle_since = self._loop.time()
            self._idle.append(connection)
            if self._sweeper is None:
                self._sweeper = self._loop.call_later(self._settings.idle_expiry, self._sweep)
        else:
            connection.kill()

    def discard(self, connection: Connection) -> None:
        """See `connection.Owner`: its place goes to the first who waits."""
        if connection in self.members:
            self.members.remove(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._grant()

    def gone(self, connection: Connection) -> None:
        """See `connection.Owner`."""
        self._sockets.discard(connection)
        if not self._sockets and self._all_gone is not None and not self._all_gone.done():
            self._all_gone.set_result(None)

    async def aclose(self) -> None:
        """Fail who waits, close every connection, and return when their sockets are closed."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(shut_down(self.place, sent=False))
        for connection in list(self.members):
            connection.kill()
        if self._sockets:
            self._all_gone = self._loop.create_future()
            await self._all_gone

    async def _fresh_or_next(self, deadline: float, *, evict: bool) -> Connection:
        if evict and self._idle and self.open_connections >= self._settings.max_connections:
            self._idle[0].kill()
        if self.open_connections < self._settings.max_connections and not self._waiters:
            self.opening += 1
        else:
            granted = await self._wait(deadline)
            if granted is not None:
                return granted
        return await self._open(deadline)

    async def _open(self, deadline: float) -> Connection:
        """Open a connection in a place that is already counted in `opening`."""
        try:
            connection = await self._opener(self, min(self._settings.connect_timeout, deadline - self._loop.time()))
        except BaseException:
            self.opening -= 1
            self._grant()
            raise
        self.opening -= 1
        self.members.add(connection)
        self._sockets.add(connection)
        if self._closed:
            connection.kill()
        return connection

    async def _wait(self, deadline: float) -> Connection | None:
        """Queue for a connection, or for a place to open one (None)."""
        if len(self._waiters) >= self._settings.max_waiting:
            raise self._full(f"{len(self._waiters)} requests wait already")
        waiter: Waiter = self._loop.create_future()
        self._waiters.append(waiter)
        limit = min(deadline, self._loop.time() + self._settings.pool_timeout)
        timer = self._loop.call_at(limit, _expire, waiter, self._timeout(limit))
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            raise
        finally:
            timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _give_back(self, granted: Connection | None) -> None:
        if granted is None:
            self.opening -= 1
            self._grant()
        elif not granted.dead:
            self.release(granted)

    def _pass_on(self, connection: Connection) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def _grant(self) -> None:
        """Give free places to those who wait."""
        while self._waiters and not self._closed and self.open_connections < self._settings.max_connections:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.opening += 1
                waiter.set_result(None)

    def _sweep(self) -> None:
        """Close what has idled too long; the oldest are first."""
        self._sweeper = None
        horizon = self._loop.time() - self._settings.idle_expiry
        for connection in [connection for connection in self._idle if connection.idle_since <= horizon]:
            connection.kill()
        if self._idle:
            oldest = min(connection.idle_since for connection in self._idle)
            self._sweeper = self._loop.call_at(oldest + self._settings.idle_expiry, self._sweep)

    def _check_open(self) -> None:
        if self._closed:
            raise shut_down(self.place, sent=False)

    def _full(self, why: str) -> HeadgateError:
        return ProviderError(
            ErrorKind.TIMEOUT,
            f"{self.place.url}: no connection is free: {why}",
            code="pool",
            fault="client",
            hint="raise max_connections for this provider, or send fewer requests at once",
            sent=False,
        )

    def _timeout(self, limit: float) -> HeadgateError:
        waited = limit - self._loop.time()
        return self._full(f"all {self._settings.max_connections} were busy for {waited:.3g} s")


def _expire(waiter: Waiter, error: HeadgateError) -> None:
    if not waiter.done():
        waiter.set_exception(error)
