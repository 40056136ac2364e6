"""Runs that change their lane: for a deadline, because a batch is stuck, because somebody says so."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.sim.faults import BatchEnd, Match, Rule
from headgate.sim.server import Simulator
from headgate.testing.clock import START, Clock, ScaledClock
from headgate.testing.pipelines import CONFIG, write_quiz
from headgate.testing.simulators import wait_for
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]
SMALL = CONFIG.replace("chunk_size: 10", "chunk_size: 2")
STUCK = Rule(BatchEnd("stuck", share=0.5), Match(operation="batch_create"))


@pytest.fixture
def headgate_sim_clock() -> Clock:
    """A batch of a minute is over in a third of a second."""
    return ScaledClock(START, 200.0)


def receipts(folder: Path) -> list[Json]:
    """The receipts of the run called one."""
    lines = (folder / "runs" / "one" / "outputs" / "receipts.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def lanes(folder: Path) -> Counter[tuple[str, str | None]]:
    return Counter((receipt["lane"], receipt["lane_reason"]) for receipt in receipts(folder) if receipt["usage"] is not None)


def test_a_deadline_is_kept_when_batches_never_end(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """What a batch has done is kept, the rest is asked at once, and the receipts say why."""
    write_quiz(headgate_environment, config=SMALL)
    headgate_sim.set_faults((STUCK,))
    done = headgate("run", "Quiz", "-r", "one", "--mode", "batch", "--deadline", "3s", "--json", code=0)
    told = done.json()
    assert (told["state"], told["valid"], told["cost_nanos"]) == ("complete", 6, headgate_sim.bill.total)
    assert "batches cancelled for the deadline" in done.err
    found = lanes(headgate_environment)
    assert sum(found.values()) == 6
    assert set(found) <= {("batch", None), ("realtime", "deadline")} and found["realtime", "deadline"] >= 3


def test_a_deadline_that_no_batch_can_keep_is_kept_without_one(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator
) -> None:
    write_quiz(headgate_environment, config=SMALL)
    told = headgate("run", "Quiz", "-r", "one", "--mode", "batch", "--deadline", "1s", "--concurrency", "1", "--json", code=0).json()
    assert told["valid"] == 6
    assert lanes(headgate_environment) == {("realtime", "deadline"): 6}
    assert not [entry for entry in headgate_sim.requests if entry.operation == "batch_create"]


@pytest.mark.parametrize(
    ("on_stuck", "expected"),
    [("switch_to_realtime", {("batch", None), ("realtime", "stuck")}), ("cancel_resubmit", {("batch", None)})],
)
def test_a_batch_that_is_too_old(
    headgate: Command,
    headgate_environment: Path,
    headgate_sim: Simulator,
    on_stuck: str,
    expected: set[tuple[str, str | None]],
) -> None:
    """OCT-123: half of it was done, and is kept."""
    config = CONFIG.replace(
        "  provider: sim-openai\n", f"  provider: sim-openai\n  batch: {{max_age_hours: 0.0002, on_stuck: {on_stuck}}}\n"
    )
    write_quiz(headgate_environment, config=config)
    headgate_sim.set_faults((Rule(BatchEnd("stuck", share=0.5), Match(operation="batch_create", nth=1)),))
    done = headgate("run", "Quiz", "-r", "one", "--mode", "batch", "--json", code=0)
    assert (done.json()["valid"], done.json()["cost_nanos"]) == (6, headgate_sim.bill.total)
    assert "batches cancelled because they were too old" in done.err
    assert set(lanes(headgate_environment)) <= expected


def test_a_run_goes_on_in_another_mode(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """A paused batch run goes on realtime: what is at the provider is fetched, the rest is asked."""
    config = SMALL.replace("  provider: sim-openai\n", "  provider: sim-openai\n  max_inflight_batches: 1\n")
    write_quiz(headgate_environment, config=config)
    headgate_sim.set_faults((Rule(BatchEnd("stuck", share=1.0), Match(operation="batch_create")),))
    assert headgate("run", "Quiz", "-r", "one", "--mode", "batch", "--timeout", "1s").code == 3
    headgate_sim.set_faults(())
    told = headgate("switch", "one", "realtime", code=0)
    assert told.out == "one goes on as realtime, when it is run again\n"
    done = headgate("run", "Quiz", "-r", "one", "--timeout", "3s")
    found = headgate("status", "one", "--json", code=0).json()
    assert found["mode"] == "realtime"
    assert sum(step["valid"] for step in found["steps"]) == 4, done.err


def test_a_run_is_switched_while_it_is_driven(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    config = SMALL.replace("  provider: sim-openai\n", "  provider: sim-openai\n  max_inflight_batches: 1\n")
    write_quiz(headgate_environment, config=config)
    wanted = headgate_environment / "runs" / "one" / "mode.wanted"

    def switch() -> None:
        wait_for(lambda: any(entry.operation == "batch_create" for entry in headgate_sim.requests), 30.0)
        wanted.write_text("realtime\n", encoding="utf-8")

    other = threading.Thread(target=switch)
    other.start()
    told = headgate("run", "Quiz", "-r", "one", "--mode", "batch", "--json", code=0).json()
    other.join()
    assert (told["valid"], told["cost_nanos"]) == (6, headgate_sim.bill.total)
    assert lanes(headgate_environment) == {("batch", None): 2, ("realtime", "switched"): 4}
    assert not wanted.exists()
    refused = headgate("switch", "one", "batch", code=2)
    assert "one is complete" in refused.err


def test_a_realtime_run_goes_on_as_a_batch(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment, config=SMALL)
    assert headgate("run", "Quiz", "-r", "one", "--max-cost", "0.0000001").code == 2
    told = headgate("run", "Quiz", "-r", "one", "--mode", "batch", "--max-cost", "1", "--json", code=0).json()
    assert (told["valid"], told["cost_nanos"]) == (6, headgate_sim.bill.total)
    assert set(lanes(headgate_environment)) == {("batch", "switched")}
