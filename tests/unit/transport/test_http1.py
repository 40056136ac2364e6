from __future__ import annotations

import asyncio

import pytest

from headgate.errors import ConfigError, ErrorKind, HeadgateError, ProviderError, TooLarge, Truncated, WireError
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import Origin, TransportSettings
from headgate.wire.http import BytesBody, Headers, Send, Upload

GET = Send("GET", "/x")
POST = Send("POST", "/x", b"{}", (("content-type", "application/json"),))


async def fail(scripts, steps, call: Send = POST, **settings: object) -> HeadgateError:
    """The error of one call to a peer that plays `steps`; nothing may be left."""
    async with scripts.peer(steps) as server, HttpClient(TransportSettings(**settings)) as client:
        with pytest.raises(HeadgateError) as caught:
            await client.request(server.origin, call)
        assert client.open_connections == client.in_flight == 0
        return caught.value


async def test_a_whole_reply_and_what_was_sent(scripts) -> None:
    async with scripts.peer([scripts.REQUEST, scripts.reply(b"hello", "200 OK", b"X-Thing: One", b"x-thing: two")]) as server:
        async with HttpClient(TransportSettings(user_agent="headgate/1")) as client:
            reply = await client.request(server.origin, POST, (("authorization", "Bearer k"),))
            assert (reply.status, reply.body, reply.headers["x-thing"]) == (200, b"hello", "two")
        assert server.requests == [
            b"POST /x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept-Encoding: identity\r\nUser-Agent: headgate/1\r\n"
            b"content-type: application/json\r\nauthorization: Bearer k\r\nContent-Length: 2\r\n\r\n{}" % server.port
        ]


async def test_one_connection_serves_many_requests(scripts) -> None:
    async with scripts.peer([scripts.REQUEST, scripts.reply()] * 1 + [scripts.REQUEST, scripts.reply(b"two"), scripts.HOLD]) as server:
        async with HttpClient() as client:
            assert (await client.request(server.origin, POST)).body == b"ok"
            assert (await client.request(server.origin, GET)).body == b"two"
            assert (server.connections, client.open_connections, client.in_flight) == (1, 1, 0)
        assert client.open_connections == 0


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = {
    "chunked": CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n",
    "informational first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
    "HTTP/1.0 to the end": b"HTTP/1.0 200 OK\r\n\r\nabcde",
    "close-delimited": b"HTTP/1.1 200 OK\r\n\r\nabcde",
    "identity encoding": b"HTTP/1.1 200 OK\r\nContent-Encoding: Identity\r\nContent-Length: 5\r\n\r\nabcde",
    "connection close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcde",
    "no reason phrase": b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nabcde",
}


@pytest.mark.parametrize("name", WHOLE)
async def test_complete_responses(scripts, name: str) -> None:
    async with scripts.peer([scripts.REQUEST, scripts.Put(WHOLE[name]), scripts.CLOSE]) as server, HttpClient() as client:
        reply = await client.request(server.origin, POST)
        assert (reply.status, reply.body) == (200, b"abcde")
        await server.until_closed(1)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_bodiless_statuses_keep_the_connection(scripts, status: str) -> None:
    bare = scripts.Put(f"HTTP/1.1 {status}\r\n\r\n".encode())
    async with scripts.peer([scripts.REQUEST, bare, scripts.REQUEST, bare, scripts.HOLD]) as server, HttpClient() as client:
        assert [(await client.request(server.origin, GET)).body for _ in range(2)] == [b"", b""]
        assert server.connections == 1


async def test_head_has_no_body_whatever_its_length_says(scripts) -> None:
    steps = [scripts.REQUEST, scripts.Put(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), scripts.HOLD]
    async with scripts.peer(steps) as server, HttpClient() as client:
        reply = await client.request(server.origin, Send("HEAD", "/"))
        assert (reply.status, reply.body, client.open_connections) == (200, b"", 0)


async def test_redirects_are_returned_not_followed(scripts) -> None:
    moved = scripts.reply(b"", "302 Found", b"Location: http://127.0.0.1:1/")
    async with scripts.peer([scripts.REQUEST, moved, scripts.HOLD]) as server, HttpClient() as client:
        assert (await client.request(server.origin, POST)).status == 302
        assert server.connections == 1


BROKEN = {
    "short content-length": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", Truncated),
    "open chunk": (CHUNKED + b"9\r\nabc", Truncated),
    "no last chunk": (CHUNKED + b"3\r\nabc\r\n", Truncated),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-", Truncated),
    "only informational": (b"HTTP/1.1 100 Continue\r\n\r\n", Truncated),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", WireError),
    "length list": (b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc", WireError),
    "negative length": (b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc", WireError),
    "length and chunked": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", WireError),
    "chunked and length": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", WireError),
    "chunked twice": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", WireError),
    "other coding": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", WireError),
    "chunked not last": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", WireError),
    "bad chunk size": (CHUNKED + b"zz\r\n", WireError),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", WireError),
    "folded header": (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", WireError),
    "NUL in header": (b"HTTP/1.1 200 OK\r\nA: \0\r\nContent-Length: 0\r\n\r\n", WireError),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", WireError),
    "HTTP/2": (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", WireError),
    "upgrade": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", WireError),
    "gzip": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", WireError),
    "flood of 1xx": (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", WireError),
    "long headers": (b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n", TooLarge),
    "endless header": (b"HTTP/1.1 200 OK\r\nA: " + b"a" * 300_000, TooLarge),
    "many headers": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000 + b"\r\n", TooLarge),
    "endless trailer": (CHUNKED + b"1\r\na\r\n0\r\n" + b"a: b\r\n" * 50_000, TooLarge),
    "long body": (b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 1001, TooLarge),
    "long chunked body": (CHUNKED + b"3e9\r\n" + b"a" * 1001 + b"\r\n0\r\n\r\n", TooLarge),
    "long by its own word": (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", TooLarge),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_responses_are_refused(scripts, name: str) -> None:
    data, kind = BROKEN[name]
    error = await fail(scripts, [scripts.REQUEST, scripts.Put(data), scripts.CLOSE], max_body=1000)
    assert type(error) is kind
    assert error.fault == "remote"


async def test_a_body_of_the_cap_passes(scripts) -> None:
    settings = TransportSettings(max_body=1000)
    async with scripts.peer([scripts.REQUEST, scripts.reply(b"a" * 1000), scripts.HOLD]) as server, HttpClient(settings) as client:
        assert len((await client.request(server.origin, GET)).body) == 1000


async def test_bytes_after_the_response_spoil_the_connection_but_not_the_reply(scripts) -> None:
    twice = scripts.Put(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb")
    async with (
        scripts.peer([scripts.REQUEST, twice, scripts.HOLD], [scripts.REQUEST, scripts.reply(b"c"), scripts.HOLD]) as server,
        HttpClient() as client,
    ):
        assert (await client.request(server.origin, GET)).body == b"a"
        assert client.open_connections == 0
        assert (await client.request(server.origin, GET)).body == b"c"


async def test_bytes_on_an_idle_connection_close_it(scripts) -> None:
    late = asyncio.Event()
    farewell = scripts.Put(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    async with (
        scripts.peer([scripts.REQUEST, scripts.reply(), scripts.Until(late), farewell, scripts.HOLD]) as server,
        HttpClient() as client,
    ):
        await client.request(server.origin, GET)
        assert client.open_connections == 1
        late.set()
        await server.until_closed(1)
        assert client.open_connections == 0


@pytest.mark.parametrize(("last", "kind", "code"), [("CLOSE", ErrorKind.CONNECTION, "closed"), ("RESET", ErrorKind.CONNECTION, "reset")])
async def test_a_loss_before_any_response_is_ambiguous(scripts, last: str, kind: ErrorKind, code: str) -> None:
    error = await fail(scripts, [scripts.REQUEST, getattr(scripts, last)])
    assert isinstance(error, ProviderError)
    assert (error.kind, error.code, error.sent, error.fault, error.transient) == (kind, code, True, "network", True)


async def test_a_reset_in_the_body_is_a_network_failure(scripts) -> None:
    seen = asyncio.Event()
    steps = [scripts.REQUEST, scripts.Put(CHUNKED + b"3\r\nabc\r\n"), scripts.Until(seen), scripts.RESET]
    async with scripts.peer(steps) as server, HttpClient() as client:
        with pytest.raises(ProviderError) as caught:
            async with client.stream(server.origin, POST) as reply:
                async for data in reply.body:
                    assert data == b"abc"
                    seen.set()
        assert (caught.value.code, caught.value.sent) == ("reset", True)


@pytest.mark.parametrize("last", ["CLOSE", "RESET"])
async def test_a_stale_connection_is_replaced_once(scripts, last: str) -> None:
    stale = [scripts.REQUEST, scripts.reply(b"one"), scripts.HEAD, getattr(scripts, last)]
    async with scripts.peer(stale, [scripts.REQUEST, scripts.reply(b"two"), scripts.HOLD]) as server, HttpClient() as client:
        assert (await client.request(server.origin, GET)).body == b"one"
        assert (await client.request(server.origin, GET)).body == b"two"
        assert (server.connections, len(server.requests), client.open_connections) == (2, 3, 1)


async def test_a_stale_connection_is_replaced_only_once(scripts) -> None:
    stale = [scripts.REQUEST, scripts.reply(b"one"), scripts.REQUEST, scripts.CLOSE]
    async with scripts.peer(stale, [scripts.REQUEST, scripts.CLOSE]) as server, HttpClient() as client:
        await client.request(server.origin, POST)
        with pytest.raises(ProviderError) as caught:
            await client.request(server.origin, POST)
        assert (caught.value.code, server.connections) == ("closed", 2)


@pytest.mark.parametrize("upload", [False, True])
async def test_a_call_that_must_not_be_made_twice_is_not_sent_again_on_a_fresh_connection(scripts, upload: bool) -> None:
    body = BytesBody((b"{}",))
    once = Upload("POST", "/batches", body, once=True) if upload else Send("POST", "/batches", b"{}", once=True)
    stale = [scripts.REQUEST, scripts.reply(b"one"), scripts.REQUEST, scripts.CLOSE]
    async with scripts.peer(stale, [scripts.REQUEST, scripts.reply(b"two"), scripts.HOLD]) as server, HttpClient() as client:
        await client.request(server.origin, once)
        with pytest.raises(ProviderError) as caught:
            await client.request(server.origin, once)
        assert (caught.value.kind, caught.value.sent, server.connections) == (ErrorKind.CONNECTION, True, 1)


async def test_no_second_try_after_the_stale_window_or_a_byte_of_response(scripts) -> None:
    for settings, farewell in ((TransportSettings(stale_window=-1), b""), (TransportSettings(), b"HTTP/1.1 2")):
        steps = [scripts.REQUEST, scripts.reply(b"one"), scripts.REQUEST, scripts.Put(farewell), scripts.CLOSE]
        async with scripts.peer(steps) as server, HttpClient(settings) as client:
            await client.request(server.origin, POST)
            with pytest.raises((ProviderError, Truncated)):
                await client.request(server.origin, POST)
            assert server.connections == 1


async def test_a_closed_idle_connection_is_never_used(scripts) -> None:
    first = [scripts.REQUEST, scripts.reply(b"one"), scripts.CLOSE]
    async with scripts.peer(first, [scripts.REQUEST, scripts.reply(b"two"), scripts.HOLD]) as server, HttpClient() as client:
        await client.request(server.origin, POST)
        await server.until_closed(1)
        await scripts.until(lambda: not (client.open_connections))
        assert (await client.request(server.origin, POST)).body == b"two"
        assert len(server.requests) == 2


async def test_no_answer_within_the_total_timeout(scripts) -> None:
    error = await fail(scripts, [scripts.REQUEST, scripts.HOLD], total_timeout=0.05)
    assert isinstance(error, ProviderError)
    assert (error.kind, error.sent, error.transient) == (ErrorKind.TIMEOUT, True, True)
    assert "0.05 s" in error.message


async def test_a_call_brings_its_own_timeout(scripts) -> None:
    dribble = [scripts.REQUEST, scripts.Put(CHUNKED + b"3\r\nabc\r\n"), scripts.HOLD]
    error = await fail(scripts, dribble, Send("GET", "/", timeout=0.05))
    assert isinstance(error, ProviderError)
    assert error.kind is ErrorKind.TIMEOUT


async def test_refused_connections_were_certainly_not_sent(scripts) -> None:
    async with scripts.peer([]) as server:
        origin = server.origin
    async with HttpClient() as client:
        with pytest.raises(ProviderError) as caught:
            await client.request(origin, POST)
        error = caught.value
        assert (error.kind, error.code, error.sent, error.fault) == (ErrorKind.CONNECTION, "refused", False, "network")
        assert error.hint is not None and f"curl -v http://127.0.0.1:{origin.port}" in error.hint
        assert client.open_connections == 0


async def test_an_unknown_host(scripts) -> None:
    async with HttpClient() as client:
        with pytest.raises(ProviderError) as caught:
            await client.request(Origin("http", "no-such-host.invalid", 80), POST)
        assert (caught.value.code, caught.value.sent) == ("dns", False)
        assert caught.value.hint == "check the host name and the network: getent hosts no-such-host.invalid"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "127.1"])
async def test_private_addresses_are_refused_unless_allowed(scripts, host: str) -> None:
    async with scripts.peer([scripts.REQUEST, scripts.reply()]) as server, HttpClient() as client:
        with pytest.raises(ConfigError, match="not a public address") as caught:
            await client.request(Origin("http", host, server.port), POST)
        assert "allow_private" in (caught.value.hint or "")
        assert server.connections == client.open_connections == 0


@pytest.mark.parametrize(
    "headers",
    [(("x", "a\r\nY: b"),), (("x", "a\nb"),), (("x\r\n", "a"),), (("", "a"),), (("x", "\0"),), (("x", "\u20ac"),), (("Host", "a"),)],
)
async def test_header_injection_is_refused_before_anything_is_sent(scripts, headers: Headers) -> None:
    async with scripts.peer([scripts.REQUEST, scripts.reply()]) as server, HttpClient() as client:
        with pytest.raises(WireError) as caught:
            await client.request(server.origin, POST, headers)
        assert (caught.value.fault, server.connections, client.in_flight) == ("local", 0, 0)


async def test_closing_the_client_fails_what_is_under_way(scripts) -> None:
    arrived = asyncio.Event()
    settings = TransportSettings(max_connections=1)
    async with scripts.peer([scripts.REQUEST, scripts.Mark(arrived), scripts.HOLD]) as server:
        client = HttpClient(settings)
        calls = [asyncio.create_task(client.request(server.origin, POST)) for _ in range(3)]
        await arrived.wait()
        await client.aclose()
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [(error.kind, error.code) for error in errors if isinstance(error, ProviderError)] == [
            (ErrorKind.CANCELLED, "client_closed")
        ] * 3
        assert sorted(error.sent for error in errors if isinstance(error, ProviderError)) == [False, False, True]
        with pytest.raises(ProviderError):
            await client.request(server.origin, POST)
        assert (client.open_connections, client.in_flight) == (0, 0)
        await server.until_closed(1)
