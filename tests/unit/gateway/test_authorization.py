"""Who reaches which endpoint: every route of the table with every kind of bearer, under every spelling of its path (faults E4, H7, H8)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from headgate.config import Secret
from headgate.gateway.endpoints.health import LIVE, READY
from headgate.ledger.keys import SCOPES, KeyChange
from headgate.ledger.principal import Scope
from headgate.ledger.rights import ADMIN
from headgate.serving.app import App
from headgate.serving.auth import KeyDoor, allowed_hosts, fixed_keys
from headgate.serving.key_ring import KeyRing
from headgate.serving.request import Request
from headgate.serving.response import Response, json_response
from headgate.serving.routes import Route, Routes
from headgate.testing.gateway import Rig, running_gateway
from headgate.testing.raw_http import KEY, RawWire, Reply, request_bytes

ADMIN_KEY = "hg-the-key-of-the-administrator"
HOSTS = allowed_hosts("127.0.0.1")

BUDGETS = (("GET", "/v1/budgets"), ("GET", "/v1/budgets/*"), ("PUT", "/v1/budgets/*"), ("DELETE", "/v1/budgets/*"))
ACCESS: dict[tuple[str, str], Scope | str | None] = {
    **{("GET", path): None for path in (*LIVE, *READY)},
    ("GET", "/metrics"): "metrics:read",
    ("GET", "/v1/metrics"): "usage:read",
    ("GET", "/v1/receipts"): "usage:read",
    ("GET", "/v1/receipts/*"): "usage:read",
    ("GET", "/v1/usage"): "usage:read",
    ("GET", "/v1/budget"): "usage:read",
    ("GET", "/v1/budget/*"): "usage:read",
    **dict.fromkeys(BUDGETS, "admin"),
    ("GET", "/v1/pricing"): "models:read",
    ("POST", "/v1/estimate-cost"): "models:read",
    ("GET", "/v1/key"): "any",
    ("GET", "/v1/models"): "models:read",
    ("GET", "/v1/models/*"): "models:read",
    **{("GET", path): "models:read" for path in ("/v1beta/models", "/v1beta/models/*", "/v1beta/*")},
    ("GET", "/v1/keys"): "keys:write",
    ("POST", "/v1/keys"): "keys:write",
    ("GET", "/v1/keys/*"): "keys:write",
    ("POST", "/v1/keys/*"): "keys:write",
    ("PATCH", "/v1/keys/*"): "keys:write",
    ("DELETE", "/v1/keys/*"): "keys:write",
}
"""Every other route spends, or stands where something would that spends: `completions:read`."""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_gateway(tmp_path_factory.mktemp("gate"), admin_key=ADMIN_KEY) as running:
        yield running


def routes(gate: Rig) -> tuple[Route, ...]:
    assert gate.app is not None
    return gate.app.routes.all


def bearers(gate: Rig) -> dict[str, tuple[str | None, frozenset[str]]]:
    """Kinds of bearers: the key they send, and the scopes with which they count."""
    keys = gate.keys
    other = {"completions:read", "models:read", "usage:read", "keys:write", "metrics:read"}
    made = {scope: keys.create(KeyChange(scopes=frozenset({scope})), ADMIN).secret.reveal() for scope in SCOPES}
    expired = keys.create(KeyChange(expires=time.time() - 1.0), ADMIN).secret.reveal()
    gone = keys.create(KeyChange(), ADMIN)
    keys.revoke(gone.key.id, ADMIN)
    paused = keys.create(KeyChange(disabled=True), ADMIN).secret.reveal()
    return {
        "nobody": (None, frozenset()),
        "a stranger": ("hg-no-such-key-0123456789", frozenset()),
        "a typing mistake": (made["admin"][:-1] + "!", frozenset()),
        "expired": (expired, frozenset()),
        "revoked": (gone.secret.reveal(), frozenset()),
        "disabled": (paused, frozenset()),
        "a hash": (keys.pepper.seal(made["admin"].encode()).hex(), frozenset()),
        "the settings' key": (KEY, frozenset({"any", "completions:read", "models:read", "usage:read"})),
        "the administrator": (ADMIN_KEY, frozenset({"any", "admin", *other} - {"completions:read"})),
        **{f"with {scope}": (key, frozenset({"any", scope})) for scope, key in made.items() if scope != "admin"},
        "with admin": (made["admin"], frozenset({"any", "admin", *other} - {"completions:read"})),
    }


def probed(gate: Rig, reached: list[Request]) -> App:
    """The gateway's table with endpoints that only say that they were reached."""

    async def probe(request: Request) -> Response:
        reached.append(request)
        return json_response({})

    fixed = fixed_keys(Secret(KEY), Secret(ADMIN_KEY))
    ring = KeyRing(gate.keys, fixed, random=bytes(32))
    return App(Routes(replace(route, endpoint=probe) for route in routes(gate)), door=KeyDoor(ring), hosts=HOSTS)


def ask(app: App, method: str, path: str, key: str | None) -> int:
    headers = (("host", "127.0.0.1"), *(() if key is None else (("authorization", f"Bearer {key}"),)))
    answer = asyncio.run(app(Request(method=method, path=path, headers=headers, client="10.0.0.1")))
    assert isinstance(answer, Response)
    return answer.status


def test_every_route_declares_what_it_asks_for(gate: Rig) -> None:
    declared = {(route.method, route.path): route.scope for route in routes(gate)}
    assert declared == {place: ACCESS.get(place, "completions:read") for place in declared}
    assert set(ACCESS) <= set(declared)


def test_a_route_without_a_declared_scope_is_none() -> None:
    async def endpoint(request: Request) -> Response:
        return json_response({})

    def route(**further: Any) -> Route:
        return Route(method="GET", path="/x", endpoint=endpoint, **further)

    with pytest.raises(TypeError, match="scope"):
        route()
    with pytest.raises(ValueError, match="which there is not"):
        route(scope="admins")


def test_every_route_with_every_bearer(gate: Rig) -> None:
    reached: list[Request] = []
    app = probed(gate, reached)
    wrong: list[str] = []
    for name, (key, scopes) in bearers(gate).items():
        for route in routes(gate):
            path = route.path.replace("*", "something")
            for method in {route.method, "HEAD"} if route.method == "GET" else {route.method}:
                reached.clear()
                status = ask(app, method, path, key)
                allowed = route.scope is None or route.scope in scopes
                expected = 200 if allowed else 403 if scopes else 401
                if (status, bool(reached)) != (expected, allowed):
                    wrong.append(f"{name}: {method} {path} gave {status}, not {expected}")
    assert not wrong


SPELLINGS = (
    "{path}/",
    "{path}//",
    "/{path}",
    "/.{path}",
    "/x/..{path}",
    "{path}/.",
    "{path}/..",
    "{path};x",
    "{path}%00",
    "{path}%2f",
    "{path}%20",
    "{upper}",
    "{doubled}",
    "{encoded}",
    "{dotted}",
    "http://127.0.0.1{path}",
)


def spellings(path: str) -> Iterator[str]:
    for form in SPELLINGS:
        yield form.format(
            path=path,
            upper=path.upper(),
            doubled=path.replace("/", "//"),
            encoded=path.replace("/", "%2f"),
            dotted=path.replace("/v1", "/v1/%2e"),
        )


def test_no_spelling_of_a_path_gets_around_the_key(gate: Rig) -> None:
    reached: list[Request] = []
    app = probed(gate, reached)
    for route in routes(gate):
        for path in spellings(route.path.replace("*", "something")):
            for method in ("GET", "POST", "DELETE", "HEAD", "get", "OPTIONS", "X"):
                assert ask(app, method, path, None) in (200 if route.scope is None else 401, 404, 405)
                assert all(request.path in (*LIVE, *READY) for request in reached), path


def test_no_spelling_on_the_wire_gets_around_the_key(gate: Rig) -> None:
    for path in ("/v1/keys", "/v1/keys/x", "/v1/key", "/v1/models"):
        for spelt in spellings(path):
            extras: tuple[dict[str, str], ...] = (
                {},
                {"x_http_method_override": "GET"},
                {"x_original_url": "/healthz"},
                {"x_rewrite_url": "/healthz"},
            )
            for extra in extras:
                reply = over_the_wire(gate, "GET", spelt, None, b"", **extra)
                assert reply.status in (400, 401, 403, 404, 405), f"{spelt}: {reply.status}"


def over_the_wire(gate: Rig, method: str, path: str, key: str | None, body: bytes = b"", **headers: str) -> Reply:
    with RawWire(int(gate.url.rpartition(":")[2])) as wire:
        wire.send(request_bytes(method, path, body, key=key, **headers))
        return wire.reply()


def test_a_refusal_says_which_scope_is_missing(gate: Rig) -> None:
    reply = over_the_wire(gate, "GET", "/v1/keys", KEY)
    assert reply.status == 403
    assert json.loads(reply.body)["error"]["code"] == "forbidden"
    assert "keys:write" in json.loads(reply.body)["error"]["message"]
    body = json.dumps({"model": "sim-openai/sim-small", "messages": [{"role": "user", "content": "x"}]}).encode()
    reply = over_the_wire(gate, "POST", "/v1/messages", ADMIN_KEY, body)
    assert (reply.status, json.loads(reply.body)["error"]["type"]) == (403, "permission_error")


def test_tenants_do_not_see_one_another(gate: Rig, tmp_path: Path) -> None:
    minting = frozenset[Scope]({"keys:write", "completions:read"})
    anna, boris = (gate.keys.create(KeyChange(team=team, scopes=minting), ADMIN) for team in ("anna", "boris"))
    absent = "aaaaaaaaaaaa"
    for method, tail, body in (("GET", "", b""), ("PATCH", "", b'{"name":"x"}'), ("DELETE", "", b""), ("POST", "/rotate", b"{}")):
        replies = [over_the_wire(gate, method, f"/v1/keys/{id}{tail}", boris.secret.reveal(), body) for id in (anna.key.id, absent)]
        assert [reply.status for reply in replies] == [404, 404]
        assert replies[0].body.replace(anna.key.id.encode(), b"") == replies[1].body.replace(absent.encode(), b"")
    listed = json.loads(over_the_wire(gate, "GET", "/v1/keys", boris.secret.reveal()).body)["data"]
    assert {key["team"] for key in listed} == {"boris"}
    assert gate.keys.get(anna.key.id, ADMIN) == anna.key
