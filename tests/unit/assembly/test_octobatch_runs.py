"""Runs of Octobatch taken over: whatever their folders look like, the new run's books balance and no unit is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.assembly.octobatch_runs import Imported, ImportRequest, export_folder, import_run
from headgate.assembly.parts import load_parts
from headgate.assembly.status import opened_run
from headgate.assembly.verifying import verify_run
from headgate.batch.books import check_books
from headgate.batch.outputs import failures, results
from headgate.batch.rows import last_unit_step
from headgate.batch.states import RunState
from headgate.testing.octobatch_runs import ASK, COUNT, GRADE, SPREAD, OctobatchRun, children
from headgate.wire.json import JsonObject

pytest_plugins = ["headgate.testing.pytest_plugin"]

SIZE = 3
FRESH = {HealthCheck.function_scoped_fixture, HealthCheck.too_slow}

GOOD, BAD, AGAIN, OPEN = "good", "bad", "again", "open"
"""What becomes of a unit at a step: it is valid, it fails, it fails and is valid in a chunk of retries, nothing was done yet."""
FATES = st.lists(st.lists(st.sampled_from([GOOD, GOOD, GOOD, BAD, AGAIN, OPEN]), min_size=3, max_size=3), min_size=1, max_size=8)
SPOILS = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from(["gone", "torn", "twice", "empty", "noise", "swapped"]), st.integers(0, 200)), max_size=6
)


def write(folder: Path, fates: Sequence[Sequence[str]]) -> tuple[OctobatchRun, list[dict[str, int]]]:
    """A run of three steps as Octobatch would have left it, and how many units are valid, failed and pending at each step."""
    run = OctobatchRun(folder)
    counts = [{"valid": 0, "failed": 0, "pending": 0} for _ in run.names]
    everything = [run.unit(n) for n in range(len(fates))]
    run.rows("input/units.jsonl", everything)
    again: list[tuple[int, JsonObject, Sequence[str]]] = []
    for start in range(0, len(fates), SIZE):
        walk(run, f"chunk_{start // SIZE:03d}", 0, list(zip(everything, fates, strict=True))[start : start + SIZE], counts, again)
    number = 0
    while again:
        number += 1
        step, unit, fate = again.pop(0)
        walk(run, f"retry_{number:03d}", step, [(unit | {"retry_count": 1}, fate)], counts, again, retry=True)
    return run, counts


def walk(
    run: OctobatchRun,
    name: str,
    first: int,
    units: list[tuple[JsonObject, Sequence[str]]],
    counts: list[dict[str, int]],
    again: list[tuple[int, JsonObject, Sequence[str]]],
    *,
    retry: bool = False,
) -> None:
    """A chunk from step to step, until one of its units has nothing done to it."""
    more = {"retry_step": run.names[first]} if retry else {}
    run.chunk(name, "VALIDATED", [unit for unit, _ in units], **more)
    for step in range(first, len(run.names)):
        if not units:
            return
        if any(fate[step] == OPEN for _, fate in units):
            run.chunks[name]["state"] = f"{run.names[step]}_PENDING"
            counts[step]["pending"] += len(units)
            return
        fails = {unit["unit_id"]: fate for unit, fate in units if fate[step] in (BAD, AGAIN)}
        valid = run.answered(name, run.names[step], [unit for unit, _ in units], list(fails))
        again += [(step, unit, fate_after(fate, step)) for unit, fate in units if fate[step] == AGAIN]
        counts[step]["failed"] += sum(fate[step] == BAD for fate in fails.values())
        counts[step]["valid"] += len(valid)
        path = run.folder / f"chunks/{name}/{run.names[step]}_failures.jsonl"
        if any(fate[step] == AGAIN for fate in fails.values()):
            archive = path.read_text()
            path.with_name(path.name + ".bak").write_text(archive)
            kept = [line for line, fate in zip(archive.splitlines(), fails.values(), strict=True) if fate[step] == BAD]
            path.unlink()
            if kept:
                path.write_text("\n".join(kept) + "\n")
        fate_of = {unit["unit_id"]: fate for unit, fate in units}
        units = [(record, fate_of[record["unit_id"]]) for record in valid]


def fate_after(fate: Sequence[str], step: int) -> Sequence[str]:
    """The fate of a unit that is tried again at a step."""
    return [GOOD if at == step else word for at, word in enumerate(fate)]


def take(folder: Path, target: Path) -> Imported:
    """Take a run over."""
    return asyncio.run(import_run(load_parts(), ImportRequest(folder, str(target))))


@given(fates=FATES)
@settings(deadline=None, max_examples=40, suppress_health_check=FRESH)
def test_units_stand_where_they_stood(headgate_environment: Path, fates: list[list[str]]) -> None:
    place = headgate_environment / f"x{len(list(headgate_environment.iterdir()))}"
    run, counts = write(place / "old", fates)
    done = take(run.close(), place / "new")
    assert done.findings == ()
    assert [{"valid": step.valid, "failed": step.failed, "pending": step.pending} for step in done.steps] == counts
    assert (done.state is RunState.COMPLETE) == (not any(count["pending"] for count in counts))
    assert verify_run(place / "new", deep=True).whole
    with opened_run(place / "new") as (tables, row):
        assert check_books(tables, row.key) == []
        raws = [failure["raw_response"] for failure in failures(tables, row.key, tables.steps(row.key))]
    assert raws == ['{"nothing": 1}' for step in range(len(counts)) for _ in range(counts[step]["failed"])]


@given(fates=FATES, spoils=SPOILS)
@settings(deadline=None, max_examples=60, suppress_health_check=FRESH)
def test_whatever_is_spoiled_no_unit_is_lost(
    headgate_environment: Path, fates: list[list[str]], spoils: list[tuple[int, str, int]]
) -> None:
    place = headgate_environment / f"y{len(list(headgate_environment.iterdir()))}"
    run, _ = write(place / "old", fates)
    run.close()
    for which, how, where in spoils:
        spoil(run.folder, which, how, where)
    done = take(run.folder, place / "new")
    assert done.units == done.steps[0].valid + done.steps[0].failed + done.steps[0].pending
    for before, after in zip(done.steps, done.steps[1:], strict=False):
        assert before.valid == after.valid + after.failed + after.pending
    assert verify_run(place / "new", deep=True).whole
    with opened_run(place / "new") as (tables, row):
        assert check_books(tables, row.key) == []


def spoil(folder: Path, which: int, how: str, where: int) -> None:
    """Damage one of the files of the chunks or the input."""
    files = sorted(path for path in folder.rglob("*.jsonl*") if path.is_file())
    if not files:
        return
    path = files[which % len(files)]
    data = path.read_bytes()
    lines = data.splitlines(keepends=True) or [b""]
    line = lines[where % len(lines)]
    changed = {
        "gone": None,
        "torn": data[: where % (len(data) + 1)],
        "twice": data + line,
        "empty": b"",
        "noise": data + b'\x00\xff{"unit_id": 7}\n{"unit_id": "nobody"}\nnull\n',
        "swapped": files[where % len(files)].read_bytes(),
    }[how]
    if changed is None:
        path.unlink()
    else:
        path.write_bytes(changed)


@given(sizes=st.lists(st.integers(0, 3), min_size=1, max_size=4), told=st.integers(0, 12), spoils=SPOILS)
@settings(deadline=None, max_examples=40, suppress_health_check=FRESH)
def test_units_that_became_several_are_all_there(
    headgate_environment: Path, sizes: list[int], told: int, spoils: list[tuple[int, str, int]]
) -> None:
    """Children that are on record, and those that are not, make up what their parents became."""
    place = headgate_environment / f"z{len(list(headgate_environment.iterdir()))}"
    run = OctobatchRun(place / "old", (ASK, SPREAD, GRADE))
    units = [run.unit(n) | {"parts": ["p"] * size} for n, size in enumerate(sizes)]
    run.chunk("chunk_000", "VALIDATED", units)
    made = [child for unit in run.answered("chunk_000", "ask", units) for child in children(unit)]
    run.chunk("chunk_001", "grade_PENDING", made)
    run.rows("chunks/chunk_001/spread_validated.jsonl", made[:told])
    run.close()
    whole = not spoils
    for which, how, where in spoils:
        spoil(run.folder, which, how, where)
    done = take(run.folder, place / "new")
    assert verify_run(place / "new", deep=True).whole
    with opened_run(place / "new") as (tables, row):
        assert check_books(tables, row.key) == []
    if whole:
        assert (done.steps[1].valid, done.steps[2].pending) == (len(sizes), sum(sizes))


def test_a_step_that_computes_keeps_what_it_found(headgate_environment: Path) -> None:
    run = OctobatchRun(headgate_environment / "old", (ASK, COUNT))
    units = [run.unit(n) for n in range(2)]
    run.chunk("chunk_000", "VALIDATED", units)
    asked = run.answered("chunk_000", "ask", units)
    run.answered("chunk_000", "count", asked)
    take(run.close(), headgate_environment / "new")
    with opened_run(headgate_environment / "new") as (tables, row):
        attempts = tables.attempts(row.key)
    assert [(a["step"], a["cost_nanos"], a["cost_source"]) for a in attempts] == [
        (0, None, "imported"),
        (0, None, "imported"),
        (1, 0, "none"),
        (1, 0, "none"),
    ]


# There and back


def told(folder: Path) -> JsonObject:
    """What a run says of its units: results, failures, and every attempt but for when it was."""
    with opened_run(folder) as (tables, row):
        steps = tables.steps(row.key)
        last = last_unit_step(steps).idx
        return {
            "results": list(results(tables, row.key, last)),
            "failures": list(failures(tables, row.key, steps)),
            "attempts": [
                {name: attempt[name] for name in ("step", "seq", "n", "lane", "outcome", "reason", "model", "usage", "cost_source")}
                for attempt in tables.attempts(row.key)
            ],
        }


@given(fates=FATES)
@settings(deadline=None, max_examples=25, suppress_health_check=FRESH)
def test_a_run_comes_back_as_it_was(headgate_environment: Path, fates: list[list[str]]) -> None:
    place = headgate_environment / f"a{len(list(headgate_environment.iterdir()))}"
    run, _ = write(place / "old", fates)
    first = take(run.close(), place / "new")
    export_folder(place / "new", place / "left")
    second = take(place / "left", place / "back")
    assert second.findings == ()
    assert (second.steps, second.tokens, second.told, second.state) == (first.steps, first.tokens, first.tokens, first.state)
    assert told(place / "back") == told(place / "new")
    assert verify_run(place / "back", deep=True).whole


@given(sizes=st.lists(st.integers(0, 3), min_size=1, max_size=4), graded=st.integers(0, 12))
@settings(deadline=None, max_examples=15, suppress_health_check=FRESH)
def test_units_that_became_several_come_back(headgate_environment: Path, sizes: list[int], graded: int) -> None:
    place = headgate_environment / f"b{len(list(headgate_environment.iterdir()))}"
    run = OctobatchRun(place / "old", (ASK, SPREAD, GRADE))
    units = [run.unit(n) | {"parts": ["p"] * size} for n, size in enumerate(sizes)]
    run.chunk("chunk_000", "VALIDATED", units)
    made = [child for unit in run.answered("chunk_000", "ask", units) for child in children(unit)]
    for name, group, state in (("chunk_001", made[:graded], "VALIDATED"), ("chunk_002", made[graded:], "grade_PENDING")):
        run.chunk(name, state, group)
        run.rows(f"chunks/{name}/spread_validated.jsonl", group)
    run.answered("chunk_001", "grade", made[:graded], [child["unit_id"] for child in made[:1]])
    take(run.close(), place / "new")
    export_folder(place / "new", place / "left")
    assert take(place / "left", place / "back").findings == ()
    assert told(place / "back") == told(place / "new")


def test_units_that_are_not_made_yet_are_left_to_be_done(headgate_environment: Path) -> None:
    run = OctobatchRun(headgate_environment / "old", (ASK,))
    run.chunk("chunk_000", "VALIDATED", [run.unit(0)])
    run.answered("chunk_000", "ask", [run.unit(0)])
    take(run.close(), headgate_environment / "new")
    with sqlite3.connect(headgate_environment / "new" / "run.sqlite") as db:
        db.execute("UPDATE run SET total = NULL")
    db.close()
    export_folder(headgate_environment / "new", headgate_environment / "left")
    done = take(headgate_environment / "left", headgate_environment / "back")
    assert (done.units, done.left, done.findings) == (10, 9, ())
