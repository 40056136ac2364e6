"""Counting and pricing go by the same names as asking: routes and aliases lead to who would be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from headgate.config.route_settings import DeploymentSettings, RouteSettings
from headgate.ledger.keys import KeyChange
from headgate.ledger.rights import ADMIN
from headgate.sim.faults import Rule, Status
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import ONCE, Gate, Rig, running_gateway
from headgate.testing.raw_http import RawWire, Reply, request_bytes

SMALL, LARGE = "sim-anthropic/sim-small", "sim-anthropic/sim-large"
TURNS = [{"role": "user", "content": "Hi"}]
ROUTES = (
    RouteSettings(name="chat", deployments=(DeploymentSettings(model=SMALL),)),
    RouteSettings(name="turns", strategy="round_robin", deployments=(DeploymentSettings(model=SMALL), DeploymentSettings(model=LARGE))),
)
GATE = Gate(routes=ROUTES, aliases={"opus": LARGE, "mine": "chat"}, routing=ONCE.routing)


@pytest.fixture(scope="module")
def module_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_gateway(tmp_path_factory.mktemp("count"), settings=SimSettings(seed=7), gate=GATE) as running:
        yield running


def post(rig: Rig, path: str, body: Any, key: str | None = None) -> Reply:
    with RawWire(urlsplit(rig.url).port or 0) as wire:
        wire.send(request_bytes("POST", path, json.dumps(body).encode(), key=key or rig.key))
        return wire.reply()


def count(rig: Rig, model: str, key: str | None = None, text: str = "Hi") -> Reply:
    return post(rig, "/v1/messages/count_tokens", {"model": model, "messages": [{"role": "user", "content": text}]}, key)


@pytest.mark.parametrize(("name", "model"), [("chat", "sim-small"), ("mine", "sim-small"), ("opus", "sim-large"), (SMALL, "sim-small")])
def test_every_name_counts(rig: Rig, name: str, model: str) -> None:
    before = len(rig.sim.requests)
    reply = count(rig, name)
    assert (reply.status, json.loads(reply.body)["input_tokens"] > 0, reply.headers["x-headgate-count-source"]) == (200, True, "provider")
    (asked,) = rig.sim.requests[before:]
    assert asked.model == model
    contents = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    assert post(rig, f"/v1beta/models/{name}:countTokens", contents).status == 200
    assert post(rig, "/v1/responses/input_tokens", {"model": name, "input": "Hi"}).status == 200


@pytest.mark.parametrize(("name", "model"), [("chat", SMALL), ("mine", SMALL), ("opus", LARGE), ("turns", SMALL), (SMALL, SMALL)])
def test_every_name_is_priced(rig: Rig, name: str, model: str) -> None:
    reply = post(rig, "/v1/estimate-cost", {"model": name, "input_tokens": 10})
    assert (reply.status, json.loads(reply.body)["model"]) == (200, model)
    with RawWire(urlsplit(rig.url).port or 0) as wire:
        wire.send(request_bytes("GET", f"/v1/pricing?model={name}", b"", key=rig.key))
        assert json.loads(wire.reply().body)["model"] == model


def test_a_route_is_priced_as_what_the_key_may_call_of_it(rig: Rig) -> None:
    key = rig.keys.create(KeyChange(models=(LARGE,)), ADMIN).secret.reveal()
    reply = post(rig, "/v1/estimate-cost", {"model": "turns", "input_tokens": 10}, key)
    assert (reply.status, json.loads(reply.body)["model"]) == (200, LARGE)
    assert post(rig, "/v1/estimate-cost", {"model": "chat", "input_tokens": 10}, key).status == 404


def test_what_is_too_long_to_be_answered_is_counted(rig: Rig) -> None:
    assert json.loads(count(rig, "chat", text="word " * 1_000_000).body)["input_tokens"] > 200_000


def test_counting_takes_no_turn(rig: Rig) -> None:
    before = len(rig.sim.requests)
    for _ in range(2):
        count(rig, "turns")
        assert post(rig, "/v1/messages", {"model": "turns", "max_tokens": 9, "messages": TURNS}).status == 200
        count(rig, "turns")
    asked = [entry.model for entry in rig.sim.requests[before:]]
    assert sorted(asked[1::3]) == ["sim-large", "sim-small"]


def test_a_provider_that_asked_to_wait_is_not_asked_to_count(rig: Rig) -> None:
    rig.sim.set_faults((Rule(Status("rate_limit", retry_after=30)),))
    assert post(rig, "/v1/messages", {"model": SMALL, "max_tokens": 9, "messages": TURNS}).status == 429
    before = len(rig.sim.requests)
    reply = count(rig, "chat")
    assert (reply.status, len(rig.sim.requests)) == (429, before) and int(reply.headers["retry-after"]) > 20


def test_a_hidden_name_is_no_name(rig: Rig) -> None:
    key = rig.keys.create(KeyChange(models=("sim-openai/*",)), ADMIN).secret.reveal()
    hidden, absent = (json.loads(count(rig, name, key).body) for name in ("chat", "chit"))
    assert hidden["error"]["message"].replace("chat", "chit") == absent["error"]["message"]
    assert count(rig, SMALL, key).status == 404
