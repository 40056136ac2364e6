"""A small HTTP/1.1 server side on httptools: keep-alive, pipelining, 100-continue, chunked streams, and every way to break off."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from typing import cast
from urllib.parse import parse_qsl, unquote

import httptools
from msgspec.structs import replace

from headgate.sim import render
from headgate.sim.app import App, Delivery
from headgate.sim.exchange import Answer, Request
from headgate.sim.render import Manner

MAX_BODY = 2_100_000_000
HUGE_BLOCK = 1 << 16


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
        self._deaf = False

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
        if self._deaf:
            return
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
        path = self._url.decode("latin-1").partition("?")[0]
        early = self._app.early(self._parser.get_method().decode("latin-1"), unquote(path), self._headers)
        if early is not None:
            self._deaf = True
            self._deliver(early, False)
        elif self._headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Called by httptools."""
        self._size += len(body)
        if self._deaf:
            return
        if self._size > MAX_BODY:
            self._fail(413)
        else:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        """Called by httptools."""
        if self._deaf:
            return
        path, _, query = self._url.decode("latin-1").partition("?")
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            path=unquote(path),
            query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
            headers=self._headers,
            body=b"".join(self._chunks),
            target=self._url.decode("latin-1"),
        )
        self._chunks = []
        self._waiting.append((request, self._parser.should_keep_alive()))
        self._next()

    def _next(self) -> None:
        """Serve waiting requests until one needs time."""
        while self._waiting and self._task is None and self._transport is not None:
            request, keep = self._waiting.popleft()
            self._deliver(self._app.handle(request), keep)

    def _deliver(self, delivery: Delivery, keep: bool) -> None:
        self._delivery = delivery
        if _takes_time(delivery):
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
            transport.write(delivery.raw or b"")
            self._end(delivery.reset)
            return
        pieces, whole = _pieces(delivery, keep, self._app.world.clock.now())
        transport.write(b"".join(pieces))
        self._close_unless_kept(delivery, whole, keep)

    def _close_unless_kept(self, delivery: Delivery, whole: bool, keep: bool) -> None:
        if not whole or delivery.close or not keep or delivery.manner.framing == "close":
            self._end(delivery.reset and not whole)

    async def _slowly(self, delivery: Delivery, keep: bool) -> None:
        await asyncio.sleep(delivery.delay)
        if delivery.huge:
            await self._huge(delivery.huge)
        elif delivery.answer is None:
            self._at_once(delivery, keep)
        else:
            await self._paced(delivery, keep)

    async def _paced(self, delivery: Delivery, keep: bool) -> None:
        """Write an answer piece by piece, with the gaps and the silence that the script wants."""
        pieces, whole = _pieces(delivery, keep, self._app.world.clock.now())
        events = len(_events(delivery) or b".")
        silent = None if delivery.stall is None else min(events if delivery.stall.events is None else delivery.stall.events, events)
        for number, piece in enumerate(pieces):
            if delivery.gap and 1 < number <= events:
                await asyncio.sleep(delivery.gap)
            await self._dripped(piece, delivery)
            if delivery.stall is not None and number == silent:
                await asyncio.sleep(delivery.stall.seconds)
        self._close_unless_kept(delivery, whole, keep)

    async def _dripped(self, piece: bytes, delivery: Delivery) -> None:
        drip = delivery.drip
        if drip is None:
            await self._write(piece)
            return
        for start in range(0, len(piece), max(drip.bytes, 1)):
            await self._write(piece[start : start + max(drip.bytes, 1)])
            await asyncio.sleep(drip.seconds)

    async def _huge(self, size: int) -> None:
        """A JSON string of `size` bytes, sent in blocks as fast as the client reads; between them the loop may notice that it left."""
        await self._write(render.head(Answer(), size, self._app.world.clock.now(), Manner(keep=False)) + b'{"id":"')
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
            self._transport.write(render.head(answer, len(answer.body), self._app.world.clock.now(), Manner(keep=False)) + answer.body)
            self._end(False)


def _linger_zero(transport: asyncio.Transport) -> None:
    """Make the next close of this socket send RST; what was written before is sent first when the kernel has it."""
    sock = transport.get_extra_info("socket")
    with socket.socket(fileno=os.dup(sock.fileno())) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _events(delivery: Delivery) -> tuple[bytes, ...] | None:
    return None if delivery.answer is None else delivery.answer.events


def _takes_time(delivery: Delivery) -> bool:
    paced = delivery.drip or delivery.stall or (delivery.gap and _events(delivery))
    return bool(delivery.delay or delivery.huge or (paced and delivery.answer is not None))


def _pieces(delivery: Delivery, keep: bool, now: float) -> tuple[list[bytes], bool]:
    """The pieces of an answer, cut where the delivery says so, and whether they are all."""
    answer, limit = delivery.answer or Answer(), delivery.body_limit
    manner = replace(delivery.manner, keep=keep and delivery.manner.framing != "close")
    pieces = list(render.parts(answer, now, manner, open_end=delivery.open_end, body_limit=limit))
    pieces[0] = delivery.before + pieces[0]
    cut = limit is not None and answer.events is None and limit < len(answer.body)
    if delivery.stop_after is not None:
        return _cut(pieces, delivery.stop_after), False
    return pieces, not (cut or (delivery.open_end and answer.events is not None))


def _cut(pieces: list[bytes], size: int) -> list[bytes]:
    """The first `size` bytes of the pieces."""
    kept = []
    for piece in pieces:
        kept.append(piece[:size])
        size = max(size - len(piece), 0)
    return kept
