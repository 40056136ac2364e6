"""``headgate archive``, ``unarchive``, ``rename`` and ``delete``, on runs against the simulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from headgate.batch.home import Home
from headgate.ledger import Filter, Ledger
from headgate.sim.faults import BatchEnd, Match, Rule, Status
from headgate.sim.server import Simulator
from headgate.testing.clock import START, Clock, ScaledClock
from headgate.testing.pipelines import CONFIG, write_quiz
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]
TRICKS = ("../one", "runs/../../one", "..", ".", "_archive", "a/../one", "a\x00b", "")


@pytest.fixture
def headgate_sim_clock() -> Clock:
    """A batch of a minute is over in a third of a second."""
    return ScaledClock(START, 200.0)


@pytest.fixture
def run(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> Path:
    """The folder of a complete run `one`."""
    write_quiz(headgate_environment)
    headgate("run", "Quiz", "-r", "one", "-q", code=0)
    return headgate_environment / "runs" / "one"


def test_a_run_is_put_away_and_taken_back(headgate: Command, run: Path) -> None:
    away = headgate("archive", "one", "--json", code=0).json()
    assert away == {"run": "one", "folder": str(run.parent / "_archive" / "one"), "before": str(run)}
    assert not run.exists()
    assert headgate("ls", "--json", code=0).json() == []
    assert headgate("status", "runs/_archive/one", "--json", code=0).json()["state"] == "complete"
    assert "there is no run 'two' in the archive" in headgate("unarchive", "two", code=2).err
    assert headgate("unarchive", "on", code=0).out == "one lies in runs/one\n"
    assert headgate("verify", "one", "--deep", code=0).out.endswith("integrity OK\n")
    headgate("archive", "one", code=0)
    headgate("run", "Quiz", "-r", "one", "-q", code=0)
    assert "exists already" in headgate("unarchive", "one", code=2).err


def test_a_run_that_is_driven_stays_where_it_is(headgate: Command, run: Path) -> None:
    with Home(run):
        for arguments in (
            ("archive", "one"),
            ("rename", "one", "two"),
            ("delete", "one", "--yes"),
            ("retry", "one"),
            ("revalidate", "one"),
        ):
            assert "is driven by process" in headgate(*arguments, code=1).err
    assert run.is_dir()


@pytest.mark.parametrize("name", TRICKS)
def test_names_that_lead_elsewhere_are_refused(headgate: Command, run: Path, name: str) -> None:
    before = sorted(path.name for path in run.iterdir())
    assert headgate("rename", "one", name, code=2).err
    assert headgate("unarchive", name, code=2).err
    (run.parent.parent / "one").mkdir()
    for arguments in (("archive", name), ("delete", name, "--yes"), ("rename", name, "two")):
        assert headgate(*arguments).code == 2, arguments
    assert sorted(path.name for path in run.iterdir()) == before


def test_a_link_to_a_run_is_not_the_run(headgate: Command, run: Path) -> None:
    (run.parent / "link").symlink_to(run)
    for arguments in (("archive", "link"), ("delete", "link", "--yes"), ("rename", "link", "two")):
        assert headgate(*arguments, code=2).err
    assert headgate("status", "one", code=0)


def test_a_renamed_run_is_the_same_run(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """Also one in the middle of its work: nothing is asked twice, and its money is booked once."""
    write_quiz(headgate_environment, config=CONFIG.replace("chunk_size: 10", "chunk_size: 2"))
    headgate_sim.set_faults((Rule(Status("auth"), Match(operation="chat", nth=4)),))
    assert headgate("run", "Quiz", "-r", "one", "--concurrency", "1", "-q").code == 1
    assert headgate("rename", "one", "two", "--json", code=0).json()["run"] == "two"
    assert "there is no run 'one'" in headgate("status", "one", code=2).err
    headgate_sim.set_faults(())
    done = headgate("resume", "two", "--json", code=0).json()
    assert (done["run"], done["valid"], done["cost_nanos"]) == ("two", 6, headgate_sim.bill.total)
    assert len(headgate_sim.bill.lines) == 6
    assert headgate("verify", "two", "--deep", code=0).out.endswith("integrity OK\n")
    with closing(Ledger.open(headgate_environment / "data" / "ledger.db")) as ledger:
        booked = {name: sum(total.cost_nanos for total in ledger.totals(Filter(run=name))) for name in ("one", "two")}
    assert sum(booked.values()) == headgate_sim.bill.total and all(booked.values())


def test_a_complete_run_is_renamed_with_its_receipts(headgate: Command, run: Path) -> None:
    headgate("run", "Quiz", "-r", "three", "-q", code=0)
    assert "exists already" in headgate("rename", "one", "three", code=2).err
    headgate("rename", "one", "two", code=0)
    receipts = (run.with_name("two") / "outputs" / "receipts.jsonl").read_text().splitlines()
    assert {json.loads(line)["run"] for line in receipts} == {"two"}


def test_deleting_a_run_asks_and_leaves_what_is_not_its_own(headgate: Command, run: Path, headgate_environment: Path) -> None:
    refused = headgate("delete", "one", code=2)
    assert "Delete one (complete, 6 results, cost $" in refused.err and "hint: add --yes" in refused.err
    (run / "notes.txt").write_text("mine")
    told = headgate("delete", "one", "--yes", code=1)
    assert told.out == "one is deleted\n" and "notes.txt is no file of the run" in told.err
    assert [path.name for path in run.iterdir()] == ["notes.txt"]
    with closing(Ledger.open(headgate_environment / "data" / "ledger.db")) as ledger:
        assert sum(total.cost_nanos for total in ledger.totals(Filter(run="one"))) > 0, "the money stays booked"


@pytest.mark.parametrize(
    ("provider", "operations"),
    [
        ("sim-openai", {"file_delete": 2}),
        ("sim-anthropic", {"batch_delete": 1}),
        ("sim-gemini", {"file_delete": 2, "batch_delete": 1}),
    ],
)
def test_what_providers_keep_is_deleted_too(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, provider: str, operations: dict[str, int]
) -> None:
    write_quiz(headgate_environment)
    headgate("run", "Quiz", "-p", provider, "-r", "one", "--mode", "batch", "-q", code=0)
    done = headgate("delete", "one", "--provider", "--yes", "--json", code=0).json()
    assert (done["run"], done["at_provider"], done["left_at_provider"], done["left_behind"]) == ("one", 1, [], [])
    assert not (headgate_environment / "runs" / "one").exists()
    asked = [entry.operation for entry in headgate_sim.requests if entry.operation.endswith("_delete")]
    assert {name: asked.count(name) for name in set(asked)} == operations


def test_open_batches_are_cancelled_and_what_is_left_is_told(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator
) -> None:
    write_quiz(headgate_environment)
    headgate_sim.set_faults((Rule(BatchEnd("stuck")), Rule(Status("server"), Match(operation="file_delete"))))
    assert headgate("run", "Quiz", "-r", "one", "--mode", "batch", "--timeout", "2s", "-q", code=3)
    told = headgate("delete", "one", "--provider", "--yes", code=1)
    assert "left: " in told.err and "batch" in told.err
    assert "batch_cancel" in [entry.operation for entry in headgate_sim.requests]
    assert not (headgate_environment / "runs" / "one").exists()
