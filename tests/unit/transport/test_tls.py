from __future__ import annotations

import asyncio

import pytest

from headgate.errors import ConfigError, ErrorKind, ProviderError
from headgate.transport.http1 import HttpClient
from headgate.transport.retry import RetryPolicy, decide_retry
from headgate.transport.settings import Origin, TransportSettings
from headgate.wire.http import Send

POST = Send("POST", "/x", b"{}")


def at(server, host: str = "127.0.0.1", ca_file: str | None = None) -> Origin:
    return Origin("https", host, server.port, allow_private=True, ca_file=ca_file)


async def test_a_verified_server_by_name_and_address_with_alpn(scripts, certificates) -> None:
    agreed = []

    async def note(line) -> None:
        agreed.append(line.writer.get_extra_info("ssl_object").selected_alpn_protocol())

    steps = [note, scripts.REQUEST, scripts.reply(b"one"), scripts.REQUEST, scripts.reply(b"two"), scripts.HOLD]
    async with scripts.peer(steps, tls=certificates.good) as server, HttpClient() as client:
        for host in ("localhost", "127.0.0.1"):
            assert (await client.request(at(server, host, certificates.ca), POST)).body == b"one"
            assert (await client.request(at(server, host, certificates.ca), POST)).body == b"two"
        assert (server.connections, agreed) == (2, ["http/1.1"] * 2)


async def test_ssl_cert_file_is_honoured(scripts, certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca)
    async with scripts.peer([scripts.REQUEST, scripts.reply(), scripts.HOLD], tls=certificates.good) as server, HttpClient() as client:
        assert (await client.request(at(server), POST)).ok


@pytest.mark.parametrize("fault", ["unknown authority", "wrong_name", "expired"])
async def test_a_bad_certificate_is_refused_for_good_with_a_hint(scripts, certificates, fault: str) -> None:
    context = certificates.good if fault == "unknown authority" else getattr(certificates, fault)
    ca_file = None if fault == "unknown authority" else certificates.ca
    async with scripts.peer([scripts.REQUEST, scripts.reply()], tls=context) as server, HttpClient() as client:
        with pytest.raises(ProviderError) as caught:
            await client.request(at(server, ca_file=ca_file), POST)
        error = caught.value
        assert (error.kind, error.code, error.sent, error.fault) == (ErrorKind.CONNECTION, "tls_certificate", False, "network")
        assert "SSL_CERT_FILE" in (error.hint or "")
        assert decide_retry(1, error, RetryPolicy(), 0.5) is None
        assert (client.open_connections, server.requests) == (0, [])


async def test_a_server_without_tls(scripts) -> None:
    async with scripts.peer([scripts.Put(b"HTTP/1.1 400 Bad Request\r\n\r\n"), scripts.HOLD]) as server, HttpClient() as client:
        with pytest.raises(ProviderError) as caught:
            await client.request(at(server), POST)
        assert (caught.value.code, caught.value.sent) == ("tls", False)
        await server.until_closed(1)


async def test_a_hanging_handshake_falls_under_the_connect_deadline(scripts) -> None:
    async with scripts.peer([scripts.HOLD]) as server, HttpClient(TransportSettings(connect_timeout=0.05)) as client:
        with pytest.raises(ProviderError, match=r"no connection within 0\.05 s") as caught:
            await client.request(at(server), POST)
        assert (caught.value.kind, caught.value.code, caught.value.sent) == (ErrorKind.TIMEOUT, "connect_timeout", False)
        await server.until_closed(1)
        assert client.open_connections == 0


async def test_cancelled_in_the_handshake_the_socket_is_closed(scripts) -> None:
    accepted = asyncio.Event()
    async with scripts.peer([scripts.Mark(accepted), scripts.HOLD]) as server, HttpClient() as client:
        call = asyncio.create_task(client.request(at(server), POST))
        await accepted.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.until_closed(1)
        assert (client.open_connections, client.in_flight) == (0, 0)


async def test_a_missing_ca_file(scripts) -> None:
    async with scripts.peer([]) as server, HttpClient() as client:
        with pytest.raises(ConfigError, match="no-such-file"):
            await client.request(at(server, ca_file="/no-such-file.pem"), POST)
        assert (client.open_connections, client.in_flight) == (0, 0)
