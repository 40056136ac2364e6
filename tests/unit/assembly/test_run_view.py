"""Runs seen from Python."""

from __future__ import annotations

import asyncio
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import headgate
from headgate.assembly.parts import load_parts
from headgate.assembly.runs import RunRequest, drive_run, open_run
from headgate.batch.analysis import CountRow, Options
from headgate.batch.control import Control
from headgate.errors import UsageError
from headgate.sim.server import Simulator
from headgate.testing.pipelines import CONFIG, write_quiz
from headgate.wire.json import decode

pytest_plugins = ["headgate.testing.pytest_plugin"]

RULED = CONFIG.rstrip("\n") + "\n    rules:\n      - {name: low, expr: \"int(answer.split(' ')[1]) < 4\", error: too high}\n"


@pytest.fixture
def run(headgate_environment: Path, headgate_sim: Simulator) -> headgate.Run:
    """A run in which four units of six come through."""
    write_quiz(headgate_environment, config=RULED)
    parts = load_parts()
    opened = open_run(parts, RunRequest(pipeline="Quiz", run="one"))
    asyncio.run(drive_run(parts, opened, lambda progress: None, Control()))
    return headgate.Run("one")


def test_a_run_and_what_it_holds(run: headgate.Run, headgate_sim: Simulator) -> None:
    status = run.status
    assert (status.valid, status.failures, status.cost) == (4, 2, headgate_sim.bill.total)
    written = (run.folder / "outputs" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    assert list(run.results()) == [decode(line) for line in written]
    assert [failure["unit_id"] for failure in run.failures("ask")] == ["q4", "q5"]
    assert len(list(run.receipts())) == len(headgate_sim.bill.lines)
    assert [unit["state"] for unit in run.units()] == ["valid"] * 4 + ["failed"] * 2
    assert run.report("id").reasons == {"rule": 2}
    (row, *_) = run.analyze(Options(group_by="id", count_field="answer")).rows
    assert isinstance(row, CountRow)
    assert row.counts["question 0"] == 1


def test_a_run_has_several_names(run: headgate.Run) -> None:
    for name in ("o", "runs/one", run.folder):
        assert headgate.Run(name).folder == run.folder
    assert repr(run) == f"Run({str(run.folder)!r})"
    with pytest.raises(UsageError, match="there is no run 'two'"):
        headgate.Run("two")
    with pytest.raises(UsageError, match="the run has no step 'no'"):
        list(run.results("no"))


def test_reading_may_end_early(run: headgate.Run) -> None:
    """The database is closed with the iterator."""
    rows = run.results()
    assert next(rows)["unit_id"] == "q0"
    rows.close()


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow, of the extra `parquet`, is not installed")
def test_arrow(run: headgate.Run) -> None:
    assert run.to_arrow().to_pylist() == list(run.results())
    assert run.to_arrow("failures").column("unit_id").to_pylist() == ["q4", "q5"]


@pytest.mark.skipif(find_spec("pandas") is None, reason="pandas is not installed")
def test_pandas(run: headgate.Run) -> None:
    frame = run.to_pandas("units")
    assert list(frame["unit_id"]) == [f"q{n}" for n in range(6)]
    assert frame["record"][0] == next(run.results())


@pytest.mark.parametrize(("method", "library", "hint"), [("to_arrow", "pyarrow", "'headgate[parquet]'"), ("to_pandas", "pandas", "pandas")])
def test_libraries_that_are_not_there(run: headgate.Run, monkeypatch: pytest.MonkeyPatch, method: str, library: str, hint: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=f"this needs {library}, which is not installed") as caught:
        getattr(run, method)()
    assert caught.value.hint == f"pip install {hint}"
