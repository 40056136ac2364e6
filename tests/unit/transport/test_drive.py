from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from headgate.errors import ProviderError, StoreError, Truncated
from headgate.transport.drive import drive
from headgate.transport.http1 import HttpClient
from headgate.wire.http import BytesBody, Call, Download, Flow, Headers, Send, Upload, download, save, send, upload


def key(call: Call) -> Headers:
    return (("authorization", f"Bearer for {call.path}"),)


async def test_a_flow_of_all_three_calls(scripts, tmp_path: Path) -> None:
    def flow() -> Flow[tuple[bytes, bytes, int]]:
        sent = yield from send(Send("POST", "/a", b"{}"))
        uploaded = yield from upload(Upload("POST", "/b", BytesBody((b"x",))), [b"y", b"z"])
        stored = yield from download(Download("GET", "/c"))
        return sent.body, uploaded.body, Path(stored.path).stat().st_size

    turns = [step for body in (b"one", b"two", b"three") for step in (scripts.REQUEST, scripts.reply(body))]
    async with scripts.peer([*turns, scripts.HOLD]) as server, HttpClient() as client:
        assert await drive(flow(), client, server.origin, key, tmp_path) == (b"one", b"two", 5)
        assert [request.split(b"authorization: ")[1].split(b"\r\n")[0] for request in server.requests] == [
            b"Bearer for /a",
            b"Bearer for /b",
            b"Bearer for /c",
        ]
        assert server.requests[1].endswith(b"\r\n\r\nyz")
        assert len(os.listdir(tmp_path)) == 1


async def test_a_failure_is_thrown_into_the_flow_which_may_go_on(scripts, tmp_path: Path) -> None:
    def flow() -> Flow[str]:
        try:
            yield from send(Send("GET", "/a"))
        except Truncated:
            return (yield from send(Send("GET", "/b"))).body.decode()
        return "not reached"

    cut = [scripts.REQUEST, scripts.Put(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), scripts.CLOSE]
    async with scripts.peer(cut, [scripts.REQUEST, scripts.reply(b"again"), scripts.HOLD]) as server, HttpClient() as client:
        assert await drive(flow(), client, server.origin, key, tmp_path) == "again"


async def test_what_the_flow_does_not_handle_is_raised(scripts, tmp_path: Path) -> None:
    ended = []

    def flow() -> Flow[None]:
        try:
            yield from send(Send("GET", "/a"))
        finally:
            ended.append(True)

    async with scripts.peer([scripts.REQUEST, scripts.CLOSE]) as server, HttpClient() as client:
        with pytest.raises(ProviderError):
            await drive(flow(), client, server.origin, key, tmp_path)
        assert ended == [True]


async def test_cancelling_closes_the_flow(scripts, tmp_path: Path) -> None:
    arrived = asyncio.Event()
    seen: list[type[BaseException]] = []

    def flow() -> Flow[None]:
        try:
            yield from send(Send("GET", "/a"))
        except BaseException as error:
            seen.append(type(error))
            raise

    async with scripts.peer([scripts.REQUEST, scripts.Mark(arrived), scripts.HOLD]) as server, HttpClient() as client:
        task = asyncio.create_task(drive(flow(), client, server.origin, key, tmp_path))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (seen, client.in_flight, client.open_connections) == ([GeneratorExit], 0, 0)


async def test_a_flow_without_calls_and_one_that_is_broken(tmp_path: Path) -> None:
    def empty() -> Flow[int]:
        return 7
        yield

    def broken() -> Flow[int]:
        raise AssertionError("a bug")
        yield

    async with HttpClient() as client:
        origin = None
        assert await drive(empty(), client, origin, key, tmp_path) == 7
        with pytest.raises(AssertionError, match="a bug"):
            await drive(broken(), client, origin, key, tmp_path)


async def test_bytes_of_a_flow_are_kept_beside_its_downloads_and_nothing_is_sent(scripts, tmp_path: Path) -> None:
    def flow() -> Flow[list[tuple[str, bytes, int]]]:
        kept = []
        for data in (b"page 1", b""):
            stored = yield from save(data)
            kept.append((stored.path, Path(stored.path).read_bytes(), stored.length))
        return kept

    async with scripts.peer([]) as server, HttpClient() as client:
        first, second = await drive(flow(), client, server.origin, key, tmp_path)
        assert (first[1:], second[1:]) == ((b"page 1", 6), (b"", 0)) and first[0] != second[0]
        assert server.requests == [] and sorted(os.listdir(tmp_path)) == sorted(Path(path).name for path, *_ in (first, second))


async def test_bytes_that_cannot_be_kept_are_thrown_into_the_flow(scripts, tmp_path: Path) -> None:
    def flow() -> Flow[str]:
        try:
            yield from save(b"x")
        except StoreError as error:
            return error.hint or ""
        return "not reached"

    (tmp_path / "file").write_bytes(b"")
    async with scripts.peer([]) as server, HttpClient() as client:
        assert "df -h" in await drive(flow(), client, server.origin, key, tmp_path / "file")
