"""Reading a response as it comes: each read of the socket reaches the reader at once, and a slow reader slows the socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from headgate.errors import TooLarge
from headgate.transport.connection import Connection
from headgate.transport.exchange import Exchange, Framing
from headgate.transport.faults import Place, timed_out
from headgate.transport.settings import TransportSettings
from headgate.wire.http import Reply


class Watch:
    """One timer per stream: fails the exchange when its reader waits longer than `limit`, or when the `deadline` passes.

    The clock of `limit` runs only while the reader waits, so that our own slowness is never held against the server.
    """

    __slots__ = ("_connection", "_deadline", "_exchange", "_limit", "_loop", "_place", "_since", "_timer", "_total", "_what")

    def __init__(self, connection: Connection, exchange: Exchange, place: Place, total: float, deadline: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._exchange = exchange
        self._place = place
        self._total = total
        self._deadline = deadline
        self._since: float | None = None
        self._limit = total
        self._what = "end of the response"
        self._timer = self._loop.call_at(self._deadline, self._look)

    def expect(self, what: str, limit: float) -> None:
        """From now on, a wait for `what` may take `limit` seconds."""
        self._what = what
        self._limit = limit
        self._arm()

    async def wait(self) -> None:
        """Wait for the exchange to go on."""
        self._since = self._loop.time()
        try:
            await self._exchange.wait(self._loop)
        finally:
            self._since = None

    def stop(self) -> None:
        """No more timing."""
        self._timer.cancel()

    def _arm(self) -> None:
        self._timer.cancel()
        start = self._loop.time() if self._since is None else self._since
        self._timer = self._loop.call_at(min(start + self._limit, self._deadline), self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if now >= self._deadline:
            self._fail("end of the response", self._total)
        elif self._since is not None and now >= self._since + self._limit:
            self._fail(self._what, self._limit)
        else:
            self._arm()

    def _fail(self, what: str, seconds: float) -> None:
        self._exchange.settle(timed_out(self._place, what, seconds, code="timeout", sent=True))
        self._connection.leave(self._exchange)


class StreamReply:
    """A response whose head is here and whose body is on its way. Made by `HttpClient.stream`; read `body` once.

    `body` ends when the framing says so; with `close_delimited` that is any clean close, and only the dialect's own terminator tells
    whether the answer is complete. Iteration raises `Truncated`, `TooLarge`, `WireError` or `ProviderError`.
    """

    __slots__ = ("_connection", "_exchange", "_settings", "_watch", "body", "headers", "status")

    def __init__(self, connection: Connection, exchange: Exchange, watch: Watch, settings: TransportSettings) -> None:
        self._connection = connection
        self._exchange = exchange
        self._watch = watch
        self._settings = settings
        self.status = exchange.status
        self.headers = exchange.headers
        self.body: AsyncIterator[bytes] = BodyReader(connection, exchange, watch, settings)
        watch.expect("first byte of the body", settings.first_event_timeout)

    @property
    def ok(self) -> bool:
        """A 2xx status."""
        return 200 <= self.status < 300

    @property
    def close_delimited(self) -> bool:
        """The body ends where the connection does."""
        return self._exchange.framing is Framing.CLOSE

    async def read(self, max_bytes: int = 1 << 20) -> Reply:
        """The rest of the body as a whole `Reply`, for errors and for providers that do not stream. Raises `TooLarge` past `max_bytes`."""
        parts: list[bytes] = []
        left = max_bytes
        async for part in self.body:
            left -= len(part)
            if left < 0:
                raise TooLarge(f"{self._exchange.where}: the response is longer than {max_bytes} bytes")
            parts.append(part)
        return Reply(self.status, self.headers, b"".join(parts))

    def finish(self) -> None:
        """The dialect's terminator was seen: wait no longer.

        What is left of the body is thrown away in the background, for at most `drain_timeout` seconds and `high_water` bytes, so that
        the connection can serve again; else it is closed.
        """
        exchange = self._exchange
        if exchange.over or self._connection.exchange is not exchange:
            return
        exchange.parts.clear()
        exchange.max_body = min(exchange.max_body, exchange.size + self._settings.high_water)
        exchange.whole = True
        self._connection.resume_reading()
        asyncio.get_running_loop().call_later(self._settings.drain_timeout, self._connection.leave, exchange)

    def close(self) -> None:
        """Leave: a body that is neither over nor finished closes the connection, so that the server stops at once."""
        self._watch.stop()
        if not self._exchange.whole:
            self._connection.leave(self._exchange)


class BodyReader(AsyncIterator[bytes]):
    """The body's bytes, as many at a time as are there."""

    __slots__ = ("_connection", "_exchange", "_idle_timeout", "_quiet", "_watch")

    def __init__(self, connection: Connection, exchange: Exchange, watch: Watch, settings: TransportSettings) -> None:
        self._connection = connection
        self._exchange = exchange
        self._watch = watch
        self._idle_timeout = settings.idle_timeout
        self._quiet = True

    async def __anext__(self) -> bytes:
        exchange = self._exchange
        while not exchange.parts:
            if exchange.over:
                self._watch.stop()
                raise exchange.error or StopAsyncIteration
            await self._watch.wait()
        if self._quiet:
            self._quiet = False
            self._watch.expect("byte of the body", self._idle_timeout)
        data = exchange.take()
        if self._connection.exchange is exchange:
            self._connection.resume_reading()
        return data
