"""A run in batch mode at a provider whose batches must have many rows: what is too small for one is asked call by call."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from headgate.assembly.demo import run_bill, simulated
from headgate.assembly.parts import load_parts
from headgate.assembly.runs import RunRequest, drive_run, open_run
from headgate.batch.control import Control
from headgate.batch.states import RunState
from headgate.providers import PROVIDERS
from headgate.sim.clock import ScaledClock
from headgate.sim.faults import Match, Rows, Rule
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.testing.pipelines import CONFIG, write_quiz

pytest_plugins = ["headgate.testing.pytest_plugin"]

pytestmark = pytest.mark.usefixtures("headgate_environment")


def run(sim: Simulator, folder: Path, least: int, chunk_size: int) -> tuple[RunState, Counter[str]]:
    write_quiz(folder, config=CONFIG.replace("chunk_size: 10", f"chunk_size: {chunk_size}"))
    provider = PROVIDERS["sim-openai"]
    assert provider.batch is not None
    picky = replace(provider, batch=replace(provider.batch, limits=replace(provider.batch.limits, min_rows=least)))
    parts = simulated(replace(load_parts(), providers={**PROVIDERS, "sim-openai": picky}), sim.url)
    opened = open_run(parts, RunRequest(pipeline="Quiz", run="one", mode="batch"))
    result = asyncio.run(drive_run(parts, opened, lambda progress: None, Control()))
    return result.state, Counter(line.lane for line in sim.bill.lines)


@pytest.fixture
def quick_sim() -> Simulator:
    return Simulator(SimSettings(seed=7, time_scale=1000.0), clock=ScaledClock(1_780_000_000.0, 1000.0))


def test_a_chunk_that_is_too_small_is_answered_in_realtime(quick_sim: Simulator, headgate_environment: Path) -> None:
    with quick_sim.run_in_thread() as sim:
        assert run(sim, headgate_environment, least=5, chunk_size=4) == (RunState.COMPLETE, {"realtime": 6})
        assert not [entry for entry in sim.requests if entry.operation.startswith("batch")]
        assert run_bill(headgate_environment / "runs" / "one").spent == sim.bill.total


def test_only_the_rest_that_is_too_small_leaves_the_batch(quick_sim: Simulator, headgate_environment: Path) -> None:
    with quick_sim.run_in_thread() as sim:
        sim.set_faults((Rule(Rows("error", share=0.4), Match(operation="batch_create")),))
        state, lanes = run(sim, headgate_environment, least=5, chunk_size=6)
        assert state is RunState.COMPLETE and lanes["batch"] + lanes["realtime"] == 6 and min(lanes.values()) > 0
        assert run_bill(headgate_environment / "runs" / "one").spent == sim.bill.total
