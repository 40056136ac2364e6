"""Exactly what failed is asked again: 308 of 9,240 units (ACC-04), and a smaller number of a smaller permutation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.sim.server import Simulator
from headgate.testing.clock import START, Clock, ScaledClock
from headgate.testing.pipelines import CONFIG, write_quiz
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]
RANK = "x * {pairs} + (y - (y > x)) * {singles} + z - (z > x) - (z > y)"
"""The number of an ordered selection of three, from 0: no two have the same."""
TEMPLATE = "{% if rank % SHARE == 0 and _retry is not defined %}answer: bad{% else %}answer: good{% endif %}\n"


@pytest.fixture
def headgate_sim_clock() -> Clock:
    """A batch of an hour is over in a few seconds."""
    return ScaledClock(START, 2000.0)


@pytest.mark.parametrize("mode", ["batch", "realtime"])
@pytest.mark.parametrize(
    ("items", "units", "failing"), [(6, 120, 12), pytest.param(22, 9240, 308, marks=pytest.mark.proofs)], ids=["120", "9240"]
)
def test_exactly_what_failed_is_asked_again(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, mode: str, items: int, units: int, failing: int
) -> None:
    rank = RANK.format(pairs=(items - 1) * (items - 2), singles=items - 2)
    places = ", ".join(f"{name}: \"{position}['n']\"" for name, position in zip("xyz", "abc", strict=True))
    config = (
        CONFIG.replace(
            "    - name: ask\n", f'    - {{name: number, scope: expression, expressions: {{{places}, rank: "{rank}"}}}}\n    - name: ask\n'
        )
        .replace("strategy: direct", "strategy: permutation\n  positions: [{name: a}, {name: b}, {name: c}]")
        .replace("chunk_size: 10", "chunk_size: 100")
    )
    config += "    rules: [{name: good_only, expr: \"answer == 'good'\"}]\n"
    listed = "questions:\n" + "".join(f"  - {{id: q{n}, n: {n}}}\n" for n in range(items))
    write_quiz(headgate_environment, config=config, items=listed, template=TEMPLATE.replace("SHARE", str(units // failing)))
    told = headgate("run", "Quiz", "-r", "one", "--mode", mode, "--json", "-q", code=0).json()
    assert (told["valid"], told["failed"], told["cost_nanos"]) == (units, 0, headgate_sim.bill.total)
    assert len(headgate_sim.bill.lines) == units + failing
    tries = Counter(line["unit"] for line in lines(told["outputs"]["receipts"]))
    assert Counter(tries.values()) == {1: units - failing, 2: failing}
    assert headgate("verify", "one", code=0)


def lines(path: str) -> list[Json]:
    """A JSONL file."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
