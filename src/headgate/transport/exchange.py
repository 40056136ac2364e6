"""One request and what has come back of it; framing is judged here, by values alone."""

from __future__ import annotations

import asyncio
from enum import IntEnum

from headgate.errors import HeadgateError, TooLarge, WireError


class Framing(IntEnum):
    """How the end of a response body is known (RFC 9112, section 6.3)."""

    NONE = 0
    LENGTH = 1
    CHUNKED = 2
    CLOSE = 3


_BODILESS = frozenset({204, 304})
_names: dict[bytes, str] = {}
_MAX_NAMES = 512


class Exchange:
    """The state of one response. A `Connection` fills it; one task reads it.

    With `whole`, the reader is woken once, at the end; else at the head and after each read from the socket.
    """

    __slots__ = (
        "buffered",
        "error",
        "framing",
        "headers",
        "informational",
        "lost_unanswered",
        "max_body",
        "method",
        "over",
        "parts",
        "request_sent",
        "seen",
        "size",
        "status",
        "waiter",
        "where",
        "whole",
    )

    def __init__(self, method: str, where: str, max_body: int, *, whole: bool) -> None:
        self.method = method
        self.where = where
        self.max_body = max_body
        self.whole = whole
        self.status = 0
        self.headers: dict[str, str] = {}
        self.framing = Framing.NONE
        self.parts: list[bytes] = []
        self.buffered = 0
        self.size = 0
        self.seen = 0
        self.informational = 0
        self.request_sent = False
        self.lost_unanswered = False
        self.over = False
        self.error: HeadgateError | None = None
        self.waiter: asyncio.Future[None] | None = None

    def begin(self, status: int, version: str, raw: list[tuple[bytes, bytes]]) -> None:
        """Take a final response head. Raises `WireError` or `TooLarge` for one that may not be read on."""
        headers = self.headers
        for name, value in raw:
            headers[_names.get(name) or _name(name)] = value.decode("latin-1")
        if version not in ("1.1", "1.0"):
            raise WireError(f"{self.where}: the server answered in HTTP/{version}, not HTTP/1.1")
        self.framing = self._judge(status, raw)
        encoding = headers.get("content-encoding")
        if encoding is not None and encoding.strip().lower() not in ("", "identity"):
            raise WireError(f"{self.where}: the response is encoded as {encoding!r} although only identity was asked for")
        if self.framing is Framing.LENGTH and int(headers["content-length"]) > self.max_body:
            raise TooLarge(f"{self.where}: the response is {headers['content-length']} bytes long, more than {self.max_body}")
        self.status = status

    def _judge(self, status: int, raw: list[tuple[bytes, bytes]]) -> Framing:
        coding = self.headers.get("transfer-encoding")
        if coding is not None and (coding.lower() != "chunked" or sum(name.lower() == b"transfer-encoding" for name, _ in raw) > 1):
            raise WireError(f"{self.where}: the response has an unexpected Transfer-Encoding: {coding!r}")
        if self.method == "HEAD" or status in _BODILESS:
            return Framing.NONE
        if coding is not None:
            return Framing.CHUNKED
        return Framing.LENGTH if "content-length" in self.headers else Framing.CLOSE

    def add(self, data: bytes) -> None:
        """Take body bytes. Raises `TooLarge` beyond the cap."""
        self.parts.append(data)
        length = len(data)
        self.size += length
        self.buffered += length
        if self.size > self.max_body:
            raise TooLarge(f"{self.where}: the response is longer than {self.max_body} bytes")

    def settle(self, error: HeadgateError | None = None) -> None:
        """The response is over: complete, or failed with `error`. Only the first call counts."""
        if not self.over:
            self.over = True
            self.error = error
            self.wake()

    def wake(self) -> None:
        """Let the reader look again."""
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until the next `wake`."""
        self.waiter = loop.create_future()
        try:
            await self.waiter
        finally:
            self.waiter = None

    def take(self) -> bytes:
        """The body bytes so far, which leave the buffer."""
        parts = self.parts
        self.parts = []
        self.buffered = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _name(raw: bytes) -> str:
    name = raw.decode("latin-1").lower()
    if len(_names) < _MAX_NAMES:
        _names[raw] = name
    return name
