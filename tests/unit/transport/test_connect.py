from __future__ import annotations

import asyncio
import socket

import pytest

from headgate.errors import ConfigError, ProviderError
from headgate.transport import connect
from headgate.transport.connect import Address
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import Origin, TransportSettings
from headgate.wire.http import Send

GET = Send("GET", "/")


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let every name resolve to `addresses`."""

    async def resolver(host: str, port: int, loop: asyncio.AbstractEventLoop) -> list[Address]:
        return [Address(socket.AF_INET, address) for address in addresses]

    monkeypatch.setattr(connect, "_resolve", resolver)


async def test_the_next_address_is_tried_when_one_refuses(scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripts.peer([]) as closed:
        refused = closed.port
    async with scripts.peer([scripts.REQUEST, scripts.reply(b"here"), scripts.HOLD]) as server, HttpClient() as client:
        resolve_to(monkeypatch, ("127.0.0.1", refused), ("127.0.0.1", server.port))
        assert (await client.request(Origin("http", "api.example", 80, allow_private=True), GET)).body == b"here"
        assert server.requests[0].startswith(b"GET / HTTP/1.1\r\nHost: api.example\r\n")


async def test_all_addresses_refuse(scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripts.peer([]) as closed:
        resolve_to(monkeypatch, ("127.0.0.1", closed.port), ("127.0.0.2", closed.port))
    async with HttpClient() as client:
        with pytest.raises(ProviderError) as caught:
            await client.request(Origin("http", "api.example", 80, allow_private=True), GET)
        assert (caught.value.code, caught.value.sent) == ("refused", False)


def silent_listener() -> tuple[socket.socket, list[socket.socket]]:
    """A listening socket whose queue is full, so that a further connection attempt hangs."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return listener, fillers


async def test_a_silent_address_does_not_hold_up_the_next(scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "RACE_DELAY", 0.01)
    listener, fillers = silent_listener()
    async with scripts.peer([scripts.REQUEST, scripts.reply(b"here"), scripts.HOLD]) as server, HttpClient() as client:
        resolve_to(monkeypatch, listener.getsockname(), ("127.0.0.1", server.port))
        assert (await client.request(Origin("http", "api.example", 80, allow_private=True), GET)).body == b"here"
    for sock in (listener, *fillers):
        sock.close()


@pytest.mark.parametrize("count", [1, 2])
async def test_silence_everywhere_ends_at_the_connect_deadline(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(connect, "RACE_DELAY", 0.01)
    listener, fillers = silent_listener()
    resolve_to(monkeypatch, *[listener.getsockname()] * count)
    async with HttpClient(TransportSettings(connect_timeout=0.1)) as client:
        with pytest.raises(ProviderError, match=r"no connection within 0\.1 s") as caught:
            await client.request(Origin("http", "api.example", 80, allow_private=True), GET)
        assert (caught.value.code, caught.value.sent, client.open_connections) == ("connect_timeout", False, 0)
    for sock in (listener, *fillers):
        sock.close()


async def test_one_private_address_among_public_ones_is_enough_to_refuse(scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripts.peer([]) as server, HttpClient() as client:
        resolve_to(monkeypatch, ("8.8.8.8", 80), ("127.0.0.1", server.port))
        with pytest.raises(ConfigError, match=r"api\.example resolves to 127\.0\.0\.1"):
            await client.request(Origin("http", "api.example", 80), GET)
        assert server.connections == 0


async def test_addresses_alternate_between_families_without_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "")
    four = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    found = [
        (*six, ("2001:db8::1", 1, 0, 0)),
        (*six, ("2001:db8::2", 1, 0, 0)),
        (*four, ("192.0.2.1", 1)),
        (*six, ("2001:db8::1", 1, 0, 0)),
    ]

    class Loop:
        async def getaddrinfo(self, *_: object, **__: object) -> list[object]:
            return found

    addresses = await connect._resolve("api.example", 1, Loop())
    assert [address.sockaddr[0] for address in addresses] == ["2001:db8::1", "192.0.2.1", "2001:db8::2"]
