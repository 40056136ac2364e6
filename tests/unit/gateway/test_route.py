"""``POST /v1/route/explain``."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from headgate.ledger.key_store import KeyChange
from headgate.ledger.rights import ADMIN
from headgate.testing.gateway import Gate, Rig, running_gateway
from headgate.testing.raw_http import RawWire, Reply, request_bytes
from headgate.testing.routes import CHAT, SIMULATED


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_gateway(tmp_path_factory.mktemp("routes"), gate=Gate(routes=(CHAT,), routing=SIMULATED)) as running:
        yield running


def explain(rig: Rig, body: object, query: str = "", key: str | None = None, **headers: str) -> Reply:
    with RawWire(int(rig.url.rpartition(":")[2])) as wire:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        wire.send(request_bytes("POST", f"/v1/route/explain{query}", text, key=key or rig.key, **headers))
        return wire.reply()


BODIES = [
    ({"model": "chat", "messages": [{"role": "user", "content": "hi"}]}, ""),
    ({"model": "chat", "max_tokens": 50, "system": "s", "messages": [{"role": "user", "content": "hi"}]}, ""),
    ({"model": "chat", "input": "hi"}, ""),
    ({"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 50}}, "?model=chat"),
]


@pytest.mark.parametrize(("body", "query"), BODIES)
def test_a_body_of_any_surface(rig: Rig, body: object, query: str) -> None:
    reply = explain(rig, body, query)
    found = json.loads(reply.body)
    assert reply.status == 200
    assert (found["name"], found["strategy"], found["chosen"]) == ("chat", "local_first", "sim-openai/sim-small")
    assert found["fallbacks"] == ["sim-anthropic/sim-small", "sim-groq/sim-large"]
    assert all(one["estimated_cost"] for one in found["candidates"])


def test_no_call_is_made(rig: Rig) -> None:
    before = len(rig.all_receipts())
    explain(rig, BODIES[0][0])
    assert len(rig.all_receipts()) == before


def test_the_routing_block_decides(rig: Rig) -> None:
    found = json.loads(explain(rig, {"model": "chat", "routing": {"strategy": "quality", "preferred_providers": ["sim-anthropic"]}}).body)
    assert (found["strategy"], found["because"], found["chosen"]) == ("quality", "the request's routing block", "sim-anthropic/sim-small")


@pytest.mark.parametrize(
    ("body", "query", "status", "code"),
    [
        ({"model": "nothing-like-it"}, "", 404, "model_not_found"),
        ({"model": "chat", "provider_hint": "fast"}, "", 400, "unsupported_parameter"),
        ({"model": "x" * 600}, "", 404, "model_not_found"),
        ({"model": "chat"}, "?operation=dance", 400, "invalid_type"),
        (b"[]", "", 400, "invalid_json"),
    ],
)
def test_errors(rig: Rig, body: object, query: str, status: int, code: str) -> None:
    reply = explain(rig, body, query)
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (status, code)


def test_what_a_key_may_not_call_is_not_shown_to_it(rig: Rig) -> None:
    some = rig.keys.create(KeyChange(models=("sim-anthropic/*",)), ADMIN).secret.reveal()
    reply = explain(rig, {"model": "chat"}, key=some)
    found = json.loads(reply.body)
    assert (reply.status, found["chosen"], found["fallbacks"], found["rejected"]) == (200, "sim-anthropic/sim-small", [], [])
    assert b"openai" not in reply.body
    hidden, absent = (explain(rig, {"model": f"sim-openai/{name}"}, key=some) for name in ("sim-small", "sim-smell"))
    assert hidden.status == absent.status == 404
    assert hidden.body.replace(b"small", b"smell") == absent.body


def test_a_key_may_be_for_a_route_by_its_name(rig: Rig) -> None:
    named = rig.keys.create(KeyChange(models=("chat",)), ADMIN).secret.reveal()
    assert json.loads(explain(rig, {"model": "chat"}, key=named).body)["chosen"] == "sim-openai/sim-small"
    assert explain(rig, {"model": "chat", "routing": {"private": True}}, key=named).status == 200
    with RawWire(int(rig.url.rpartition(":")[2])) as wire:
        wire.send(request_bytes("GET", "/v1/models", key=named))
        assert [one["id"] for one in json.loads(wire.reply().body)["data"]] == ["chat"]
