"""A model that costs nothing, under a hard budget that has nothing left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from headgate.catalog.cards import Price, Rates
from headgate.client import Target
from headgate.ledger.budgets import Budget
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import Gate, running_gateway
from headgate.testing.raw_http import RawWire, request_bytes


def free(target: Target) -> Target:
    """The small model as one that costs nothing, and whose output no card limits."""
    card = target.card
    if card is None or target.model != "sim-small":
        return target
    price = Price(since="2020-01-01", source="one's own machine", rates=Rates(input="0", output="0"))
    unlimited = replace(card.capabilities, max_output=None)
    return replace(target, card=replace(card, prices=(price,), capabilities=unlimited))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(("model", "status"), [("sim-openai/sim-small", 200), ("sim-openai/sim-large", 402)])
def test_what_costs_nothing_is_always_asked(tmp_path: Path, model: str, status: int, fast: bool) -> None:
    gate = Gate(budgets=(Budget(id="all", scope="global", limit_nanos=1, window="total"),), fast=fast)
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Say hello"}]}).encode()
    with running_gateway(tmp_path, settings=SimSettings(seed=7), gate=gate, change=free) as rig:
        for _ in range(2):
            with RawWire(int(rig.url.rpartition(":")[2])) as wire:
                wire.send(request_bytes("POST", "/v1/chat/completions", body, key=rig.key))
                assert wire.reply().status == status
        rig.run(rig.drain())
        assert [receipt.cost_nanos for receipt in rig.all_receipts()] == ([0, 0] if status == 200 else [])
