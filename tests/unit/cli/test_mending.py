"""``headgate verify``, ``repair``, ``retry`` and ``revalidate``, on runs against the simulator."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from headgate.batch.tables import Tables
from headgate.errors import StoreError
from headgate.sim.faults import Match, Rows, Rule, Twist
from headgate.sim.server import Simulator
from headgate.testing.clock import START, Clock, ScaledClock
from headgate.testing.pipelines import CONFIG, write_quiz
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]

TWO = CONFIG.replace(
    "api:\n",
    "    - name: count\n      scope: expression\n      expressions:\n        letters: len(answer)\napi:\n",
)
"""A question, then a count."""


@pytest.fixture
def headgate_sim_clock() -> Clock:
    """A batch of a minute is over in a third of a second."""
    return ScaledClock(START, 200.0)


def rows(path: str | Path) -> list[Json]:
    """A JSONL file."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def spoil(folder: Path, *statements: str) -> None:
    """Change the database of a run from outside."""
    with closing(sqlite3.connect(folder / "runs" / "one" / "run.sqlite")) as database, database:
        database.execute("DROP TRIGGER chunk_law")
        for statement in statements:
            database.execute(statement)


def standing(headgate: Command) -> Json:
    """How the run stands, whenever it is asked."""
    return {name: value for name, value in headgate("status", "one", "--json").json().items() if name != "timestamp"}


def copy(source: Path, target: Path) -> None:
    """Make one database what another one is."""
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)


@pytest.fixture
def walked(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> Path:
    """A folder with a complete run `one` of two steps and six units."""
    write_quiz(headgate_environment, config=TWO)
    headgate("run", "Quiz", "-r", "one", "-q", code=0)
    return headgate_environment


# Verify


def test_a_step_after_all_units_has_no_units_to_miss(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    after = "    - name: keep\n      scope: run\n      script: scripts/extract_units.py\n      output_dir: kept\napi:\n"
    write_quiz(headgate_environment, config=CONFIG.replace("api:\n", after))
    headgate("run", "Quiz", "-r", "one", "-q", code=0)
    found = headgate("verify", "one", "--deep", "--json", code=0).json()
    assert [step["step"] for step in found["steps"]] == ["ask"]
    status = headgate("status", "one", "--json", code=0).json()
    assert (status["summary"]["valid"], status["summary"]["pending"]) == (6, 0)
    report = headgate("report", "one", "--failures-by", "text", "--json", code=0).json()
    assert (report["valid"], [row["step"] for row in report["funnel"]]) == (6, ["ask"])
    assert len(headgate("export", "one", "--format", "jsonl", code=0).out.splitlines()) == 6


@pytest.mark.parametrize("mode", ["realtime", "batch"])
def test_a_run_in_which_all_is_well(headgate: Command, headgate_environment: Path, headgate_sim: Simulator, mode: str) -> None:
    write_quiz(headgate_environment, config=TWO)
    headgate("run", "Quiz", "-r", "one", "--mode", mode, "-q", code=0)
    told = headgate("verify", "one", "--deep", "--json", code=0).json()
    assert (told["run_name"], told["pipeline_name"], told["pipeline"]) == ("one", "Quiz", ["ask", "count"])
    assert (told["run_dir"], told["initial_units"]) == (str(headgate_environment / "runs" / "one"), 6)
    assert (told["total_missing"], told["total_duplicated"], told["integrity"]) == (0, 0, "OK")
    assert [(s["expected"], s["valid"], s["failed"], s["pending"]) for s in told["steps"]] == [(6, 6, 0, 0), (6, 6, 0, 0)]
    assert headgate("verify", "one", code=0).out.splitlines()[-1] == "integrity OK"


def test_a_run_that_failed_in_part_is_whole(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(
        headgate_environment,
        config=TWO.replace("required: [answer]", "required: [answer]\n    rules:\n      - {name: even, expr: 'int(answer[-1]) % 2 == 0'}"),
    )
    headgate("run", "Quiz", "-r", "one", "-q", code=0)
    told = headgate("verify", "one", "--json", code=0).json()
    assert [(s["expected"], s["valid"], s["failed"]) for s in told["steps"]] == [(6, 3, 3), (3, 3, 0)]


WRONG = (
    ("DELETE FROM unit WHERE step = 1 AND seq = 2", "✗ missing at count: q2"),
    ("DELETE FROM unit WHERE step = 0 AND seq = 2", "✗ missing at ask: #2"),
    ("UPDATE unit SET state = 4 WHERE step = 0 AND seq = 3", "✗ orphaned at count: q3"),
    ("INSERT INTO unit SELECT run, step, 99, 1, state, 0, 0, 0, chunk, input_segment, input_row, segment, row, 0, NULL, NULL, 0 "
     "FROM unit WHERE step = 1 AND seq = 1", "✗ twice at count: q1"),
    ("UPDATE unit SET state = 0 WHERE step = 1 AND seq = 4", "in chunks that are closed: nobody will ask for them: q4"),
    ("UPDATE chunk SET valid = 5 WHERE step = 1", "the chunks count 6 started, 5 valid, 0 failed; the units are 6 started, 6 valid"),
    ("UPDATE unit SET cost_nanos = cost_nanos + 1 WHERE step = 0 AND seq = 1", "1 units count other costs or attempts than theirs"),
    ("UPDATE chunk SET cost_nanos = 1 WHERE step = 0", "chunk 1 counts 1 nano-dollars"),
    ("DELETE FROM outbox", "0 were posted to the ledger"),
    ("UPDATE outbox SET settled_at = NULL", "postings have not reached the ledger"),
    ("UPDATE unit SET row = 1000 WHERE step = 1 AND seq = 5", "1 places are in no frame"),
    ("UPDATE unit SET segment = NULL WHERE step = 1 AND seq = 5", "step count: 1 valid units have no result: q5"),
    ("DELETE FROM attempt WHERE step = 1 AND seq = 0", "1 units count other costs or attempts"),
    ("UPDATE frame SET offset = offset + 1, length = length - 1", "there is no frame at byte 1"),
    ("UPDATE frame SET rows = rows + 1", "rows are committed; its frames end at"),
    ("UPDATE unit SET row = (SELECT row FROM unit WHERE step = 1 AND seq = 1) WHERE step = 1 AND seq = 0", "results.jsonl differs"),
)  # fmt: skip
"""What somebody may do to a run's database, and what is said of it."""


def test_what_is_wrong_is_found(headgate: Command, walked: Path) -> None:
    database, whole = walked / "runs" / "one" / "run.sqlite", walked / "whole.sqlite"
    copy(database, whole)
    for statement, words in WRONG:
        spoil(walked, statement)
        found = headgate("verify", "one", code=4)
        assert words in found.out, statement
        assert found.out.endswith("integrity WARN\n")
        assert "hint: headgate repair one" in found.err
        copy(whole, database)
    spoil(walked, WRONG[0][0])
    assert headgate("verify", "one", "--json", code=4).json()["integrity"] == "WARN"


def test_damaged_files_are_found(headgate: Command, walked: Path) -> None:
    segment = walked / "runs" / "one" / "segments" / "00-000001.jsonl.zst"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)
    headgate("verify", "one", code=0)
    assert "cannot be read" in headgate("verify", "one", "--deep", code=4).out
    segment.write_bytes(data[:-5])
    assert "were committed" in headgate("verify", "one", code=4).out
    segment.unlink()
    assert "No such file" in headgate("verify", "one", code=4).out


def test_a_results_file_that_somebody_changed(headgate: Command, walked: Path) -> None:
    results = walked / "runs" / "one" / "outputs" / "results.jsonl"
    results.write_bytes(results.read_bytes() + b"{}\n")
    assert "results.jsonl differs from the database in line 7" in headgate("verify", "one", code=4).out


# Retry


ONCE = TWO.replace("  chunk_size: 10", "  chunk_size: 4\n  validation_retry: {max_attempts: 1}")
"""One try for each unit, in small chunks."""


@pytest.mark.parametrize("mode", ["realtime", "batch"])
def test_exactly_what_failed_is_asked_again(headgate: Command, headgate_environment: Path, headgate_sim: Simulator, mode: str) -> None:
    """ACC-04: what failed gets new tries and nothing else is asked; earlier costs stay booked, and the books balance all the time."""
    items = "questions:\n" + "".join(f"  - id: q{n}\n    text: question {n}\n" for n in range(40))
    write_quiz(headgate_environment, config=ONCE, items=items)
    faults = {"realtime": Rule(Twist("invalid"), Match(operation="chat", every=3)), "batch": Rule(Rows("invalid", share=0.3))}
    headgate_sim.set_faults((faults[mode],))
    first = headgate("run", "Quiz", "-r", "one", "--mode", mode, "--json").json()
    assert 0 < first["failed"] < 40
    assert (first["cost_nanos"], first["state"]) == (headgate_sim.bill.total, "complete")

    headgate_sim.set_faults(())
    told = headgate("retry", "one", "--json", code=0).json()
    assert (told["units"], told["steps"], told["left"]) == (first["failed"], {"ask": first["failed"]}, 0)
    assert told["chunks"] == -(-first["failed"] // 4)
    status = headgate("status", "one", "--json", code=0).json()
    assert (status["state"], status["problems"]) == ("paused", [])
    counted = headgate("verify", "one", "--json", code=0).json()
    assert [(s["valid"], s["failed"], s["pending"]) for s in counted["steps"]] == [
        (40 - first["failed"], 0, first["failed"]),
        (40 - first["failed"], 0, 0),
    ]
    asked = len(headgate_sim.bill.lines)
    done = headgate("run", "Quiz", "-r", "one", "--json", code=0).json()
    assert (done["valid"], done["failed"], done["state"]) == (40, 0, "complete")
    assert len(headgate_sim.bill.lines) == asked + first["failed"]
    assert done["cost_nanos"] == headgate_sim.bill.total > first["cost_nanos"]
    assert headgate("verify", "one", "--deep", "--json", code=0).json()["integrity"] == "OK"
    assert len(rows(done["outputs"]["results"])) == 40
    assert len(rows(done["outputs"]["receipts"])) == 40 + first["failed"]


def test_which_units_are_retried(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """What only computes fails the same way every time: it is left unless everything is asked for."""
    write_quiz(
        headgate_environment,
        config=ONCE.replace("chunk_size: 4", "chunk_size: 10").replace("len(answer)", "1 // (1 - (answer == 'question 4'))"),
    )
    headgate_sim.set_faults(
        (Rule(Twist("invalid"), Match(operation="chat", nth=1)), Rule(Twist("refusal"), Match(operation="chat", nth=2)))
    )
    assert headgate("run", "Quiz", "-r", "one", "--concurrency", "1", "--json").json()["failed"] == 3
    headgate_sim.set_faults(())
    none = headgate("retry", "one", "--step", "count", code=0)
    assert "new tries for 0 failed units" in none.out and "3 failed units left as before" in none.err
    assert headgate("status", "one", "--json").json()["state"] == "complete", "nothing to do changes nothing"
    assert "no step 'cuont'" in headgate("retry", "one", "--step", "cuont", code=2).err
    assert "'tired' is no reason" in headgate("retry", "one", "--reason", "tired", code=2).err
    told = headgate("retry", "one", "--reason", "refusal", "--json", code=0).json()
    assert (told["units"], told["reasons"], told["left"]) == (1, {"refusal": 1}, 2)
    text = headgate("retry", "one", "--all", code=0)
    assert "new tries for 2 failed units in 2 new chunks" in text.out
    assert "go on with: headgate run Quiz --run-dir runs/one" in text.err
    done = headgate("resume", "one", "--json", code=0).json()
    assert (done["valid"], done["failed"]) == (5, 1)
    assert headgate("verify", "one", code=0).out.endswith("integrity OK\n")
    again = headgate("retry", "one", "--all", "--go", "--json", "-q", code=0)
    assert (again.json()["valid"], again.json()["failed"]) == (5, 1)
    assert "new tries for 1 failed unit\n" in again.err


# Revalidate

STRICT = ONCE.replace("required: [answer]", "required: [answer]\n    rules:\n      - {name: even, expr: 'int(answer[-1]) % 2 == 0'}")
"""Every second question is judged wrong."""


@pytest.fixture
def judged(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> Path:
    """A complete run of which three answers broke a rule and one could not be read; the rule is gone from the pipeline since."""
    write_quiz(headgate_environment, config=STRICT)
    headgate_sim.set_faults((Rule(Twist("invalid"), Match(operation="chat", nth=1)),))
    headgate("run", "Quiz", "-r", "one", "-q", "--concurrency", "1", code=0)
    headgate_sim.set_faults(())
    write_quiz(headgate_environment, config=ONCE)
    return headgate_environment


def test_stored_answers_are_judged_again_without_a_call(headgate: Command, judged: Path, headgate_sim: Simulator) -> None:
    asked, spent = len(headgate_sim.requests), headgate_sim.bill.total
    before = standing(headgate)
    tried = headgate("revalidate", "one", "--dry-run", "--json", code=0).json()
    assert (tried["passing"], tried["dry_run"], tried["opened"]) == (3, True, 0)
    assert standing(headgate) == before, "a dry run changes nothing"
    same = headgate("revalidate", "one", "--use-run-config", "--json", code=0).json()
    assert (same["passing"], same["source"]) == (0, "the run's own copy")
    assert standing(headgate) == before

    told = headgate("revalidate", "one", code=0)
    assert "valid now: 3 units, judged by" in told.out and "go on with: headgate run Quiz --run-dir runs/one" in told.err
    counted = headgate("verify", "one", "--deep", "--json", code=0).json()
    assert [(s["valid"], s["failed"], s["pending"]) for s in counted["steps"]] == [(5, 1, 0), (2, 0, 3)]
    assert counted["state"] == "paused"
    done = headgate("resume", "one", "--json", code=0).json()
    assert (done["valid"], done["failed"], done["cost_nanos"]) == (5, 1, spent)
    assert len(headgate_sim.requests) == asked
    assert len(rows(done["outputs"]["receipts"])) == 6, "an answer that is judged again is no call"
    assert headgate("verify", "one", code=0).out.endswith("integrity OK\n")
    assert headgate("revalidate", "one", "--json", code=0).json()["passing"] == 0


def test_at_the_last_step_the_results_are_written_anew(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(
        headgate_environment,
        config=CONFIG.replace("required: [answer]", "required: [answer]\n    rules:\n      - {name: no, expr: 'False'}"),
    )
    headgate("run", "Quiz", "-r", "one", "-q", code=1)
    write_quiz(headgate_environment)
    told = headgate("revalidate", "one", "--json", code=0).json()
    assert (told["passing"], told["opened"]) == (6, 0)
    assert headgate("status", "one", "--json").json()["state"] == "complete"
    assert len(rows("runs/one/outputs/results.jsonl")) == 6
    assert rows("runs/one/outputs/failures.jsonl") == []
    assert headgate("verify", "one", "--deep", code=0).out.endswith("integrity OK\n")
    assert headgate("run", "Quiz", "-r", "one", "--json", code=0).json()["valid"] == 6


# Repair

DOUBLE = (
    "INSERT INTO unit SELECT run, step, 99, 1, state, 0, 0, 0, chunk, input_segment, input_row, segment, row, 0, NULL, NULL, 0 "
    "FROM unit WHERE step = 1 AND seq = 1"
)


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (("DELETE FROM unit WHERE step = 1 AND seq = 2",), "1 missing units are made anew from the last record of them"),
        (("DELETE FROM unit WHERE step = 1 AND seq = 2", "DELETE FROM attempt WHERE step = 1 AND seq = 2"), "1 missing units are made"),
        (("DELETE FROM unit WHERE step = 0 AND seq = 2",), "1 missing units are made anew"),
        (("DELETE FROM unit WHERE seq = 2",), "2 missing units are made anew"),
        (("UPDATE unit SET state = 4 WHERE step = 0 AND seq = 3",), "1 units are valid by the answer that is there"),
        ((DOUBLE,), "1 units that nothing became, or that are there twice, are set aside"),
        (
            ("UPDATE unit SET state = 0 WHERE step = 1 AND seq = 4", "DELETE FROM attempt WHERE step = 1 AND seq = 4"),
            "1 undecided units in closed chunks are put into new ones",
        ),
        (("UPDATE unit SET parent_seq = 77 WHERE step = 1 AND seq = 4",), "1 missing units are made anew"),
        (("UPDATE chunk SET valid = 5, n = 9, cost_nanos = 3",), "counters are computed from units and attempts"),
        (("UPDATE unit SET cost_nanos = 7, attempts = 9 WHERE step = 0",), "counters are computed from units and attempts"),
        (("DELETE FROM chunk WHERE step = 1",), "counters are computed from units and attempts"),
        (("UPDATE outbox SET settled_at = NULL",), "postings are handed to the ledger"),
        (("UPDATE unit SET row = 1000 WHERE step = 1 AND seq = 5",), "1 units are valid by the answer that is there"),
        (("UPDATE unit SET segment = NULL WHERE step = 1 AND seq = 5",), "1 units are valid by the answer that is there"),
    ],
)  # fmt: skip
def test_what_can_be_mended_is(headgate: Command, walked: Path, headgate_sim: Simulator, statements: tuple[str, ...], words: str) -> None:
    """OCT-151: what is missing is made anew from what there is, without a call, and the run comes out as it would have."""
    before = rows(walked / "runs" / "one" / "outputs" / "results.jsonl")
    spoil(walked, *statements)
    headgate("verify", "one", code=4)
    refused = headgate("repair", "one", code=2)
    assert words in refused.err and "headgate repair runs/one --yes" in refused.err
    headgate("verify", "one", code=4)
    done = headgate("repair", "one", "--yes", code=0)
    assert words in done.err and done.out == "one: mended, integrity OK\n"
    assert headgate("verify", "one", "--deep", code=0).out.endswith("integrity OK\n")
    assert headgate("repair", "one", "--yes", code=0).out == "one: nothing to mend\n"
    asked = len(headgate_sim.requests)
    again = headgate("run", "Quiz", "-r", "one", "--json", "-q", code=0).json()
    assert (again["valid"], again["failed"], again["state"]) == (6, 0, "complete")
    assert rows(again["outputs"]["results"]) == before
    assert headgate("verify", "one", "--deep", code=0).out.endswith("integrity OK\n")
    assert len(headgate_sim.requests) == asked
    assert again["cost_nanos"] == headgate_sim.bill.total


@pytest.mark.parametrize(
    ("name", "harm", "most"),
    [
        ("input.jsonl.zst", "spoiled", 0),
        ("00-000001.jsonl.zst", "gone", 6),
        ("00-000001.jsonl.zst", "torn", 6),
        ("01-000002.jsonl.zst", "torn", 0),
        ("01-000002.jsonl.zst", "gone", 0),
    ],
)
def test_units_whose_answers_cannot_be_read_are_asked_again(
    headgate: Command, walked: Path, headgate_sim: Simulator, name: str, harm: str, most: int
) -> None:
    segment = walked / "runs" / "one" / "segments" / name
    before = rows(walked / "runs" / "one" / "outputs" / "results.jsonl")
    data = segment.read_bytes()
    segment.write_bytes(data[:-3] if harm == "torn" else data[:20] + bytes(len(data) - 20))
    if harm == "gone":
        segment.unlink()
    told = headgate("repair", "one", "--yes", "--deep", code=4)
    assert "their units must be asked again" in told.err and "hint: headgate repair runs/one --again" in told.err
    asked = len(headgate_sim.requests)
    done = headgate("repair", "one", "--again", "--deep", "--yes", "--json", code=0).json()
    assert (done["before"]["integrity"], done["after"]["integrity"], done["not_mended"]) == ("WARN", "OK", [])
    again = headgate("resume", "one", "--json", "-q", code=0).json()
    assert (again["valid"], again["failed"], again["state"]) == (6, 0, "complete")
    assert rows(again["outputs"]["results"]) == before
    assert headgate("verify", "one", "--deep", code=0).out.endswith("integrity OK\n")
    again_asked = len(headgate_sim.requests) - asked
    assert bool(most) <= again_asked <= most, "only answers of a provider that cannot be read are asked for again"
    assert again["cost_nanos"] == headgate_sim.bill.total


def test_what_nobody_can_mend_is_told(headgate: Command, walked: Path) -> None:
    spoil(walked, "DELETE FROM outbox")
    done = headgate("repair", "one", "--yes", code=4)
    assert "not mended: the attempts cost" in done.err
    assert done.out == "one: not changed, integrity WARN\n"


def test_a_run_that_is_well_needs_nothing(headgate: Command, walked: Path) -> None:
    assert headgate("repair", "one", code=0).out == "one: nothing to mend\n"


@pytest.mark.parametrize("mode", ["realtime", "batch"])
def test_a_crash_before_units_are_handed_on_loses_none(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    write_quiz(headgate_environment, config=STRICT)
    headgate("run", "Quiz", "-r", "one", "--mode", mode, "-q", code=0)
    write_quiz(headgate_environment, config=ONCE)

    async def full(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as crash:
        crash.setattr(Tables, "advance", full)
        assert "the disk is full" in headgate("revalidate", "one", code=1).err
    assert headgate("verify", "one", code=0).out.endswith("integrity OK\n")
    asked = len(headgate_sim.bill.lines)
    assert headgate("resume", "one", "--json", code=0).json()["valid"] == 6
    assert headgate("verify", "one", "--deep", code=0).out.endswith("integrity OK\n")
    assert len(headgate_sim.bill.lines) == asked


FILES = ONCE.replace("api:\n", "    - {name: files, scope: run, script: extract_units, output_dir: files}\napi:\n")


def test_a_run_that_ends_with_a_step_of_scope_run(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """No unit is missing there, its results are those of the step before, and it is done again when there are other units."""
    write_quiz(headgate_environment, config=FILES)
    headgate_sim.set_faults((Rule(Twist("invalid"), Match(operation="chat", nth=2)),))
    first = headgate("run", "Quiz", "-r", "one", "--json", code=0).json()
    assert (first["valid"], first["failed"]) == (5, 1)
    folder = headgate_environment / "runs" / "one"
    told = headgate("verify", "one", "--deep", "--json", code=0).json()
    assert (told["integrity"], [step["step"] for step in told["steps"]]) == ("OK", ["ask", "count"])
    assert "nothing" in headgate("repair", "one", "--yes", code=0).out
    assert len(headgate("export", "one", "--format", "jsonl", code=0).out.splitlines()) == 5
    assert " 5 " in headgate("ls", code=0).out
    assert len(list((folder / "outputs" / "files").iterdir())) == 5
    headgate_sim.set_faults(())
    headgate("retry", "one", code=0)
    assert headgate("resume", "one", "--json", code=0).json()["valid"] == 6
    assert len(list((folder / "outputs" / "files").iterdir())) == 6
    headgate("verify", "one", "--deep", code=0)
