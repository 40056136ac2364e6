"""``headgate status`` and ``ls``: what is beside the counts, and that they need only the counters."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.sim.server import Simulator
from headgate.testing.clock import START, Clock, ScaledClock
from headgate.testing.pipelines import CONFIG, write_quiz
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]


@pytest.fixture
def headgate_sim_clock() -> Clock:
    return ScaledClock(START, 200.0)


RULED = CONFIG.rstrip("\n") + "\n    rules:\n      - {name: low, expr: \"int(answer.split(' ')[1]) < 3\", error: too high}\n"
"""Three of the six questions have answers that break this for ever."""


@pytest.mark.parametrize(("config", "retries"), [(CONFIG, 0), (RULED, 6)])
def test_tokens_are_told_with_what_retries_took(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, config: str, retries: int
) -> None:
    """OCT-37."""
    write_quiz(headgate_environment, config=config)
    headgate("run", "Quiz", "-r", "one", "-q", code=0)
    found = headgate("status", "one", "--json", code=0).json()
    initial, again, every = (found["tokens"][kind] for kind in ("initial", "retry", "total"))
    assert (initial["calls"], again["calls"], every["calls"]) == (6, retries, len(headgate_sim.bill.lines))
    assert every["input"] == initial["input"] + again["input"] == sum(line.usage.input for line in headgate_sim.bill.lines)
    assert every["cost_usd"] == found["cost_usd"]
    assert (found["unpriced_calls"], found["overridden"], found["problems"]) == (0, [], [])
    line = next(line for line in headgate("status", "one", code=0).out.splitlines() if line.startswith("[TOKENS]"))
    retried = f"; of them for retries: input {again['input']:,}, output {again['output']:,}" if retries else ""
    assert line.startswith(f"[TOKENS] input {every['input']:,}, output {every['output']:,}{retried}")


def test_a_model_of_the_command_line_is_marked(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """OCT-12b."""
    write_quiz(headgate_environment)
    headgate("run", "Quiz", "-r", "plain", "-q", code=0)
    headgate("run", "Quiz", "-r", "other", "-p", "sim-anthropic", "-q", code=0)
    assert "sim-openai/sim-small*" not in headgate("status", "plain", code=0).out
    text = headgate("status", "other", code=0).out
    assert "sim-anthropic/sim-small*" in text
    assert "* chosen on the command line, not by the pipeline" in text
    found = headgate("status", "other", "--json", code=0).json()
    assert (found["overridden"], found["steps"][0]["overridden"]) == (["ask"], True)


def test_time_throughput_and_failures(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """OCT-46; three units break a rule for ever."""
    write_quiz(headgate_environment, config=RULED)
    headgate("run", "Quiz", "-r", "one", "-q", "--mode", "batch", code=0)
    before = time.time()
    found = headgate("status", "one", "--json", code=0).json()
    assert before - 1 <= found["timestamp"] <= time.time()
    assert found["summary"] == {"total_units": 6, "valid": 3, "failed": 3, "pending": 0, "inflight": 0, "progress": 1.0}
    assert found["failures"] == found["steps"][0]["failures"] == {"rule": 3}
    assert ("CHUNK_HAS_FAILURES", 3) in [(warning["code"], warning["count"]) for warning in found["warnings"]]
    timing, pace = found["timing"], found["throughput"]
    assert 0 < timing["driven_seconds"] <= timing["elapsed_seconds"] + 0.1
    assert pace["completed_units"] == 6
    assert pace["items_per_hour"] == pytest.approx(6 / timing["driven_seconds"] * 3600, rel=0.01)
    assert (pace["estimated_remaining_seconds"], pace["estimated_remaining_human"]) == (0.0, "0s")
    assert found["steps"][0]["state"] == "done"
    assert found["batch_counts"] == {"collected": len(found["batches"])}
    retry = found["tokens"]["retry"]
    assert retry["calls"] == 6, "three units, three tries each"


def test_units_that_nothing_works_on_are_told(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """Damage that the counters show is shown without counting."""
    write_quiz(headgate_environment)
    headgate("run", "Quiz", "-r", "one", "-q", code=0)
    with sqlite3.connect(headgate_environment / "runs" / "one" / "run.sqlite") as db:
        db.execute("DROP TRIGGER chunk_law")
        db.execute("UPDATE chunk SET valid = valid - 1")
    told = headgate("status", "one", code=0)
    assert "warning: step ask: 1 units are neither valid nor failed, and nothing works on them" in told.err
    assert json.loads(headgate("status", "one", "--json", code=0).out)["problems"]


def test_looking_loads_nothing_that_drives() -> None:
    probe = "import sys, headgate.cli.actions.status; print(sorted({'dbos', 'sqlalchemy', 'jinja2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
