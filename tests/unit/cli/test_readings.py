"""``headgate info``, ``report``, ``compare``, ``analyze``, ``export`` and ``dump``, on runs against the simulator."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import pytest

from headgate.sim.faults import Delay, Match, Rule
from headgate.sim.server import Simulator
from headgate.testing.clock import START, Clock, ScaledClock
from headgate.testing.pipelines import CONFIG, write_quiz
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]
RULED = CONFIG.rstrip("\n") + "\n    rules:\n      - {name: low, expr: \"int(answer.split(' ')[1]) < 4\", error: 'too high: {answer}'}\n"
"""Two of the six questions have answers that break this for ever."""
ITEMS = "questions:\n" + "".join(f"  - {{id: q{n}, text: question {n}, kind: {'ab'[n // 3]}, size: {n}}}\n" for n in range(6))


@pytest.fixture
def headgate_sim_clock() -> Clock:
    return ScaledClock(START, 200.0)


@pytest.fixture
def one(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> Path:
    """The folder of a run in which four units of six come through."""
    write_quiz(headgate_environment, config=RULED, items=ITEMS)
    headgate("run", "Quiz", "-r", "one", "-q", "--seed", "s", code=0)
    return headgate_environment / "runs" / "one"


def lines(text: str) -> list[Json]:
    return [json.loads(line) for line in text.splitlines()]


def facts(text: str) -> dict[str, str]:
    """The lines below the title, by name."""
    block = text.partition("\n\n")[0].splitlines()[1:]
    return (
        {line[:22].strip(): line[22:].strip() for line in block}
        if "cost per valid" in text
        else dict(line.split(maxsplit=1) for line in block)
    )


# info


def test_info_on_a_run_that_is_over(headgate: Command, one: Path, headgate_sim: Simulator) -> None:
    text = headgate("info", "one", code=0).out
    told = facts(text)
    assert (told["run"], told["model"], told["mode"], told["status"], told["process"]) == (
        *("one", "sim-openai/sim-small", "realtime", "complete", "none drives it"),
    )
    assert (told["units"], told["progress"]) == ("6: 4 valid, 2 failed, 0 pending", "100.0%")
    assert ["✓", "ask", "4", "6", "2", "failed"] in [line.split() for line in text.splitlines()]
    assert "Chunks: 1 done" in text
    found = headgate("info", "one", "--json", code=0).json()
    assert Decimal(found["cost_usd"]) * 10**9 == headgate_sim.bill.total
    chunks = found["chunks"]
    assert (chunks["count"], chunks["by_state"], chunks["complete_list"]) == (1, {"done": 1}, True)
    assert [(chunk["units"], chunk["valid"], chunk["failed"], chunk["state"]) for chunk in chunks["listed"]] == [(6, 4, 2, "done")]
    assert found["tokens"]["retry"]["calls"] == 4


def test_info_of_many_chunks_lists_the_open_ones(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.assembly.run_info.CHUNKS", 2)
    monkeypatch.setattr("headgate.assembly.run_info.SHOWN", 1)
    headgate_sim.set_faults((Rule(Delay(600.0), Match(operation="chat", nth=3)),))
    write_quiz(headgate_environment, config=CONFIG.replace("chunk_size: 10", "chunk_size: 1"))
    headgate("run", "Quiz", "-r", "one", "-q", "--concurrency", "1", "--timeout", "1s", code=3)
    found = headgate("info", "one", "--json", code=0).json()
    listed, counts = found["chunks"]["listed"], found["chunks"]["by_state"]
    assert found["chunks"]["count"] == 6
    assert (len(listed), found["chunks"]["complete_list"]) == (6 - counts["done"], False)
    assert all(chunk["state"] != "done" for chunk in listed)
    text = headgate("info", "one", code=0).out
    assert f"and {len(listed) - 1} more that are open" in text
    assert "current" in text and "●" in text
    assert "status    paused (the time given with --timeout is up)" in text


def test_steps_that_are_done_under_way_and_not_begun(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """The walks are walked, one of four is told; nothing is summed up yet."""
    headgate_sim.set_faults((Rule(Delay(6000.0), Match(operation="chat", nth=2)),))
    steps = "    - name: double\n      scope: expression\n      expressions: {twice: size * 2}\n    - name: ask\n"
    last = "      prompt_template: ask.jinja2\n    - name: sum\n      scope: expression\n      expressions: {more: twice + 1}\n"
    config = CONFIG.replace("    - name: ask\n      prompt_template: ask.jinja2\n", steps + last)
    write_quiz(headgate_environment, config=config, items=ITEMS)
    headgate("run", "Quiz", "-r", "one", "-q", "--concurrency", "1", "--timeout", "2s", code=3)
    found = headgate("dump", "one", "--json", code=0).json()
    assert [(step["name"], step["valid"], step["total"], step["state"]) for step in found["steps"]] == [
        *(("double", 6, 6, "done"), ("ask", 1, 6, "running"), ("sum", 0, 0, "pending")),
    ]
    summary = headgate("status", "one", "--json", code=0).json()["summary"]
    assert summary == {"total_units": 6, "valid": 0, "failed": 0, "pending": 6, "inflight": 0, "progress": round(7 / 18, 4)}
    marks = [line.split()[:2] for line in headgate("info", "one", code=0).out.splitlines() if line[:1] in "✓●○" and line[:1]]
    assert marks == [["✓", "double"], ["●", "ask"], ["○", "sum"]]
    headgate_sim.set_faults(())
    headgate("run", "Quiz", "-r", "one", "-q", code=0)
    assert {step["state"] for step in headgate("dump", "one", "--json", code=0).json()["steps"]} == {"done"}
    assert (
        headgate("analyze", "one", "--group-by", "kind", "--numeric-field", "twice", "--step", "double", "--json", code=0).json()["total"]
        == 6
    )
    assert [row["step"] for row in lines(headgate("export", "one", "--what", "units", "--step", "sum", code=0).out)] == ["sum"] * 6


def test_every_reading_works_while_a_process_drives_the_run(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """The fourth call hangs; three units are valid. The process is then interrupted, and loses nothing."""
    headgate_sim.set_faults((Rule(Delay(6000.0), Match(operation="chat", nth=4)),))
    write_quiz(headgate_environment, items=ITEMS)
    command = [sys.executable, "-c", "from headgate.cli import main; main()", "run", "Quiz", "-r", "one", "-q", "--concurrency", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ.copy()) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                assert time.monotonic() < deadline and process.poll() is None
                status = headgate("status", "one", "--json")
                if status.code == 0 and status.json()["summary"]["valid"] == 3 and status.json()["summary"]["inflight"]:
                    break
            found = status.json()
            assert (found["driven"], found["pid"], found["summary"]["inflight"], found["summary"]["pending"]) == (True, process.pid, 1, 3)
            assert f"{process.pid} drives it" in headgate("info", "one", code=0).out
            assert headgate("report", "one", "--json", code=0).json()["funnel"][0]["pending"] == 3
            assert len(lines(headgate("export", "one", code=0).out)) == 3
            assert [row["state"] for row in lines(headgate("export", "one", "--what", "units", code=0).out)].count("todo") == 3
            assert headgate("analyze", "one", "--group-by", "kind", "--numeric-field", "size", "--json", code=0).json()["total"] == 3
            assert headgate("dump", "--json", code=0).json()[0]["status"] == "running"
            assert headgate("dump", "one", "--json", code=0).json()["steps"] == [
                {"name": "ask", "valid": 3, "total": 6, "state": "running"}
            ]
            assert "not complete: running" in headgate("compare", "one", "one", code=0).out
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert headgate("dump", "one", "--json", code=0).json()["status"] == "paused"


# report


def test_a_report_in_every_form(headgate: Command, one: Path, headgate_sim: Simulator) -> None:
    found = headgate("report", "one", "--json", code=0).json()
    (row,) = found["funnel"]
    assert (row["step"], row["valid"], row["failed"], row["lost"], row["total"]) == ("ask", 4, 2, 0, 6)
    assert row["pass"]["value"] == row["yield"]["value"] == pytest.approx(4 / 6)
    assert found["failures_by_reason"] == {"rule": 2}
    assert [(group["group"], group["failed"]) for group in found["failures"]] == [("q4", 1), ("q5", 1)]
    assert found["top_errors"] == [{"step": "ask", "error": "low: too high: question 4", "count": 2}]
    assert Decimal(found["cost_usd"]) * 10**9 == headgate_sim.bill.total
    assert Decimal(found["cost_per_valid_usd"]) * 10**9 == round(headgate_sim.bill.total / 4)
    assert found["notes"][0].startswith("2 of 6 units (33.3%) were dropped")
    assert found["files"] == ["outputs/failures.jsonl", "outputs/receipts.jsonl", "outputs/results.jsonl"]

    text = headgate("report", "one", code=0).out
    assert ["ask", "4", "2", "0", "6", "66.7%"] in [line.split()[:6] for line in text.splitlines()]
    assert "10, of them 4 retries; retries are 40.0% of all tokens" in text
    for kind, begin in (("md", "# Report on one\n"), ("html", "<!doctype html>"), ("json", '{"run":"one"'), ("text", "Report on one\n")):
        done = headgate("report", "one", "--format", kind, "-o", f"report.{kind}", code=0)
        assert (done.out, done.err) == ("", f"written to report.{kind}\n")
        assert Path(f"report.{kind}").read_text(encoding="utf-8").startswith(begin)


def test_failures_by_a_field(headgate: Command, one: Path) -> None:
    found = headgate("report", "one", "--failures-by", "kind", "--json", code=0).json()
    assert [(group["group"], group["failed"], group["decided"]) for group in found["failures"]] == [("b", 2, 3), ("a", 0, 3)]
    assert found["failures"][0]["share"]["value"] == pytest.approx(2 / 3)
    assert "Failures by kind" in headgate("report", "one", "--failures-by", "kind", code=0).out
    assert headgate("report", "one", "--failures-by", "nope", "--json", code=0).json()["failures"][0]["group"] == "(none)"


def test_a_cost_that_is_not_known_is_not_zero(headgate: Command, one: Path) -> None:
    with sqlite3.connect(one / "run.sqlite") as db:
        db.execute("UPDATE tally SET unpriced = 3, cost_nanos = 0 WHERE retry = 0")
        db.execute("UPDATE chunk SET cost_nanos = 0")
    found = headgate("report", "one", "--json", code=0).json()
    assert (found["cost_usd"], found["cost_per_valid_usd"], found["priced_cost_usd"], found["unpriced_calls"]) == (None, None, "0.00", 3)
    text = headgate("report", "one", code=0).out
    assert "unknown: what 3 calls without a known price cost" in text
    assert "cost per valid unit  unknown" in text
    assert headgate("dump", "one", "--json", code=0).json()["cost"] is None
    for command in (("dump",), ("ls",), ("compare", "one", "one")):
        assert "unknown" in headgate(*command, code=0).out and "$0" not in headgate(*command, code=0).out
    with sqlite3.connect(one / "run.sqlite") as db:
        db.execute("UPDATE tally SET cost_nanos = 2000000 WHERE retry = 0")
        db.execute("UPDATE chunk SET cost_nanos = 2000000 WHERE id = 1")
    assert "unknown: at least $0.002000, and what 3 calls without a known price cost" in headgate("report", "one", code=0).out
    for command in (("dump",), ("ls",), ("compare", "one", "one")):
        assert "≥ $0.002000" in headgate(*command, code=0).out


def test_every_face_tells_the_same_cost(headgate: Command, one: Path, headgate_sim: Simulator) -> None:
    """OCT-183."""
    bill = Decimal(headgate_sim.bill.total) / 10**9
    status, info, report = (headgate(command, "one", "--json", code=0).json() for command in ("status", "info", "report"))
    dumped, (home,) = headgate("dump", "one", "--json", code=0).json(), headgate("dump", "--json", code=0).json()
    compared = headgate("compare", "one", "one", "--json", code=0).json()["runs"][1]
    assert {Decimal(told["cost_usd"]) for told in (status, info, report, compared)} == {bill}
    assert dumped["cost"] == home["cost"] == float(bill)
    receipts = lines(headgate("export", "one", "--what", "receipts", code=0).out)
    assert sum(Decimal(receipt["cost_usd"]) for receipt in receipts) == bill


# compare


def test_runs_side_by_side(headgate: Command, headgate_environment: Path, one: Path) -> None:
    write_quiz(headgate_environment, config=CONFIG, items=ITEMS.replace("text: question 1", "text: other 1"))
    headgate("run", "Quiz", "-r", "two", "-q", "-p", "sim-anthropic", "--seed", "s", code=0)
    done = headgate("compare", "one", "two", "--fields", "answer, size", "--json", code=0)
    first, second = done.json()["runs"]
    assert (first["pass_rate"]["value"], second["pass_rate"]["value"], first["difference"]) == (pytest.approx(4 / 6), 1.0, None)
    assert second["difference"]["interval"]["value"] == pytest.approx(2 / 6)
    assert second["difference"]["test"] == "Fisher's exact test"
    assert (second["model"], second["overridden"]) == ("sim-anthropic/sim-small*", ["ask"])
    agreement = second["agreement"]
    assert (agreement["matched"], agreement["only_first"], agreement["only_other"], agreement["whole"]) == (4, 0, 2, 3)
    assert [(field["field"], field["equal"]) for field in agreement["fields"]] == [("answer", 3), ("size", 4)]
    assert agreement["sample"] == [{"unit": "q1", "values": {"answer": ["question 1", "other 1"]}}]
    assert "warning: one and two are runs of different pipelines" in done.err
    assert "different seeds" not in done.err

    text = headgate("compare", "one", "two", "--fields", "answer", "--sample", "0", code=0).out
    assert "In all fields the same: 3 (75.0%)." in text
    assert "Units that differ" not in text
    assert headgate("compare", "one", "two", "--output", "both.md", code=0).out == ""
    assert "| two | sim-anthropic/sim-small\\* |" in Path("both.md").read_text(encoding="utf-8")


def test_what_cannot_be_compared(headgate: Command, headgate_environment: Path, one: Path) -> None:
    assert "at least two runs are needed" in headgate("compare", "one", code=2).err
    assert "there is no run 'other'" in headgate("compare", "one", "other", code=2).err
    headgate("run", "Quiz", "-r", "two", "-q", "--seed", "t", code=0)
    assert "different seeds" in headgate("compare", "one", "two", "--fields", "answer", "--json", code=0).err
    assert "the run has no step 'no'" in headgate("compare", "one", "two", "--fields", "answer", "--step", "no", code=2).err


# analyze


def test_results_by_groups(headgate: Command, one: Path) -> None:
    """Units that were asked again are in it."""
    found = headgate(
        "analyze", "one", "--group-by", "kind", "--count-field", "answer", "--net-positive", "QUESTION 3", "--json", code=0
    ).json()
    assert [(row["group"], row["total"], row["net"]["value"]) for row in found["rows"]] == [("b", 1, 1.0), ("a", 3, 0.0)]
    assert found["total"] == len(lines((one / "outputs" / "results.jsonl").read_text(encoding="utf-8")))
    numbers = ("analyze", "one", "--group-by", "kind", "--numeric-field", "size", "--custom-stat", "Sum=sum_val")
    rows = list(csv.reader(headgate(*numbers, "--output-format", "csv", code=0).out.splitlines()))
    assert rows[0] == ["Group", "Count", "Mean", "Median", "StdDev", "Min", "Max", "Sum", "Mean_low", "Mean_high"]
    assert [row[:8] for row in rows[1:]] == [["b", "1", "3", "3", "0", "3", "3", "3"], ["a", "3", "1", "1", "1", "0", "2", "3"]]
    assert headgate(*numbers, "--title", "Sizes", "-o", "sizes.txt", code=0).err == "written to sizes.txt\n"
    assert Path("sizes.txt").read_text(encoding="utf-8").startswith("Sizes\n")


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        ((), 2, "either a field to count or a numeric field is needed"),
        (("--numeric-field", "size", "--custom-stat", "nothing"), 2, "'nothing' is not a name and an expression"),
        (("--numeric-field", "size", "--custom-stat", "X=open('/etc/passwd')"), 3, "--custom-stat"),
        (("--count-field", "answer", "--step", "no"), 2, "the run has no step 'no'"),
    ],
)
def test_what_cannot_be_analyzed(headgate: Command, one: Path, more: tuple[str, ...], code: int, told: str) -> None:
    assert told in headgate("analyze", "one", "--group-by", "kind", *more, code=code).err


# export


@pytest.mark.parametrize("what", ["results", "failures", "receipts"])
def test_what_is_exported_is_what_the_run_wrote(headgate: Command, one: Path, what: str) -> None:
    written = (one / "outputs" / f"{what}.jsonl").read_text(encoding="utf-8")
    assert headgate("export", "one", "--what", what, code=0).out == written
    done = headgate("export", "one", "--what", what, "-o", "deep/out.jsonl", code=0)
    assert (done.out, done.err) == ("", "written to deep/out.jsonl\n")
    assert Path("deep/out.jsonl").read_text(encoding="utf-8") == written
    assert headgate("export", "one", "--what", what, "--step", "ask", code=0).out == written
    headgate("export", "one", "--what", what, "--format", "csv", "-o", "out.csv", code=0)
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["unit_id" if what != "receipts" else "id"] for row in table] == [
        row["unit_id" if what != "receipts" else "id"] for row in lines(written)
    ]


def test_units_with_their_state(headgate: Command, one: Path) -> None:
    rows = lines(headgate("export", "one", "--what", "units", code=0).out)
    assert [(row["unit_id"], row["state"], row["reason"], row["tries"]) for row in rows[3:]] == [
        *(("q3", "valid", None, 1), ("q4", "failed", "rule", 3), ("q5", "failed", "rule", 3)),
    ]
    assert [row["record"].get("answer") for row in rows] == [*(f"question {n}" for n in range(4)), None, None]


def test_a_page_of_results_holds_no_markup_of_theirs(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment, items="questions:\n  - {id: a, text: '<script>alert(1)</script>\\n\x85'}\n")
    headgate("run", "Quiz", "-r", "one", "-q", code=0)
    page = headgate("export", "one", "--format", "html", code=0).out
    assert "&lt;script&gt;" in page and "<script" not in page
    assert "1 in all." in page
    headgate("export", "one", "--format", "html", "--what", "receipts", "-o", "page.html", code=0)
    assert "sim-openai/sim-small@" in Path("page.html").read_text(encoding="utf-8")


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow, of the extra `parquet`, is not installed")
def test_parquet(headgate: Command, one: Path) -> None:
    from pyarrow import parquet

    headgate("export", "one", "--format", "parquet", "-o", "out.parquet", code=0)
    assert parquet.read_table("out.parquet").to_pylist() == lines((one / "outputs" / "results.jsonl").read_text(encoding="utf-8"))


def test_parquet_needs_its_library_and_a_name(headgate: Command, one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "hint: add --output FILE.parquet" in headgate("export", "one", "--format", "parquet", code=2).err
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    done = headgate("export", "one", "--format", "parquet", "-o", "out.parquet", code=2)
    assert "hint: pip install 'headgate[parquet]'" in done.err
    assert not Path("out.parquet").exists()
    assert "--excel-safe is for CSV" in headgate("export", "one", "--excel-safe", code=2).err


# dump


def test_all_runs_without_a_screen(headgate: Command, headgate_environment: Path, one: Path, headgate_sim: Simulator) -> None:
    """OCT-182."""
    broken = headgate_environment / "runs" / "broken"
    broken.mkdir()
    (broken / "run.sqlite").write_bytes(b"no database")
    run, other = headgate("dump", "--json", code=0).json()
    assert set(run) == {
        *("name", "status", "progress", "total_units", "valid_units", "failed_units", "cost", "total_tokens", "mode", "duration"),
        *("pipeline_name", "started"),
    }
    tokens = sum(line.usage.input + line.usage.output for line in headgate_sim.bill.lines)
    assert (run["name"], run["status"], run["progress"], run["total_tokens"]) == ("one", "complete", 1.0, tokens)
    assert (run["total_units"], run["valid_units"], run["failed_units"], run["pipeline_name"]) == (6, 4, 2, "Quiz")
    assert (other["name"], other["status"]) == ("broken", "unreadable")
    text = headgate("dump", code=0).out
    assert "broken cannot be read" in text
    assert [line.split()[:5] for line in text.splitlines() if line.startswith("one")] == [["one", "100%", "6", "4", "2"]]
    assert headgate("dump", "one", "--json", code=0).json() == {
        **headgate("dump", "--json", code=0).json()[0],
        "steps": [{"name": "ask", "valid": 4, "total": 6, "state": "done"}],
    }
    assert ["ask", "4", "6", "done"] in [line.split() for line in headgate("dump", "on", code=0).out.splitlines()]
