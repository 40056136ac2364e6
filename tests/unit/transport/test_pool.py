from __future__ import annotations

import asyncio
from itertools import combinations

import pytest

from headgate.errors import ErrorKind, ProviderError
from headgate.transport.connection import Connection
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import TransportSettings
from headgate.wire.http import Send

POST = Send("POST", "/x", b"{}")


async def test_no_more_connections_than_allowed_and_first_come_first_served(scripts) -> None:
    order: list[int] = []
    loop_of_requests = [scripts.REQUEST, scripts.reply()] * 20
    async with scripts.peer([*loop_of_requests, scripts.HOLD]) as server, HttpClient(TransportSettings(max_connections=2)) as client:

        async def call(number: int) -> None:
            await client.request(server.origin, Send("POST", f"/{number}"))
            order.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(call(number))
        assert server.connections == client.open_connections == 2
        assert sorted(order) == list(range(12))
        arrived = [int(request.split(b" ")[1][1:]) for request in server.requests]
        # Each of the two connections carries ascending numbers; how the two interleave is the machine's business.
        assert not any(a > b > c for a, b, c in combinations(arrived, 3))


async def test_waiting_for_a_connection_has_a_deadline(scripts) -> None:
    settings = TransportSettings(max_connections=1, pool_timeout=0.05)
    async with scripts.peer([scripts.REQUEST, scripts.HOLD]) as server, HttpClient(settings) as client:
        first = asyncio.create_task(client.request(server.origin, POST))
        await asyncio.sleep(0)
        with pytest.raises(ProviderError, match=r"all 1 were busy for 0\.05 s") as caught:
            await client.request(server.origin, POST)
        error = caught.value
        assert (error.kind, error.code, error.sent, error.fault) == (ErrorKind.TIMEOUT, "pool", False, "client")
        assert client.in_flight == 1
        first.cancel()
        await asyncio.wait([first])
        assert (client.in_flight, client.open_connections) == (0, 0)


async def test_the_total_timeout_bounds_the_wait_too(scripts) -> None:
    async with scripts.peer([scripts.REQUEST, scripts.HOLD]) as server, HttpClient(TransportSettings(max_connections=1)) as client:
        first = asyncio.create_task(client.request(server.origin, POST))
        await asyncio.sleep(0)
        with pytest.raises(ProviderError, match="no connection is free"):
            await client.request(server.origin, Send("GET", "/", timeout=0.05))
        first.cancel()
        await asyncio.wait([first])


async def test_the_queue_is_bounded(scripts) -> None:
    settings = TransportSettings(max_connections=1, max_waiting=2)
    async with scripts.peer([scripts.REQUEST, scripts.HOLD]) as server, HttpClient(settings) as client:
        calls = [asyncio.create_task(client.request(server.origin, POST)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(ProviderError, match="2 requests wait already"):
            await client.request(server.origin, POST)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert (client.in_flight, client.open_connections) == (0, 0)


async def test_a_place_is_passed_on_when_connecting_fails(scripts) -> None:
    async with scripts.peer([]) as closed:
        origin = closed.origin
    async with HttpClient(TransportSettings(max_connections=1)) as client:
        errors = await asyncio.gather(*(client.request(origin, POST) for _ in range(5)), return_exceptions=True)
        assert [error.code for error in errors if isinstance(error, ProviderError)] == ["refused"] * 5
        assert (client.open_connections, client.in_flight) == (0, 0)


async def test_what_was_granted_to_a_cancelled_caller_goes_to_the_next(scripts) -> None:
    script = [scripts.REQUEST, scripts.reply(), scripts.REQUEST, scripts.reply(), scripts.HOLD]
    async with scripts.peer(script) as server, HttpClient(TransportSettings(max_connections=1)) as client:
        first, second, third = (asyncio.create_task(client.request(server.origin, POST)) for _ in range(3))
        await asyncio.sleep(0)
        pool = client._route(server.origin).pool
        release = pool.release

        def release_and_cancel(connection: Connection) -> None:
            release(connection)
            second.cancel()

        pool.release = release_and_cancel
        assert (await first).ok and (await third).ok
        with pytest.raises(asyncio.CancelledError):
            await second
        assert (client.in_flight, client.open_connections, server.connections, len(server.requests)) == (0, 1, 1, 2)


async def test_a_place_granted_to_a_cancelled_caller_goes_to_the_next(scripts) -> None:
    async with (
        scripts.peer([scripts.REQUEST, scripts.CLOSE], [scripts.REQUEST, scripts.reply(), scripts.HOLD]) as server,
        HttpClient(TransportSettings(max_connections=1)) as client,
    ):
        first, second, third = (asyncio.create_task(client.request(server.origin, POST)) for _ in range(3))
        await asyncio.sleep(0)
        pool = client._route(server.origin).pool
        discard = pool.discard

        def discard_and_cancel(connection: Connection) -> None:
            discard(connection)
            second.cancel()

        pool.discard = discard_and_cancel
        with pytest.raises(ProviderError):
            await first
        assert (await third).ok
        with pytest.raises(asyncio.CancelledError):
            await second
        assert (client.in_flight, client.open_connections, server.connections) == (0, 1, 2)


async def test_idle_connections_are_bounded(scripts) -> None:
    both = asyncio.Event()
    settings = TransportSettings(max_idle=1)
    async with (
        scripts.peer([scripts.REQUEST, scripts.Until(both), scripts.reply(), scripts.HOLD]) as server,
        HttpClient(settings) as client,
    ):
        calls = [asyncio.create_task(client.request(server.origin, POST)) for _ in range(3)]
        await scripts.until(lambda: not (len(server.requests) < 3))
        both.set()
        await asyncio.gather(*calls)
        assert client.open_connections == client.idle_connections == 1
        await server.until_closed(2)


async def test_idle_connections_expire_by_themselves(scripts) -> None:
    async with (
        scripts.peer([scripts.REQUEST, scripts.reply(), scripts.HOLD]) as server,
        HttpClient(TransportSettings(idle_expiry=0.05)) as client,
    ):
        await client.request(server.origin, POST)
        assert client.idle_connections == 1
        await server.until_closed(1)
        assert client.open_connections == 0


async def test_an_expired_connection_is_not_used(scripts) -> None:
    async with (
        scripts.peer([scripts.REQUEST, scripts.reply(), scripts.HOLD]) as server,
        HttpClient(TransportSettings(idle_expiry=-1)) as client,
    ):
        await client.request(server.origin, POST)
        await client.request(server.origin, POST)
        assert server.connections == 2


async def test_a_stale_connection_at_the_limit_makes_room_for_a_fresh_one(scripts) -> None:
    first = [scripts.REQUEST, scripts.reply(b"1"), scripts.HEAD, scripts.CLOSE]
    async with (
        scripts.peer(first, [scripts.REQUEST, scripts.reply(b"2"), scripts.HOLD]) as server,
        HttpClient(TransportSettings(max_connections=1)) as client,
    ):
        await client.request(server.origin, POST)
        assert (await client.request(server.origin, POST)).body == b"2"


async def test_origins_do_not_share_connections(scripts) -> None:
    script = [scripts.REQUEST, scripts.reply(), scripts.HOLD]
    async with scripts.peer(script) as one, scripts.peer(script) as two, HttpClient(TransportSettings(max_connections=1)) as client:
        await client.request(one.origin, POST)
        await client.request(two.origin, POST)
        assert (one.connections, two.connections, client.open_connections) == (1, 1, 2)
