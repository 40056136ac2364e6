"""Reading and writing a run's database. Each method is one transaction; what belongs together commits together."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import EnumType
from functools import cache
from inspect import Parameter, signature
from pathlib import Path
from typing import TypeVar

import msgspec

from headgate.batch.rows import (
    Attempt,
    ChunkRow,
    Claim,
    Posting,
    RunRow,
    SegmentRow,
    StepRow,
    StepTotals,
    SubmissionRow,
    UnitRow,
    UpperBound,
)
from headgate.batch.segments import Frame, SegmentWriter, read_frame, read_lines, read_raw_record, read_record, read_requests
from headgate.batch.states import ChunkState, RunState, SubmissionState, UnitState
from headgate.batch.tally import tallies
from headgate.dialects.batch import BatchHandle, BatchState
from headgate.errors import StoreError
from headgate.store import Database, Statements
from headgate.wire.json import Json, JsonObject, decode, encode_text

SQL = Statements.load("run")
PAGE = 1000
"""Rows that are read at once by those who go through all of them."""
T = TypeVar("T", bound=msgspec.Struct)
R = TypeVar("R")


def as_value(kind: type[T], row: Sequence[Json]) -> T:
    """A database row as a value; columns are in the order of the fields. Raises `ValueError` for a row that does not fit."""
    count, by_name, others = _shape(kind)
    _fits(kind, row, count)
    values = list(row)
    for place, known in others:
        values[place] = known[values[place]]
    return kind(**dict(zip(kind.__struct_fields__, values, strict=True))) if by_name else kind(*values)


def as_values(kind: type[T], rows: Iterable[Sequence[Json]]) -> list[T]:
    """As `as_value`, for many rows."""
    count, by_name, others = _shape(kind)
    if by_name or len(others) != 1:
        return [as_value(kind, row) for row in rows]
    ((place, known),) = others
    try:
        return [kind(*row[:place], known[row[place]], *row[place + 1 :]) for row in rows if _fits(kind, row, count)]
    except KeyError as error:
        raise ValueError(f"a {kind.__name__} cannot have the {kind.__struct_fields__[place]} {error}") from None


def _fits(kind: type[msgspec.Struct], row: Sequence[Json], count: int) -> bool:
    if len(row) != count:
        raise ValueError(f"a {kind.__name__} has {count} columns, not {len(row)}")
    return True


@cache
def _shape(kind: type[msgspec.Struct]) -> tuple[int, bool, tuple[tuple[int, dict[Json, Json]], ...]]:
    """How many fields a kind of row has, whether they are given by name, and the values of those that the database spells otherwise."""
    fields = msgspec.structs.fields(kind)
    by_name = any(parameter.kind is Parameter.KEYWORD_ONLY for parameter in signature(kind).parameters.values())
    return len(fields), by_name, tuple((place, found) for place, field in enumerate(fields) if (found := _spellings(field.type)))


def _spellings(kind: Json) -> dict[Json, Json]:
    if kind is bool:
        return {0: False, 1: True}
    return dict(kind._value2member_map_) if isinstance(kind, EnumType) else {}


class NewUnit(msgspec.Struct, frozen=True):
    """A unit to be planned: its number and the record that becomes its input."""

    seq: int
    record: JsonObject


class Ways(msgspec.Struct, frozen=True):
    """Where the units of a chunk go: the `next` step, the earlier one that those sent `back` return to, and the lanes of both.

    None where there is none. `size` is the most units a chunk of the next step holds when units became more than they were.
    """

    next: int | None = None
    next_lane: str = ""
    back: int | None = None
    back_lane: str = ""
    size: int = 100


class Tables:
    """The tables of one engine home. `folder` is where its segments lie."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.db = database
        self.folder = folder

    # Runs and steps

    async def create_run(self, fields: JsonObject, steps: Iterable[StepRow]) -> None:
        """Write a run and its steps. `fields` are the parameters of the statement ``insert_run``."""

        def work(db: sqlite3.Connection) -> None:
            key = db.execute(SQL["insert_run"], fields).lastrowid
            db.executemany(SQL["insert_step"], [{**msgspec.structs.asdict(step), "run": key} for step in steps])

        await self.db.write(work)

    def find_run(self, run_id: str | None = None) -> RunRow | None:
        """The run called `run_id`, or the only run of the home."""
        row = self.db.read(lambda db: db.execute(SQL["find_run"], {"id": run_id}).fetchone())
        return None if row is None else as_value(RunRow, row)

    def steps(self, run: int) -> list[StepRow]:
        """The run's steps in order."""
        return as_values(StepRow, self._rows("find_steps", {"run": run}))

    async def set_run_state(self, run: int, state: RunState, reason: str | None, finished_at: float | None, at: float) -> None:
        """Change the run's state, with an event."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(SQL["set_run_state"], {"run": run, "state": state.value, "reason": reason, "finished_at": finished_at})
            _event(db, run, at, "info", "run_state", {"state": state.value, "reason": reason})

        await self.db.write(work)

    async def set_run_options(self, run: int, cost_cap_nanos: int | None, engine_version: str) -> None:
        """Record what an invocation may change: the cap, and the engine version that goes on."""
        await self._do("set_run_options", {"run": run, "cost_cap_nanos": cost_cap_nanos, "engine_version": engine_version})

    # Planning

    async def plan_units(self, run: int, lane: str, units: Sequence[NewUnit], writer: SegmentWriter, segment: int, at: float) -> int:
        """Append units as one chunk of the first step: payload frame, chunk and unit rows, and the count of planned units."""
        frame = writer.append([{"seq": unit.seq, "record": unit.record} for unit in units])
        planned = units[-1].seq + 1

        def work(db: sqlite3.Connection) -> int:
            _commit_frame(db, segment, frame)
            chunk = _insert_chunk(db, run, 0, lane, 0, None, len(units), at)
            rows = [
                {
                    "run": run,
                    "step": 0,
                    "seq": u.seq,
                    "parent_seq": None,
                    "chunk": chunk,
                    "input_segment": segment,
                    "input_row": frame.first_row + i,
                }
                for i, u in enumerate(units)
            ]
            db.executemany(SQL["insert_unit"], rows)
            db.execute(SQL["set_planned"], {"run": run, "planned": planned})
            _event(db, run, at, "info", "chunk_open", {"chunk": chunk, "step": 0, "n": len(units)})
            return chunk

        return await self.db.write(work)

    async def set_total(self, run: int, total: int) -> None:
        """Planning is finished: this many units were made."""
        await self._do("set_total", {"run": run, "total": total})

    # Chunks

    def open_chunks(self, run: int) -> list[ChunkRow]:
        """Chunks with work left."""
        return as_values(ChunkRow, self._rows("open_chunks", {"run": run}))

    def has_open_chunks(self, run: int) -> bool:
        """Whether any chunk has work left."""
        return bool(self._rows("has_open_chunks", {"run": run})[0][0])

    def unanswered(self, chunk_id: int) -> frozenset[int]:
        """The numbers of the chunk's units that wait to be sent, or for their answer."""
        return frozenset(row[0] for row in self._rows("unanswered", {"chunk": chunk_id}))

    def chunk(self, chunk_id: int) -> ChunkRow:
        """One chunk."""
        row = self.db.read(lambda db: db.execute(SQL["find_chunk"], {"id": chunk_id}).fetchone())
        if row is None:
            raise StoreError(f"chunk {chunk_id} does not exist in {self.folder}")
        return as_value(ChunkRow, row)

    async def set_chunk_state(self, chunk_id: int, state: ChunkState) -> None:
        """Change a chunk's state."""
        await self._do("set_chunk_state", {"id": chunk_id, "state": state.value})

    async def built(self, chunk_id: int, segment: int) -> None:
        """The chunk's requests lie in `segment`."""
        await self._do("set_chunk_built", {"id": chunk_id, "segment": segment})

    async def move_chunk(self, chunk: ChunkRow, lane: str, why: str | None, at: float, data: JsonObject) -> bool:
        """Put a chunk that is in no lane's hands yet into another one, under a fresh workflow, and say so. False when it is in some."""

        def work(db: sqlite3.Connection) -> bool:
            moved = db.execute(SQL["move_chunk"], {"id": chunk.id, "lane": lane, "why": why}).rowcount > 0
            if moved:
                _event(db, chunk.run, at, "info", "lane", data)
            return moved

        return await self.db.write(work)

    async def set_chunk_why(self, chunk_id: int, why: str | None) -> None:
        """Say why a chunk is, or will be, in another lane than the run's mode."""
        await self._do("set_chunk_why", {"id": chunk_id, "why": why})

    async def set_mode(self, run: int, mode: str, at: float) -> None:
        """The run goes on in another mode: new chunks of calls take that lane."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(SQL["set_mode"], {"run": run, "mode": mode})
            db.execute(SQL["set_lanes"], {"run": run, "lane": mode})
            _event(db, run, at, "info", "mode", {"mode": mode})

        await self.db.write(work)

    def lane_reasons(self, run: int) -> dict[int, str]:
        """Why chunks are in another lane than the run's mode, by chunk."""
        return {row[0]: row[1] for row in self._rows("lane_reasons", {"run": run})}

    async def set_chunk_epoch(self, chunk_id: int, epoch: int) -> None:
        """Give the chunk a fresh workflow number."""
        await self._do("set_chunk_epoch", {"id": chunk_id, "epoch": epoch})

    def units(self, chunk_id: int) -> list[UnitRow]:
        """The units that are in the chunk now, by number."""
        return as_values(UnitRow, self._rows("units_of_chunk", {"chunk": chunk_id}))

    def inputs_of_step(self, run: int, step: int) -> dict[int, tuple[int, int]]:
        """Where the input records of a step's units lie, (segment, row) by unit number, in order."""
        return {row[0]: (row[1], row[2]) for row in self._rows("inputs_of_step", {"run": run, "step": step})}

    def parents(self, run: int, step: int) -> dict[int, int]:
        """The numbers that a step's units have at the step before, by their own."""
        return {row[0]: row[1] for row in self._rows("parents", {"run": run, "step": step})}

    def unit(self, run: int, step: int, seq: int) -> UnitRow:
        """One unit at one step."""
        return as_value(UnitRow, self._rows("find_unit", {"run": run, "step": step, "seq": seq})[0])

    async def split_chunk(self, chunk: ChunkRow, groups: Sequence[tuple[int, int, int]], ways: Ways, at: float) -> None:
        """Replace a chunk by smaller ones: each group is (lowest seq, highest seq, units). Units that are valid already go on.

        Nothing undecided may stay behind, because nobody looks at a split chunk again: raises `StoreError` when something would.
        """

        def work(db: sqlite3.Connection) -> None:
            for low, high, n in groups:
                child = _insert_chunk(db, chunk.run, chunk.step, chunk.lane, chunk.round, chunk.id, n, at, chunk.why)
                db.execute(SQL["move_units"], {"child": child, "chunk": chunk.id, "low": low, "high": high})
                _event(db, chunk.run, at, "info", "chunk_open", {"chunk": child, "step": chunk.step, "n": n, "split_from": chunk.id})
            left = as_values(UnitRow, db.execute(SQL["units_of_chunk"], {"chunk": chunk.id}))
            if any(unit.state not in (UnitState.FAILED, UnitState.VALID) for unit in left):
                raise StoreError(f"chunk {chunk.id} cannot be split: a unit would be in no part; this is a defect, please report it")
            for child, step, n in _promote(db, chunk, ways, [unit for unit in left if unit.state is UnitState.VALID], at):
                _event(db, chunk.run, at, "info", "chunk_open", {"chunk": child, "step": step, "n": n})
            db.execute(SQL["split_chunk"], {"id": chunk.id, "at": at})

        await self.db.write(work)

    async def advance(self, chunk: ChunkRow, ways: Ways, at: float) -> tuple[int, ...]:
        """Close a chunk whose units are all decided.

        Valid ones open a chunk of the next step (or several, where they became more units), retries a chunk of this one, and those to be
        sent back one of the earlier step. Idempotent: a chunk already done gives no new chunks. Returns the new chunks' ids.
        """

        def work(db: sqlite3.Connection) -> tuple[int, ...]:
            units = as_values(UnitRow, db.execute(SQL["units_of_chunk"], {"chunk": chunk.id}))
            again = sum(u.state is UnitState.RETRY for u in units)
            back = [u for u in units if u.state is UnitState.BACK]
            if db.execute(SQL["finish_chunk"], {"id": chunk.id, "at": at, "retry": again, "away": len(back)}).rowcount == 0:
                return ()
            made = []
            if again:
                child = _insert_chunk(db, chunk.run, chunk.step, chunk.lane, chunk.round + 1, chunk.id, again, at, chunk.why)
                db.execute(SQL["move_retries"], {"child": child, "chunk": chunk.id})
                made.append((child, chunk.step, again))
            if back and ways.back is not None:
                made.append((_send_back(db, chunk, ways, ways.back, back, at), ways.back, len(back)))
            made += _promote(db, chunk, ways, [u for u in units if u.state is UnitState.VALID], at)
            valid = sum(u.state is UnitState.VALID for u in units)
            data = {"chunk": chunk.id, "step": chunk.step, "valid": valid, "retry": again, "back": len(back)}
            _event(db, chunk.run, at, "info", "chunk_done", data)
            for child, step, n in made:
                _event(db, chunk.run, at, "info", "chunk_open", {"chunk": child, "step": step, "n": n})
            return tuple(child for child, _, _ in made)

        return await self.db.write(work)

    async def close_barrier(
        self, run: int, step: int, chunks: Sequence[int], ways: Ways, order: Mapping[int, int], at: float
    ) -> tuple[int, ...]:
        """Close the chunks of a step that waits for all of its units, and hand what they became to the next step.

        They follow the place of each unit in `order`. The step is marked finished in the same transaction. Returns the new chunks' ids.
        """

        def work(db: sqlite3.Connection) -> tuple[int, ...]:
            units: list[UnitRow] = []
            for chunk in chunks:
                found = [as_value(UnitRow, row) for row in db.execute(SQL["units_of_chunk"], {"chunk": chunk})]
                units += [unit for unit in found if unit.state is UnitState.VALID]
                db.execute(SQL["finish_chunk"], {"id": chunk, "at": at, "retry": 0, "away": 0})
            units.sort(key=lambda unit: order[unit.seq])
            made = _spread(db, run, step, ways, None, units, at) if ways.next is not None else []
            db.execute(SQL["finish_step"], {"run": run, "step": step, "at": at})
            for child, following, n in made:
                _event(db, run, at, "info", "chunk_open", {"chunk": child, "step": following, "n": n})
            return tuple(child for child, _, _ in made)

        return await self.db.write(work)

    async def finish_step(self, run: int, step: int, at: float) -> None:
        """A step that is done once for the whole run was done."""
        await self._do("finish_step", {"run": run, "step": step, "at": at})

    def finished_steps(self, run: int) -> frozenset[int]:
        """The steps done once for the whole run that were done."""
        return frozenset(row[0] for row in self._rows("finished_steps", {"run": run}))

    # Attempts

    async def claim(self, claims: Sequence[Claim]) -> None:
        """Write down calls before they are made."""
        await self._do("insert_claim", *(msgspec.structs.asdict(claim) for claim in claims))

    def orphan_claims(self, run: int) -> list[Claim]:
        """Calls whose answer was lost with an earlier process."""
        return as_values(Claim, self._rows("orphan_claims", {"run": run}))

    async def commit(
        self,
        run: int,
        chunk: int,
        attempts: Sequence[Attempt],
        *,
        at: float,
        segment: int | None = None,
        frame: Frame | None = None,
        posting: Posting | None = None,
        submission: str | None = None,
        closes: ChunkState | None = None,
    ) -> None:
        """Store what attempts came to: payload frame, attempts, units, counters, and the posting to the ledger, in one transaction.

        What the attempts cost is taken out of the reservation of `submission`. With `closes` the chunk takes that state and the
        submission is collected; a commit that closes a submission collected before does nothing.
        """

        def work(db: sqlite3.Connection) -> None:
            if submission is not None and closes is not None and not _collected(db, submission):
                return
            if frame is not None and segment is not None:
                _commit_frame(db, segment, frame)
            counts = _write_attempts(db, run, attempts, segment, frame.first_row if frame else 0)
            db.execute(SQL["count_chunk"], {"id": chunk, **counts})
            db.executemany(SQL["add_tally"], [{"run": run, **msgspec.structs.asdict(tally)} for tally in tallies(attempts)])
            if submission is not None:
                db.execute(SQL["use_reservation"], {"key": submission, "nanos": counts["cost_nanos"]})
            if posting is not None:
                db.execute(SQL["insert_outbox"], msgspec.structs.asdict(posting))
            if closes is not None:
                db.execute(SQL["set_chunk_state"], {"id": chunk, "state": closes.value})
            _event(db, run, at, "info", "commit", {"chunk": chunk, "attempts": len(attempts), **counts})

        await self.db.write(work)

    def attempts(self, run: int) -> list[JsonObject]:
        """Every attempt of the run, in order, as plain objects."""
        return list(self.each_attempt(run))

    def each_attempt(self, run: int) -> Iterator[JsonObject]:
        """The same, read a page at a time, however many there are."""
        place = {"run": run, "step": -1, "seq": -1, "n": -1, "limit": PAGE}

        def page(db: sqlite3.Connection) -> list[JsonObject]:
            cursor = db.execute(SQL["some_attempts"], place)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

        while found := self.db.read(page):
            yield from found
            place |= {name: found[-1][name] for name in ("step", "seq", "n")}

    def lessons(self, run: int) -> list[tuple[Json, ...]]:
        """What the calls of each step used, summed up; see `headgate.batch.lessons`."""
        return [tuple(row) for row in self._rows("lessons", {"run": run})]

    async def true_up(self, run: RunRow, billed: Mapping[str, int], at: float) -> tuple[int, int]:
        """Replace upper bounds of lost answers by what the provider's invoice says: request id → nano-dollars, absent means not billed.

        Each difference goes to the ledger as a correction of its own (no calls, no tokens, an amount that may be negative), so that what
        was booked before stays as it was. Returns how many attempts changed, and the sum of the differences.
        """

        def work(db: sqlite3.Connection) -> tuple[int, int]:
            bounds = as_values(UpperBound, db.execute(SQL["upper_bounds"], {"run": run.key}))
            total = sum(_true_up(db, run, bound, billed.get(bound.request_id, 0), at) for bound in bounds)
            if bounds:
                _event(db, run.key, at, "info", "true_up", {"attempts": len(bounds), "delta_nanos": total})
            return len(bounds), total

        return await self.db.write(work)

    # Submissions

    def last_submission(self, chunk: int) -> SubmissionRow | None:
        """The newest submission of a chunk."""
        row = self.db.read(lambda db: db.execute(SQL["last_submission"], {"chunk": chunk}).fetchone())
        return None if row is None else as_value(SubmissionRow, row)

    def submissions(self, run: int) -> list[SubmissionRow]:
        """Every submission of the run."""
        return as_values(SubmissionRow, self._rows("submissions_of_run", {"run": run}))

    def under_way(self, run: int) -> tuple[int, float | None, str | None]:
        """How many submissions are at a provider, when one was last looked at, and what the newest was said to be."""
        found = self._rows("under_way", {"run": run})[0]
        return found[0], found[1], found[2]

    def claimed_batches(self, provider: str, account: str) -> frozenset[str]:
        """Batch ids that submissions of this home own."""
        return frozenset(row[0] for row in self._rows("claimed_batches", {"provider": provider, "account": account}))

    async def intend(self, fields: JsonObject, at: float) -> None:
        """Write the intent to submit, and mark the chunk's units as sent."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(SQL["insert_submission"], fields)
            db.execute(SQL["mark_sent"], {"chunk": fields["chunk"]})
            _event(db, fields["run"], at, "info", "intent", {"submission": fields["key"], "rows": fields["rows"]})

        await self.db.write(work)

    async def submitted(self, chunk: ChunkRow, key: str, handle: BatchHandle, matched_by: str, at: float) -> None:
        """Record the job's id. `matched_by` says how it became ours: create, tag or window."""
        fields = {"key": key, "at": at, "batch_id": handle.id, "input_file": handle.input_file, "matched_by": matched_by}

        def work(db: sqlite3.Connection) -> None:
            if db.execute(SQL["submission_submitted"], fields).rowcount:
                db.execute(SQL["set_chunk_state"], {"id": chunk.id, "state": ChunkState.SUBMITTED.value})
                _event(db, chunk.run, at, "info", "submitted", {"submission": key, "batch": handle.id, "matched_by": matched_by})

        await self.db.write(work)

    async def refused(self, chunk: ChunkRow, key: str, error: str, at: float) -> None:
        """The provider did not take the job: nothing runs there, the units wait again."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(SQL["submission_refused"], {"key": key, "error": error})
            _take_back(db, chunk)
            _event(db, chunk.run, at, "warning", "refused", {"submission": key, "error": error})

        await self.db.write(work)

    async def polled(self, run: int, key: str, state: BatchState, before: str | None, at: float) -> None:
        """Record one look at a job, with an event when its status changed."""
        fields = {
            "key": key,
            "status": state.status.value,
            "raw_status": state.raw_status,
            "succeeded": state.succeeded,
            "failed": state.failed,
            "expires_at": state.expires_at,
            "at": at,
        }

        def work(db: sqlite3.Connection) -> None:
            db.execute(SQL["submission_polled"], fields)
            if state.raw_status != before:
                data = {"submission": key, "status": state.status.value, "raw": state.raw_status}
                _event(db, run, at, "info", "batch_status", data)

        await self.db.write(work)

    async def set_submission(self, run: int, key: str, state: SubmissionState, error: str | None, at: float) -> None:
        """Move a submitted job on."""

        def work(db: sqlite3.Connection) -> None:
            if db.execute(SQL["submission_state"], {"key": key, "state": state.value, "error": error}).rowcount:
                _event(db, run, at, "info", "submission", {"submission": key, "state": state.value, "error": error})

        await self.db.write(work)

    async def disown(self, run: int, key: str, error: str, at: float) -> None:
        """A provisionally adopted job turned out to be somebody else's: look again."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(SQL["submission_disowned"], {"key": key, "error": error})
            _event(db, run, at, "warning", "disowned", {"submission": key, "error": error})

        await self.db.write(work)

    async def set_back(self, chunk: ChunkRow, key: str, error: str, at: float) -> None:
        """A job that ended before anything of it ran, for want of room: the units wait again."""

        def work(db: sqlite3.Connection) -> None:
            if db.execute(SQL["submission_set_back"], {"key": key, "error": error}).rowcount:
                _take_back(db, chunk)
                _event(db, chunk.run, at, "warning", "queue_full", {"submission": key, "error": error})

        await self.db.write(work)

    # Money

    def open_postings(self) -> list[Posting]:
        """Postings the ledger has not confirmed."""
        return as_values(Posting, self._rows("open_outbox", {}))

    async def settled(self, keys: Sequence[str], at: float) -> None:
        """The ledger has these."""
        await self._do("settle_outbox", *({"key": key, "at": at} for key in keys))

    def reserved(self, run: int) -> int:
        """Nano-dollars bound by open submissions and unanswered calls."""

        def work(db: sqlite3.Connection) -> int:
            bound: int = db.execute(SQL["open_bound"], {"run": run}).fetchone()[0]
            held: int = db.execute(SQL["open_reservations"], {"run": run}).fetchone()[0]
            return bound + held

        return self.db.read(work)

    # Reading

    def totals(self, run: int) -> list[StepTotals]:
        """The steps in numbers, from the chunks' counters."""
        return as_values(StepTotals, self._rows("step_totals", {"run": run}))

    def books(self, run: int) -> tuple[list[StepTotals], dict[tuple[int, UnitState], int], dict[int, int]]:
        """The steps in numbers, the units by step and state counted one by one, and how many units the valid ones of a step become next.

        All of the same moment.
        """

        def work(db: sqlite3.Connection) -> tuple[list[StepTotals], dict[tuple[int, UnitState], int], dict[int, int]]:
            totals = as_values(StepTotals, db.execute(SQL["step_totals"], {"run": run}))
            counted = db.execute(SQL["unit_counts"], {"run": run}).fetchall()
            made = {step: children for step, state, _, children in counted if state == UnitState.VALID}
            return totals, {(step, UnitState(state)): count for step, state, count, _ in counted}, made

        return self.db.read(work)

    def events(self, run: int, after: int = 0, limit: int = 200) -> list[tuple[int, float, str, str, str]]:
        """The newest events after id `after`, newest first: (id, at, level, what, data as JSON)."""
        rows = self._rows("last_events", {"run": run, "after": after, "limit": limit})
        return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]

    def warnings(self, run: int, after: int = 0) -> list[tuple[str, JsonObject]]:
        """What was odd since the event `after`, oldest first: the event's name and its data."""
        return [(row[0], decode(row[1])) for row in self._rows("warnings", {"run": run, "after": after})]

    async def _do(self, statement: str, *rows: JsonObject) -> None:
        """Run one statement for each of `rows`. The cursor dies in the writing thread, the only one that may touch its statement."""

        def work(db: sqlite3.Connection) -> None:
            db.executemany(SQL[statement], rows)

        await self.db.write(work)

    def _rows(self, statement: str, fields: JsonObject) -> list[tuple[Json, ...]]:
        return self.db.read(lambda db: db.execute(SQL[statement], fields).fetchall())

    async def event(self, run: int, level: str, what: str, data: JsonObject, at: float) -> None:
        """Write one event."""
        await self.db.write(lambda db: _event(db, run, at, level, what, data))

    # Segments

    async def segment(self, run: int, name: str) -> SegmentRow:
        """The segment called `name`, made when first asked for."""

        def work(db: sqlite3.Connection) -> SegmentRow:
            db.execute(SQL["make_segment"], {"run": run, "name": name})
            return as_value(SegmentRow, db.execute(SQL["find_segment"], {"name": name}).fetchone())

        return await self.db.write(work)

    async def empty_segment(self, run: int, name: str) -> SegmentRow:
        """The segment called `name`, with whatever an unfinished try left in it forgotten."""
        row = await self.segment(run, name)

        def work(db: sqlite3.Connection) -> None:
            db.execute(SQL["drop_frames"], {"segment": row.id})
            db.execute(SQL["commit_segment"], {"segment": row.id, "committed": 0, "rows": 0})

        await self.db.write(work)
        return msgspec.structs.replace(row, committed=0, rows=0)

    async def commit_frame(self, segment: int, frame: Frame) -> None:
        """Make a frame count."""
        await self.db.write(lambda db: _commit_frame(db, segment, frame))

    def scan(self, segment: int) -> Iterator[Json]:
        """Every payload line of a segment, a frame at a time."""
        return self._scan(segment, read_frame)

    def requests(self, segment: int) -> Iterator[tuple[int, bytes]]:
        """The rendered requests in a segment, a frame at a time: the unit's number, and the body as it was written."""
        for request in self._scan(segment, read_requests):
            yield request.seq, bytes(request.body)

    def _scan(self, segment: int, read: Callable[[Path, Frame], Iterable[R]]) -> Iterator[R]:
        path = self._path(segment)
        for row in self._rows("find_frames", {"segment": segment}):
            yield from read(path, as_value(Frame, row))

    def _path(self, segment: int) -> Path:
        name: str = self._rows("segment_by_id", {"id": segment})[0][1]
        return self.folder / name

    def writer(self, row: SegmentRow) -> SegmentWriter:
        """Open a segment for appending after its committed bytes."""
        return SegmentWriter(self.folder / row.name, row.committed, row.rows)

    def read_lines(self, places: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Json]:
        """Payload lines by (segment, row)."""
        return {place: decode(line, what=f"line {place}") for place, line in self._lines(places)}

    def read_records(self, places: Iterable[tuple[int, int]]) -> dict[tuple[int, int], JsonObject]:
        """The units' fields in payload lines, by (segment, row); what else a line holds is not looked at."""
        return {place: read_record(line) for place, line in self._lines(places)}

    def read_raw_records(self, places: Iterable[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """As `read_records`, each as the JSON text it is."""
        return {place: read_raw_record(line) for place, line in self._lines(places)}

    def _lines(self, places: Iterable[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], bytes]]:
        """The text of payload lines with their (segment, row), each frame decompressed once."""
        wanted: dict[int, list[int]] = {}
        for segment, row in places:
            wanted.setdefault(segment, []).append(row)
        for segment, numbers in wanted.items():
            span = {"segment": segment, "low": min(numbers), "high": max(numbers)}
            frames = as_values(Frame, self._rows("frames_between", span))
            for number, line in read_lines(self._path(segment), frames, numbers):
                yield (segment, number), line

    def failure_pages(self, run: int) -> Iterator[list[tuple[Json, ...]]]:
        """Failed units, a page at a time: (step, seq, reason, tries, attempts, segment, row, input_segment, input_row)."""
        place = {"run": run, "step": -1, "after": -1, "limit": PAGE}
        while found := self._rows("failures", place):
            yield found
            place |= {"step": found[-1][0], "after": found[-1][1]}

    def valid_pages(self, run: int, step: int) -> Iterator[list[tuple[int, int, int, int | None]]]:
        """Valid units of a step, a page at a time: (seq, segment, row, children)."""
        place = {"run": run, "step": step, "after": -1, "limit": PAGE}
        while found := self._rows("valid_units", place):
            yield [(row[0], row[1], row[2], row[3]) for row in found]
            place["after"] = found[-1][0]


def _event(db: sqlite3.Connection, run: int, at: float, level: str, what: str, data: JsonObject) -> None:
    db.execute(SQL["insert_event"], {"at": at, "run": run, "level": level, "what": what, "data": encode_text(data)})


def _take_back(db: sqlite3.Connection, chunk: ChunkRow) -> None:
    """Nothing of a chunk is at the provider: its units wait to be sent, in this lane or in another one."""
    db.execute(SQL["mark_unsent"], {"chunk": chunk.id})
    db.execute(SQL["unsubmit_chunk"], {"id": chunk.id})


def _insert_chunk(
    db: sqlite3.Connection, run: int, step: int, lane: str, round_: int, parent: int | None, n: int, at: float, why: str | None = None
) -> int:
    fields = {"run": run, "step": step, "lane": lane, "round": round_, "parent": parent, "n": n, "created_at": at, "why": why}
    key = db.execute(SQL["insert_chunk"], fields).lastrowid
    assert key is not None
    return key


def _promote(db: sqlite3.Connection, chunk: ChunkRow, ways: Ways, units: Sequence[UnitRow], at: float) -> list[tuple[int, int, int]]:
    """Open the next step for a chunk's valid units; returns (chunk, step, units) of each new chunk."""
    if not units or ways.next is None:
        return []
    if any(unit.children is not None for unit in units):
        return _spread(db, chunk.run, chunk.step, ways, chunk.id, units, at)
    child = _insert_chunk(db, chunk.run, ways.next, ways.next_lane, 0, chunk.id, len(units), at)
    db.execute(SQL["promote_units"], {"child": child, "chunk": chunk.id, "next": ways.next})
    return [(child, ways.next, len(units))]


def _spread(
    db: sqlite3.Connection, run: int, step: int, ways: Ways, parent: int | None, units: Sequence[UnitRow], at: float
) -> list[tuple[int, int, int]]:
    """Open the next step for what the units became: new numbers, records in the rows after their parent's, chunks of a bounded size."""
    following = ways.next
    assert following is not None
    first = db.execute(SQL["next_seq"], {"run": run, "step": following}).fetchone()[0]
    places = [(unit.seq, unit.segment, (unit.row or 0) + 1 + i) for unit in units for i in range(unit.children or 0)]
    made = []
    for start in range(0, len(places), ways.size):
        group = places[start : start + ways.size]
        child = _insert_chunk(db, run, following, ways.next_lane, 0, parent, len(group), at)
        rows = [
            {
                "run": run,
                "step": following,
                "seq": first + start + i,
                "parent_seq": seq,
                "chunk": child,
                "input_segment": segment,
                "input_row": row,
            }
            for i, (seq, segment, row) in enumerate(group)
        ]
        db.executemany(SQL["insert_unit"], rows)
        made.append((child, following, len(group)))
    return made


def _send_back(db: sqlite3.Connection, chunk: ChunkRow, ways: Ways, earlier: int, units: Sequence[UnitRow], at: float) -> int:
    """Return units to an earlier step with the complaint about them; they leave every step after it. Returns the chunk they are in now."""
    child = _insert_chunk(db, chunk.run, earlier, ways.back_lane, 1, chunk.id, len(units), at)
    for unit in units:
        place = {"run": chunk.run, "seq": unit.seq}
        for step in range(earlier, chunk.step):
            db.execute(SQL["left_chunk"], {**place, "step": step})
        for step in range(earlier + 1, chunk.step + 1):
            db.execute(SQL["leave_step"], {**place, "step": step, "forget": step != chunk.step})
        fields = {"child": child, "segment": unit.segment, "row": unit.row, "reason": unit.reason}
        db.execute(SQL["return_unit"], {**place, "step": earlier, **fields})
    return child


def _commit_frame(db: sqlite3.Connection, segment: int, frame: Frame) -> None:
    db.execute(SQL["insert_frame"], {"segment": segment, **msgspec.structs.asdict(frame)})
    fields = {"segment": segment, "committed": frame.offset + frame.length, "rows": frame.first_row + frame.rows}
    db.execute(SQL["commit_segment"], fields)


def _true_up(db: sqlite3.Connection, run: RunRow, bound: UpperBound, exact: int, at: float) -> int:
    """Book what a lost answer really cost; returns the difference to what was booked."""
    delta = exact - (bound.cost_nanos or 0)
    db.execute(SQL["true_up"], {"run": run.key, "request_id": bound.request_id, "cost_nanos": exact})
    db.execute(SQL["true_up_unit"], {"run": run.key, "step": bound.step, "seq": bound.seq, "delta": delta})
    db.execute(SQL["true_up_chunk"], {"chunk": bound.chunk, "delta": delta})
    corrected = {"run": run.key, "step": bound.step, "retry": bound.n > 1, "delta": delta, "priced": bound.cost_nanos is None}
    db.execute(SQL["true_up_tally"], corrected)
    if delta or bound.cost_nanos is None:
        correction = Posting(
            key=f"{run.mark}/trueup/{bound.request_id}",
            run=run.key,
            chunk=bound.chunk,
            lane=bound.lane,
            provider=bound.provider,
            account=bound.account,
            model=bound.model,
            calls=0,
            usage=encode_text({"source": "provider"}),
            cost_nanos=delta,
            unpriced=-1 if bound.cost_nanos is None else 0,
            at=at,
        )
        db.execute(SQL["insert_outbox"], msgspec.structs.asdict(correction))
    return delta


def _collected(db: sqlite3.Connection, key: str) -> bool:
    """Mark a submission collected; False when it already was."""
    return db.execute(SQL["submission_state"], {"key": key, "state": SubmissionState.COLLECTED.value, "error": None}).rowcount == 1


def _write_attempts(db: sqlite3.Connection, run: int, attempts: Sequence[Attempt], segment: int | None, first: int) -> dict[str, int]:
    """Write attempts and what they leave their units as; returns how many ended, and what all of them cost. Raises `StoreError`."""
    rows = [_attempt_fields(run, attempt, segment, first) for attempt in attempts]
    db.executemany(SQL["insert_attempt"], rows)
    db.executemany(SQL["end_claim"], [row for row in rows if row["request_id"] is not None])
    if rows and db.executemany(SQL["set_unit"], rows).rowcount != len(rows):
        named = ", ".join(f"{attempt.seq} ({attempt.n})" for attempt in attempts[:20])
        raise StoreError(f"a unit of step {attempts[0].step} has an attempt already that is to be written; unit (attempt): {named}")
    states = Counter(attempt.state for attempt in attempts)
    cost = sum(attempt.cost_nanos or 0 for attempt in attempts)
    return {"valid": states[UnitState.VALID], "failed": states[UnitState.FAILED], "cost_nanos": cost}


def _attempt_fields(run: int, attempt: Attempt, segment: int | None, first: int) -> JsonObject:
    fields = msgspec.structs.asdict(attempt)
    line = fields.pop("line")
    fields["run"], fields["state"], fields["outcome"] = run, int(attempt.state), attempt.outcome.value
    fields["segment"], fields["row"] = (None, None) if line is None else (segment, first + line)
    return fields
