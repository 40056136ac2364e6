"""Bytes that wait for the end of the loop's turn: all are sent, in order, none late, and few at a time."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import ProviderError
from headgate.transport.connection import Connection
from headgate.transport.exchange import Exchange
from headgate.transport.faults import Place
from headgate.transport.outbox import MOST, Outbox
from headgate.transport.settings import TransportSettings

PLACE = Place("http://peer", "peer", 80)


class Pipe(asyncio.Transport):
    """A transport that keeps what it is given, one item per write."""

    def __init__(self, name: str = "", log: list[str] | None = None) -> None:
        super().__init__()
        self.name = name
        self.log = log
        self.written: list[bytes] = []
        self.broken = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever buffered."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep."""
        if self.broken:
            raise RuntimeError("no such socket")
        self.written.append(bytes(data))
        if self.log is not None:
            self.log.append(self.name)

    def writelines(self, list_of_data: object) -> None:
        """Keep, as one."""
        assert isinstance(list_of_data, tuple)
        self.written.append(b"".join(list_of_data))

    def abort(self) -> None:
        """Nothing to do."""


class Owner:
    """A pool that does nothing."""

    def release(self, connection: Connection) -> None:
        """Nothing."""

    def discard(self, connection: Connection) -> None:
        """Nothing."""

    def gone(self, connection: Connection) -> None:
        """Nothing."""


class Kept(Owner):
    """A pool that counts what it gets back."""

    released = 0

    def release(self, connection: Connection) -> None:
        """Count."""
        self.released += 1


def connected(outbox: Outbox, pipe: Pipe) -> Connection:
    """A connection over `pipe`."""
    connection = Connection(Owner(), PLACE, TransportSettings(), outbox)
    connection.connection_made(pipe)
    return connection


@given(st.lists(st.lists(st.integers(0, MOST * 2), max_size=3), max_size=6))
def test_what_is_written_comes_whole_and_in_order(turns: list[list[int]]) -> None:
    async def scenario() -> None:
        pipe = Pipe()
        connection = connected(Outbox(asyncio.get_running_loop()), pipe)
        whole = b""
        for turn, sizes in enumerate(turns):
            for part, size in enumerate(sizes):
                data = bytes([65 + turn, 97 + part]) * size
                whole += data
                connection.write(data[:3], data[3:])
                assert len(whole) - sum(map(len, pipe.written)) <= MOST
            await asyncio.sleep(0)
            assert b"".join(pipe.written) == whole

    asyncio.run(scenario())


async def test_connections_are_written_to_once_each_at_the_end_of_the_turn() -> None:
    outbox, log = Outbox(asyncio.get_running_loop()), list[str]()
    pipes = [Pipe(name, log) for name in "abc"]
    one, two, three = (connected(outbox, pipe) for pipe in pipes)
    for connection in (two, one, two, three, one):
        connection.write(b"x")
    assert log == []
    await asyncio.sleep(0)
    assert log == ["b", "a", "c"]
    assert [pipe.written for pipe in pipes] == [[b"xx"], [b"xx"], [b"x"]]


async def test_one_that_cannot_be_written_to_holds_up_no_other() -> None:
    loop = asyncio.get_running_loop()
    outbox, said = Outbox(loop), list[str]()
    loop.set_exception_handler(lambda _, context: said.append(str(context["exception"])))
    pipes = [Pipe() for _ in range(3)]
    pipes[1].broken = True
    for pipe in pipes:
        connected(outbox, pipe).write(b"x")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert said == ["no such socket"]
    assert [pipe.written for pipe in pipes] == [[b"x"], [], [b"x"]]


async def test_a_connection_that_is_left_sends_nothing_more() -> None:
    pipe = Pipe()
    connection = connected(Outbox(asyncio.get_running_loop()), pipe)
    connection.write(b"x")
    connection.kill()
    await asyncio.sleep(0)
    assert pipe.written == []


async def test_an_answer_to_what_was_not_asked_yet_is_none() -> None:
    """A farewell that comes in the turn of the loop in which the request is handed over."""
    pipe = Pipe()
    connection = connected(Outbox(asyncio.get_running_loop()), pipe)
    exchange = Exchange("POST", PLACE.url, 5000, whole=True)
    connection.start(exchange)
    connection.write(b"POST / HTTP/1.1\r\n\r\n")
    exchange.request_sent = True
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
    assert (exchange.over, exchange.status, exchange.lost_unanswered, connection.dead) == (True, 0, True, True)
    assert isinstance(exchange.error, ProviderError) and not exchange.error.sent
    await asyncio.sleep(0)
    assert pipe.written == []


@pytest.mark.parametrize("trouble", [None, ConnectionResetError()])
@pytest.mark.parametrize("spoken", [False, True])
async def test_what_was_never_sent_is_told_as_that(trouble: Exception | None, spoken: bool) -> None:
    connection = connected(Outbox(asyncio.get_running_loop()), Pipe())
    exchange = Exchange("POST", PLACE.url, 5000, whole=True)
    connection.start(exchange)
    connection.write(b"POST / HTTP/1.1\r\n\r\n")
    if spoken:
        await asyncio.sleep(0)
    connection.connection_lost(trouble)
    assert isinstance(exchange.error, ProviderError) and exchange.error.sent is spoken


async def test_an_early_answer_ends_the_connection_when_some_of_the_request_still_waits() -> None:
    pipe, owner = Pipe(), Kept()
    connection = Connection(owner, PLACE, TransportSettings(), Outbox(asyncio.get_running_loop()))
    connection.connection_made(pipe)
    exchange = Exchange("POST", PLACE.url, 5000, whole=True)
    connection.start(exchange)
    connection.write(b"POST / HTTP/1.1\r\n\r\n")
    await asyncio.sleep(0)
    connection.write(b"more")
    exchange.request_sent = True
    connection.data_received(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    assert (exchange.status, exchange.error, connection.dead, owner.released) == (413, None, True, 0)
