"""One socket that speaks HTTP/1.1, one exchange at a time. It never waits: it fills an `Exchange` and tells its owner what became of it."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import httptools

from headgate.errors import HeadgateError, TooLarge, Truncated, WireError
from headgate.transport.exchange import Exchange, Framing
from headgate.transport.faults import Place, closed_early, network_error, shut_down
from headgate.transport.outbox import MOST, Outbox
from headgate.transport.settings import TransportSettings


class Owner(Protocol):
    """What a connection tells the pool it belongs to."""

    def release(self, connection: Connection) -> None:
        """The exchange is over and another may follow."""
        ...

    def discard(self, connection: Connection) -> None:
        """The connection is of no further use; called exactly once."""
        ...

    def gone(self, connection: Connection) -> None:
        """The socket is closed; called exactly once, after `discard`."""
        ...


class Connection(asyncio.Protocol):
    """A client connection. `exchange` is the one under way, None while idle; `reused` says that it has served before."""

    __slots__ = (
        "_drain",
        "_fault",
        "_finished",
        "_informational",
        "_out",
        "_outbox",
        "_owner",
        "_parser",
        "_quiet",
        "_raw",
        "_reading",
        "_reusable",
        "_settings",
        "_spoken",
        "_writable",
        "dead",
        "exchange",
        "idle_since",
        "place",
        "reused",
        "transport",
    )

    def __init__(self, owner: Owner, place: Place, settings: TransportSettings, outbox: Outbox) -> None:
        self._owner = owner
        self._outbox = outbox
        self._out = b""
        self._settings = settings
        self._parser = httptools.HttpResponseParser(self)
        self._raw: list[tuple[bytes, bytes]] = []
        self._informational = False
        self._finished = False
        self._reusable = False
        self._reading = True
        self._writable = True
        self._quiet = 0
        self._spoken = False
        self._fault: HeadgateError | None = None
        self._drain: asyncio.Future[None] | None = None
        self.place = place
        self.exchange: Exchange | None = None
        self.reused = False
        self.dead = False
        self.idle_since = 0.0
        self.transport: asyncio.Transport | None = None

    # What callers do

    def start(self, exchange: Exchange) -> None:
        """Make `exchange` the one whose response comes next."""
        self.exchange = exchange
        self._quiet = 0
        self._spoken = False

    def write(self, *chunks: bytes) -> None:
        """Send bytes, at the end of the loop's turn. On a dead connection this does nothing: its exchange has been settled already."""
        if self.dead or self.transport is None:
            return
        out = self._out
        if len(out) + sum(map(len, chunks)) > MOST:  # a vectored write costs less than the copy
            self._out = b""
            self._spoken = True
            self.transport.writelines((out, *chunks) if out else chunks)
            return
        self._out = out + b"".join(chunks)
        if not out and self._out:
            self._outbox.add(self)

    def flush(self) -> None:
        """See `outbox.Sender`."""
        out, self._out = self._out, b""
        if out and not self.dead and self.transport is not None:
            self._spoken = True
            self.transport.write(out)

    async def drained(self) -> None:
        """Until the socket takes more bytes, the response head is there, or the exchange is over."""
        exchange = self.exchange
        while not self._writable and not self.dead and exchange is self.exchange and exchange is not None and not exchange.status:
            self._drain = asyncio.get_running_loop().create_future()
            try:
                await self._drain
            finally:
                self._drain = None

    def leave(self, exchange: Exchange) -> None:
        """The reader of `exchange` goes away. A response that is not over takes its connection with it."""
        if self.exchange is exchange:
            self.kill()

    def kill(self, error: HeadgateError | None = None) -> None:
        """Close at once, without lingering. `error` is what an exchange under way fails with."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.settle(error or shut_down(self.place, sent=True))
        self._wake_writer()
        if not self.dead:
            self.dead = True
            self._owner.discard(self)
            if self.transport is not None:
                self.transport.abort()

    def resume_reading(self) -> None:
        """The reader has emptied the buffer."""
        if not self._reading and not self.dead and self.transport is not None:
            self._reading = True
            self.transport.resume_reading()

    # What the event loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own classes do not inherit from asyncio's
        self.transport.set_write_buffer_limits(high=self._settings.high_water)
        if self.dead:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        exchange = self.exchange
        if exchange is None:  # bytes nobody asked for: a farewell (408) or a forged response
            self.kill()
            return
        if self._unheard:  # the same, while the request still waits
            exchange.lost_unanswered = True
            self.kill(closed_early(self.place, sent=False))
            return
        exchange.seen += len(data)
        size = exchange.size
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._finished:
                self.kill(self._fault or WireError(f"{self.place.url}: not a valid HTTP/1.1 response: {error}"))
                return
            self._reusable = False
        if self._finished:
            self._finish(exchange)
        elif exchange.size != size:
            self._progress(exchange)
        else:
            self._count_overhead(len(data))

    def eof_received(self) -> None:
        """See `asyncio.Protocol`: the transport closes itself, and `connection_lost` judges."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        exchange = self.exchange
        if exchange is not None and exc is None and exchange.status and exchange.framing is Framing.CLOSE:
            self.exchange = None
            exchange.settle()
        elif exchange is not None:
            exchange.lost_unanswered = not exchange.seen
            self.kill(self._loss(exchange, exc))
        self.kill()
        self.transport = None
        self._owner.gone(self)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._writable = False

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._writable = True
        self._wake_writer()

    # What the parser says

    def on_message_begin(self) -> None:
        """See `httptools.HttpResponseParser`."""
        if self._finished:
            raise WireError("bytes follow the end of the response")
        self._raw = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `httptools.HttpResponseParser`."""
        self._raw.append((name, value))

    def on_headers_complete(self) -> None:
        """See `httptools.HttpResponseParser`."""
        exchange = self.exchange
        assert exchange is not None
        status = self._parser.get_status_code()
        raw, self._raw = self._raw, []
        limit = self._settings.max_header_bytes
        if exchange.seen > limit and sum(len(name) + len(value) for name, value in raw) > limit:
            self._refuse(TooLarge(f"{self.place.url}: the response headers are longer than {limit} bytes"))
        if status < 200:
            self._inform(exchange, status)
            return
        try:
            exchange.begin(status, self._parser.get_http_version(), raw)
        except WireError as error:
            self._refuse(error)
        if exchange.method == "HEAD":
            self._finished = True
            self._reusable = False
        elif not exchange.whole:
            exchange.wake()
        self._wake_writer()

    def on_body(self, data: bytes) -> None:
        """See `httptools.HttpResponseParser`."""
        exchange = self.exchange
        if exchange is None or self._finished:
            return
        try:
            exchange.add(data)
        except TooLarge as error:
            self._refuse(error)

    def on_message_complete(self) -> None:
        """See `httptools.HttpResponseParser`."""
        if self._informational:
            self._informational = False
            return
        if not self._finished:
            self._finished = True
            self._reusable = self._parser.should_keep_alive()

    # Inside

    def _refuse(self, error: WireError) -> None:
        """Leave the parser with `error`, which it would otherwise hide behind one of its own."""
        self._fault = error
        raise error

    def _inform(self, exchange: Exchange, status: int) -> None:
        exchange.informational += 1
        if status == 101:
            self._refuse(WireError(f"{self.place.url}: the server switched protocols, which was not asked for"))
        if exchange.informational > self._settings.max_informational:
            self._refuse(WireError(f"{self.place.url}: more than {self._settings.max_informational} informational responses"))
        self._informational = True

    def _count_overhead(self, length: int) -> None:
        """Bound heads, trailers and chunk extensions that go on without a byte of body."""
        self._quiet += length
        if self._quiet > self._settings.max_header_bytes + 4096:
            self.kill(TooLarge(f"{self.place.url}: the response headers are longer than {self._settings.max_header_bytes} bytes"))

    def _progress(self, exchange: Exchange) -> None:
        self._quiet = 0
        if exchange.whole:
            return
        if exchange.buffered > self._settings.high_water and self._reading and self.transport is not None:
            self._reading = False
            self.transport.pause_reading()
        exchange.wake()

    def _finish(self, exchange: Exchange) -> None:
        self._finished = False
        self.exchange = None
        if self._reusable and exchange.request_sent and self._writable and not self._out and not self.dead:
            self.resume_reading()
            self.reused = True
            self._owner.release(self)
        else:
            self.kill()
        exchange.settle()

    @property
    def _unheard(self) -> bool:
        """The provider has certainly not heard of the request."""
        return bool(self._out) and not self._spoken

    def _loss(self, exchange: Exchange, exc: Exception | None) -> HeadgateError:
        sent = not self._unheard
        if exc is not None:
            return network_error(exc, self.place, sent=sent)
        if not exchange.seen:
            return closed_early(self.place, sent=sent)
        return Truncated(f"{self.place.url}: the connection was closed in the middle of the response ({exchange.size} body bytes came)")

    def _wake_writer(self) -> None:
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)
