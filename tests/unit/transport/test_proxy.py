from __future__ import annotations

import asyncio

import pytest

from headgate.errors import ErrorKind, ProviderError
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import Origin, TransportSettings
from headgate.wire.http import Send

POST = Send("POST", "/x", b"{}")


def tunnel(port: int):
    """A step: answer a CONNECT that was read, then carry bytes both ways."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def step(line) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        line.writer.write(b"HTTP/1.1 200 Connection established\r\nProxy: x\r\n\r\n")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(carry(line.reader, writer))
                group.create_task(carry(reader, line.writer))
        except* ConnectionError:
            pass  # one of the two has reset its side
        finally:
            writer.transport.abort()

    return step


async def test_https_goes_through_a_tunnel_verified_end_to_end(scripts, certificates) -> None:
    steps = [scripts.REQUEST, scripts.reply(b"one"), scripts.REQUEST, scripts.reply(b"two"), scripts.HOLD]
    async with scripts.peer(steps, tls=certificates.good) as server, scripts.peer([scripts.HEAD, tunnel(server.port)]) as proxy:
        async with HttpClient() as client:
            origin = Origin("https", "localhost", server.port, "", False, f"http://us%65r:p%40ss@127.0.0.1:{proxy.port}", certificates.ca)
            assert [(await client.request(origin, POST)).body for _ in range(2)] == [b"one", b"two"]
        address = b"localhost:%d" % server.port
        assert proxy.requests == [
            b"CONNECT %b HTTP/1.1\r\nHost: %b\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n\r\n" % (address, address)
        ]
        assert server.requests[0].startswith(b"POST /x HTTP/1.1\r\nHost: " + address)
        assert b"Proxy-Authorization" not in server.requests[0]
        await server.until_closed(1)


async def test_http_goes_in_absolute_form(scripts) -> None:
    async with scripts.peer([scripts.REQUEST, scripts.reply(b"via"), scripts.HOLD]) as proxy, HttpClient() as client:
        origin = Origin("http", "api.example", 80, "/v1", proxy=f"http://u:p@127.0.0.1:{proxy.port}")
        assert (await client.request(origin, POST)).body == b"via"
        assert proxy.requests[0].startswith(b"POST http://api.example/v1/x HTTP/1.1\r\nHost: api.example\r\n")
        assert b"\r\nProxy-Authorization: Basic dTpw\r\n" in proxy.requests[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n",
        b"HTTP/1.1 2000 Odd\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nsmuggled",
        b"SSH-2.0-x\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 5000,
        b"",
    ],
)
async def test_a_proxy_that_does_not_open_a_tunnel(scripts, answer: bytes) -> None:
    async with scripts.peer([scripts.HEAD, scripts.Put(answer), scripts.CLOSE]) as proxy, HttpClient() as client:
        with pytest.raises(ProviderError) as caught:
            await client.request(Origin("https", "api.example", 443, proxy=f"http://127.0.0.1:{proxy.port}"), POST)
        assert (caught.value.kind, caught.value.sent, client.open_connections) == (ErrorKind.CONNECTION, False, 0)
        assert caught.value.code in ("proxy", "reset")
        await proxy.until_closed(1)


async def test_a_proxy_that_hangs_falls_under_the_connect_deadline(scripts) -> None:
    async with scripts.peer([scripts.HOLD]) as proxy, HttpClient(TransportSettings(connect_timeout=0.05)) as client:
        with pytest.raises(ProviderError, match=r"no connection within 0\.05 s"):
            await client.request(Origin("https", "api.example", 443, proxy=f"http://127.0.0.1:{proxy.port}"), POST)
        await proxy.until_closed(1)


async def test_the_environment_names_no_proxy(scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with scripts.peer([scripts.REQUEST, scripts.reply(), scripts.HOLD]) as server, HttpClient() as client:
        assert (await client.request(server.origin, POST)).ok
