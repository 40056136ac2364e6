"""Runs keep to the limits of providers and models, which they share with one another and with the gateway (ACC-06, USR-04)."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.sim.faults import Delay, Match, Rule
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.testing.pipelines import CONFIG, write_quiz
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]
MANY = "questions:\n" + "".join(f"  - {{id: q{n}, text: question {n}}}\n" for n in range(20))


def limited(folder: Path, limit: str, config: str = CONFIG) -> None:
    (folder / "headgate.yaml").write_text(f"limits:\n  - {limit}\n", encoding="utf-8")
    write_quiz(folder, items=MANY, config=config)


LASTS = 0.05
"""Seconds that a call is made to take."""
BEGAN: list[float] = []
"""When calls came in, in real seconds."""


@pytest.fixture
def headgate_sim_settings() -> SimSettings:
    BEGAN.clear()

    def seen(_seq: int, operation: str) -> None:
        if operation == "chat":
            BEGAN.append(time.monotonic())

    return SimSettings(seed=7, on_request=seen)


def most_at_once() -> int:
    """Calls that were under way together at most, as far as that is certain: those that came in while one can not have been answered."""
    window = 0.9 * LASTS
    return max(sum(begun <= other < begun + window for other in BEGAN) for begun in BEGAN)


def test_calls_at_a_time_are_those_of_the_limit(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    limited(headgate_environment, '{subject: "provider:sim-openai", concurrency: 3}')
    headgate_sim.set_faults((Rule(Delay(LASTS), Match(operation="chat")),))
    assert headgate("run", "Quiz", "-r", "one", "--json", "-q", code=0).json()["valid"] == 20
    assert most_at_once() == 3


def test_two_runs_share_one_limit(headgate_environment: Path, headgate_sim: Simulator) -> None:
    """Two processes, one quota: together they never have more calls under way than one may."""
    limited(headgate_environment, '{subject: "model:sim-openai/sim-small", concurrency: 4}')
    headgate_sim.set_faults((Rule(Delay(LASTS), Match(operation="chat")),))
    start = [sys.executable, "-m", "headgate", "run", "Quiz", "-q", "--no-preflight", "-r"]
    runs = [subprocess.Popen([*start, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for name in ("one", "two")]
    told = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    assert len(headgate_sim.bill.lines) == 40
    assert most_at_once() <= 4


def test_a_unit_larger_than_the_limit_fails_and_the_others_go_on(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator
) -> None:
    limited(headgate_environment, '{subject: "provider:sim-openai", input_tpm: 1000}')
    (headgate_environment / "pipelines" / "Quiz" / "items.yaml").write_text(
        f"questions:\n  - {{id: small, text: a}}\n  - {{id: large, text: {'long ' * 2000}}}\n", encoding="utf-8"
    )
    told = headgate("run", "Quiz", "-r", "one", "--json", "-q", code=0).json()
    assert (told["valid"], told["failed"], len(headgate_sim.bill.lines)) == (1, 1, 1)
    assert "too_large" in Path(told["outputs"]["failures"]).read_text(encoding="utf-8")


def test_batches_do_not_count_for_limits_of_a_minute(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """USR-31: a batch of twenty is no twenty requests."""
    limited(headgate_environment, '{subject: "provider:sim-openai", rpm: 2}')
    assert headgate("run", "Quiz", "-r", "one", "--mode", "batch", "--timeout", "1s", "-q").code == 3
    assert [one.rows for one in headgate_sim.requests if one.operation == "batch_create"] == [10, 10]
    assert BEGAN == []


def test_calls_in_line_do_not_keep_a_run_from_stopping(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """One call a minute: the second would stand in line for most of it, and the run pauses all the same."""
    limited(headgate_environment, '{subject: "provider:sim-openai", rpm: 1}')
    began = time.monotonic()
    paused = headgate("run", "Quiz", "-r", "one", "--timeout", "1s", "-q", code=3)
    assert time.monotonic() - began < 10.0, paused.err
    assert len(headgate_sim.bill.lines) <= 1
