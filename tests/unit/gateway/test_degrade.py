"""A budget whose action is ``degrade``: what there is no room for goes to a model that costs less."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.config.route_settings import RoutingSettings
from headgate.ledger.budgets import Budget
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import Gate, Rig, running_gateway
from headgate.testing.raw_http import RawWire, Reply, request_bytes

CENT = 10**7
"""In nano-dollars."""


def budget(limit: int) -> Budget:
    """A budget over everything."""
    return Budget(id="all", scope="global", limit_nanos=limit, window="total", action="degrade")


@pytest.fixture
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    gate = Gate(budgets=(budget(CENT),), routing=RoutingSettings(fallback=("sim-openai/sim-flash",)))
    with running_gateway(tmp_path_factory.mktemp("degrade"), settings=SimSettings(seed=7), gate=gate) as running:
        yield running


def chat(tokens: int, stream: bool = False) -> bytes:
    body = {"model": "sim-openai/sim-large", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": tokens, "stream": stream}
    return json.dumps(body).encode()


def ask(rig: Rig, tokens: int, **headers: str) -> Reply:
    with RawWire(int(rig.url.rpartition(":")[2])) as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", chat(tokens), key=rig.key, **headers))
        return wire.reply()


def test_what_fits_is_asked_as_it_came(rig: Rig) -> None:
    reply = ask(rig, 100)
    assert (reply.status, json.loads(reply.body)["model"]) == (200, "sim-large")
    assert "x-headgate-fidelity" not in reply.headers


def test_what_does_not_fit_goes_to_a_cheaper_model(rig: Rig) -> None:
    reply = ask(rig, 4000)
    assert reply.status == 200
    assert b'"sim-flash"' in reply.body
    assert "approximated:model" in reply.headers["x-headgate-fidelity"]
    (receipt,) = rig.receipts(1)
    assert (receipt.model, receipt.status) == ("sim-flash", "ok")
    assert receipt.bound_nanos is not None and receipt.bound_nanos <= CENT
    assert [note.field for note in receipt.notes] == ["model"]


def test_a_stream_goes_there_too(rig: Rig) -> None:
    with RawWire(int(rig.url.rpartition(":")[2])) as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", chat(4000, stream=True), key=rig.key, connection="close"))
        said = wire.read_to_end()
    assert b"x-headgate-fidelity: approximated:model" in said and b'"sim-flash"' in said and b"[DONE]" in said


def test_a_strict_request_is_refused_instead(rig: Rig) -> None:
    reply = ask(rig, 4000, x_headgate_strict="true")
    assert reply.status == 400
    assert rig.spending.under_way == 0


def test_what_fits_nowhere_is_refused_with_the_numbers_of_the_first(tmp_path: Path) -> None:
    gate = Gate(budgets=(budget(1000),), routing=RoutingSettings(fallback=("sim-openai/sim-flash",)))
    with running_gateway(tmp_path, settings=SimSettings(seed=7), gate=gate) as rig:
        reply = ask(rig, 4000)
        assert (reply.status, json.loads(reply.body)["error"]["code"]) == (402, "budget_exceeded")
        assert rig.spending.under_way == 0
