"""Embeddings from Python."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from headgate.domain.embedding import EmbedRequest
from headgate.errors import ErrorKind, ProviderError, Unsupported, UsageError
from headgate.ledger import Ledger
from headgate.library import AsyncClient, Client, LibraryParts
from headgate.sim.faults import Match, Rule, Status
from headgate.sim.server import Simulator

MakeParts = Callable[[], LibraryParts]
MODELS = ("sim-openai/sim-small", "sim-gemini/sim-small")
models = pytest.mark.parametrize("model", MODELS)


@models
def test_vectors_usage_cost_and_receipt(make_parts: MakeParts, ledger: Ledger, sim: Simulator, model: str) -> None:
    lines = len(sim.bill.lines)
    with Client(make_parts=make_parts) as client:
        found = client.embed(model, ["the harbour", "a sailor"], dimensions=16)
    assert [len(vector) for vector in found.vectors] == [16, 16]
    assert found.dimensions == 16
    receipt = ledger.get(found.receipt_id)
    assert receipt is not None
    assert (receipt.operation, receipt.face, receipt.status) == ("embed", "library", "ok")
    assert (receipt.usage, receipt.cost) == (found.usage, found.cost)
    assert found.usage.source == "provider" and found.usage.output_total == 0
    assert found.cost.nanos == sum(line.nanos for line in sim.bill.lines[lines:]) > 0


def test_many_texts_are_split_and_keep_their_order(make_parts: MakeParts, ledger: Ledger, sim: Simulator) -> None:
    texts = [f"text {n}" for n in range(450)]

    async def ask() -> tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...], int]:
        async with AsyncClient(make_parts=make_parts) as client:
            lines = len(sim.bill.lines)
            many = await client.embed("sim-gemini/sim-small", texts, dimensions=4)
            calls = len(sim.bill.lines) - lines
            few = await client.embed("sim-gemini/sim-small", texts[250:252], dimensions=4)
        return many.vectors, few.vectors, calls

    many, few, calls = asyncio.run(ask())
    assert (len(many), calls) == (450, 5)
    assert many[250:252] == few
    assert len(ledger.list()) == 2


def test_what_was_answered_before_a_failure_is_booked(make_parts: MakeParts, ledger: Ledger, sim: Simulator) -> None:
    sim.set_faults((Rule(Status("overloaded"), Match(operation="embed", nth=3)),))
    lines = len(sim.bill.lines)
    with Client(make_parts=make_parts) as client, pytest.raises(ProviderError) as failed:
        client.embed("sim-gemini/sim-small", [f"text {n}" for n in range(700)], dimensions=4)
    assert failed.value.kind is ErrorKind.OVERLOADED
    billed = sim.bill.lines[lines:]
    (receipt,) = ledger.list()
    assert receipt.status == "error"
    assert 0 < len(billed) < 7
    assert receipt.cost_nanos == sum(line.nanos for line in billed)
    assert {(line.model) for line in billed} == {"sim-small"}


@models
def test_one_text(make_parts: MakeParts, model: str) -> None:
    with Client(make_parts=make_parts) as client:
        one = client.embed(model, "the harbour")
        request = EmbedRequest(model=model, inputs=("the harbour",))
        assert client.embed(request).vectors == one.vectors
        assert len(one.vectors) == 1


def test_what_cannot_be_asked(make_parts: MakeParts) -> None:
    with Client(make_parts=make_parts) as client:
        with pytest.raises(UsageError, match="nothing to embed"):
            client.embed(MODELS[0], [])
        with pytest.raises(UsageError, match="dimensions"):
            client.embed(MODELS[0], "x", dimensions=0)
        with pytest.raises(UsageError, match="has its inputs"):
            client.embed(EmbedRequest(model=MODELS[0], inputs=("x",)), "y")
        with pytest.raises(TypeError, match="dimension"):
            client.embed(MODELS[0], "x", dimension=3)
        with pytest.raises(Unsupported, match="no embeddings"):
            client.embed("sim-anthropic/sim-small", "x")
        with pytest.raises(Unsupported, match="user"):
            client.embed("sim-gemini/sim-small", "x", user="u", strict=True)
