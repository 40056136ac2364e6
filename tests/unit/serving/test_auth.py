"""Keys: where they may stand, which are wrong, and who may do without (faults H1, H5, H17, D13)."""

from __future__ import annotations

import asyncio

import pytest

from headgate.config import Secret
from headgate.errors import ConfigError
from headgate.serving.app import App
from headgate.serving.auth import allowed_hosts, check_binding, check_key, generate_key, is_loopback
from headgate.serving.request import Request
from headgate.serving.response import Answer, Response, json_response
from headgate.serving.routes import Route, Routes
from headgate.testing.tiny_server import door_of
from headgate.wire.http import Headers

KEY = "hg-0123456789abcdef"
HOST = ("host", "127.0.0.1")


async def hello(request: Request) -> Answer:
    return json_response("hello")


def ask(*headers: tuple[str, str], key: str | None = KEY, method: str = "GET", path: str = "/v1/models") -> Response:
    routes = Routes(
        [
            Route(method="GET", path="/v1/models", endpoint=hello, scope="models:read"),
            Route(method="GET", path="/healthz", endpoint=hello, scope=None),
        ]
    )
    hosts = allowed_hosts("127.0.0.1")
    app = App(routes, door=door_of(key, hosts), hosts=hosts)
    fields: Headers = headers if any(name == "host" for name, _ in headers) else (HOST, *headers)
    answer = asyncio.run(app(Request(method=method, path=path, headers=fields)))
    assert isinstance(answer, Response)
    return answer


TABLE: dict[str, tuple[tuple[tuple[str, str], ...], int]] = {
    "bearer": ((("authorization", f"Bearer {KEY}"),), 200),
    "bearer in lower case": ((("authorization", f"bearer {KEY}"),), 200),
    "x-api-key": ((("x-api-key", KEY),), 200),
    "x-goog-api-key": ((("x-goog-api-key", KEY),), 200),
    "the same key twice": ((("x-api-key", KEY), ("authorization", f"Bearer {KEY}")), 200),
    "none": ((), 401),
    "empty": ((("x-api-key", ""),), 401),
    "wrong": ((("x-api-key", "hg-0123456789abcdee"),), 401),
    "prefix": ((("x-api-key", KEY[:-1]),), 401),
    "longer": ((("x-api-key", KEY + "0"),), 401),
    "basic": ((("authorization", f"Basic {KEY}"),), 401),
    "no scheme": ((("authorization", f"Token{KEY}"),), 401),
    "SQL": ((("x-api-key", "' OR 1=1 --"),), 401),
    "not ASCII": ((("x-api-key", "hg-ä" * 5),), 401),
    "very long": ((("x-api-key", "a" * 10_000),), 401),
    "two different keys": ((("x-api-key", KEY), ("authorization", "Bearer hg-other-key-0000")), 400),
    "right and wrong, other order": ((("x-goog-api-key", "hg-other-key-0000"), ("x-api-key", KEY)), 400),
    "one header twice": ((("x-api-key", KEY), ("x-api-key", KEY)), 400),
    "underscore twin": ((("x-api-key", KEY), ("x_api_key", "hg-other")), 400),
    "underscore alone": ((("x_api_key", KEY),), 400),
    "harmless underscore": ((("x-api-key", KEY), ("x_trace", "1")), 200),
}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_keys(name: str) -> None:
    headers, status = TABLE[name]
    answer = ask(*headers)
    assert answer.status == status
    if status == 401:
        assert ("www-authenticate", 'Bearer realm="headgate"') in answer.headers
    assert KEY.encode() not in answer.body


def test_open_routes_and_unknown_paths_need_no_key() -> None:
    assert ask(path="/healthz").status == 200
    assert ask(path="/v1/nothing").status == 404


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://localhost:3000", 200), ("http://evil.example", 403), ("null", 403), ("http://[::1", 403)],
)
def test_without_a_key_web_pages_of_other_sites_are_kept_out(origin: str, status: int) -> None:
    assert ask(("origin", origin), key=None).status == status


@pytest.mark.parametrize("key", ["", "short", "fifteen-letters", "has a blank in it", "tab\tinside-the-key", "x" * 300])
def test_keys_that_cannot_serve(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_key(Secret(key))
    assert "HEADGATE_KEY" in caught.value.message
    assert not key or key not in caught.value.message


def test_generated_keys_serve() -> None:
    key = generate_key(bytes(range(24)))
    assert check_key(key).reveal() == "hg-000102030405060708090a0b0c0d0e0f1011121314151617"
    with pytest.raises(ValueError, match="16 random bytes"):
        generate_key(b"few")


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True)]
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    check_binding(host, authenticated=False)
    hosts = allowed_hosts(host)
    assert hosts is not None and "127.0.0.1" in hosts


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "gateway.example"])
def test_off_loopback_only_with_a_key(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_binding(host, authenticated=False)
    assert "--no-auth" in (caught.value.hint or "")
    check_binding(host, authenticated=True)
    assert allowed_hosts(host) is None
