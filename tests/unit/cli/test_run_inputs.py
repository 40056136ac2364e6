"""``headgate run --items`` and ``--units-file``, against the simulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.batch import lazy_items, pipeline_files
from headgate.sim.server import Simulator
from headgate.testing.clock import START, Clock, ScaledClock
from headgate.testing.pipelines import CONFIG, write_quiz
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]


@pytest.fixture
def headgate_sim_clock() -> Clock:
    """A batch of a minute is over in a third of a second."""
    return ScaledClock(START, 200.0)


def rows(path: str) -> list[Json]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def lines(count: int) -> str:
    return "".join(f'{{"id": "x{n}", "text": "line {n}"}}\n' for n in range(count))


@pytest.mark.parametrize("mode", ["realtime", "batch"])
@pytest.mark.parametrize("large", [False, True])
def test_a_run_over_another_file_goes_on_without_it(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch, mode: str, large: bool
) -> None:
    monkeypatch.setattr(pipeline_files, "HELD", 100 if large else 1 << 20)
    monkeypatch.setattr(lazy_items, "MARK_EVERY", 4)
    write_quiz(headgate_environment)
    (headgate_environment / "mine.jsonl").write_text(lines(25))
    run = ("run", "Quiz", "-r", "one", "--mode", mode, "--json")
    first = headgate(*run, "--items", "mine.jsonl", "--max-cost", "0.00000001", code=2).json()
    assert first["state"] == "paused"
    assert (headgate_environment / "runs" / "one" / "input" / "items.jsonl").exists() == large
    (headgate_environment / "mine.jsonl").unlink()
    done = headgate(*run, "--items", "elsewhere.jsonl", "--max-cost", "1", code=0)
    assert "note: --items elsewhere.jsonl is left out: the run goes on as it was planned" in done.err
    found = rows(done.json()["outputs"]["results"])
    assert [(one["unit_id"], one["answer"]) for one in found] == [(f"x{n}", f"line {n}") for n in range(25)]


def test_a_run_with_a_large_file_is_mended_and_resumed_without_it(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_files, "HELD", 100)
    write_quiz(headgate_environment)
    (headgate_environment / "mine.jsonl").write_text(lines(25))
    headgate("run", "Quiz", "-r", "one", "--items", "mine.jsonl", "--max-cost", "0.00000001", code=2)
    (headgate_environment / "mine.jsonl").unlink()
    headgate("retry", "one", code=0)
    headgate("revalidate", "one", "--use-run-config", code=0)
    assert "complete: 25 valid" in headgate("resume", "one", "--max-cost", "1", code=0).out


def test_a_changed_copy_is_not_gone_on_with(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_files, "HELD", 100)
    write_quiz(headgate_environment)
    (headgate_environment / "mine.csv").write_text("id,text\n" + "".join(f"x{n},line {n}\n" for n in range(20)))
    headgate("run", "Quiz", "-r", "one", "--items", "mine.csv", "--max-cost", "0.00000001", code=2)
    copy = headgate_environment / "runs" / "one" / "input" / "items.csv"
    copy.write_text(copy.read_text().replace("line 7", "line 8"))
    assert "is not what the run began with" in headgate("run", "Quiz", "-r", "one", "--max-cost", "1", code=1).err


def test_only_listed_units_are_run(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment, config=CONFIG.replace("strategy: direct", "strategy: direct\n  repeat: 2"))
    (headgate_environment / "list").write_text("q5__rep0000\nq2__rep0001\nq0__rep0001\n")
    run = ("run", "Quiz", "-r", "one", "--json")
    headgate(*run, "--units-file", "list", "--max-cost", "0.00000001", code=2)
    (headgate_environment / "list").unlink()
    told = headgate(*run, "--max-cost", "1", code=0).json()
    assert (told["valid"], told["failed"], len(headgate_sim.bill.lines)) == (3, 0, 3)
    assert [one["unit_id"] for one in rows(told["outputs"]["results"])] == ["q5__rep0000", "q0__rep0001", "q2__rep0001"]
    again = headgate("run", "Quiz", "-r", "two", "--json", "--units-file", told["outputs"]["results"], code=0).json()
    assert rows(again["outputs"]["results"]) == rows(told["outputs"]["results"])


def test_a_pipe_and_an_unknown_unit_are_refused(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    done = headgate("run", "Quiz", "--items", "-", code=2)
    assert "needs a file that can be read again" in done.err and "hint: save it" in done.err
    (headgate_environment / "list").write_text("q5\nq6\n")
    assert "the pipeline has no unit 'q6'" in headgate("run", "Quiz", "--units-file", "list", code=3).err
    assert not (headgate_environment / "runs").exists()
    assert headgate_sim.requests == []


def test_another_file_is_checked_beforehand(headgate: Command, headgate_environment: Path) -> None:
    write_quiz(headgate_environment)
    (headgate_environment / "mine.tsv").write_text("id\ttext\na\tx\nb\ty\n")
    assert headgate("validate", "Quiz", "--items", "mine.tsv", "--json", code=0).json()["units"] == 2
    (headgate_environment / "mine.tsv").write_text("id\ttext\na\tx\na\ty\n")
    assert "mine.tsv:3:1: duplicate item id 'a'" in headgate("validate", "Quiz", "--items", "mine.tsv", code=3).err
    assert "not a pipe" in headgate("validate", "Quiz", "--items", "-", code=2).err
