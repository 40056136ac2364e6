"""Answers of earlier runs among the rows of batches: what is left may need several batches, or be too little for one."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from headgate.assembly.demo import simulated
from headgate.assembly.parts import load_parts
from headgate.assembly.runs import RunRequest, drive_run, open_run
from headgate.batch.control import Control
from headgate.batch.states import RunState
from headgate.providers import PROVIDERS
from headgate.sim.clock import ScaledClock
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.testing.pipelines import write_quiz
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

pytestmark = pytest.mark.usefixtures("headgate_environment")


def items(count: int, changed: range = range(0)) -> str:
    return "questions:\n" + "".join(f"  - id: q{n}\n    text: {'another' if n in changed else 'question'} {n}\n" for n in range(count))


def run(sim: Simulator, folder: Path, name: str, **limits: Json) -> Counter[tuple[str, str]]:
    """Run in batches within some limits; returns how many attempts had which lane and source of cost."""
    provider = PROVIDERS["sim-openai"]
    assert provider.batch is not None
    narrow = replace(provider, batch=replace(provider.batch, limits=replace(provider.batch.limits, **limits)))
    parts = simulated(replace(load_parts(), providers={**PROVIDERS, "sim-openai": narrow}), sim.url)
    opened = open_run(parts, RunRequest(pipeline="Quiz", run=name, mode="batch", cache=True))
    result = asyncio.run(drive_run(parts, opened, lambda progress: None, Control()))
    assert (result.state, result.progress.valid, result.progress.failed) == (RunState.COMPLETE, 10, 0)
    answers = [json.loads(line) for line in result.outputs["results"].read_text(encoding="utf-8").splitlines()]
    assert [answer["answer"] for answer in answers] == [answer["text"] for answer in answers]
    receipts = [json.loads(line) for line in result.outputs["receipts"].read_text(encoding="utf-8").splitlines()]
    return Counter((receipt["lane"], receipt["cost_source"]) for receipt in receipts)


@pytest.mark.parametrize(
    ("limits", "changed", "lanes"),
    [
        ({"max_rows": 4}, range(2, 9), {("batch", "cached"): 3, ("batch", "usage"): 7}),
        ({"max_rows": 4}, range(0), {("batch", "cached"): 10}),
        ({"min_rows": 5}, range(2, 5), {("batch", "cached"): 7, ("realtime", "usage"): 3}),
        ({"min_rows": 5}, range(0), {("batch", "cached"): 10}),
    ],
)
def test_what_is_known_is_no_row(headgate_environment: Path, limits: Json, changed: range, lanes: Json) -> None:
    with Simulator(SimSettings(seed=7, time_scale=1000.0), clock=ScaledClock(1_780_000_000.0, 1000.0)).run_in_thread() as sim:
        home = write_quiz(headgate_environment, items=items(10))
        assert run(sim, headgate_environment, "one") == {("batch", "usage"): 10}
        (home / "items.yaml").write_text(items(10, changed))
        assert run(sim, headgate_environment, "two", **limits) == lanes
        assert len(sim.bill.lines) == 10 + len(changed)
