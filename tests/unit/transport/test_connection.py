"""The protocol object without a socket: any split of the bytes gives the same response or the same refusal."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.errors import TooLarge, Truncated, WireError
from headgate.transport.connection import Connection
from headgate.transport.exchange import Exchange
from headgate.transport.faults import Place
from headgate.transport.outbox import Outbox
from headgate.transport.settings import TransportSettings

PLACE = Place("http://peer", "peer", 80)


class Unused(asyncio.AbstractEventLoop):
    """Nothing is written here."""


OUTBOX = Outbox(Unused())


class Pipe(asyncio.Transport):
    """A transport that only remembers that it was closed."""

    closed = False
    paused = 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever buffered."""

    def abort(self) -> None:
        """Remember."""
        self.closed = True

    def pause_reading(self) -> None:
        """Remember."""
        self.paused += 1

    def resume_reading(self) -> None:
        """Remember."""
        self.paused -= 1


class Owner:
    """Counts what a pool would be told."""

    def __init__(self) -> None:
        self.released = self.discarded = self.lost = 0

    def release(self, connection: Connection) -> None:
        """Count."""
        self.released += 1

    def discard(self, connection: Connection) -> None:
        """Count."""
        self.discarded += 1

    def gone(self, connection: Connection) -> None:
        """Count."""
        self.lost += 1


def play(parts: list[bytes], *, whole: bool = True, eof: bool = True, method: str = "GET") -> tuple[object, ...]:
    """(error type, status, headers, body, released, closed) of one exchange that is answered with `parts`."""
    owner, pipe = Owner(), Pipe()
    connection = Connection(owner, PLACE, TransportSettings(max_body=5000, max_header_bytes=2000), OUTBOX)
    connection.connection_made(pipe)
    exchange = Exchange(method, PLACE.url, 5000, whole=whole)
    exchange.request_sent = True
    connection.start(exchange)
    for part in parts:
        if not pipe.closed:
            connection.data_received(part)
    closed = pipe.closed
    if eof:
        connection.connection_lost(None)
        assert (owner.discarded, owner.lost) == (1, 1)
        assert exchange.over
    body = b"".join(exchange.parts)
    return (type(exchange.error), exchange.status, exchange.headers, body if exchange.error is None else None, owner.released, closed)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-Request-Id: r\r\n\r\nhello world",
    CHUNKED + b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
    CHUNKED + b"5\r\nhello\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5001\r\n\r\nx",
    CHUNKED + b"1389\r\n" + b"x" * 5001,
    b"garbage\r\n\r\n",
]


@pytest.mark.parametrize("response", RESPONSES, ids=range(len(RESPONSES)))
def test_byte_by_byte_and_at_every_split(response: bytes) -> None:
    expected = play([response])
    assert play([bytes([byte]) for byte in response]) == expected
    assert play([response], whole=False)[:5] == expected[:5]
    if len(response) < 400:
        assert all(play([response[:cut], response[cut:]]) == expected for cut in range(1, len(response)))


@settings(max_examples=300)
@given(st.sampled_from(RESPONSES), st.lists(st.integers(1, 400), max_size=8))
def test_any_split(response: bytes, cuts: list[int]) -> None:
    ends = [*sorted({min(cut, len(response)) for cut in cuts}), len(response)]
    parts = [response[start:end] for start, end in zip([0, *ends], ends, strict=False) if end > start]
    assert play(parts) == play([response])


@settings(max_examples=500)
@given(
    st.lists(st.binary(max_size=60) | st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"\r\n\r\n", b"Content-Length: 3\r\n", CHUNKED]), max_size=8)
)
def test_no_bytes_can_hurt(parts: list[bytes]) -> None:
    outcome = play([part for part in parts if part])
    assert outcome[0] in (type(None), WireError, Truncated, TooLarge) or not any(parts)


def test_a_kept_connection_parses_one_response_after_another() -> None:
    owner, pipe = Owner(), Pipe()
    connection = Connection(owner, PLACE, TransportSettings(), OUTBOX)
    connection.connection_made(pipe)
    for number in range(1, 4):
        exchange = Exchange("GET", PLACE.url, 5000, whole=True)
        exchange.request_sent = True
        connection.start(exchange)
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nN: %d\r\n\r\n%d" % (number, number))
        assert (exchange.over, exchange.headers["n"], exchange.take()) == (True, str(number), b"%d" % number)
        assert (owner.released, connection.reused, pipe.closed) == (number, True, False)


def test_a_response_before_the_request_was_sent_ends_the_connection() -> None:
    owner, pipe = Owner(), Pipe()
    connection = Connection(owner, PLACE, TransportSettings(), OUTBOX)
    connection.connection_made(pipe)
    exchange = Exchange("POST", PLACE.url, 5000, whole=True)
    connection.start(exchange)
    connection.data_received(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    assert (exchange.over, exchange.status, owner.released, pipe.closed) == (True, 413, 0, True)


def test_reading_pauses_above_the_high_water_mark() -> None:
    pipe = Pipe()
    connection = Connection(Owner(), PLACE, TransportSettings(high_water=1000), OUTBOX)
    connection.connection_made(pipe)
    exchange = Exchange("GET", PLACE.url, 1 << 20, whole=False)
    connection.start(exchange)
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"x" * 1000)
    assert pipe.paused == 0
    connection.data_received(b"x")
    connection.data_received(b"x")
    assert pipe.paused == 1
    exchange.take()
    connection.resume_reading()
    connection.resume_reading()
    assert pipe.paused == 0


def test_a_connection_killed_before_it_was_made_closes_when_it_is() -> None:
    owner, pipe = Owner(), Pipe()
    connection = Connection(owner, PLACE, TransportSettings(), OUTBOX)
    connection.kill()
    connection.connection_made(pipe)
    assert (pipe.closed, owner.discarded) == (True, 1)
