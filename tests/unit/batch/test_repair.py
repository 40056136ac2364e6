"""Auditing and repairing: whatever happens to the rows of units, what an audit finds is mended, and what is left is whole."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.batch.audit import Audit, Kind, audit
from headgate.batch.audit_rows import outside
from headgate.batch.books import check_books
from headgate.batch.repair import Plan, make_plan, shortened
from headgate.batch.repair_writes import mend
from headgate.batch.rows import Attempt, ChunkRow, RunRow, StepRow
from headgate.batch.segments import Frame
from headgate.batch.states import Outcome, UnitState
from headgate.batch.tables import NewUnit, Tables, Ways
from headgate.store import Database
from headgate.wire.json import Json

RUN = {
    "id": "r",
    "mark": "abc123",
    "pipeline": "p",
    "pipeline_digest": "",
    "mode": "realtime",
    "state": "planning",
    "created_at": 1.0,
    "seed": "0",
    "cost_cap_nanos": None,
    "price_digest": "",
    "engine_version": "x",
    "options": "{}",
}
STEPS = [
    StepRow(0, "ask", "chunk", "realtime"),
    StepRow(1, "count", "expression", "expression"),
    StepRow(2, "tell", "expression", "expression"),
]
FAN = [STEPS[0], StepRow(1, "spread", "fan_out", "expression"), STEPS[2]]
UNITS = 6


class Walk:
    """A run whose units went through its steps, each at a cost of ten nano-dollars, unit 5 failing at the second."""

    def __init__(self, folder: Path, steps: list[StepRow] = STEPS) -> None:
        self.steps = steps
        self.tables = Tables(Database.open(folder / "run.sqlite", migrations="run"), folder)
        self.do(self.tables.create_run(RUN, steps))
        self.plan()
        for _ in steps:
            for chunk in self.tables.open_chunks(1):
                self.decide(chunk)

    def do(self, work: Coroutine[object, object, Json]) -> Json:
        return asyncio.run(work)

    @property
    def row(self) -> RunRow:
        row = self.tables.find_run()
        assert row is not None
        return row

    def plan(self) -> None:
        segment = self.do(self.tables.segment(1, "segments/input.jsonl.zst"))
        writer = self.tables.writer(segment)
        for first in range(0, UNITS, 3):
            units = [NewUnit(seq, {"unit_id": f"u{seq}"}) for seq in range(first, first + 3)]
            self.do(self.tables.plan_units(1, "realtime", units, writer, segment.id, 1.0))
        writer.close()
        self.do(self.tables.set_total(1, UNITS))

    def decide(self, chunk: ChunkRow) -> None:
        """An attempt for each unit of the chunk, then the next step."""
        units = [unit for unit in self.tables.units(chunk.id) if unit.state is UnitState.TODO]
        segment = self.do(self.tables.segment(1, f"segments/{chunk.step:02d}-{chunk.id:06d}.jsonl.zst"))
        writer = self.tables.writer(segment)
        frame = writer.append([{"seq": u.seq, "record": {"unit_id": f"u{u.seq}"}} for u in units]) if units else None
        writer.close()
        attempts = [attempt(chunk, u.seq, u.attempts + 1, line) for line, u in enumerate(units)]
        self.do(self.tables.commit(1, chunk.id, attempts, at=2.0, segment=segment.id, frame=frame))
        following = chunk.step + 1
        ways = Ways(following, self.steps[following].lane) if following < len(self.steps) else Ways()
        self.do(self.tables.advance(chunk, ways, 3.0))

    def change(self, *statements: str) -> None:
        """Change the database from outside."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("DROP TRIGGER IF EXISTS chunk_law")
            for statement in statements:
                db.execute(statement)

        self.tables.db.write_now(work)

    def audit(self) -> Audit:
        return audit(self.tables, self.row, self.steps, driven=False, deep=True)

    def repair(self, again: bool = False) -> Plan:
        """Mend what is found; the inputs that are missing are made again."""
        found = self.audit()
        plan = make_plan(self.tables, found, again)
        wanted = {*plan.inputs, *(one.seq for one in plan.restore if one.place is None)}
        records = {seq: {"unit_id": f"u{seq}"} for seq in wanted}
        self.do(mend(self.tables, self.row, self.steps, plan, found.facts, records, 4.0))
        return plan


def attempt(chunk: ChunkRow, seq: int, n: int, line: int) -> Attempt:
    good = not (chunk.step == 1 and seq == 5)
    return Attempt(
        step=chunk.step,
        seq=seq,
        n=n,
        chunk=chunk.id,
        lane="realtime",
        outcome=Outcome.VALID if good else Outcome.INVALID,
        state=UnitState.VALID if good else UnitState.FAILED,
        tries=n,
        errors=0,
        at=2.0,
        reason=None if good else "rule",
        cost_nanos=10,
        cost_source="usage",
        line=line,
    )


def only_books(found: Audit) -> list[str]:
    """What is wrong, apart from money that was never posted here."""
    told = [fault.message for fault in found.faults if fault.kind is not Kind.MONEY]
    return told + [
        f"{step.step}: {step.missing} {step.duplicated} {step.orphaned}"
        for step in found.steps
        if step.missing + step.duplicated + step.orphaned
    ]


KEY = st.tuples(st.integers(0, 2), st.integers(0, UNITS - 1))
DAMAGE = st.one_of(
    KEY.map(lambda key: f"DELETE FROM unit WHERE step = {key[0]} AND seq = {key[1]}"),
    st.tuples(KEY, st.sampled_from([0, 1, 2, 3, 4])).map(
        lambda d: f"UPDATE unit SET state = {d[1]} WHERE step = {d[0][0]} AND seq = {d[0][1]}"
    ),
    KEY.map(lambda key: f"UPDATE unit SET cost_nanos = 77 WHERE step = {key[0]} AND seq = {key[1]}"),
    KEY.map(lambda key: f"UPDATE unit SET segment = NULL, row = NULL WHERE step = {key[0]} AND seq = {key[1]}"),
    KEY.map(lambda key: f"UPDATE unit SET parent_seq = 88 WHERE step = {key[0]} AND step > 0 AND seq = {key[1]}"),
    KEY.map(lambda key: f"UPDATE unit SET row = 1000 WHERE step = {key[0]} AND seq = {key[1]}"),
    KEY.map(lambda key: f"DELETE FROM attempt WHERE step = {key[0]} AND seq = {key[1]}"),
    st.integers(1, 6).map(lambda chunk: f"UPDATE chunk SET valid = valid + 1, n = n + 2, cost_nanos = 0 WHERE id = {chunk}"),
    st.integers(1, 6).map(lambda chunk: f"DELETE FROM chunk WHERE id = {chunk}"),
)
"""Something that happens to a row or two."""


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damage=st.lists(DAMAGE, min_size=1, max_size=4))
def test_whatever_happens_to_the_rows_is_mended(tmp_path_factory: pytest.TempPathFactory, damage: list[str]) -> None:
    """Two repairs are enough: the second meets what came to light by the first."""
    walk = Walk(tmp_path_factory.mktemp("walk"))
    with walk.tables.db:
        spent = walk.tables.totals(1)
        assert only_books(walk.audit()) == []
        walk.change(*damage)
        for _ in range(2):
            walk.repair(again=True)
        assert only_books(walk.audit()) == [], damage
        assert check_books(walk.tables, 1) == []
        if not any(statement.startswith("DELETE FROM attempt") for statement in damage):
            assert [step.cost_nanos for step in walk.tables.totals(1)] == [step.cost_nanos for step in spent]
        for _ in range(6):
            for chunk in walk.tables.open_chunks(1):
                walk.decide(chunk)
        assert walk.tables.open_chunks(1) == [], "the run can be gone on with to its end"
        assert only_books(walk.audit()) == [], damage
        if not any("SET state" in statement for statement in damage):
            assert sum(len(page) for page in walk.tables.valid_pages(1, 2)) == UNITS - 1


def test_an_untouched_run_has_nothing_to_mend(tmp_path: Path) -> None:
    walk = Walk(tmp_path)
    with walk.tables.db:
        assert make_plan(walk.tables, walk.audit(), True).empty
        walk.repair()
        assert only_books(walk.audit()) == []


def fanned(folder: Path) -> Walk:
    """A run whose unit 1 became three units at the last step."""
    walk = Walk(folder, FAN)
    walk.change(
        "UPDATE unit SET children = 3 WHERE step = 1 AND seq = 1",
        "INSERT INTO unit SELECT run, step, 100, 1, state, 0, 0, 0, chunk, input_segment, input_row, segment, row, 0, NULL, NULL, 0 "
        "FROM unit WHERE step = 2 AND seq = 1",
        "INSERT INTO unit SELECT run, step, 101, 1, state, 0, 0, 0, chunk, input_segment, input_row, segment, row, 0, NULL, NULL, 0 "
        "FROM unit WHERE step = 2 AND seq = 1",
        "UPDATE chunk SET n = n + 2, valid = valid + 2 WHERE id = (SELECT chunk FROM unit WHERE step = 2 AND seq = 1)",
    )
    return walk


def test_units_that_became_several_are_counted_as_several(tmp_path: Path) -> None:
    walk = fanned(tmp_path)
    with walk.tables.db:
        found = walk.audit()
        assert only_books(found) == []
        assert [(step.expected, step.valid) for step in found.steps] == [(6, 6), (6, 5), (7, 7)]
        walk.change("DELETE FROM unit WHERE step = 2 AND seq = 100")
        assert walk.audit().steps[2].missing_ids == ("u1",)
        plan = make_plan(walk.tables, walk.audit(), True)
        assert "unit 1 of step 1 has 2 of 3 units at the next step" in plan.unmended
        walk.change("DELETE FROM unit WHERE step = 2 AND parent_seq = 1")
        assert walk.audit().missing == 3
        assert walk.repair().recompute == ((1, 1),)
        assert only_books(walk.audit()) == []
        assert walk.tables.unit(1, 1, 1).state is UnitState.TODO


def test_units_that_were_sent_back_count_nowhere(tmp_path: Path) -> None:
    walk = Walk(tmp_path)
    with walk.tables.db:
        walk.change("UPDATE unit SET state = 6 WHERE step = 2 AND seq = 1")
        assert walk.audit().steps[2].missing_ids == ("u1",)
        walk.repair()
        assert only_books(walk.audit()) == []
        assert walk.tables.unit(1, 2, 1).state is UnitState.VALID, "as its last attempt says"


def test_places_outside_of_frames() -> None:
    frames = {1: (Frame(0, 0, 9, 3), Frame(5, 9, 9, 2)), 2: (Frame(0, 0, 9, 1),)}
    places = [(1, 0), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7), (2, 0), (2, 1), (3, 0)]
    assert list(outside(places, frames)) == [(1, 3), (1, 4), (1, 7), (2, 1), (3, 0)]


def test_a_segment_is_as_long_as_what_is_left_of_it() -> None:
    first, second = Frame(0, 0, 9, 3), Frame(3, 9, 5, 2)
    assert (shortened([first, second], [second]), shortened([first, second], [first]), shortened([first], [first])) == (9, 14, 0)
