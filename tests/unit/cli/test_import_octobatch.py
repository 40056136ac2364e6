"""``headgate import octobatch``: what old runs left is looked at, mended and gone on with."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headgate.sim.server import Simulator
from headgate.testing.octobatch_runs import ASK, COUNT, GRADE, SPREAD, SUM, OctobatchRun, children, failure
from headgate.testing.pipelines import write_quiz
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Any]


def rows(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file of a folder, with what is in it and when it was changed."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() + str(path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def old(headgate_environment: Path) -> Path:
    return headgate_environment / "old" / "first"


def write_whole(folder: Path, *, packed: bool = False) -> OctobatchRun:
    """Five units in two chunks: q1 fails at the first step and comes through in a chunk of retries, q4 fails for good at the last."""
    run = OctobatchRun(folder)
    units = [run.unit(n) for n in range(5)]
    run.rows("input/units.jsonl", units)
    run.chunk("chunk_000", "VALIDATED", units[:3])
    run.chunk("chunk_001", "VALIDATED", units[3:])
    again = [{**units[1], "retry_count": 1}]
    run.chunk("retry_001", "VALIDATED", again, retry_step="ask", source_chunks=["chunk_000"], retry_count=1)
    for name, group, bad in (("chunk_000", units[:3], ["q1"]), ("chunk_001", units[3:], []), ("retry_001", again, [])):
        asked = run.answered(name, "ask", group, bad, packed=packed)
        counted = run.answered(name, "count", asked, packed=packed)
        run.answered(name, "grade", counted, ["q4"], packed=packed)
    for name in ("chunk_000/ask_failures.jsonl", "chunk_000/ask_failures.jsonl.gz"):
        path = folder / "chunks" / name
        if path.exists():
            path.rename(folder / "chunks" / name.replace(".jsonl", ".jsonl.bak"))
    run.metadata |= {"initial_input_tokens": 90, "initial_output_tokens": 45, "retry_input_tokens": 20, "retry_output_tokens": 10}
    return run


@pytest.mark.parametrize("packed", [False, True])
def test_a_whole_run_is_taken_over(headgate: Command, headgate_environment: Path, old: Path, packed: bool) -> None:
    write_whole(old, packed=packed).close(status="complete", completed_at="2026-01-02T05:04:05Z")
    before = fingerprint(old)
    found = headgate("import", "octobatch", str(old), "--json", code=0).json()
    assert fingerprint(old) == before
    assert (found["run"], found["state"], found["units"], found["left"], found["findings"]) == ("first", "complete", 5, 0, [])
    assert [(s["valid"], s["failed"], s["pending"], s["first_tries"], s["retries"]) for s in found["steps"]] == [
        (5, 0, 0, 5, 1),
        (5, 0, 0, 5, 0),
        (4, 1, 0, 5, 0),
    ]
    assert found["tokens"] == {"initial": {"input": 100, "output": 50}, "retry": {"input": 10, "output": 5}}
    assert found["manifest"]["cost_estimate_usd"] is None
    assert headgate("verify", "first", "--deep", code=0).out.splitlines()[-1] == "integrity OK"
    records = rows(headgate_environment / "runs" / "first" / "outputs" / "results.jsonl")
    assert [record["unit_id"] for record in records] == ["q0", "q1", "q2", "q3"]
    assert records[1] == {
        "unit_id": "q1",
        "text": "question 1",
        "parts": ["a", "b"],
        "answer": "answer of q1",
        "letters": 12,
        "grade": "grade of q1",
    }


def test_every_command_reads_it(headgate: Command, headgate_environment: Path, old: Path) -> None:
    run = write_whole(old)
    run.metadata["cost_estimate"] = 0.0123
    run.close(status="complete")
    done = headgate("import", "octobatch", str(old), "--as", "mine", code=0)
    assert done.out.splitlines()[0] == "mine: Quiz, complete, 5 units, 0 left"
    assert "booked without a price, and the manifest estimates $0.0123" in done.err
    status = headgate("status", "mine", "--json", code=0).json()
    assert (status["cost_usd"], status["unpriced_calls"]) == (None, 11)
    assert "mine" in headgate("ls", code=0).out
    assert "$0.0123, which is in no sum here" in headgate("info", "mine", code=0).out
    assert headgate("info", "mine", "--json", code=0).json()["imported"]["cost_estimate_nanos"] == 12_300_000
    report = headgate("report", "mine", "--json", code=0).json()
    assert (report["valid"], report["unpriced_calls"], report["cost_usd"]) == (4, 11, None)
    assert report["failures_by_reason"] == {"schema": 1}
    assert headgate("analyze", "mine", "--group-by", "text", "--count-field", "grade", code=0).out
    headgate("import", "octobatch", str(old), "--as", "other", code=0)
    assert headgate("compare", "mine", "other", code=0).out
    headgate("export", "mine", "--format", "csv", "-o", "mine.csv", code=0)
    failed = rows(headgate_environment / "runs" / "mine" / "outputs" / "failures.jsonl")
    assert [(f["unit_id"], f["step"], f["failure_stage"], f["raw_response"]) for f in failed] == [
        ("q4", "grade", "schema", '{"nothing": 1}')
    ]
    receipts = rows(headgate_environment / "runs" / "mine" / "outputs" / "receipts.jsonl")
    assert {(receipt["cost_usd"], receipt["cost_source"]) for receipt in receipts} == {(None, "unpriced")}
    assert len(receipts) == 11
    headgate("revalidate", "mine", "--use-run-config", code=0)
    headgate("verify", "mine", code=0)
    headgate("delete", "mine", "--yes", code=0)
    assert not (headgate_environment / "runs" / "mine").exists()


def write_unfinished(folder: Path) -> OctobatchRun:
    """Seven units: three are through, of the next three one is answered and one failed, the last was not begun with."""
    run = OctobatchRun(folder)
    units = [run.unit(n) for n in range(7)]
    run.rows("input/units.jsonl", units)
    run.chunk("chunk_000", "VALIDATED", units[:3], valid=3)
    run.chunk("chunk_001", "grade_SUBMITTED", units[3:6], batch_id="b-1")
    run.chunk("chunk_002", "ask_PENDING", units[6:])
    asked = run.answered("chunk_000", "ask", units[:3])
    run.answered("chunk_000", "grade", run.answered("chunk_000", "count", asked))
    asked = run.answered("chunk_001", "ask", units[3:6], ["q4"])
    run.answered("chunk_001", "count", asked)
    return run


def test_an_unfinished_run_is_gone_on_with(headgate: Command, headgate_environment: Path, headgate_sim: Simulator, old: Path) -> None:
    write_unfinished(old).close()
    found = headgate("import", "octobatch", str(old), "--json", code=7).json()
    assert (found["state"], found["left"]) == ("paused", 3)
    assert [(f["kind"], f["count"]) for f in found["findings"]] == [("units_at_provider", 2)]
    assert found["findings"][0]["places"] == ["grade: q3 in chunk_001, batch b-1", "grade: q5 in chunk_001, batch b-1"]
    headgate("verify", "first", "--deep", code=0)
    headgate("run", "Quiz", "--run-dir", str(headgate_environment / "runs" / "first"), "--mode", "realtime", "-q", code=0)
    headgate("verify", "first", "--deep", code=0)
    records = rows(headgate_environment / "runs" / "first" / "outputs" / "results.jsonl")
    assert [record["unit_id"] for record in records] == ["q0", "q1", "q2", "q3", "q5", "q6"]
    assert [record["grade"] for record in records[:3]] == ["grade of q0", "grade of q1", "grade of q2"]
    receipts = rows(headgate_environment / "runs" / "first" / "outputs" / "receipts.jsonl")
    ours = [(r["step"], r["unit"]) for r in receipts if r["cost_source"] != "unpriced"]
    assert sorted(ours) == [("ask", 6), ("grade", 3), ("grade", 5), ("grade", 6)]


def write_spread(folder: Path, state: str = "grade_PENDING") -> OctobatchRun:
    run = OctobatchRun(folder, (ASK, SPREAD, GRADE))
    units = [run.unit(n) for n in range(2)]
    run.chunk("chunk_000", "VALIDATED", units)
    asked = run.answered("chunk_000", "ask", units)
    made = [child for unit in asked for child in children(unit)]
    run.chunk("chunk_001", "VALIDATED", made[:2])
    run.chunk("chunk_002", state, made[2:])
    run.rows("chunks/chunk_001/spread_validated.jsonl", made[:2])
    run.rows("chunks/chunk_002/spread_validated.jsonl", made[2:])
    run.answered("chunk_001", "grade", made[:2])
    return run


def test_units_that_became_several(headgate: Command, headgate_environment: Path, headgate_sim: Simulator, old: Path) -> None:
    write_spread(old).close()
    found = headgate("import", "octobatch", str(old), "--json", code=0).json()
    assert [(s["valid"], s["pending"]) for s in found["steps"]] == [(2, 0), (2, 0), (2, 2)]
    headgate("verify", "first", "--deep", code=0)
    headgate("run", "Quiz", "--run-dir", str(headgate_environment / "runs" / "first"), "--mode", "realtime", "-q", code=0)
    headgate("verify", "first", "--deep", code=0)
    records = rows(headgate_environment / "runs" / "first" / "outputs" / "results.jsonl")
    assert [record["unit_id"] for record in records] == ["q0__fan000", "q0__fan001", "q1__fan000", "q1__fan001"]
    assert [record["part"] for record in records] == ["a", "b", "a", "b"]


def test_children_that_are_gone_are_made_again(headgate: Command, old: Path) -> None:
    write_spread(old).close()
    (old / "chunks/chunk_002/spread_validated.jsonl").write_text("")
    found = headgate("import", "octobatch", str(old), "--json", code=0).json()
    assert [(f["kind"], f["places"]) for f in found["findings"]] == [("children_made_again", ["spread: q1__fan000", "spread: q1__fan001"])]
    assert [(s["valid"], s["pending"]) for s in found["steps"]] == [(2, 0), (2, 0), (2, 2)]
    headgate("verify", "first", "--deep", code=0)


def test_steps_after_all_units(headgate: Command, headgate_environment: Path, old: Path) -> None:
    run = OctobatchRun(old, (ASK, SUM))
    units = [run.unit(n) for n in range(2)]
    run.chunk("chunk_000", "VALIDATED", units)
    run.answered("chunk_000", "ask", units)
    run.close(status="complete", completed_run_steps=["keep"])
    assert headgate("import", "octobatch", str(old), "--json", code=0).json()["state"] == "complete"
    headgate("verify", "first", "--deep", code=0)
    run.close(status="complete")
    found = headgate("import", "octobatch", str(old), "--as", "open", "--json", code=0).json()
    assert (found["state"], found["left"]) == ("paused", 0)


def test_a_model_that_is_gone(headgate: Command, headgate_environment: Path, headgate_sim: Simulator, old: Path) -> None:
    """What was asked there can be looked at; what is left goes elsewhere."""
    run = OctobatchRun(old, (ASK,))
    config = old / "config/config.yaml"
    config.write_text(config.read_text().replace("  provider: sim-openai\n", "  poll_interval_seconds: 5\n"))
    run.metadata |= {"provider": "gemini", "model": "gemini-2.0-flash-001", "mode": "realtime"}
    run.chunk("chunk_000", "VALIDATED", [run.unit(0)])
    run.answered("chunk_000", "ask", [run.unit(0)])
    run.chunk("chunk_001", "ask_PENDING", [run.unit(1)])
    run.close()
    told = headgate("import", "octobatch", str(old), code=0).err
    assert "gemini/gemini-2.0-flash-001 is retired" in told
    assert "import it with --model" in told
    assert "gemini/gemini-2.0-flash-001" in headgate("info", "first", code=0).out
    headgate("import", "octobatch", str(old), "--as", "other", "-p", "sim-openai", code=0)
    headgate("resume", "other", "-q", "-y", code=0)
    receipts = rows(headgate_environment / "runs/other/outputs/receipts.jsonl")
    assert [(receipt["unit"], receipt["model_answered"], receipt["cost_usd"] is None) for receipt in receipts] == [
        (0, "model-x", True),
        (1, receipts[1]["model_answered"], False),
    ]


# What is odd


def test_everything_odd_is_told_with_its_place(headgate: Command, headgate_environment: Path, old: Path) -> None:
    run = write_whole(old)
    validated = old / "chunks/chunk_000/ask_validated.jsonl"
    first = validated.read_text().splitlines()
    validated.write_text("\n".join([first[0], first[0], '{"unit_id": "ghost"}', '{"answer": 1}', "[1]", first[1][:40]]))
    with (old / "input/units.jsonl").open("a") as file:
        file.write(json.dumps(run.unit(9)) + "\n")
    (old / "chunks/chunk_009").mkdir()
    (old / "chunks/chunk_001/count_validated.jsonl").unlink()
    run.chunks["chunk_000"]["items"] = 7
    run.chunks["chunk_007"] = {"state": "VALIDATED"}
    run.close()
    found = headgate("import", "octobatch", str(old), "--json", code=7).json()
    places = {f["kind"]: f["places"] for f in found["findings"]}
    base = "chunks/chunk_000/ask_validated.jsonl"
    assert places["duplicates"] == [f"{base}:2 q0"]
    assert places["foreign_records"] == ["ask: ghost"]
    assert places["records_without_unit"] == [f"{base}:4"]
    assert places["unreadable_lines"] == [f"{base}:5", f"{base}:6"]
    assert places["units_in_no_chunk"] == ["q9"]
    assert places["unlisted_chunks"] == ["chunks/chunk_009"]
    assert "chunks/chunk_001/count_validated.jsonl" in places["missing_files"]
    assert "chunks/chunk_007/units.jsonl" in places["missing_files"]
    assert places["counts_that_differ"] == ["chunks/chunk_000: items 7, units.jsonl has 3"]
    assert places["inferred_outcomes"] == ["ask: q2", "count: q3", "count: q4"]
    assert "tokens_that_differ" not in places
    headgate("verify", "first", "--deep", code=0)
    told = json.loads((headgate_environment / "runs" / "first" / "import.json").read_text())
    assert told["findings"] == found["findings"]


def test_answers_that_nobody_judged_are_judged(headgate: Command, old: Path) -> None:
    run = OctobatchRun(old, (ASK,))
    units = [run.unit(n) for n in range(3)]
    run.chunk("chunk_000", "ask_PENDING", units)
    run.answered("chunk_000", "ask", units)
    results = rows(old / "chunks/chunk_000/ask_results.jsonl")
    results[1]["_raw_text"] = "no JSON at all"
    run.rows("chunks/chunk_000/ask_results.jsonl", results)
    (old / "chunks/chunk_000/ask_validated.jsonl").unlink()
    run.close()
    found = headgate("import", "octobatch", str(old), "--json", code=0).json()
    assert (found["steps"][0]["valid"], found["steps"][0]["pending"]) == (2, 1)
    assert [(f["kind"], f["count"]) for f in found["findings"]] == [("answers_without_outcome", 3)]
    headgate("verify", "first", "--deep", code=0)


def test_failures_of_a_chunk_that_is_tried_again(headgate: Command, old: Path) -> None:
    """Failures that were put aside wait again; those that nothing can help, which the archive has too, stay failed."""
    run = OctobatchRun(old, (ASK,))
    units = [run.unit(n) for n in range(3)]
    run.chunk("chunk_000", "VALIDATED", units)
    run.answered("chunk_000", "ask", units[:1])
    hard = failure("ask", units[2]) | {"failure_stage": "pipeline_internal"}
    run.rows("chunks/chunk_000/ask_failures.jsonl.bak", [failure("ask", units[1]), hard])
    run.rows("chunks/chunk_000/ask_failures.jsonl", [hard])
    run.chunk("retry_001", "ask_PENDING", [units[1] | {"retry_count": 1}], retry_step="ask", source_chunks=["chunk_000"])
    run.close()
    found = headgate("import", "octobatch", str(old), "--json", code=0).json()
    step = found["steps"][0]
    assert (step["valid"], step["failed"], step["pending"], step["first_tries"], step["retries"]) == (1, 1, 1, 3, 0)
    headgate("verify", "first", code=0)


# Who is not to be trusted


def test_links_that_lead_out_are_refused(headgate: Command, headgate_environment: Path, old: Path) -> None:
    write_whole(old).close()
    secret = headgate_environment / "secret.jsonl"
    secret.write_text('{"unit_id": "q0", "key": "secret"}\n')
    target = old / "chunks/chunk_000/ask_validated.jsonl"
    target.unlink()
    target.symlink_to(secret)
    done = headgate("import", "octobatch", str(old), code=3)
    assert "chunks/chunk_000/ask_validated.jsonl leads out of the run's folder" in done.err
    assert not (headgate_environment / "runs").exists() or list((headgate_environment / "runs").iterdir()) == []


def test_a_configuration_that_lies_elsewhere_is_refused(headgate: Command, headgate_environment: Path, old: Path) -> None:
    write_whole(old).close()
    (old / "config").rename(headgate_environment / "elsewhere")
    (old / "config").symlink_to(headgate_environment / "elsewhere")
    assert "config leads out of the run's folder" in headgate("import", "octobatch", str(old), code=3).err


def test_what_is_no_file_is_refused(headgate: Command, old: Path) -> None:
    """Nobody waits for a pipe to be written to."""
    write_whole(old).close()
    path = old / "chunks/chunk_000/ask_validated.jsonl"
    path.unlink()
    os.mkfifo(path)
    assert "chunks/chunk_000/ask_validated.jsonl is no file" in headgate("import", "octobatch", str(old), code=3).err


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", ".", "x\0y"])
def test_names_that_are_paths_are_refused(headgate: Command, old: Path, name: str) -> None:
    run = write_whole(old)
    run.chunks[name] = {"state": "VALIDATED"}
    run.close()
    assert "cannot be a part of a file's name" in headgate("import", "octobatch", str(old), code=3).err
    del run.chunks[name]
    run.names.append(name)
    run.close()
    assert "cannot be a part of a file's name" in headgate("import", "octobatch", str(old), code=3).err


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "not JSON", '{"pipeline": [], "chunks": {}}', '{"pipeline": ["ask"], "chunks": 1}', "[" * 100_000],
)
def test_what_is_no_manifest(headgate: Command, old: Path, text: str) -> None:
    write_whole(old).close()
    (old / "MANIFEST.json").write_text(text)
    assert "MANIFEST.json" in headgate("import", "octobatch", str(old), code=3).err


def test_deep_and_long_lines_are_left_out(headgate: Command, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.batch.octobatch.folder.MOST_LINE", 5000)
    write_whole(old).close()
    path = old / "chunks/chunk_000/ask_validated.jsonl"
    lines = path.read_text().splitlines()
    deep = '{"unit_id": "q0", "a": ' + "[" * 2000 + "]" * 2000 + "}"
    path.write_text("\n".join([deep, '{"unit_id": "q0", "x": "' + "x" * 20_000 + '"}', *lines, ""]))
    found = headgate("import", "octobatch", str(old), "--json", code=7).json()
    assert [(f["kind"], f["places"]) for f in found["findings"]] == [
        ("unreadable_lines", ["chunks/chunk_000/ask_validated.jsonl:1"]),
        ("long_lines", ["chunks/chunk_000/ask_validated.jsonl:2"]),
    ]
    assert [step["valid"] for step in found["steps"]] == [5, 5, 4]


def test_files_that_unpack_to_too_much_are_refused(headgate: Command, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.batch.octobatch.folder.MOST_FILE", 100_000)
    write_whole(old).close()
    (old / "chunks/chunk_000/ask_validated.jsonl").unlink()
    (old / "chunks/chunk_000/ask_validated.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 100_000))
    assert "holds more than 100,000 bytes" in headgate("import", "octobatch", str(old), code=3).err


def test_a_packed_file_that_is_cut(headgate: Command, old: Path) -> None:
    write_whole(old, packed=True).close()
    path = old / "chunks/chunk_001/grade_validated.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    found = headgate("import", "octobatch", str(old), "--json", code=7).json()
    assert found["findings"][0]["kind"] == "cut_files"
    headgate("verify", "first", "--deep", code=0)


def test_steps_must_be_those_of_the_configuration(headgate: Command, headgate_environment: Path, old: Path) -> None:
    run = write_whole(old)
    run.names.pop()
    run.close()
    done = headgate("import", "octobatch", str(old), code=3)
    assert "the manifest names the steps ask, count; config.yaml has ask, count, grade" in done.err
    spare = OctobatchRun(headgate_environment / "spare", (ASK, COUNT))
    headgate("import", "octobatch", str(old), "--pipeline", str(spare.folder / "config"), code=7)


def test_nothing_is_overwritten(headgate: Command, headgate_environment: Path, old: Path) -> None:
    write_whole(old).close()
    headgate("import", "octobatch", str(old), code=0)
    assert "choose another name with --as" in headgate("import", "octobatch", str(old), code=2).err
    inside = headgate("import", "octobatch", str(old), "--as", str(old / "new"), code=2)
    assert "lies in the folder that is read" in inside.err


def test_a_run_in_the_place_of_new_ones(headgate: Command, headgate_environment: Path) -> None:
    old = headgate_environment / "runs" / "first"
    write_whole(old).close()
    assert headgate("import", "octobatch", "runs/first", "--json", code=0).json()["run"] == "first-imported"


# Back again


def test_a_run_of_ours_can_be_left(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """A real run, written as Octobatch would have, and taken over again."""
    write_quiz(headgate_environment)
    headgate("run", "Quiz", "-r", "one", "-q", code=0)
    assert headgate("export", "one", "--format", "octobatch", "-o", "left", code=0).err == "written to left\n"
    manifest = json.loads((headgate_environment / "left" / "MANIFEST.json").read_text())
    assert (manifest["status"], manifest["pipeline"]) == ("complete", ["ask"])
    assert {name: (chunk["state"], chunk["items"], chunk["valid"]) for name, chunk in manifest["chunks"].items()} == {
        "chunk_000": ("VALIDATED", 6, 6)
    }
    validated = rows(headgate_environment / "left" / "chunks/chunk_000/ask_validated.jsonl")
    assert [record["unit_id"] for record in validated] == [f"q{n}" for n in range(6)]
    found = headgate("import", "octobatch", "left", "--json", code=0).json()
    assert (found["state"], found["steps"][0]["valid"], found["findings"]) == ("complete", 6, [])
    assert rows(headgate_environment / "runs/left/outputs/results.jsonl") == rows(headgate_environment / "runs/one/outputs/results.jsonl")
    estimated = headgate("status", "one", "--json", code=0).json()["cost_usd"]
    assert float(found["manifest"]["cost_estimate_usd"]) == float(estimated) > 0


def test_what_cannot_be_left(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    headgate("run", "Quiz", "-r", "one", "-q", code=0)
    assert "needs a name" in headgate("export", "one", "--format", "octobatch", code=2).err
    assert "holds the whole run" in headgate("export", "one", "--format", "octobatch", "--step", "ask", "-o", "left", code=2).err
    (headgate_environment / "there").write_text("mine")
    assert "is there already" in headgate("export", "one", "--format", "octobatch", "-o", "there", code=2).err


LOOP = COUNT.replace("      expressions:\n        letters: len(answer)", "") + (
    "      init:\n        letters: '0'\n      expressions:\n        letters: letters + 1\n      loop_until: letters >= 3"
)


def test_what_a_step_that_computes_says_of_itself_stays(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """Octobatch has it in the same place as what it says of calls."""
    config = OctobatchRun(headgate_environment / "spare", (ASK, LOOP, GRADE)).folder / "config"
    headgate("run", str(config), "-r", "one", "-q", "--max-units", "4", code=0)
    headgate("export", "one", "--format", "octobatch", "-o", "left", code=0)
    assert headgate("import", "octobatch", "left", "--json", code=0).json()["units"] == 4
    records = rows(headgate_environment / "runs/left/outputs/results.jsonl")
    assert records == rows(headgate_environment / "runs/one/outputs/results.jsonl")
    assert {record["_metadata"]["iterations"] for record in records} == {3}
