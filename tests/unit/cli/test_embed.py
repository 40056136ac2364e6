"""``headgate embed``, against the simulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from headgate.ledger import Ledger
from headgate.sim.server import Simulator
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]
models = pytest.mark.parametrize("model", ["sim-openai/sim-small", "sim-gemini/sim-small"])


@models
def test_one_line_for_each_text_and_one_receipt(headgate: Command, headgate_environment: Path, headgate_sim: Simulator, model: str) -> None:
    done = headgate("embed", "the harbour", "a sailor", "-m", model, "-d", "8", code=0)
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [(row["index"], row["dimensions"], len(row["embedding"])) for row in rows] == [(0, 8, 8), (1, 8, 8)]
    assert done.err.startswith("[VECTORS] 2 of 8 dimensions, ")
    with closing(Ledger.open(headgate_environment / "data" / "ledger.db")) as ledger:
        (receipt,) = ledger.list()
    assert done.err.strip().endswith(receipt.id)
    assert (receipt.face, receipt.operation) == ("cli", "embed")
    assert receipt.cost_nanos == headgate_sim.bill.total > 0


def test_lines_of_standard_input(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    (headgate_environment / "stdin").write_text("one\n\ntwo\n")
    done = headgate("embed", "zero", "-", "-m", "sim-openai/sim-small", "--json", code=0)
    found = done.json()
    assert len(found["embeddings"]) == 3
    assert found["usage"]["source"] == "provider" and float(found["cost_usd"]) > 0
    assert found["dimensions"] == len(found["embeddings"][2])


def test_no_text(headgate: Command, headgate_sim: Simulator) -> None:
    done = headgate("embed", "-m", "sim-openai/sim-small", code=2)
    assert "there is no text" in done.err


def test_a_provider_without_embeddings(headgate: Command, headgate_sim: Simulator) -> None:
    done = headgate("embed", "x", "-m", "sim-anthropic/sim-small", code=2)
    assert "no embeddings" in done.err
