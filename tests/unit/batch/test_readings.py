"""What is read of a run from outside: the same numbers as counting would give, found without counting."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.readings import Readings
from headgate.batch.rows import Attempt, Claim, StepRow
from headgate.batch.states import ChunkState, Outcome, SubmissionState, UnitState
from headgate.batch.tables import SQL, NewUnit, Tables, Ways
from headgate.batch.tally import Tally, tallies, total
from headgate.store import Database
from headgate.store.statements import load_migrations
from headgate.wire.json import encode_text

RUN = {
    "id": "r",
    "mark": "abc123",
    "pipeline": "p",
    "pipeline_digest": "",
    "mode": "batch",
    "state": "planning",
    "created_at": 1.0,
    "seed": "0",
    "cost_cap_nanos": None,
    "price_digest": "",
    "engine_version": "x",
    "options": "{}",
}
STEPS = [StepRow(0, "ask", "chunk", "batch", "sim-openai", "default", "sim-small"), StepRow(1, "count", "expression", "expression")]
PAST = ("find_run", "find_steps", "step_totals", "open_bound", "open_reservations", "read_tallies", "open_calls", "failed_by_reason")
STATUS = (*PAST, "submissions_by_state", "newest_submissions", "run_states", "event_before", "warnings", "warnings_by_kind")
"""Every statement of `headgate status`."""


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Tables]:
    with Database.open(tmp_path / "run.sqlite", migrations="run") as database:
        made = Tables(database, tmp_path)
        asyncio.run(made.create_run(RUN, STEPS))
        yield made


def attempt(seq: int, n: int = 1, *, chunk: int = 1, state: UnitState = UnitState.VALID, **more: object) -> Attempt:
    values = {"cost_nanos": 10, "cost_source": "usage", "usage": encode_text({"input_total": 5, "output_total": 3}), **more}
    outcome = Outcome.VALID if state is UnitState.VALID else Outcome.INVALID
    return Attempt(step=0, seq=seq, n=n, chunk=chunk, lane="batch", outcome=outcome, state=state, tries=n, errors=0, at=2.0, **values)


def plan(tables: Tables, count: int) -> int:
    segment = asyncio.run(tables.segment(1, "segments/input.jsonl.zst"))
    writer = tables.writer(segment)
    row = tables.find_run()
    assert row is not None
    units = [NewUnit(row.planned + i, {"unit_id": f"u{row.planned + i}"}) for i in range(count)]
    try:
        return asyncio.run(tables.plan_units(1, "batch", units, writer, segment.id, 1.0))
    finally:
        writer.close()


CALLS = st.builds(
    lambda n, cost, source, tokens: attempt(
        0, n, cost_nanos=cost, cost_source=source, usage=None if tokens is None else encode_text({"input_total": tokens, "output_total": 1})
    ),
    st.integers(1, 3),
    st.none() | st.integers(0, 100),
    st.sampled_from(["usage", "none", "bound"]),
    st.none() | st.integers(0, 50),
)


@given(st.lists(CALLS))
def test_a_tally_adds_up_what_was_called(calls: list[Attempt]) -> None:
    found = tallies(calls)
    assert len({(tally.step, tally.retry) for tally in found}) == len(found)
    every, again = total(found), total(found, retry=True)
    assert every.calls == sum(call.cost_source != "none" or call.usage is not None or call.cost_nanos is None for call in calls)
    assert every.cost_nanos == sum(call.cost_nanos or 0 for call in calls if call.cost_source != "none" or call.usage is not None)
    assert every.unpriced == sum(call.cost_nanos is None for call in calls)
    assert again.calls == sum(part.calls for part in found if part.retry)
    assert total(found, retry=False).tokens + again.tokens == every.tokens


def test_tallies_are_kept_with_every_commit_and_corrected_by_an_invoice(tables: Tables) -> None:
    chunk = plan(tables, 2)
    readings = Readings(tables, 1)
    lost = {"cost_nanos": None, "cost_source": "bound", "usage": None, "request_id": "lost"}
    asyncio.run(tables.commit(1, chunk, [attempt(0), attempt(1, state=UnitState.RETRY)], at=2.0))
    asyncio.run(tables.commit(1, chunk, [attempt(1, 2, state=UnitState.RETRY, **lost)], at=2.0))
    asyncio.run(tables.commit(1, chunk, [attempt(1, 3, cost_nanos=4)], at=2.0))
    assert readings.tallies() == (Tally(0, False, 2, 10, 6, 20, 0), Tally(0, True, 2, 5, 3, 4, 1))
    row = tables.find_run()
    assert row is not None
    assert asyncio.run(tables.true_up(row, {"lost": 7}, 3.0)) == (1, 7)
    assert readings.tallies()[1] == Tally(0, True, 2, 5, 3, 11, 0)
    assert total(readings.tallies()).cost_nanos == sum(step.cost_nanos for step in tables.totals(1))


def test_tallies_of_runs_that_were_begun_without_them(tmp_path: Path) -> None:
    """The migration counts what is there, as the commits would have."""
    path = tmp_path / "run.sqlite"
    first, *later = load_migrations("run")
    with sqlite3.connect(path) as db:
        for statement in first.statements:
            db.execute(statement)
        insert = "INSERT INTO attempt (run, step, seq, n, chunk, lane, outcome, at, usage, cost_nanos, cost_source)"
        usage = encode_text({"input_total": 5, "output_total": 3})
        values = [(0, 1, usage, 10, "usage"), (0, 2, usage, None, "usage"), (0, 3, None, 7, "bound"), (1, 1, None, 0, "none")]
        for seq, n, used, cost, source in values:
            db.execute(f"{insert} VALUES (1, 0, ?, ?, 1, 'batch', 'invalid', 1.0, ?, ?, ?)", (seq, n, used, cost, source))
        for migration in later:
            for statement in migration.statements:
                db.execute(statement)
        found = [Tally(step, bool(retry), *rest) for step, retry, *rest in db.execute(SQL["read_tallies"], {"run": 1})]
    assert found == [Tally(0, False, 1, 5, 3, 10, 0), Tally(0, True, 2, 5, 3, 7, 1)]


@pytest.mark.parametrize("name", STATUS)
def test_status_goes_through_nothing_that_grows_with_the_units(tables: Tables, name: str) -> None:
    """Of units, attempts, claims and events, status looks up what it needs; it goes through chunks and batches alone."""
    names = dict.fromkeys(re.findall(r":(\w+)", SQL[name]), 1)
    steps = tables.db.read(lambda db: [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + SQL[name], names)])
    aliases = {"c": "claim", "a": "attempt"} if name in ("open_bound", "open_calls") else {}
    for step in steps:
        kind, _, rest = step.partition(" ")
        table = rest.split()[0]
        assert kind != "SCAN" or aliases.get(table, table) not in ("unit", "attempt", "claim", "event", "outbox", "frame"), step
        assert not re.search(r"SEARCH unit (?!USING COVERING INDEX unit_failed)", step), step


def test_open_calls_and_what_they_hold(tables: Tables) -> None:
    chunk = plan(tables, 3)
    readings = Readings(tables, 1)
    claims = [Claim(1, 0, seq, 1, chunk, f"q{seq}", 50, 1.0) for seq in range(3)]
    asyncio.run(tables.claim(claims))
    assert (readings.open_calls(), tables.reserved(1)) == (3, 150)
    asyncio.run(tables.commit(1, chunk, [attempt(0), attempt(1), attempt(2, state=UnitState.FAILED, reason="schema")], at=2.0))
    assert (readings.open_calls(), tables.reserved(1)) == (0, 0)
    assert readings.failed() == ((0, "schema", 1),)
    asyncio.run(tables.advance(tables.chunk(chunk), Ways(), 3.0))
    plan(tables, 1)
    assert readings.chunks() == {(0, ChunkState.DONE): 1, (0, ChunkState.OPEN): 1}
    assert [found.id for found in readings.listed_chunks(1)] == [chunk]


def test_open_batches_are_listed_before_newer_ones_that_are_over(tables: Tables) -> None:
    chunk = plan(tables, 4)
    for n in range(6):
        fields = {"key": f"k{n}", "run": 1, "chunk": chunk, "n": n, "provider": "p", "account": "a", "prefix": "x", "rows": 4}
        asyncio.run(tables.intend({**fields, "reserved_nanos": None, "intent_at": float(n)}, 1.0))
        if n:
            asyncio.run(tables.refused(tables.chunk(chunk), f"k{n}", "no", 1.0))
    readings = Readings(tables, 1)
    assert [found.key for found in readings.submissions(3)] == ["k0", "k4", "k5"]
    assert readings.batches() == {SubmissionState.INTENT: (1, 4), SubmissionState.REFUSED: (5, 20)}
    assert readings.warnings() == {"refused": 5}


def test_the_time_a_run_was_driven(tables: Tables) -> None:
    """Two drives: one ended by a kill, which counts to its last event, one paused; a third is under way."""
    readings = Readings(tables, 1)
    assert (readings.driven_seconds(99.0), readings.last_event()) == (0.0, None)

    def state(name: str, at: float) -> None:
        tables.db.write_now(lambda db: db.execute(SQL["insert_event"], event("run_state", name, at)) and None)

    def event(what: str, name: str, at: float) -> dict[str, object]:
        return {"run": 1, "at": at, "level": "info", "what": what, "data": encode_text({"state": name})}

    state("running", 10.0)
    tables.db.write_now(lambda db: db.execute(SQL["insert_event"], event("commit", "", 14.0)) and None)
    assert readings.driven_seconds(None) == 4.0
    state("running", 100.0)
    state("paused", 130.0)
    assert readings.driven_seconds(None) == 34.0
    state("running", 200.0)
    assert readings.driven_seconds(205.0) == 39.0
    assert readings.last_event() == 200.0


def test_units_and_attempts_are_read_by_pages(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small a page is, every row comes once, in order."""
    for name in ("headgate.batch.tables.PAGE", "headgate.batch.readings.PAGE"):
        monkeypatch.setattr(name, 2)
    chunk = plan(tables, 7)
    states = [UnitState.FAILED if seq % 2 else UnitState.VALID for seq in range(7)]
    asyncio.run(tables.commit(1, chunk, [attempt(seq, state=state) for seq, state in enumerate(states)], at=2.0))
    assert [unit.seq for unit in Readings(tables, 1).units(0)] == list(range(7))
    assert [found["seq"] for found in tables.attempts(1)] == list(range(7))
    assert [row[0] for page in tables.valid_pages(1, 0) for row in page] == [0, 2, 4, 6]
    assert [row[1] for page in tables.failure_pages(1) for row in page] == [1, 3, 5]
    assert list(Readings(tables, 1).units(1)) == []
