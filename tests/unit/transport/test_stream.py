from __future__ import annotations

import asyncio
from threading import Event

import pytest

from headgate.errors import ErrorKind, ProviderError, TooLarge, Truncated
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import TransportSettings
from headgate.wire.http import BytesBody, Send, Upload

POST = Send("POST", "/stream", b"{}")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def test_each_write_of_the_server_reaches_the_reader_before_the_next(scripts) -> None:
    turns = [asyncio.Event() for _ in range(5)]
    steps = [scripts.REQUEST, scripts.Put(HEAD)]
    for number, turn in enumerate(turns):
        steps += [scripts.Until(turn), scripts.Put(chunk(b"data: %d\n\n" % number))]
    async with scripts.peer([*steps, scripts.Put(b"0\r\n\r\n"), scripts.HOLD]) as server, HttpClient() as client:
        async with client.stream(server.origin, POST) as reply:
            assert (reply.status, reply.ok, reply.close_delimited, reply.headers["content-type"]) == (200, True, False, "text/event-stream")
            for number, turn in enumerate(turns):
                turn.set()
                assert await anext(reply.body) == b"data: %d\n\n" % number
            with pytest.raises(StopAsyncIteration):
                await anext(reply.body)
        assert (client.open_connections, client.in_flight) == (1, 0)


async def test_half_an_event_is_not_held_back(scripts) -> None:
    half = asyncio.Event()
    steps = [scripts.REQUEST, scripts.Put(HEAD + b"10\r\ndata"), scripts.Until(half), scripts.Put(b": x\n\n"), scripts.HOLD]
    async with scripts.peer(steps) as server, HttpClient() as client, client.stream(server.origin, POST) as reply:
        assert await anext(reply.body) == b"data"
        half.set()
        assert await anext(reply.body) == b": x\n\n"


@pytest.mark.parametrize("ending", ["close", "open chunk"])
async def test_what_the_end_of_a_stream_means(scripts, ending: str) -> None:
    data = b"HTTP/1.1 200 OK\r\n\r\ndata: a\n\n" if ending == "close" else HEAD + chunk(b"data: a\n\n")
    async with scripts.peer([scripts.REQUEST, scripts.Put(data), scripts.CLOSE]) as server, HttpClient() as client:
        async with client.stream(server.origin, POST) as reply:
            assert reply.close_delimited == (ending == "close")
            assert await anext(reply.body) == b"data: a\n\n"
            with pytest.raises(StopAsyncIteration if ending == "close" else Truncated):
                await anext(reply.body)
        assert client.open_connections == 0


async def test_leaving_early_closes_the_connection_at_once(scripts) -> None:
    async with scripts.peer([scripts.REQUEST, scripts.Put(HEAD + chunk(b"a")), scripts.HOLD]) as server, HttpClient() as client:
        async with client.stream(server.origin, POST) as reply:
            assert await anext(reply.body) == b"a"
        assert (client.open_connections, client.in_flight) == (0, 0)
        await server.until_closed(1)


@pytest.mark.parametrize("late", [True, False])
async def test_after_finish_the_connection_is_kept_if_the_body_ends(scripts, late: bool) -> None:
    left = asyncio.Event()
    end = [scripts.Until(left), scripts.Put(b"0\r\n\r\n")] if late else [scripts.Put(b"0\r\n\r\n")]
    steps = [scripts.REQUEST, scripts.Put(HEAD + chunk(b"data: [DONE]\n\n")), *end, scripts.REQUEST, scripts.reply(b"two"), scripts.HOLD]
    async with scripts.peer(steps) as server, HttpClient() as client:
        async with client.stream(server.origin, POST) as reply:
            await anext(reply.body)
            reply.finish()
        assert client.in_flight == 0
        left.set()
        await scripts.until(lambda: client.idle_connections)
        assert (await client.request(server.origin, POST)).body == b"two"
        assert server.connections == client.open_connections == 1


@pytest.mark.parametrize("tail", [b"", chunk(b"x" * 300_000)])
async def test_after_finish_an_endless_body_is_cut(scripts, tail: bytes) -> None:
    settings = TransportSettings(drain_timeout=0.02)
    steps = [scripts.REQUEST, scripts.Put(HEAD + chunk(b"data: [DONE]\n\n") + tail), scripts.HOLD]
    async with scripts.peer(steps) as server, HttpClient(settings) as client:
        async with client.stream(server.origin, POST) as reply:
            await anext(reply.body)
            reply.finish()
        await server.until_closed(1)
        assert client.open_connections == 0


@pytest.mark.parametrize(
    ("sent", "setting", "what"),
    [
        (b"", "first_byte_timeout", "response head"),
        (HEAD, "first_event_timeout", "first byte of the body"),
        (HEAD + chunk(b"a"), "idle_timeout", "byte of the body"),
        (HEAD + chunk(b"a"), "stream_timeout", "end of the response"),
    ],
)
async def test_every_silence_has_its_deadline(scripts, sent: bytes, setting: str, what: str) -> None:
    async with (
        scripts.peer([scripts.REQUEST, scripts.Put(sent), scripts.HOLD]) as server,
        HttpClient(TransportSettings(**{setting: 0.05})) as client,
    ):
        with pytest.raises(ProviderError, match=what) as caught:
            async with client.stream(server.origin, POST) as reply:
                async for _ in reply.body:
                    pass
        assert (caught.value.kind, caught.value.sent) == (ErrorKind.TIMEOUT, True)
        assert (client.open_connections, client.in_flight) == (0, 0)
        await server.until_closed(1)


async def test_pings_alone_do_not_outlive_the_stream_deadline(scripts) -> None:
    async def pings(line) -> None:
        while not line.writer.is_closing():
            line.writer.write(chunk(b": ping\n\n"))
            await line.writer.drain()
            await asyncio.sleep(0.002)

    settings = TransportSettings(stream_timeout=0.1, idle_timeout=0.05)
    async with scripts.peer([scripts.REQUEST, scripts.Put(HEAD), pings]) as server, HttpClient(settings) as client:
        with pytest.raises(ProviderError, match=r"end of the response within 0\.1 s"):
            async with client.stream(server.origin, POST) as reply:
                async for _ in reply.body:
                    pass


async def test_our_own_slowness_is_not_held_against_the_server(scripts) -> None:
    async with (
        scripts.peer([scripts.REQUEST, scripts.Put(HEAD + chunk(b"a")), scripts.Put(chunk(b"b") + b"0\r\n\r\n"), scripts.HOLD]) as server,
        HttpClient(TransportSettings(idle_timeout=0.02)) as client,
        client.stream(server.origin, POST) as reply,
    ):
        body = await anext(reply.body)
        await asyncio.get_running_loop().run_in_executor(None, Event().wait, 0.06)
        async for data in reply.body:
            body += data
        assert body == b"ab"


async def test_a_slow_reader_slows_the_server(scripts) -> None:
    total, piece = 32 << 20, 1 << 16
    written = 0

    async def flood(line) -> None:
        nonlocal written
        while written < total:
            line.writer.write(b"x" * piece)
            await line.writer.drain()
            written += piece

    head = scripts.Put(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
    async with (
        scripts.peer([scripts.REQUEST, head, flood, scripts.HOLD]) as server,
        HttpClient() as client,
        client.stream(server.origin, POST) as reply,
    ):
        first = await anext(reply.body)
        before = -1
        while before != written:  # until the server can write no more
            before = written
            for _ in range(200):
                await asyncio.sleep(0)
        assert written < total // 2
        received = len(first)
        largest = 0
        async for data in reply.body:
            received += len(data)
            largest = max(largest, len(data))
        assert received == total
        assert largest <= 1 << 20


async def test_an_error_body_is_read_whole_and_bounded(scripts) -> None:
    steps = [scripts.REQUEST, scripts.reply(b"e" * 1000, "400 Bad Request")]
    async with scripts.peer([*steps, *steps, scripts.HOLD]) as server, HttpClient() as client:
        async with client.stream(server.origin, POST) as reply:
            answer = await reply.read()
            assert (answer.status, answer.ok, answer.body) == (400, False, b"e" * 1000)
        with pytest.raises(TooLarge):
            async with client.stream(server.origin, POST) as reply:
                await reply.read(999)


async def test_a_stream_over_the_body_cap_is_refused(scripts) -> None:
    endless = scripts.Put(HEAD + chunk(b"a" * 600) * 3)
    async with scripts.peer([scripts.REQUEST, endless, scripts.HOLD]) as server, HttpClient(TransportSettings(max_body=1000)) as client:
        with pytest.raises(TooLarge):
            async with client.stream(server.origin, POST) as reply:
                async for _ in reply.body:
                    pass
        assert client.open_connections == 0


async def test_a_stale_connection_is_replaced_for_a_stream_too(scripts) -> None:
    stale = [scripts.REQUEST, scripts.reply(), scripts.HEAD, scripts.CLOSE]
    async with (
        scripts.peer(stale, [scripts.REQUEST, scripts.Put(HEAD + chunk(b"a") + b"0\r\n\r\n"), scripts.HOLD]) as server,
        HttpClient() as client,
    ):
        await client.request(server.origin, POST)
        async with client.stream(server.origin, Upload("POST", "/", BytesBody((b"a", b"b")))) as reply:
            assert [data async for data in reply.body] == [b"a"]
        assert server.requests[-1].endswith(b"\r\n\r\nab")


async def test_cancelling_a_reader_frees_its_place(scripts) -> None:
    reading = asyncio.Event()
    settings = TransportSettings(max_connections=1)
    held = [scripts.REQUEST, scripts.Put(HEAD + chunk(b"a")), scripts.HOLD]
    async with scripts.peer(held, [scripts.REQUEST, scripts.reply(b"next"), scripts.HOLD]) as server, HttpClient(settings) as client:

        async def read() -> None:
            async with client.stream(server.origin, POST) as reply:
                async for _ in reply.body:
                    reading.set()

        reader = asyncio.create_task(read())
        await reading.wait()
        waiter = asyncio.create_task(client.request(server.origin, POST))
        await asyncio.sleep(0)
        assert client.in_flight == 2
        reader.cancel()
        assert (await waiter).body == b"next"
        with pytest.raises(asyncio.CancelledError):
            await reader
        await server.until_closed(1)
