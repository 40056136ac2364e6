from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from headgate.errors import ErrorKind, ProviderError, WireError
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import TransportSettings
from headgate.wire.http import BytesBody, Upload


class Source:
    """A re-iterable body that counts what was taken from it."""

    def __init__(self, chunk: bytes, count: int, length: int | None = None) -> None:
        self.chunk = chunk
        self.count = count
        self.length = len(chunk) * count if length is None else length
        self.taken = 0
        self.rounds = 0

    def __iter__(self) -> Iterator[bytes]:
        self.rounds += 1
        for _ in range(self.count):
            self.taken += len(self.chunk)
            yield self.chunk


def upload(body: Source | BytesBody, timeout: float | None = None) -> Upload:
    return Upload("POST", "/files", body, (("content-type", "text/plain"),), timeout)


@pytest.mark.parametrize("body", [BytesBody((b"ab", b"", b"cde")), BytesBody(()), Source(b"x" * 100_000, 30)])
async def test_the_whole_body_arrives_and_the_connection_is_kept(scripts, body: Source | BytesBody) -> None:
    async with scripts.peer([scripts.REQUEST, scripts.reply(), scripts.REQUEST, scripts.reply(), scripts.HOLD]) as server:
        async with HttpClient() as client:
            for _ in range(2):
                assert (await client.request(server.origin, upload(body))).ok
            assert (server.connections, client.open_connections) == (1, 1)
        head, _, received = server.requests[0].partition(b"\r\n\r\n")
        assert f"Content-Length: {body.length}".encode() in head
        assert received == b"".join(body)
        assert server.requests[0] == server.requests[1]


@pytest.mark.parametrize("status", ["413 Content Too Large", "401 Unauthorized"])
async def test_an_early_answer_stops_the_upload(scripts, status: str) -> None:
    body = Source(b"x" * 65536, 4096)
    async with scripts.peer([scripts.HEAD, scripts.reply(b"no", status), scripts.HOLD]) as server, HttpClient() as client:
        reply = await client.request(server.origin, upload(body))
        assert (str(reply.status), reply.body) == (status[:3], b"no")
        assert body.taken < body.length // 2
        assert (client.open_connections, client.in_flight) == (0, 0)
        await server.until_closed(1)


async def test_an_early_answer_whose_body_comes_later(scripts) -> None:
    body = Source(b"x" * 65536, 4096)
    early = scripts.Put(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\n")
    async with scripts.peer([scripts.HEAD, early, scripts.Put(b"no"), scripts.HOLD]) as server, HttpClient() as client:
        assert (await client.request(server.origin, upload(body))).body == b"no"
        assert body.taken < body.length


async def test_memory_stays_bounded_while_the_server_is_slow(scripts) -> None:
    body = Source(b"x" * 65536, 4096)
    released = asyncio.Event()
    async with scripts.peer([scripts.HEAD, scripts.Until(released), scripts.reply(), scripts.HOLD]) as server, HttpClient() as client:
        call = asyncio.create_task(client.request(server.origin, upload(body)))
        before = -1
        while before != body.taken or not body.taken:
            before = body.taken
            for _ in range(2000):
                await asyncio.sleep(0)
        assert body.taken < body.length // 2
        released.set()
        assert (await call).ok


async def test_a_stalled_upload_has_a_deadline(scripts) -> None:
    body = Source(b"x" * 65536, 4096)
    async with (
        scripts.peer([scripts.HEAD, scripts.Until(asyncio.Event())]) as server,
        HttpClient(TransportSettings(idle_timeout=0.1)) as client,
    ):
        with pytest.raises(ProviderError, match="progress of the upload") as caught:
            await client.request(server.origin, upload(body))
        assert (caught.value.kind, caught.value.sent, client.open_connections) == (ErrorKind.TIMEOUT, True, 0)


async def test_the_clock_of_the_reply_starts_when_the_body_is_sent(scripts) -> None:
    slow = asyncio.Event()
    settings = TransportSettings(total_timeout=0.3)
    body = Source(b"x" * 65536, 256)
    loop = asyncio.get_running_loop()
    async with scripts.peer([scripts.HEAD, scripts.Until(slow), scripts.HOLD]) as server, HttpClient(settings) as client:
        began = loop.time()
        loop.call_later(0.7, slow.set)
        with pytest.raises(ProviderError, match=r"no reply within 0\.3 s"):
            await client.request(server.origin, upload(body))
        assert loop.time() - began > 0.95
        assert body.taken == body.length


async def test_a_timeout_of_its_own_bounds_upload_and_reply(scripts) -> None:
    body = Source(b"x" * 65536, 4096)
    async with scripts.peer([scripts.HEAD, scripts.Until(asyncio.Event())]) as server, HttpClient() as client:
        with pytest.raises(ProviderError, match=r"no reply within 0\.1 s"):
            await client.request(server.origin, upload(body, timeout=0.1))
        assert body.taken < body.length


@pytest.mark.parametrize(("stated", "word"), [(9, "fewer"), (3, "more")])
async def test_a_source_that_lies_about_its_length(scripts, stated: int, word: str) -> None:
    async with scripts.peer([scripts.HEAD, scripts.HOLD]) as server, HttpClient() as client:
        with pytest.raises(WireError, match=word) as caught:
            await client.request(server.origin, upload(Source(b"ab", 3, stated)))
        assert (caught.value.fault, client.open_connections) == ("local", 0)


async def test_a_source_that_fails(scripts) -> None:
    class Torn(Source):
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"
            raise OSError("disk gone")

    async with scripts.peer([scripts.HEAD, scripts.HOLD]) as server, HttpClient() as client:
        with pytest.raises(OSError, match="disk gone"):
            await client.request(server.origin, upload(Torn(b"a", 5)))
        assert (client.open_connections, client.in_flight) == (0, 0)


@pytest.mark.parametrize("last", ["CLOSE", "RESET"])
async def test_a_connection_lost_while_uploading(scripts, last: str) -> None:
    body = Source(b"x" * 65536, 4096)
    async with scripts.peer([scripts.HEAD, getattr(scripts, last)]) as server, HttpClient() as client:
        with pytest.raises(ProviderError) as caught:
            await client.request(server.origin, upload(body))
        assert (caught.value.kind, caught.value.sent, client.open_connections) == (ErrorKind.CONNECTION, True, 0)


async def test_a_stale_connection_gets_the_same_bytes_again(scripts) -> None:
    body = Source(b"abc", 3)
    stale = [scripts.REQUEST, scripts.reply(), scripts.HEAD, scripts.CLOSE]
    async with scripts.peer(stale, [scripts.REQUEST, scripts.reply(b"two"), scripts.HOLD]) as server, HttpClient() as client:
        await client.request(server.origin, upload(body))
        assert (await client.request(server.origin, upload(body))).body == b"two"
        assert server.requests[-1].endswith(b"\r\n\r\nabcabcabc")
        assert body.rounds == 3
