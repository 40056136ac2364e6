"""A small HTTP/1.1 server side on httptools: keep-alive, pipelining, 100-continue, chunked streams, and every way to break off."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from http import HTTPStatus
from typing import cast
from urllib.parse import parse_qsl, unquote

import httptools

from headgate.sim.app import App, Delivery
from headgate.sim.clock import http_date
from headgate.sim.exchange import Answer, Request

MAX_BODY = 2_100_000_000
HUGE_BLOCK = 1 << 16
_REASONS = {status.value: status.phrase for status in HTTPStatus} | {529: "Overloaded"}


class Connection(asyncio.Protocol):
    """One client connection; answers its requests in order."""

    def __init__(self, app: App, connections: set[Connection]) -> None:
        self._app = app
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._delivery: Delivery | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._url = b""
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio; an answer still under way is abandoned and its journal entry says when."""
        self._connections.discard(self)
        self._transport = None
        self._writable.set()
        if self._delivery is not None and self._delivery.entry is not None:
            self._delivery.entry.client_gone = self._app.world.clock.now()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """Called by asyncio."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Called by asyncio."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(400)

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def on_message_begin(self) -> None:
        """Called by httptools."""
        self._url, self._headers, self._chunks, self._size = b"", {}, [], 0

    def on_url(self, url: bytes) -> None:
        """Called by httptools."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Called by httptools."""
        if self._headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Called by httptools."""
        self._size += len(body)
        if self._size > MAX_BODY:
            self._fail(413)
        else:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        """Called by httptools."""
        path, _, query = self._url.decode("latin-1").partition("?")
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            path=unquote(path),
            query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
            headers=self._headers,
            body=b"".join(self._chunks),
        )
        self._chunks = []
        self._waiting.append((request, self._parser.should_keep_alive()))
        self._next()

    def _next(self) -> None:
        """Serve waiting requests until one needs time."""
        while self._waiting and self._task is None and self._transport is not None:
            request, keep = self._waiting.popleft()
            delivery = self._app.handle(request)
            self._delivery = delivery
            if delivery.delay or delivery.huge or (delivery.gap and _events(delivery)):
                self._task = asyncio.get_running_loop().create_task(self._slowly(delivery, keep))
                self._task.add_done_callback(self._finished)
            else:
                self._at_once(delivery, keep)
                self._delivery = None

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled():
            task.result()
            self._delivery = None
            self._next()

    def _at_once(self, delivery: Delivery, keep: bool) -> None:
        transport = self._transport
        if transport is None:
            return
        if delivery.answer is None:
            self._end(delivery.reset)
            return
        data, whole = _rendered(delivery, keep, self._app.world.clock.now())
        transport.write(data)
        if not whole or delivery.close or not keep:
            self._end(delivery.reset and not whole)

    async def _slowly(self, delivery: Delivery, keep: bool) -> None:
        await asyncio.sleep(delivery.delay)
        if delivery.huge:
            await self._huge(delivery.huge)
        elif delivery.gap and (events := _events(delivery)) and delivery.stop_after is None and delivery.answer is not None:
            await self._paced(delivery, delivery.answer, events, keep)
        else:
            self._at_once(delivery, keep)

    async def _paced(self, delivery: Delivery, answer: Answer, events: tuple[bytes, ...], keep: bool) -> None:
        await self._write(_head(answer, None, keep, self._app.world.clock.now()))
        for number, event in enumerate(events):
            if number:
                await asyncio.sleep(delivery.gap)
            await self._write(_chunked(event))
        if delivery.open_end:
            self._end(False)
            return
        await self._write(b"0\r\n\r\n")
        if delivery.close or not keep:
            self._end(False)

    async def _huge(self, size: int) -> None:
        """A JSON string of `size` bytes, sent in blocks as fast as the client reads; between them the loop may notice that it left."""
        await self._write(_head(Answer(), size, False, self._app.world.clock.now()) + b'{"id":"')
        left = size - 7
        while left > 0 and self._transport is not None:
            await self._write(b"x" * min(left, HUGE_BLOCK))
            left -= HUGE_BLOCK
            await asyncio.sleep(0)
        self._end(False)

    async def _write(self, data: bytes) -> None:
        await self._writable.wait()
        if self._transport is not None:
            self._transport.write(data)

    def _end(self, reset: bool) -> None:
        transport = self._transport
        if transport is None:
            return
        self._delivery = None
        self._waiting.clear()
        if reset:
            _linger_zero(transport)
            transport.abort()
        else:
            transport.close()

    def _fail(self, status: int) -> None:
        if self._transport is not None:
            answer = Answer(status=status, body=b'{"error":"the request is not valid HTTP/1.1 or too large"}')
            self._transport.write(_head(answer, len(answer.body), False, self._app.world.clock.now()) + answer.body)
            self._end(False)


def _linger_zero(transport: asyncio.Transport) -> None:
    """Make the next close of this socket send RST; what was written before is sent first when the kernel has it."""
    sock = transport.get_extra_info("socket")
    with socket.socket(fileno=os.dup(sock.fileno())) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _events(delivery: Delivery) -> tuple[bytes, ...] | None:
    return None if delivery.answer is None else delivery.answer.events


def _head(answer: Answer, length: int | None, keep: bool, now: float) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Status')}",
        f"date: {http_date(int(now))}",
        f"content-type: {answer.content_type}",
        "transfer-encoding: chunked" if length is None else f"content-length: {length}",
        *(f"{name}: {value}" for name, value in answer.headers),
        "connection: keep-alive" if keep else "connection: close",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _chunked(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


def _rendered(delivery: Delivery, keep: bool, now: float) -> tuple[bytes, bool]:
    """All bytes of an answer, cut where the delivery says so, and whether they are whole."""
    answer = delivery.answer or Answer()
    if answer.events is None:
        body = answer.body if delivery.body_limit is None else answer.body[: delivery.body_limit]
        data = _head(answer, len(answer.body), keep, now) + body
        whole = len(body) == len(answer.body)
    else:
        end = b"" if delivery.open_end else b"0\r\n\r\n"
        data = _head(answer, None, keep, now) + b"".join(map(_chunked, answer.events)) + end
        whole = not delivery.open_end
    if delivery.stop_after is not None:
        return data[: delivery.stop_after], False
    return data, whole
