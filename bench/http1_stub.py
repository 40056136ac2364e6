"""The server of `bench/http1.py`: a process of its own, so that only the client's CPU is measured.

Prints its port, then answers until its standard input is closed.

    POST /json     a reply of 1 kB
    POST /stream   20 events, 5 ms apart, each written alone
    POST /slow     the same reply as /json, after 20 ms
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import httptools
import uvloop

EVENTS = 20
EVENT_GAP = 0.005
SLOW = 0.02
_BODY = b'{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"' + b"word " * 180 + b'"}}]}'
_HEADERS = b"".join(b"x-stub-header-%d: some value of no great length\r\n" % n for n in range(8))
_REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b" % (_HEADERS, len(_BODY), _BODY)
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Stub(asyncio.Protocol):
    """One client connection."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport | None = None
        self.url = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.transport = None

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """See `httptools.HttpRequestParser`."""
        self.url = url

    def on_message_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        loop = asyncio.get_running_loop()
        if self.url == b"/stream":
            self.write(_STREAM_HEAD)
            loop.call_soon(self.event, 0)
        elif self.url == b"/slow":
            loop.call_later(SLOW, self.write, _REPLY)
        else:
            self.write(_REPLY)

    def event(self, number: int) -> None:
        """Write event `number`, stamped with this machine's monotonic clock, and plan the next."""
        if number == EVENTS:
            self.write(b"0\r\n\r\n")
            return
        loop = asyncio.get_running_loop()
        data = b"data: %.6f\n\n" % loop.time()
        self.write(b"%x\r\n%b\r\n" % (len(data), data))
        loop.call_later(EVENT_GAP, self.event, number + 1)

    def write(self, data: bytes) -> None:
        """Write unless the client has gone."""
        if self.transport is not None:
            self.transport.write(data)


async def main() -> None:
    """Serve on a free port of the loopback."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Stub, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


uvloop.run(main())
