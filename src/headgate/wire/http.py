"""HTTP as values: what is to be sent, what came back, and flows that combine several calls.

A `Flow[T]` is a generator that yields calls and is sent replies; `transport.drive` runs it. Helpers are used with ``yield from``::

    reply = yield from send(Send("GET", "/v1/batches/b1"))

Paths are relative to the provider's base URL. Header names are lower-case. Nothing here opens a socket.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Protocol, TypeAlias, TypeVar

import msgspec

Headers: TypeAlias = tuple[tuple[str, str], ...]
T = TypeVar("T")


class Send(msgspec.Struct, frozen=True):
    """One small request, body in memory. `path` starts with ``/`` and may carry a query; an absolute URL must be same-origin."""

    method: str
    path: str
    body: bytes = b""
    headers: Headers = ()
    timeout: float | None = None
    """Seconds for the whole exchange; None takes the transport's default (120)."""
    once: bool = False
    """Never sent twice by the transport, not even when a kept connection turns out to be dead: that is an error with `sent` true."""
    host: str = ""
    """The key of one of the provider's further hosts; "" is its own address."""


class Body(Protocol):
    """A body that can be read again from its start, so that a retry sends the same bytes."""

    @property
    def length(self) -> int:
        """Bytes in total."""
        ...

    def __iter__(self) -> Iterator[bytes]:
        """Chunks from the start."""
        ...


class BytesBody(msgspec.Struct, frozen=True):
    """A `Body` over chunks already in memory."""

    chunks: tuple[bytes, ...]

    @property
    def length(self) -> int:
        """Bytes in total."""
        return sum(map(len, self.chunks))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)


class Upload(msgspec.Struct, frozen=True):
    """A request whose body is streamed from a re-iterable source."""

    method: str
    path: str
    body: Body
    headers: Headers = ()
    timeout: float | None = None
    once: bool = False
    """As in `Send`."""
    host: str = ""
    """As in `Send`."""


class Download(msgspec.Struct, frozen=True):
    """A request whose response body goes to a file chosen by the driver, at most `max_bytes` long."""

    method: str
    path: str
    headers: Headers = ()
    max_bytes: int = 2 << 30
    timeout: float | None = None
    host: str = ""
    """As in `Send`."""


class Save(msgspec.Struct, frozen=True):
    """Bytes that a flow has read and wants kept on disk beside its downloads: pages of results, say. Nothing is sent."""

    data: bytes


class Reply(msgspec.Struct, frozen=True):
    """A whole response. `headers` keys are lower-case; of repeated headers the last wins."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """A 2xx status."""
        return 200 <= self.status < 300


class Stored(msgspec.Struct, frozen=True):
    """A downloaded body on disk (or saved bytes, as status 200). When `status` is not 2xx, `path` holds the (bounded) error body."""

    status: int
    headers: dict[str, str]
    path: str
    length: int


Call: TypeAlias = Send | Upload | Download
Answer: TypeAlias = Reply | Stored
Flow: TypeAlias = Generator[Call | Save, Answer, T]


def send(call: Send) -> Flow[Reply]:
    """Yield a call and return its reply."""
    answer = yield call
    assert isinstance(answer, Reply)
    return answer


def upload(call: Upload, parts: Iterable[bytes] | None = None) -> Flow[Reply]:
    """Yield an upload and return its reply. `parts` replaces the body by chunks held in memory."""
    answer = yield call if parts is None else msgspec.structs.replace(call, body=BytesBody(tuple(parts)))
    assert isinstance(answer, Reply)
    return answer


def download(call: Download) -> Flow[Stored]:
    """Yield a download and return where it was stored."""
    answer = yield call
    assert isinstance(answer, Stored)
    return answer


def save(data: bytes) -> Flow[Stored]:
    """Yield bytes to be kept and return where they were stored."""
    answer = yield Save(data)
    assert isinstance(answer, Stored)
    return answer
