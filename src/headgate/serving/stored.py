"""An answer kept whole, to be given again: by the response cache, to a repeated request, from a recording."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec

from headgate.serving.response import Answer, Response, Stream
from headgate.wire.http import Headers

KEPT_HEADERS = frozenset({"content-type", "x-headgate-provider", "x-headgate-fidelity", "x-accel-buffering"})
"""Headers that belong to the answer; all others belong to the exchange in which it was given."""
PIECE = 64 << 10
OVERHEAD = 256
"""Bytes a stored answer costs besides its own."""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A complete answer. A stream's `body` is its bytes from first to last.

    `receipt` names the receipt of the call that brought it, `cost_nanos` is what that call cost (None: unpriced), `at` when it ended
    (seconds since the epoch).
    """

    status: int
    headers: Headers
    body: bytes
    stream: bool = False
    provider: str = ""
    model: str = ""
    receipt: str = ""
    cost_nanos: int | None = None
    at: float = 0.0

    @property
    def size(self) -> int:
        """Bytes it takes in memory, about."""
        return OVERHEAD + len(self.body) + sum(len(name) + len(value) for name, value in self.headers)


_decode = msgspec.msgpack.Decoder(Stored).decode
_encode = msgspec.msgpack.Encoder().encode


def pack(stored: Stored) -> bytes:
    """`stored` as bytes for a store."""
    return _encode(stored)


def unpack(data: bytes) -> Stored:
    """What `pack` made bytes of."""
    return _decode(data)


def kept_headers(headers: Headers) -> Headers:
    """Those headers of an answer that are kept with it."""
    return tuple(pair for pair in headers if pair[0] in KEPT_HEADERS)


def replay(stored: Stored, headers: Headers = ()) -> Answer:
    """The answer once more, with further `headers`: whole as it was whole, as a stream as it was one."""
    fields = (*stored.headers, *headers)
    if stored.stream:
        return Stream(stored.status, fields, _pieces(stored.body))
    return Response(stored.status, fields, stored.body)


async def _pieces(body: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]


class Collected:
    """The bytes of an answer as they pass by, up to `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """The next piece. Past the limit, nothing is held any more."""
        self._size += len(data)
        if self._size <= self._limit:
            self._parts.append(data)
        else:
            self._parts.clear()

    @property
    def body(self) -> bytes | None:
        """All of it; None when it was too long."""
        return b"".join(self._parts) if self._size <= self._limit else None
