"""One gateway over the simulator for each module, and the official clients pointed at it: only the base URL and the key are theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest

from headgate.sim.settings import SimSettings
from headgate.testing.gateway import ONCE, Rig, running_gateway

PROVIDERS = ("sim-openai", "sim-anthropic", "sim-gemini")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder: Path = tmp_path_factory.mktemp("gateway")
    with running_gateway(folder, settings=SimSettings(seed=7), gate=ONCE) as running:
        yield running


@pytest.fixture(autouse=True)
def books(rig: Rig) -> Iterator[int]:
    """Providers are taken to be well before each test. After it: every line of the provider's bill has its receipt, to the nano-dollar."""
    rig.calm()
    receipts, lines = len(rig.all_receipts()), len(rig.sim.bill.lines)
    yield receipts
    rig.sim.set_faults(())
    rig.calm()
    rig.run(rig.drain())
    written = rig.all_receipts()[receipts:]
    if all(receipt.status == "ok" and receipt.usage.source == "provider" for receipt in written):
        booked, billed = [receipt.cost_nanos or 0 for receipt in written], [line.nanos for line in rig.sim.bill.lines[lines:]]
        assert sum(booked) == sum(billed)
        assert sorted(booked) == sorted(billed) or len(booked) < len(billed), "only embeddings take several calls for one request"


@pytest.fixture(scope="module")
def oai(rig: Rig) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{rig.url}/v1", api_key=rig.key, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def ant(rig: Rig) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=rig.url, api_key=rig.key, max_retries=0) as client:
        yield client


@pytest.fixture(params=PROVIDERS)
def model(request: pytest.FixtureRequest) -> str:
    return f"{request.param}/sim-small"
