from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from headgate.errors import ProviderError, StoreError, TooLarge, Truncated
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import TransportSettings
from headgate.wire.http import Download

GET = Download("GET", "/files/f1/content")


async def test_the_body_is_stored_under_its_name_only_when_complete(scripts, tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    half = asyncio.Event()
    head = scripts.Put(b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: %d\r\n\r\n" % len(data))
    steps = [scripts.REQUEST, head, scripts.Put(data[:3_000_000]), scripts.Until(half), scripts.Put(data[3_000_000:]), scripts.HOLD]
    path = tmp_path / "sub" / "out"
    async with scripts.peer(steps) as server, HttpClient() as client:
        call = asyncio.create_task(client.download(server.origin, GET, (("authorization", "Bearer k"),), path))
        await scripts.until(lambda: (tmp_path / "sub").exists())
        assert not path.exists()
        half.set()
        stored = await call
        assert (stored.status, stored.path, stored.length, stored.headers["x-a"]) == (200, str(path), len(data), "b")
        assert path.read_bytes() == data
        assert [entry.name for entry in path.parent.iterdir()] == ["out"]
        assert (client.open_connections, client.in_flight) == (1, 0)
        assert b"authorization: Bearer k" in server.requests[0]


async def test_an_empty_body_is_an_empty_file(scripts, tmp_path: Path) -> None:
    async with scripts.peer([scripts.REQUEST, scripts.reply(b""), scripts.HOLD]) as server, HttpClient() as client:
        assert (await client.download(server.origin, GET, (), tmp_path / "out")).length == 0
        assert (tmp_path / "out").read_bytes() == b""


async def test_an_error_body_is_kept_and_bounded(scripts, tmp_path: Path) -> None:
    error = scripts.Put(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5000000\r\n\r\n" + b"e" * 2_000_000)
    async with scripts.peer([scripts.REQUEST, error, scripts.HOLD]) as server, HttpClient() as client:
        stored = await client.download(server.origin, GET, (), tmp_path / "out")
        assert (stored.status, stored.length, client.open_connections) == (404, 1 << 20, 0)


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", Truncated),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", TooLarge),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101, TooLarge),
        (b"", ProviderError),
    ],
)
async def test_a_failed_download_leaves_no_file(scripts, tmp_path: Path, response: bytes, kind: type[Exception]) -> None:
    async with scripts.peer([scripts.REQUEST, scripts.Put(response), scripts.CLOSE]) as server, HttpClient() as client:
        with pytest.raises(kind):
            await client.download(server.origin, Download("GET", "/", max_bytes=100), (), tmp_path / "out")
        assert os.listdir(tmp_path) == []
        assert (client.open_connections, client.in_flight) == (0, 0)


async def test_the_body_cap_of_replies_does_not_bind_downloads(scripts, tmp_path: Path) -> None:
    async with (
        scripts.peer([scripts.REQUEST, scripts.reply(b"x" * 5000), scripts.HOLD]) as server,
        HttpClient(TransportSettings(max_body=1000)) as client,
    ):
        assert (await client.download(server.origin, GET, (), tmp_path / "out")).length == 5000


async def test_cancelled_in_the_middle_nothing_is_left(scripts, tmp_path: Path) -> None:
    steps = [scripts.REQUEST, scripts.Put(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 3_000_000), scripts.HOLD]
    async with scripts.peer(steps) as server, HttpClient() as client:
        call = asyncio.create_task(client.download(server.origin, GET, (), tmp_path / "out"))
        await scripts.until(lambda: any(entry.stat().st_size for entry in tmp_path.iterdir()))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert os.listdir(tmp_path) == []
        assert (client.open_connections, client.in_flight) == (0, 0)
        await server.until_closed(1)


async def test_a_full_or_missing_disk_is_a_store_error(scripts, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with scripts.peer([scripts.REQUEST, scripts.reply(), scripts.HOLD]) as server, HttpClient() as client:
        with pytest.raises(StoreError, match="cannot store the download") as caught:
            await client.download(server.origin, GET, (), tmp_path / "file" / "out")
        assert "df -h" in (caught.value.hint or "")
        assert client.in_flight == 0
