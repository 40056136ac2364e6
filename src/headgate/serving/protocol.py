"""One client connection: HTTP/1.1 on llhttp, with the bounds it lacks.

A deadline and a size for headers, targets in origin form only, an end to the patience with clients that do not read, a lingering close. The
ordinary request of a fast endpoint is answered by callbacks; every other one, and every one that is odd in any way, by an `Exchange`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from typing import cast
from urllib.parse import unquote

import httptools

from headgate.serving.envelopes import Refused
from headgate.serving.exchange import BODILESS, Exchange
from headgate.serving.fields import plain_fields
from headgate.serving.heads import Known
from headgate.serving.house import House
from headgate.serving.request import Request
from headgate.serving.turn import Answerer, FastEndpoint, Turn
from headgate.transport.outbox import MOST
from headgate.wire.http import Headers

_UPGRADE_HEADERS = frozenset({b"upgrade", b"http2-settings"})
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
FAST_BODY = 4 << 20
"""Longer bodies are left to the app, which reads them under a deadline."""
QUEUED = 16
"""So many pipelined requests may wait on one connection."""


def status_line(status: int) -> bytes:
    """``HTTP/1.1 200 OK`` with its line end."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


class ClientConnection(asyncio.Protocol):
    """One client connection. The deadline for headers runs from the connection, later from the first byte of the next request."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._limits = house.limits
        self._loop = house.loop
        self._parser = httptools.HttpRequestParser(self)
        self._raw: list[tuple[bytes, bytes]] = []
        self._url = b""
        self._in_head = False
        self._in_body = False
        self._header_bytes = 0
        self._oversized = False
        self._declined = b""
        self._expects = False
        self._head_only = False
        self._keep = True
        self._chunked = True
        self._fast: FastEndpoint | None = None
        self._fields: dict[str, bytes] = {}
        self._token: object = None
        self._parts: list[bytes] = []
        self._slow: asyncio.TimerHandle | None = None
        self._ready: Turn | None = None
        self._current: Turn | Exchange | None = None
        self._receiving: Exchange | None = None
        self._waiting: deque[tuple[Exchange, Request, bool, bool, bool]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._unread = 0
        self._since = 0.0
        self._idle_since: float | None = None
        self._paused = False
        self._framed = False
        self._drain: asyncio.Future[None] | None = None
        self._out = b""
        self._peer = ""
        self.writable = True
        self.transport: asyncio.Transport | None = None

    # What the event loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own classes do not inherit from asyncio's
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self._since = self._loop.time()
        self._timer = self._loop.call_later(self._limits.header_timeout, self._look)
        self._house.members.add(self)
        if self._house.stopping:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.transport = None
        self._out = b""
        for timer in (self._timer, self._linger, self._patience, self._slow):
            if timer is not None:
                timer.cancel()
        self.writable = True
        self._release()
        current, self._current = self._current, None
        if current is not None:
            current.lose()
        for exchange, *_ in self._waiting:
            exchange.lose()
        self._waiting.clear()
        self._house.left(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        fresh = self._current is None and not self._in_head and not self._in_body and not self._waiting and self._keep
        if fresh and self._at_once(data):
            return
        if not self._in_body:
            self._header_bytes += len(data)
        self._parse(data)
        ready = self._ready
        if ready is not None:
            self._ready = None
            if fresh and self._fast is not None:
                self._house.heads.learn(data, Known(self._fast, ready.target, ready.fields, self._keep, self._chunked))
            self._serve(ready)
        elif self._in_head:
            self._wait_for_head()
        elif self._fast is not None and self._slow is None:
            self._slow = self._loop.call_later(self._limits.body_grace, self._no_longer_fast)

    def eof_received(self) -> None:
        """See `asyncio.Protocol`: the transport closes itself, which tells whoever is answering."""

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self.writable = False
        self._watch_reader()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self.writable = True
        self._release()
        if isinstance(self._current, Turn):
            self._current.eased()

    # What the parser says

    def on_message_begin(self) -> None:
        """See `httptools.HttpRequestParser`."""
        self._in_head = True
        self._raw = []
        self._url = b""

    def on_url(self, url: bytes) -> None:
        """See `httptools.HttpRequestParser`; a target may come in pieces."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `httptools.HttpRequestParser`. Trailers are not kept."""
        if not self._in_body:
            self._raw.append((name, value))

    def on_headers_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        self._in_body, self._in_head = True, False
        limit = self._limits.max_header_bytes
        if self._header_bytes > limit and sum(len(name) + len(value) for name, value in self._raw) + len(self._url) > limit:
            self._oversized = True
            raise httptools.HttpParserError("the headers are too long")
        self._header_bytes = 0
        method = self._parser.get_method()
        if self._url[:1] != b"/" or method == b"CONNECT":
            raise httptools.HttpParserInvalidURLError("only targets in origin form are served")
        if self._parser.should_upgrade():
            self._in_body = False
            self._declined = self._head_without_upgrade()
            return
        if self._current is not None or self._waiting or self._ready is not None or method != b"POST" or not self._begin_fast():
            self._begin_exchange(method)

    def on_body(self, data: bytes) -> None:
        """See `httptools.HttpRequestParser`."""
        if self._fast is not None:
            self._parts.append(data)
        elif self._receiving is not None:
            self._receiving.feed(data)

    def on_message_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        if self._declined:
            return
        self._in_body = False
        self._stop_lingering()
        if self._fast is not None:
            self._end_fast()
        elif self._receiving is not None:
            receiving, self._receiving = self._receiving, None
            receiving.finish()

    # Requests

    def _at_once(self, data: bytes) -> bool:
        """Serve a whole request whose head has been seen before."""
        found = self._house.heads.find(data)
        if found is None or self._house.stopping:
            return False
        known, body = found
        token = known.endpoint.admit(known.fields)
        if token is None:
            return False
        self._current = turn = Turn(self, self._loop, known.target, known.fields, body, token)
        self._keep, self._head_only = known.keep, False
        turn.chunked = self._chunked = known.chunked
        turn.tail = self._house.date if known.keep and known.chunked else self._house.date + b"connection: close\r\n"
        if not known.endpoint.serve(turn):
            turn.hand_over()
        return True

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._malformed()
        except httptools.HttpParserUpgrade as error:
            self._decline_upgrade(data[error.args[0] :])

    def _begin_fast(self) -> bool:
        """Take a request for a fast endpoint, if there is nothing odd about it."""
        endpoint = self._house.fast.get(self._url)
        if endpoint is None:
            return False
        fields = plain_fields(self._raw)
        if fields is None or not self._house.admits(fields.get("host")):
            return False
        length = fields.get("content-length")
        if length is None or len(length) > 7 or int(length) > FAST_BODY:
            return False
        self._token = endpoint.admit(fields)
        if self._token is None:
            return False
        self._fast, self._fields = endpoint, fields
        return True

    def _end_fast(self) -> None:
        """The body of a fast request is here; it is served once the parser is left."""
        parts, self._parts = self._parts, []
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        turn = Turn(self, self._loop, self._url, self._fields, body, self._token)
        self._describe(turn)
        self._ready = self._current = turn

    def _describe(self, turn: Turn) -> None:
        self._keep = self._parser.should_keep_alive() and not self._house.stopping
        self._head_only = False
        turn.chunked = self._chunked = self._parser.get_http_version() != "1.0"
        turn.tail = self._house.date if self._keep and turn.chunked else self._house.date + b"connection: close\r\n"

    def _serve(self, turn: Turn) -> None:
        endpoint, self._fast = self._fast, None
        if endpoint is not None and not endpoint.serve(turn):
            turn.hand_over()

    def _no_longer_fast(self) -> None:
        """A body that does not come at once is left to an exchange, which has deadlines for it."""
        self._slow = None
        if self._fast is None:
            return
        self._fast = None
        parts, self._parts = self._parts, []
        self._begin_exchange(self._parser.get_method(), b"".join(parts))

    def _begin_exchange(self, method: bytes, received: bytes = b"") -> None:
        house = self._house
        request = self._request(method)
        exchange = Exchange(house.app, self._limits, self, self._loop, received)
        self._receiving = exchange
        expects = any(name.lower() == b"expect" and value.lower() == b"100-continue" for name, value in self._raw)
        version = self._parser.get_http_version()
        keep = self._parser.should_keep_alive()
        if self._current is None and not self._waiting:
            self._begin(exchange, request, keep, expects, version != "1.0")
            return
        self._waiting.append((exchange, request, keep, expects, version != "1.0"))
        if len(self._waiting) >= QUEUED:
            self.hold()

    def _request(self, method: bytes) -> Request:
        path, _, query = self._url.partition(b"?")
        return Request(
            method=method.decode("latin-1"),
            path=unquote(path.decode("latin-1")),
            query=query.decode("latin-1"),
            headers=tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in self._raw),
            client=self._peer,
        )

    def _begin(self, exchange: Exchange, request: Request, keep: bool, expects: bool, chunked: bool) -> None:
        self._current = exchange
        self._keep = keep and not self._house.stopping
        self._expects = expects
        self._head_only = request.method == "HEAD"
        self._chunked = chunked
        task = exchange.start(request)
        self._house.tasks.add(task)
        task.add_done_callback(self._house.tasks.discard)

    def hand_over(self, turn: Turn, answerer: Answerer | None) -> None:
        """See `turn.Line`."""
        if self._current is not turn:
            return
        exchange = Exchange(self._house.app, self._limits, self, self._loop, turn.body, answerer)
        exchange.finish()
        fields = {**turn.fields, "content-length": b"%d" % len(turn.body)}
        headers = tuple((name, value.decode("latin-1")) for name, value in fields.items())
        path, _, query = turn.target.partition(b"?")
        request = Request(
            method="POST", path=unquote(path.decode("latin-1")), query=query.decode("latin-1"), headers=headers, client=self._peer
        )
        self._begin(exchange, request, self._keep, False, self._chunked)

    # Answers

    def put(self, data: bytes) -> None:
        """See `turn.Line`: sent at the end of the loop's turn."""
        if self.transport is None:
            return
        out = self._out
        self._out = out + data if out else data
        if len(self._out) > MOST:
            self.flush()
        elif not out and data:
            self._house.outbox.add(self)

    def flush(self) -> None:
        """See `outbox.Sender`."""
        out, self._out = self._out, b""
        if out and self.transport is not None:
            self.transport.write(out)

    def _close(self) -> None:
        """Close once everything is sent."""
        self.flush()
        if self.transport is not None:
            self.transport.close()

    def turned(self, turn: Turn) -> None:
        """See `turn.Line`."""
        self._current = None
        self._next()

    def abandon(self, turn: Turn) -> None:
        """See `turn.Line`."""
        turn.over = True
        turn.forget()
        self._current = None
        self._close()

    def head(self, status: int, headers: Headers, length: int | None) -> bool:
        """See `exchange.Line`."""
        fields = b"".join([f"{name}: {value}\r\n".encode("latin-1") for name, value in headers])
        closes = not self._keep or any(name == "connection" and value == "close" for name, value in headers)
        if status in BODILESS:
            framing = b""
        elif length is not None:
            framing = b"content-length: %d\r\n" % length
        elif self._chunked:
            framing = b"transfer-encoding: chunked\r\n"
        else:
            framing, closes = b"", True
        self._keep = not closes
        close = b"connection: close\r\n" if closes and b"connection:" not in fields else b""
        self._framed = length is None and self._chunked and status not in BODILESS
        self.put(b"%b%b%b%b%b\r\n" % (status_line(status), fields, self._house.date, framing, close))
        return status not in BODILESS and not self._head_only

    def piece(self, data: bytes) -> None:
        """See `exchange.Line`."""
        if data and not self._head_only:
            self.put(b"%x\r\n%b\r\n" % (len(data), data) if self._framed else data)

    def end(self) -> None:
        """See `exchange.Line`."""
        if self._framed and not self._head_only:
            self.put(b"0\r\n\r\n")
        self._framed = False
        self._watch_reader()

    def broken(self) -> None:
        """See `exchange.Line`."""
        self._keep = False
        self._framed = False

    async def drained(self) -> None:
        """See `exchange.Line`."""
        while not self.writable and self.transport is not None:
            self._drain = self._loop.create_future()
            try:
                await self._drain
            finally:
                self._drain = None

    def want(self) -> None:
        """See `exchange.Line`."""
        if self._expects:
            self._expects = False
            self.put(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._resume()

    def hold(self) -> None:
        """See `exchange.Line`."""
        if not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def answered(self, exchange: Exchange) -> None:
        """See `exchange.Line`."""
        if self._current is exchange:
            self._current = None
            self._next()

    def _resume(self) -> None:
        if self._paused and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()

    def _next(self) -> None:
        """An answer is written: close, or go on with the next request."""
        self._expects = False
        if self.transport is None:
            return
        if self._in_body:
            self._resume()
            if self._keep or self._receiving is not None:
                self._linger = self._loop.call_later(self._limits.linger, self._end_lingering)
            return
        self._after()

    def _after(self) -> None:
        if self.transport is None or self._current is not None:
            return
        if not self._keep or (self._house.stopping and not self._waiting):
            self._close()
            return
        if self._waiting:
            self._begin(*self._waiting.popleft())
        else:
            self._idle_since = self._loop.time()
        if self._paused:
            self._resume()

    # Bounds

    def _look(self) -> None:
        """The only timer of an ordinary connection: whether it has been quiet for too long."""
        now, limits = self._loop.time(), self._limits
        if self._in_head:
            due = self._since + limits.header_timeout
        elif self._current is not None or self._in_body:
            due = now + limits.keep_alive
        elif self._idle_since is None:
            due = self._since + limits.header_timeout
        else:
            due = self._idle_since + limits.keep_alive
        if now < due:
            self._timer = self._loop.call_at(due, self._look)
        else:
            self._expire()

    def _wait_for_head(self) -> None:
        """Part of a head is here: the rest has a size and a deadline."""
        if self._header_bytes > self._limits.max_header_bytes and self.transport is not None and not self.transport.is_closing():
            self._refuse(431, f"the request headers are longer than {self._limits.max_header_bytes} bytes")
        elif self._idle_since is not None:
            self._idle_since, self._since = None, self._loop.time()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(self._limits.header_timeout, self._look)

    def _expire(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self._current is not None:
            self.transport.abort()
        elif not self._in_head:
            self._close()
        else:
            self._refuse(408, f"the request headers took longer than {self._limits.header_timeout:g} s")

    def _malformed(self) -> None:
        if self._oversized:
            self._refuse(431, f"the request headers are longer than {self._limits.max_header_bytes} bytes")
        else:
            self._refuse(400, "the request is not valid HTTP/1.1")

    def _refuse(self, status: int, message: str) -> None:
        """Answer what is no request, and close. Into an answer that is under way nothing may be written."""
        if self.transport is None or self.transport.is_closing():
            return
        if self._current is not None:
            self.transport.abort()
            return
        response = self._house.app.refuse(Refused(status, message))
        fields = (*response.headers, ("content-length", str(len(response.body))), ("connection", "close"))
        lines = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in fields)
        self.put(status_line(status) + lines + b"\r\n" + response.body)
        self._close()

    def _decline_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1.1, which whoever offers another protocol has to accept (RFC 9110, section 7.8).

        The parser takes what follows such a head for the other protocol: the body would be lost, or taken for a request of its own.
        """
        head, self._declined = self._declined, b""
        self._parser = httptools.HttpRequestParser(self)
        self._parse(head + rest)

    def _head_without_upgrade(self) -> bytes:
        """The request's head once more, without what offers another protocol."""
        kept = b"".join(b"%b: %b\r\n" % pair for pair in self._raw if pair[0].lower() not in _UPGRADE_HEADERS)
        line = b"%b %b HTTP/%b\r\n" % (self._parser.get_method(), self._url, self._parser.get_http_version().encode())
        return line + kept + b"\r\n"

    def _watch_reader(self) -> None:
        """From now on, what the client leaves unread must become less."""
        self.flush()
        if self.transport is None:
            return
        self._unread = self.transport.get_write_buffer_size()
        if self._unread and self._patience is None:
            self._patience = self._loop.call_later(self._limits.write_timeout, self._lose_patience)

    def _lose_patience(self) -> None:
        self._patience = None
        if self.transport is None:
            return
        if self.transport.get_write_buffer_size() >= self._unread > 0:
            self.transport.abort()
        else:
            self._watch_reader()

    def _stop_lingering(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
            self._loop.call_soon(self._after)

    def _end_lingering(self) -> None:
        self._linger = None
        if self.transport is not None:
            self.transport.abort()

    def _release(self) -> None:
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

    # What the server asks

    @property
    def busy(self) -> bool:
        """See `house.Member`."""
        return self._current is not None or self._in_body

    def dismiss(self) -> None:
        """See `house.Member`."""
        self._keep = False
        if not self.busy:
            self._close()

    def hurry(self) -> None:
        """See `house.Member`."""
        current = self._current
        if isinstance(current, Exchange):
            current.hurry()
        elif current is not None:
            current.stopping()
        elif self.transport is not None:
            self.transport.abort()

    def abort(self) -> None:
        """See `house.Member`."""
        if self.transport is not None:
            self.transport.abort()
