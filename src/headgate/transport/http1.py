"""The HTTP/1.1 client: whole replies, streams and downloads over pooled connections.

What holds for every call: nothing is buffered beyond its bound, no wait is without a deadline, redirects are not followed, only
identity encoding is accepted, and a call that is cancelled or fails leaves no socket, place or task behind.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import TracebackType

import msgspec

from headgate.transport.connect import open_connection, tls_context
from headgate.transport.connection import Connection
from headgate.transport.download import save_body
from headgate.transport.exchange import Exchange
from headgate.transport.faults import Place, timed_out
from headgate.transport.outbox import Outbox
from headgate.transport.pool import Pool
from headgate.transport.request import HeadRenderer
from headgate.transport.settings import Origin, TransportSettings
from headgate.transport.stream import StreamReply, Watch
from headgate.transport.told import Sweeper, Told
from headgate.transport.upload import send_body
from headgate.wire.http import Body, Download, Headers, Reply, Send, Stored, Upload

_DEFAULTS = TransportSettings()


class Route(msgspec.Struct, frozen=True):
    """What the client keeps per origin. Told calls are made on a route: see `HttpClient.launch`."""

    place: Place
    pool: Pool
    renderer: HeadRenderer


class Job(msgspec.Struct, frozen=True):
    """One request, rendered, and how its response will be read: `whole`, or as a stream once the head is there."""

    route: Route
    method: str
    head: bytes
    body: bytes | Body
    patience: float
    """Seconds for the whole reply, or for the head of a stream."""
    deadline: float
    """The same as loop time."""
    max_body: int
    whole: bool
    restart_clock: bool
    """The clock begins when the body is sent: until then only a standstill ends the call."""
    once: bool = False
    """Never asked again."""


class HttpClient:
    """Bound to the event loop of its first call. Close it with `aclose`, or use it as an async context manager."""

    def __init__(self, settings: TransportSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._routes: dict[Origin, Route] = {}
        self._tls: dict[str | None, ssl.SSLContext] = {}
        self._sweeper: Sweeper | None = None
        self._outbox: Outbox | None = None
        self.in_flight = 0
        """Calls under way, those that wait for a connection included."""

    @property
    def open_connections(self) -> int:
        """Connections in use, idle, or being opened, over all origins."""
        return sum(route.pool.open_connections for route in self._routes.values())

    @property
    def idle_connections(self) -> int:
        """Connections kept for the next request, over all origins."""
        return sum(route.pool.idle_connections for route in self._routes.values())

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Fail what is under way (kind CANCELLED), close every connection, and return when the sockets are closed."""
        for route in list(self._routes.values()):
            await route.pool.aclose()

    async def request(self, origin: Origin, call: Send | Upload, headers: Headers = ()) -> Reply:
        """Send `call` with `headers` added and return the whole reply, whatever its status.

        Raises `ProviderError` (CONNECTION or TIMEOUT, fault "network"; `sent` tells whether the provider may have acted), `Truncated`,
        `TooLarge`, `WireError` for a response or request that breaks HTTP, `ConfigError` for an address or `ca_file` that is refused.
        """
        self.in_flight += 1
        try:
            patience = self._settings.total_timeout if call.timeout is None else call.timeout
            _, exchange = await self._perform(self._job(origin, call, headers, patience, whole=True, max_body=self._settings.max_body))
            return Reply(exchange.status, exchange.headers, exchange.take())
        finally:
            self.in_flight -= 1

    def stream(self, origin: Origin, call: Send | Upload, headers: Headers = ()) -> StreamContext:
        """``async with client.stream(origin, call) as reply: async for data in reply.body: ...``

        Entering waits for the response head. Leaving before the end closes the connection at once. Raises as `request` does.
        """
        total = self._settings.stream_timeout if call.timeout is None else call.timeout
        return StreamContext(self, partial(self._open_stream, origin, call, headers, total, self._settings.max_body))

    async def download(self, origin: Origin, call: Download, headers: Headers, path: str | Path) -> Stored:
        """Store the body at `path`: under another name first, on disk before it is renamed, at most `call.max_bytes` long.

        When the status is not 2xx, `path` holds the first megabyte of the error body. Raises as `request` does, `StoreError` when the
        disk fails; then nothing is left at `path`.
        """
        self.in_flight += 1
        try:
            total = self._settings.download_timeout if call.timeout is None else call.timeout
            plain = Send(call.method, call.path, b"", call.headers, total)
            reply = await self._open_stream(origin, plain, headers, total, call.max_bytes)
            try:
                return await save_body(reply, Path(path))
            finally:
                reply.close()
        finally:
            self.in_flight -= 1

    @property
    def settings(self) -> TransportSettings:
        """The bounds of this client."""
        return self._settings

    def renew(self, settings: TransportSettings) -> None:
        """Other deadlines for the calls that are made from now on; bounds of connections stay."""
        self._settings = settings

    def launch(self, route: Route, head: bytes, body: bytes, exchange: Told) -> bool:
        """Make a told call now, on a connection that is idle. False when there is none: then nothing was done, see `launch_later`.

        `head` is a whole request head as `HeadRenderer` writes it.
        """
        connection = route.pool.take()
        if connection is None:
            return False
        self._send(route, connection, head, body, exchange)
        return True

    async def launch_later(self, route: Route, head: bytes, body: bytes, exchange: Told, *, fresh: bool = False) -> None:
        """As `launch`, once there is a connection; `fresh` takes a new one. Raises `ProviderError` when there is none in time.

        A call that was left meanwhile is not made.
        """
        connection = await route.pool.acquire(exchange.due, fresh=fresh)
        if exchange.over:
            route.pool.release(connection)
            return
        self._send(route, connection, head, body, exchange)

    def _send(self, route: Route, connection: Connection, head: bytes, body: bytes, exchange: Told) -> None:
        exchange.connection, exchange.reused = connection, connection.reused
        connection.start(exchange)
        connection.write(head, body)
        exchange.request_sent = True
        if self._sweeper is None:
            self._sweeper = Sweeper(asyncio.get_running_loop())
        self._sweeper.watch(exchange, route.place)

    def forget(self, exchange: Told) -> None:
        """A told call is over."""
        if self._sweeper is not None:
            self._sweeper.forget(exchange)

    @property
    def told(self) -> int:
        """Told calls under way."""
        return 0 if self._sweeper is None else len(self._sweeper)

    def route(self, origin: Origin) -> Route:
        """What is kept for an origin."""
        return self._route(origin)

    def _route(self, origin: Origin) -> Route:
        route = self._routes.get(origin)
        if route is None:
            place = Place(origin.url, origin.host, origin.port)

            async def opener(pool: Pool, seconds: float) -> Connection:
                return await self._connect(origin, pool, seconds)

            route = Route(place, Pool(place, self._settings, opener), HeadRenderer(origin, self._settings.user_agent))
            self._routes[origin] = route
        return route

    async def _connect(self, origin: Origin, pool: Pool, seconds: float) -> Connection:
        tls = self._context(origin.ca_file) if origin.scheme == "https" else None
        outbox = self._outbox = self._outbox or Outbox(asyncio.get_running_loop())
        protocol = await open_connection(origin, lambda: Connection(pool, pool.place, self._settings, outbox), pool.place, tls, seconds)
        assert isinstance(protocol, Connection)
        return protocol

    def _context(self, ca_file: str | None) -> ssl.SSLContext:
        context = self._tls.get(ca_file)
        if context is None:
            context = self._tls[ca_file] = tls_context(ca_file)
        return context

    def _job(self, origin: Origin, call: Send | Upload, headers: Headers, patience: float, *, whole: bool, max_body: int) -> Job:
        route = self._route(origin)
        body = call.body
        length = len(body) if isinstance(body, bytes) else body.length
        head = route.renderer.render(call.method, call.path, call.headers + headers, length)
        deadline = asyncio.get_running_loop().time() + patience
        restart = call.timeout is None and not isinstance(body, bytes)
        return Job(route, call.method, head, body, patience, deadline, max_body, whole, restart, call.once)

    async def _open_stream(self, origin: Origin, call: Send | Upload, headers: Headers, total: float, max_body: int) -> StreamReply:
        """Send `call` and return when the response head is there; `total` bounds the whole stream."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        patience = min(total, self._settings.first_byte_timeout)
        job = self._job(origin, call, headers, patience, whole=False, max_body=max_body)
        connection, exchange = await self._perform(job)
        watch = Watch(connection, exchange, job.route.place, total, start + total)
        return StreamReply(connection, exchange, watch, self._settings)

    async def _perform(self, job: Job) -> tuple[Connection, Exchange]:
        """Send `job` and wait for its reply, or for the head of it.

        A reused connection that dies soon and unanswered had been closed by the server before our bytes came: asked again, once. For calls
        that must not be made twice that guess is not good enough.
        """
        loop = asyncio.get_running_loop()
        pool = job.route.pool
        connection = pool.take() or await pool.acquire(job.deadline)
        reused, start = connection.reused, loop.time()
        exchange = await self._attempt(connection, job, loop)
        if exchange.lost_unanswered and reused and not job.once and loop.time() - start <= self._settings.stale_window:
            connection = await pool.acquire(job.deadline, fresh=True)
            exchange = await self._attempt(connection, job, loop)
        if exchange.error is not None and (job.whole or not exchange.status):
            raise exchange.error
        return connection, exchange

    async def _attempt(self, connection: Connection, job: Job, loop: asyncio.AbstractEventLoop) -> Exchange:
        exchange = Exchange(job.method, job.route.place.url, job.max_body, whole=job.whole)
        connection.start(exchange)
        timer = None if job.restart_clock else loop.call_at(job.deadline, _expire, connection, exchange, job)
        try:
            if isinstance(job.body, bytes):
                connection.write(job.head, job.body)
                exchange.request_sent = True
            else:
                connection.write(job.head)
                await send_body(connection, exchange, job.body, self._settings.idle_timeout)
                if timer is None:
                    timer = loop.call_later(job.patience, _expire, connection, exchange, job)
            while not exchange.over and (job.whole or not exchange.status):
                await exchange.wait(loop)
        except BaseException:
            connection.leave(exchange)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        return exchange


class StreamContext:
    """What `HttpClient.stream` returns; see there."""

    __slots__ = ("_client", "_open", "_reply")

    def __init__(self, client: HttpClient, open_stream: Callable[[], Awaitable[StreamReply]]) -> None:
        self._client = client
        self._open = open_stream
        self._reply: StreamReply | None = None

    async def __aenter__(self) -> StreamReply:
        self._client.in_flight += 1
        try:
            self._reply = await self._open()
        except BaseException:
            self._client.in_flight -= 1
            raise
        return self._reply

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.in_flight -= 1
        if self._reply is not None:
            self._reply.close()


def _expire(connection: Connection, exchange: Exchange, job: Job) -> None:
    what = "reply" if job.whole else "response head"
    exchange.settle(timed_out(connection.place, what, job.patience, code="timeout", sent=True))
    connection.leave(exchange)
