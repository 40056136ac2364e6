"""What a client of each surface is told when nobody may be asked (translation cases 85, 89 and 93)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from headgate.sim.faults import Match, Rule, Status
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import ONCE, Rig, running_gateway
from headgate.testing.raw_http import RawWire, Reply, request_bytes

TURNS = [{"role": "user", "content": "Hi"}]
MODEL = "sim-openai/sim-small"


@pytest.fixture(scope="module")
def module_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Every request is tried once."""
    with running_gateway(tmp_path_factory.mktemp("once"), settings=SimSettings(seed=7), gate=ONCE) as running:
        yield running


def of_openai(document: Any) -> tuple[int, str]:
    error = document["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return {"rate_limit_error": 429, "rate_limit_exceeded": 429}.get(error["type"], 503), error["message"]


def of_anthropic(document: Any) -> tuple[int, str]:
    assert document["type"] == "error"
    return {"rate_limit_error": 429}.get(document["error"]["type"], 503), document["error"]["message"]


def of_google(document: Any) -> tuple[int, str]:
    error = document["error"]
    assert error["status"] == {429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}[error["code"]]
    return error["code"], error["message"]


SURFACES: dict[str, tuple[str, Any, Callable[[Any], tuple[int, str]]]] = {
    "chat": ("/v1/chat/completions", {"model": MODEL, "messages": TURNS}, of_openai),
    "completions": ("/v1/completions", {"model": MODEL, "prompt": "Hi"}, of_openai),
    "responses": ("/v1/responses", {"model": MODEL, "input": "Hi"}, of_openai),
    "messages": ("/v1/messages", {"model": MODEL, "messages": TURNS, "max_tokens": 9}, of_anthropic),
    "google": (f"/v1beta/models/{MODEL}:generateContent", {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}, of_google),
}


def post(rig: Rig, path: str, body: Any) -> Reply:
    with RawWire(urlsplit(rig.url).port or 0) as wire:
        wire.send(request_bytes("POST", path, json.dumps(body).encode(), key=rig.key))
        return wire.reply()


@pytest.mark.parametrize("surface", sorted(SURFACES))
@pytest.mark.parametrize(("kind", "status"), [("rate_limit", 429), ("overloaded", 503)])
def test_a_provider_that_asked_to_wait_is_not_asked_meanwhile(rig: Rig, surface: str, kind: str, status: int) -> None:
    path, body, read = SURFACES[surface]
    rig.sim.set_faults((Rule(Status(kind, retry_after=40)),))
    assert post(rig, path, body).status == status
    before = len(rig.sim.requests)
    reply = post(rig, path, body)
    told, message = read(json.loads(reply.body))
    assert (reply.status, told, len(rig.sim.requests)) == (status, status, before)
    assert 35 <= int(reply.headers.get("retry-after", "0")) <= 44 and MODEL in message


@pytest.mark.parametrize("surface", sorted(SURFACES))
def test_a_provider_that_is_down_is_no_limit(rig: Rig, surface: str) -> None:
    path, body, read = SURFACES[surface]
    rig.sim.set_faults((Rule(Status("server")),))
    while (reply := post(rig, path, body)).headers.get("x-headgate-request-id"):
        assert reply.status >= 500
    assert (reply.status, read(json.loads(reply.body))[0]) == (503, 503)
    assert int(reply.headers.get("retry-after", "0")) >= 1


@pytest.mark.parametrize("surface", sorted(SURFACES))
def test_when_all_are_ill_one_is_tried_all_the_same(rig: Rig, surface: str) -> None:
    """Faults A26 and C15: once in a second, and one that works again is found well by it."""
    path, body, _ = SURFACES[surface]
    rig.sim.set_faults((Rule(Status("server"), Match(first=5)),))
    for _ in range(5):
        assert post(rig, path, body).status >= 500
    assert rig.parts is not None and set(rig.parts.router.breakers().values()) == {"open"}
    assert post(rig, path, body).status == 200
    assert set(rig.parts.router.breakers().values()) == {"closed"}
