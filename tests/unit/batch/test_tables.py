"""The run's tables: what belongs together commits together, doing it again changes nothing, and the books balance at every step."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.batch.books import check_books
from headgate.batch.rows import Attempt, ChunkRow, Claim, Posting, RunRow, StepRow
from headgate.batch.states import ChunkState, Outcome, SubmissionState, UnitState
from headgate.batch.tables import NewUnit, Tables, Ways
from headgate.dialects.batch import BatchHandle
from headgate.errors import StoreError
from headgate.store import Database

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


class Book:
    """A database with one run of two steps."""

    def __init__(self, folder: Path, steps: list[StepRow] = STEPS) -> None:
        self.tables = Tables(Database.open(folder / "run.sqlite", migrations="run"), folder)
        self.do(self.tables.create_run(RUN, steps))

    def do(self, work: Coroutine[object, object, object]) -> object:
        return asyncio.run(work)

    @property
    def row(self) -> RunRow:
        row = self.tables.find_run()
        assert row is not None
        return row

    def plan(self, first: int, count: int) -> ChunkRow:
        segment = self.do(self.tables.segment(1, "segments/input.jsonl.zst"))
        writer = self.tables.writer(segment)
        units = [NewUnit(first + i, {"unit_id": f"u{first + i}"}) for i in range(count)]
        chunk = self.do(self.tables.plan_units(1, "batch", units, writer, segment.id, 1.0))
        writer.close()
        return self.tables.chunk(chunk)

    def commit(
        self,
        chunk: ChunkRow,
        states: dict[int, UnitState],
        children: dict[int, int] | None = None,
        reason: str | None = None,
        **more: object,
    ) -> None:
        """An attempt for each unit, leaving it in that state; with `children`, so many rows after each one's own."""
        units = {u.seq: u for u in self.tables.units(chunk.id)}
        segment = self.do(self.tables.segment(1, f"segments/{chunk.step:02d}-{chunk.id:06d}.jsonl.zst"))
        writer = self.tables.writer(segment)
        grown = children or {}
        lines = [{"seq": seq, "record": {"unit_id": f"u{seq}"}} for seq in states for _ in range(1 + grown.get(seq, 0))]
        frame = writer.append(lines) if states else None
        writer.close()
        attempts, line = [], 0
        for seq, state in states.items():
            n = units[seq].attempts + 1
            attempts.append(attempt(chunk, seq, n, state, line, children=grown.get(seq), reason=reason))
            line += 1 + grown.get(seq, 0)
        self.do(self.tables.commit(1, chunk.id, attempts, at=2.0, segment=segment.id, frame=frame, **more))

    def check(self) -> None:
        assert check_books(self.tables, 1) == []


def attempt(chunk: ChunkRow, seq: int, n: int, state: UnitState, line: int | None = None, **more: object) -> Attempt:
    outcome = Outcome.VALID if state is UnitState.VALID else Outcome.INVALID
    values = {"tries": n, "errors": 0, "at": 2.0, "cost_nanos": 10, "cost_source": "usage", **more}
    return Attempt(step=chunk.step, seq=seq, n=n, chunk=chunk.id, lane="batch", outcome=outcome, state=state, line=line, **values)


def intent(chunk: ChunkRow, key: str) -> dict[str, object]:
    """The intent to submit a chunk."""
    return {
        "key": key,
        "run": 1,
        "chunk": chunk.id,
        "n": 1,
        "provider": "sim-openai",
        "account": "default",
        "prefix": f"abc123-{chunk.id}-1",
        "rows": chunk.n,
        "reserved_nanos": 100,
        "intent_at": 1.0,
    }


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path)
    yield made
    made.tables.db.close()


ENDS = st.sampled_from([UnitState.VALID, UnitState.FAILED, UnitState.RETRY])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=3), data=st.data())
def test_the_books_balance_after_every_commit(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject) -> None:
    """Units are decided in any order and grouping, chunks split and advance; started = valid + failed + pending all the time."""
    book = Book(tmp_path_factory.mktemp("book"))
    with book.tables.db:
        for size in sizes:
            book.plan(book.row.planned, size)
            book.check()
        for _ in range(40):
            chunks = book.tables.open_chunks(1)
            if not chunks:
                break
            chunk = data.draw(st.sampled_from(chunks))
            units = book.tables.units(chunk.id)
            open_ = [u.seq for u in units if u.state in (UnitState.TODO, UnitState.SENT)]
            fresh = all(u.state is not UnitState.RETRY for u in units)
            if fresh and len(open_) > 1 and data.draw(st.booleans()):
                half = len(open_) // 2
                groups = [(part[0], part[-1], len(part)) for part in (open_[:half], open_[half:])]
                book.do(book.tables.split_chunk(chunk, groups, Ways(1, "expression") if chunk.step == 0 else Ways(), 3.0))
            elif open_:
                some = data.draw(st.lists(st.sampled_from(open_), min_size=1, unique=True))
                book.commit(chunk, {seq: data.draw(ENDS) for seq in some})
            else:
                book.do(book.tables.advance(chunk, Ways(1, "expression") if chunk.step == 0 else Ways(), 4.0))
            book.check()
        assert sum(total.cost_nanos for total in book.tables.totals(1)) == 10 * len(book.tables.attempts(1))


SHAPED = [
    StepRow(0, "split", "fan_out", "expression"),
    StepRow(1, "make", "chunk", "batch", "sim-openai", "default", "sim-small"),
    StepRow(2, "tidy", "expression", "expression"),
    StepRow(3, "gate", "expression", "expression"),
]
WAYS = [Ways(1, "batch", size=2), Ways(2, "expression"), Ways(3, "expression"), Ways(back=1, back_lane="batch")]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=2), data=st.data())
def test_the_books_balance_when_units_multiply_and_are_sent_back(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    """Every unit made is decided once at the end, however often it went back; nothing is counted at a step that it left."""
    book = Book(tmp_path_factory.mktemp("book"), SHAPED)
    made, returned = 0, 0
    with book.tables.db:
        for size in sizes:
            book.plan(book.row.planned, size)
        while chunks := book.tables.open_chunks(1):
            chunk = data.draw(st.sampled_from(chunks))
            open_ = [u.seq for u in book.tables.units(chunk.id) if u.state is UnitState.TODO]
            if not open_:
                book.do(book.tables.advance(chunk, WAYS[chunk.step], 4.0))
            elif chunk.step == 0:
                children = {seq: data.draw(st.integers(0, 3)) for seq in open_}
                made += sum(children.values())
                book.commit(chunk, dict.fromkeys(open_, UnitState.VALID), children=children)
            else:
                ends = [UnitState.VALID, UnitState.FAILED, *([UnitState.BACK] if chunk.step == 3 and returned < 5 else [])]
                states = {seq: data.draw(st.sampled_from(ends)) for seq in open_}
                returned += sum(state is UnitState.BACK for state in states.values())
                book.commit(chunk, states)
            book.check()
        totals = book.tables.totals(1)
        assert totals[1].started == made
        assert totals[3].valid + sum(total.failed for total in totals) == made
        assert all(total.pending == 0 for total in totals)
        assert sum(total.cost_nanos for total in totals) == 10 * len(book.tables.attempts(1))


def test_a_unit_sent_back_brings_the_complaint(book: Book) -> None:
    chunk = book.plan(0, 2)
    book.commit(chunk, {0: UnitState.VALID, 1: UnitState.VALID})
    (gate,) = book.do(book.tables.advance(chunk, Ways(1, "expression"), 3.0))
    judged = book.tables.chunk(gate)
    book.commit(judged, {0: UnitState.VALID, 1: UnitState.BACK}, reason="rule")
    complaint = book.tables.unit(1, 1, 1)
    (again,) = book.do(book.tables.advance(judged, Ways(back=0, back_lane="batch"), 3.0))
    (unit,) = book.tables.units(again)
    assert (unit.seq, unit.state, unit.tries, unit.attempts, unit.returns, unit.reason) == (1, UnitState.TODO, 0, 1, 1, "rule")
    assert (unit.segment, unit.row) == (complaint.segment, complaint.row)
    assert [(t.started, t.valid, t.pending) for t in book.tables.totals(1)] == [(2, 1, 1), (1, 1, 0)]
    book.check()
    book.commit(book.tables.chunk(again), {1: UnitState.VALID})
    (second,) = book.do(book.tables.advance(book.tables.chunk(again), Ways(1, "expression"), 4.0))
    (unit,) = book.tables.units(second)
    assert (unit.seq, unit.state, unit.tries, unit.attempts) == (1, UnitState.TODO, 1, 1)
    book.check()


def test_the_database_refuses_a_chunk_that_decides_too_much(book: Book) -> None:
    chunk = book.plan(0, 2)
    book.commit(chunk, {0: UnitState.VALID})
    with pytest.raises(sqlite3.IntegrityError, match="more or fewer units than it holds"):
        book.do(book.tables.advance(chunk, Ways(1, "expression"), 3.0))
    assert book.tables.chunk(chunk.id).state is ChunkState.OPEN


def test_advancing_twice_opens_nothing_twice(book: Book) -> None:
    chunk = book.plan(0, 3)
    book.commit(chunk, {0: UnitState.VALID, 1: UnitState.RETRY, 2: UnitState.FAILED})
    first = book.do(book.tables.advance(chunk, Ways(1, "expression"), 3.0))
    assert len(first) == 2
    assert book.do(book.tables.advance(chunk, Ways(1, "expression"), 3.0)) == ()
    assert [(c.step, c.round, c.n) for c in book.tables.open_chunks(1)] == [(0, 1, 1), (1, 0, 1)]
    book.check()


def test_a_split_that_would_lose_a_unit_is_refused(book: Book) -> None:
    chunk = book.plan(0, 3)
    with pytest.raises(StoreError, match="would be in no part"):
        book.do(book.tables.split_chunk(chunk, [(0, 0, 1), (2, 2, 1)], Ways(), 3.0))
    assert len(book.tables.units(chunk.id)) == 3
    book.check()


def test_units_of_a_split_chunk_that_are_valid_go_on(book: Book) -> None:
    chunk = book.plan(0, 4)
    book.commit(chunk, {1: UnitState.VALID, 3: UnitState.FAILED})
    book.do(book.tables.split_chunk(chunk, [(0, 0, 1), (2, 2, 1)], Ways(1, "expression"), 3.0))
    book.check()
    parts = book.tables.open_chunks(1)
    assert [(part.step, [unit.seq for unit in book.tables.units(part.id)]) for part in parts] == [(0, [0]), (0, [2]), (1, [1])]
    assert [(total.started, total.valid, total.failed) for total in book.tables.totals(1)] == [(4, 1, 1), (1, 0, 0)]


def test_a_chunk_goes_to_another_lane_only_while_it_is_in_none(book: Book) -> None:
    """What was refused is in none again, and what is at the provider is not moved behind its back."""
    chunk = book.plan(0, 2)
    book.do(book.tables.built(chunk.id, 1))
    book.do(book.tables.intend(intent(chunk, "k1"), 2.0))
    book.do(book.tables.submitted(chunk, "k1", BatchHandle("b1"), "create", 2.0))
    assert book.do(book.tables.move_chunk(chunk, "realtime", None, 3.0, {})) is False
    assert (book.tables.chunk(chunk.id).lane, book.tables.chunk(chunk.id).epoch) == ("batch", 0)
    book.do(book.tables.set_submission(1, "k1", SubmissionState.ENDED, None, 3.0))
    book.do(book.tables.set_back(chunk, "k1", "no room", 3.0))
    assert book.tables.chunk(chunk.id).state is ChunkState.BUILT
    assert book.do(book.tables.move_chunk(chunk, "realtime", None, 3.0, {})) is True
    moved = book.tables.chunk(chunk.id)
    assert (moved.lane, moved.epoch, moved.state) == ("realtime", 1, ChunkState.OPEN)
    assert {unit.state for unit in book.tables.units(chunk.id)} == {UnitState.TODO}


def test_an_attempt_is_stored_once(book: Book) -> None:
    chunk = book.plan(0, 1)
    book.commit(chunk, {0: UnitState.RETRY})
    with pytest.raises((StoreError, sqlite3.IntegrityError)):
        book.do(book.tables.commit(1, chunk.id, [attempt(chunk, 0, 1, UnitState.VALID)], at=2.0))
    assert [a["outcome"] for a in book.tables.attempts(1)] == ["invalid"]
    book.check()


def test_a_submission_is_collected_once_and_its_reservation_shrinks_with_what_is_spent(book: Book) -> None:
    chunk = book.plan(0, 3)
    book.do(book.tables.intend(intent(chunk, "k"), 1.0))
    assert book.tables.reserved(1) == 100
    assert {u.state for u in book.tables.units(chunk.id)} == {UnitState.SENT}
    book.do(book.tables.submitted(chunk, "k", BatchHandle("b1"), "create", 2.0))
    book.do(book.tables.submitted(chunk, "k", BatchHandle("b2"), "create", 2.0))
    assert book.tables.claimed_batches("sim-openai", "default") == {"b1"}, "only an intent becomes submitted"
    book.commit(chunk, {0: UnitState.VALID}, submission="k")
    assert book.tables.reserved(1) == 90
    book.do(book.tables.set_submission(1, "k", SubmissionState.ENDED, None, 3.0))
    book.commit(chunk, {1: UnitState.VALID, 2: UnitState.VALID}, submission="k", closes=ChunkState.COLLECTED)
    assert book.tables.reserved(1) == 0
    book.do(book.tables.commit(1, chunk.id, [attempt(chunk, 0, 2, UnitState.VALID)], at=4.0, submission="k", closes=ChunkState.COLLECTED))
    assert len(book.tables.attempts(1)) == 3, "a second collection does nothing"
    book.check()


def test_an_adopted_job_can_be_disowned_and_one_of_ours_cannot(book: Book) -> None:
    for key, how, left in (("w", "window", "intent"), ("t", "tag", "submitted")):
        chunk = book.plan(book.row.planned, 1)
        fields = {"key": key, "run": 1, "chunk": chunk.id, "n": 1, "provider": "p", "account": "a", "prefix": "x"}
        book.do(book.tables.intend({**fields, "rows": 1, "reserved_nanos": None, "intent_at": 1.0}, 1.0))
        book.do(book.tables.submitted(chunk, key, BatchHandle(f"b{key}"), how, 2.0))
        book.do(book.tables.disown(1, key, "not ours", 3.0))
        last = book.tables.last_submission(chunk.id)
        assert last is not None and last.state.value == left


def claim(book: Book, chunk: ChunkRow, seq: int, bound: int | None) -> None:
    book.do(book.tables.claim([Claim(1, 0, seq, 1, chunk.id, f"abc123-boot-{seq}", bound, 1.0)]))


def test_a_claim_without_an_attempt_is_an_orphan_and_holds_its_bound(book: Book) -> None:
    chunk = book.plan(0, 2)
    claim(book, chunk, 0, 70)
    claim(book, chunk, 1, 50)
    assert book.tables.reserved(1) == 120
    book.commit(chunk, {0: UnitState.VALID})
    assert (book.tables.reserved(1), [c.seq for c in book.tables.orphan_claims(1)]) == (50, [1])


@pytest.mark.parametrize(
    ("bound", "billed", "delta", "unpriced"), [(70, 30, -40, 0), (70, None, -70, 0), (70, 70, 0, 0), (None, 30, 30, -1)]
)
def test_truing_up_books_the_difference_once(book: Book, bound: int | None, billed: int | None, delta: int, unpriced: int) -> None:
    chunk = book.plan(0, 1)
    claim(book, chunk, 0, bound)
    lost = {"cost_nanos": bound, "cost_source": "bound", "request_id": "abc123-boot-0"}
    book.do(book.tables.commit(1, chunk.id, [attempt(chunk, 0, 1, UnitState.RETRY, **lost)], at=2.0))
    invoice = {} if billed is None else {"abc123-boot-0": billed}
    assert book.do(book.tables.true_up(book.row, invoice, 3.0)) == (1, delta)
    assert book.do(book.tables.true_up(book.row, {"abc123-boot-0": 999}, 3.0)) == (0, 0)
    assert [(a["cost_nanos"], a["cost_source"]) for a in book.tables.attempts(1)] == [(billed or 0, "invoice")]
    assert book.tables.totals(1)[0].cost_nanos == (billed or 0)
    postings: list[Posting] = book.tables.open_postings()
    expected = [("abc123/trueup/abc123-boot-0", delta, unpriced, 0)] if delta or bound is None else []
    assert [(p.key, p.cost_nanos, p.unpriced, p.calls) for p in postings] == expected
    book.do(book.tables.settled([p.key for p in postings], 4.0))
    assert book.tables.open_postings() == []
    book.check()


def test_lines_are_found_by_segment_and_row_and_an_emptied_segment_is_empty(book: Book) -> None:
    chunk = book.plan(0, 3)
    units = book.tables.units(chunk.id)
    lines = book.tables.read_lines((u.input_segment, u.input_row) for u in units[1:])
    assert [line["seq"] for line in lines.values()] == [1, 2]
    emptied = book.do(book.tables.empty_segment(1, "segments/input.jsonl.zst"))
    assert (emptied.committed, emptied.rows, list(book.tables.scan(emptied.id))) == (0, 0, [])


def test_what_is_not_there_is_told(book: Book) -> None:
    with pytest.raises(StoreError, match="chunk 99 does not exist"):
        book.tables.chunk(99)
    assert book.tables.last_submission(99) is None
    assert book.tables.find_run("another") is None
