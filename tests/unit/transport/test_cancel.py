"""Requests cancelled at random moments leave no socket, place or task behind."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.errors import ProviderError
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import Origin, TransportSettings
from headgate.wire.http import BytesBody, Download, Send, Upload

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def turns(scripts, rand: random.Random) -> list[object]:
    """What a connection of the peer does: 40 answers of several kinds, then silence."""

    async def pause(line) -> None:
        for _ in range(rand.choice((0, 1, 5, 20))):
            await asyncio.sleep(0)

    put, request = scripts.Put, scripts.REQUEST
    kinds = [
        [request, pause, scripts.reply(b"ok")],
        [request, put(CHUNKED + b"1\r\na\r\n"), pause, put(b"1\r\nb\r\n"), pause, put(b"0\r\n\r\n")],
        [request, put(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), pause, put(b"123456789")],
        [request, pause, put(b"HTTP/1.1 100 Continue\r\n\r\n"), scripts.reply(b"ok")],
    ]
    return [step for _ in range(40) for step in rand.choice(kinds)] + [scripts.HOLD]


async def hammer(client: HttpClient, origin: Origin, count: int, rand: random.Random, path: Callable[[], Path]) -> int:
    """Start calls on 14 workers and cancel each after a random number of turns of the loop. Returns how many were cancelled."""
    cancelled = 0

    async def stream() -> None:
        async with client.stream(origin, Send("POST", "/", b"{}")) as reply:
            async for _ in reply.body:
                if rand.random() < 0.2:
                    reply.finish()
                    return

    calls = (
        lambda: client.request(origin, Send("POST", "/", b"{}")),
        stream,
        lambda: client.request(origin, Upload("POST", "/", BytesBody((b"x" * 1000,) * 20))),
        lambda: client.download(origin, Download("GET", "/"), (), path()),
    )

    async def worker() -> None:
        nonlocal cancelled
        while cancelled < count:
            task = asyncio.ensure_future(rand.choices(calls, (4, 4, 2, 1))[0]())
            for _ in range(rand.choice((0, 1, 2, 3, 5, 8, 13, 21, 34))):
                await asyncio.sleep(0)
            cancelled += task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is not None:
                assert isinstance(task.exception(), ProviderError)

    await asyncio.gather(*(worker() for _ in range(14)))
    return cancelled


async def leaves_nothing(scripts, certificates, tmp_path: Path, count: int, *, tls: bool) -> int:
    rand = random.Random(7)
    settings = TransportSettings(max_connections=10, drain_timeout=0.01)
    numbers = iter(range(1 << 30))
    script = turns(scripts, rand)
    async with scripts.peer(script, tls=certificates.good if tls else None) as server:
        scheme = "https" if tls else "http"
        origin = Origin(scheme, "127.0.0.1", server.port, allow_private=True, ca_file=certificates.ca if tls else None)
        async with HttpClient(settings) as client:  # what the loop opens for itself at first use
            await client.request(origin, Send("GET", "/"))
        await server.until_closed(server.connections)
        await asyncio.sleep(0)
        before = len(os.listdir("/proc/self/fd"))
        async with HttpClient(settings) as client:
            cancelled = await hammer(client, origin, count, rand, lambda: tmp_path / f"{next(numbers)}.out")
            assert client.in_flight == 0
            assert client.open_connections <= 10
            async with asyncio.timeout(10):
                replies = [await client.request(origin, Send("GET", "/")) for _ in range(30)]
            assert all(reply.ok for reply in replies)
        assert client.open_connections == 0
        await server.until_closed(server.connections)
        async with asyncio.timeout(2):
            await scripts.until(lambda: not (len(os.listdir("/proc/self/fd")) > before))
        assert not [name for name in os.listdir(tmp_path) if not name.endswith(".out")]
    return cancelled


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open descriptors are counted in /proc")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_few_hundred_random_cancels(scripts, certificates, tmp_path: Path, tls: bool) -> None:
    assert await leaves_nothing(scripts, certificates, tmp_path, 500, tls=tls) >= 500


@pytest.mark.proofs
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open descriptors are counted in /proc")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_ten_thousand_random_cancels(
    scripts, certificates, tmp_path: Path, tls: bool, record_property: Callable[[str, object], None]
) -> None:
    record_property("cancelled", await leaves_nothing(scripts, certificates, tmp_path, 10_000, tls=tls))
