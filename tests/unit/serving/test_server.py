"""The server on real sockets: what a hostile, slow or careless client may do (faults D1–D4, D11, D12, D15, H14)."""

from __future__ import annotations

import json
import time

import pytest

from headgate.errors import ConfigError
from headgate.serving.server import listen
from headgate.testing.raw_http import Reply, request_bytes
from headgate.testing.tiny_server import Running


def error_of(reply: Reply) -> dict[str, str]:
    return json.loads(reply.body)["error"]


def test_keep_alive_and_params(server: Running) -> None:
    wire = server.wire()
    for path, params in (("/items/a/b%2Fc", ["a/b/c"]), ("/items/x?y=1", ["x"])):
        wire.send(request_bytes("GET", path))
        reply = wire.reply()
        assert reply.status == 200
        assert json.loads(reply.body)["params"] == params


def test_pipelined_requests_are_answered_in_order(server: Running) -> None:
    wire = server.wire()
    wire.send(request_bytes("POST", "/echo", b"abc") + request_bytes("GET", "/items/second", connection="close"))
    data = wire.read_to_end()
    assert data.index(b'"length":3') < data.index(b'"second"')


def test_head(server: Running) -> None:
    wire = server.wire()
    wire.send(request_bytes("HEAD", "/echo", connection="close"))
    head, _, body = wire.read_to_end().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and body == b""


TABLE = {
    "unknown path": (("GET", "/nowhere"), 404, "unknown_url"),
    "double slash": (("GET", "//echo"), 404, "unknown_url"),
    "other case": (("GET", "/ECHO"), 404, "unknown_url"),
    "trailing slash": (("GET", "/echo/"), 404, "unknown_url"),
    "method": (("DELETE", "/echo"), 405, "method_not_allowed"),
    "preflight": (("OPTIONS", "/echo"), 405, "method_not_allowed"),
}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_routes(server: Running, name: str) -> None:
    (method, path), status, code = TABLE[name]
    reply = server.ask(request_bytes(method, path))
    assert (reply.status, error_of(reply)["code"]) == (status, code)
    assert "access-control-allow-origin" not in reply.headers
    if status == 405:
        assert reply.headers["allow"] == "GET, POST"


RAW = {
    "absolute form": b"GET http://127.0.0.1/echo HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    "authority form": b"CONNECT example.com:443 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    "no HTTP": b"hello\r\n\r\n",
    "two lengths": b"POST /echo HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "length and chunks": b"POST /echo HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded header": b"GET /echo HTTP/1.1\r\nhost: 127.0.0.1\r\nx-a: 1\r\n 2\r\n\r\n",
    "bare line feed": b"GET /echo HTTP/1.1\nhost: 127.0.0.1\n\n",
}


@pytest.mark.parametrize("name", sorted(RAW))
def test_what_is_no_proper_http(server: Running, name: str) -> None:
    reply = server.ask(RAW[name])
    assert reply.status == 400
    assert error_of(reply)["type"] == "invalid_request_error"


HOSTS = {
    "127.0.0.1": 200,
    "127.0.0.1:6120": 200,
    "localhost:1": 200,
    "[::1]:6120": 200,
    "LOCALHOST": 200,
    "evil.example": 403,
    "127.0.0.1.evil.example": 403,
    "127.0.0.1@evil.example": 400,
    "127.0.0.1/x": 400,
    "": 400,
}


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_host(server: Running, host: str) -> None:
    assert server.ask(request_bytes("GET", "/echo", host=host)).status == HOSTS[host]


def test_open_route_needs_neither_key_nor_name(server: Running) -> None:
    assert server.ask(b"GET /open HTTP/1.1\r\nhost: anything.example\r\n\r\n").status == 200


def test_two_hosts(server: Running) -> None:
    reply = server.ask(request_bytes("GET", "/echo").replace(b"\r\n", b"\r\nhost: localhost\r\n", 1))
    assert reply.status == 400


def test_compressed_body(server: Running) -> None:
    reply = server.ask(request_bytes("POST", "/echo", b"abc", content_encoding="gzip"))
    assert (reply.status, error_of(reply)["code"]) == (415, "unsupported_encoding")


def test_slow_headers(server: Running) -> None:
    wire, start = server.wire(), time.monotonic()
    wire.send(b"GET /echo HTTP/1.1\r\nhost: 127")
    reply = wire.reply()
    assert reply.status == 408
    assert wire.read_to_end() == b""
    assert time.monotonic() - start < 2


def test_a_connection_that_says_nothing(server: Running) -> None:
    assert server.wire().read_to_end() == b""


def test_slow_headers_of_a_second_request(server: Running) -> None:
    wire = server.wire()
    wire.send(request_bytes("GET", "/echo"))
    assert wire.reply().status == 200
    wire.send(b"GET ")
    assert wire.reply().status == 408


def test_long_headers(server: Running) -> None:
    assert server.ask(request_bytes("GET", "/echo", x_filler="a" * 5000)).status == 431


def test_headers_without_end(server: Running) -> None:
    assert server.ask(b"GET /echo HTTP/1.1\r\nx: " + b"a" * 5000).status == 431


def test_slow_body(server: Running) -> None:
    wire = server.wire()
    wire.send(request_bytes("POST", "/echo", b"abc", content_length="900"))
    reply = wire.reply()
    assert (reply.status, error_of(reply)["code"]) == (408, "request_timeout")


def test_announced_body_is_refused_unread(server: Running) -> None:
    wire = server.wire()
    wire.send(request_bytes("POST", "/echo", content_length=str(200 << 20)))
    reply = wire.reply()
    assert (reply.status, error_of(reply)["code"]) == (413, "request_too_large")
    assert wire.read_to_end() == b""


def test_a_sender_gets_to_read_the_refusal(server: Running) -> None:
    wire = server.wire()
    size = 4 << 20
    wire.send(request_bytes("POST", "/echo", content_length=str(size)) + b"x" * size)
    assert wire.reply().status == 413
    wire.send(request_bytes("GET", "/echo"))
    assert wire.reply().status == 200


def test_chunked_body_over_the_cap(server: Running) -> None:
    head = request_bytes("POST", "/echo").replace(b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n")
    assert server.ask(head + b"800\r\n" + b"x" * 2048 + b"\r\n").status == 413


def test_expect_continue(server: Running) -> None:
    wire = server.wire()
    wire.send(request_bytes("POST", "/echo", content_length="3", expect="100-continue"))
    assert wire.socket.recv(100).startswith(b"HTTP/1.1 100")
    wire.send(b"abc")
    assert json.loads(wire.reply().body)["length"] == 3


@pytest.mark.parametrize("path", ["/forever", "/stream"])
def test_client_gone(server: Running, path: str) -> None:
    wire = server.wire()
    wire.send(request_bytes("POST", path, b"{}"))
    if path == "/stream":
        assert wire.socket.recv(1000)
    else:
        assert server.wait_for("waiting")
    start = time.monotonic()
    wire.close()
    assert server.wait_for("cancelled" if path == "/forever" else "stream closed")
    assert time.monotonic() - start < 1


def test_sign_of_life(server: Running) -> None:
    wire = server.wire()
    wire.send(request_bytes("POST", "/stream", b"{}"))
    data = b""
    while data.count(b": ping\n\n") < 2:
        data += wire.socket.recv(1000)
    assert b"tick\n" in data


def test_slow_reader(server: Running) -> None:
    wire = server.wire()
    wire.send(request_bytes("POST", "/flood", b"{}"))
    assert server.wait_for("flood closed")


def test_bug(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    reply = server.ask(request_bytes("GET", "/bug"))
    assert (reply.status, error_of(reply)["code"]) == (500, "internal_error")
    assert b"ZeroDivision" not in reply.body
    assert server.ask(request_bytes("GET", "/echo")).status == 200  # by now the first is over
    assert "ZeroDivisionError" in caplog.text


def test_port_in_use(server: Running) -> None:
    with pytest.raises(ConfigError) as caught:
        listen("127.0.0.1", server.port, 10)
    assert f"port {server.port}" in caught.value.message
    assert caught.value.hint == f"headgate serve --port {server.port + 1}"


def test_unknown_address() -> None:
    with pytest.raises(ConfigError) as caught:
        listen("192.0.2.1", 0, 10)
    assert "192.0.2.1" in caught.value.message


UPGRADE = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAAQ"}


@pytest.mark.parametrize("pieces", [1, 2, 1000], ids=["whole", "two reads", "byte by byte"])
def test_another_protocol_is_declined_and_the_body_kept(server: Running, pieces: int) -> None:
    """As Java's own HTTP client asks for a plain address."""
    wire = server.wire()
    data = request_bytes("POST", "/echo", b"GET /items/smuggled HTTP/1.1\r\n\r\n", **UPGRADE)
    size = -(-len(data) // pieces)
    for start in range(0, len(data), size):
        wire.send(data[start : start + size])
    assert json.loads(wire.reply().body)["length"] == 32
    wire.send(request_bytes("GET", "/items/next"))
    assert json.loads(wire.reply().body)["params"] == ["next"]


def test_connect_is_refused(server: Running) -> None:
    assert server.ask(b"CONNECT /echo HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").status == 400
