"""An old run written as one of ours: units, attempts, records and chunks, a step after the other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import msgspec

from headgate.batch.octobatch.decisions import Arrived, Decided, Try
from headgate.batch.octobatch.folder import Place
from headgate.batch.rows import Attempt, SegmentRow, StepRow
from headgate.batch.segments import Frame, SegmentWriter
from headgate.batch.states import Outcome, UnitState
from headgate.batch.steps.attempts import usage_json
from headgate.batch.tables import SQL as RUN_SQL
from headgate.batch.tables import Tables
from headgate.batch.tally import tallies
from headgate.domain.usage import Usage
from headgate.store import Statements
from headgate.wire.json import Json, JsonObject, encode_text

SQL = Statements.load("importing")
GROUP = 500
IMPORTED = "imported"
"""The source of a cost that nobody here knows: the call was another program's."""
T = TypeVar("T")


class Written(msgspec.Struct):
    """What was written of a step: units by what became of them, and calls for first tries and retries with their tokens."""

    valid: int = 0
    failed: int = 0
    pending: int = 0
    calls: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    tokens: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0, 0])

    @property
    def units(self) -> int:
        """All of them."""
        return self.valid + self.failed + self.pending


class RunWriter:
    """Writes one run. `at` is when everything is said to have happened (epoch seconds), `size` the most units of a chunk that waits."""

    def __init__(self, tables: Tables, run: int, steps: Sequence[StepRow], size: int, at: float) -> None:
        self._tables = tables
        self._run = run
        self._steps = steps
        self._size = size
        self._at = at
        self._chunks = 0

    async def begin(self, units: Iterable[tuple[str, Place]], record: Callable[[Place], JsonObject]) -> list[Arrived]:
        """Write the inputs; returns the units as they come to the first step."""
        row = await self._tables.segment(self._run, "segments/input.jsonl.zst")
        writer, arrived = self._tables.writer(row), list[Arrived]()
        try:
            for group in grouped(units, GROUP):
                lines = [{"seq": len(arrived) + at, "record": record(place)} for at, (_, place) in enumerate(group)]
                frame = writer.append(lines)
                await self._tables.commit_frame(row.id, frame)
                for at, (uid, place) in enumerate(group):
                    arrived.append(Arrived(uid, len(arrived), None, place, (row.id, frame.first_row + at)))
        finally:
            writer.close()
        return arrived

    async def step(self, step: int, decided: Iterable[Decided], last: bool) -> tuple[Written, list[Arrived]]:
        """Write a step; returns what it came to, and the units as they come to the next one."""
        row = await self._tables.segment(self._run, f"segments/{step:02d}-imported.jsonl.zst")
        writer, written, arrived = self._tables.writer(row), Written(), list[Arrived]()
        chunks = _Chunks(self._chunks, self._size)
        try:
            for group in grouped(decided, GROUP):
                arrived += await self._group(step, group, chunks, (row, writer), written, len(arrived))
        finally:
            writer.close()
        self._chunks = chunks.last
        rows = [self._chunk_row(step, chunk) for chunk in chunks.known.values()]
        await self._tables.db.write(lambda db: _all(db, SQL["put_chunk"], rows))
        return written, [] if last else arrived

    async def _group(
        self, step: int, group: Sequence[Decided], chunks: _Chunks, segment: tuple[SegmentRow, SegmentWriter], written: Written, first: int
    ) -> list[Arrived]:
        row, writer = segment
        lines, places = _lines(step, group)
        frame = writer.append(lines) if lines else None
        start = 0 if frame is None else frame.first_row
        attempts, units, arrived = list[Attempt](), list[JsonObject](), list[Arrived]()
        for one, numbers in zip(group, places, strict=True):
            chunk = chunks.take(one)
            attempts += [self._attempt(step, one, n, chunk, line) for n, line in enumerate(numbers)]
            place = (row.id, start + numbers[-1]) if numbers else (None, None)
            units.append(self._unit(step, one, chunk, place))
            _count(written, one)
            if one.state is UnitState.VALID:
                arrived += _next_units(one, (row.id, start + numbers[-1]), first + len(arrived))
        fields = [self._attempt_row(attempt, row.id, start) for attempt in attempts]
        sums = [{"run": self._run, **msgspec.structs.asdict(tally)} for tally in tallies(attempts)]

        def work(db: sqlite3.Connection) -> None:
            if frame is not None:
                _commit(db, row.id, frame)
            db.executemany(RUN_SQL["insert_attempt"], fields)
            db.executemany(SQL["put_unit"], units)
            db.executemany(RUN_SQL["add_tally"], sums)

        await self._tables.db.write(work)
        return arrived

    def _attempt(self, step: int, one: Decided, n: int, chunk: int, line: int) -> Attempt:
        tried = one.tries[n]
        called = self._steps[step].provider is not None
        return Attempt(
            step=step,
            seq=one.unit.seq,
            n=n + 1,
            chunk=chunk,
            lane=self._steps[step].lane,
            outcome=tried.outcome,
            state=one.state,
            tries=0,
            errors=0,
            at=self._at,
            reason=None if tried.reason is None else tried.reason.value,
            model=tried.model,
            usage=_usage(tried) if called else None,
            cost_nanos=None if called else 0,
            cost_source=IMPORTED if called else "none",
            line=line,
        )

    def _attempt_row(self, attempt: Attempt, segment: int, start: int) -> JsonObject:
        fields = msgspec.structs.asdict(attempt)
        line = fields.pop("line")
        return fields | {"run": self._run, "outcome": attempt.outcome.value, "segment": segment, "row": start + line}

    def _unit(self, step: int, one: Decided, chunk: int, place: tuple[int | None, int | None]) -> JsonObject:
        """A unit's row. One that waits begins its tries afresh, as it would have there (OCT-101)."""
        waits = one.state is UnitState.TODO
        reason = one.tries[-1].reason if one.tries else None
        missed = sum(tried.outcome is Outcome.ERROR for tried in one.tries)
        return {
            "run": self._run,
            "step": step,
            "seq": one.unit.seq,
            "parent_seq": one.unit.parent_seq,
            "state": int(one.state),
            "tries": 0 if waits else len(one.tries) - missed,
            "errors": 0 if waits else missed,
            "attempts": len(one.tries),
            "chunk": chunk,
            "input_segment": one.unit.input[0],
            "input_row": one.unit.input[1],
            "segment": place[0],
            "row": place[1],
            "reason": None if reason is None else reason.value,
            "children": None if one.children is None else len(one.children),
        }

    def _chunk_row(self, step: int, chunk: _Chunk) -> JsonObject:
        return {
            "id": chunk.id,
            "run": self._run,
            "step": step,
            "lane": self._steps[step].lane,
            "state": "open" if chunk.open else "done",
            "round": int(chunk.again),
            "n": chunk.n,
            "valid": chunk.valid,
            "failed": chunk.failed,
            "created_at": self._at,
            "finished_at": None if chunk.open else self._at,
        }


class _Chunk(msgspec.Struct):
    id: int
    open: bool
    again: bool = False
    n: int = 0
    valid: int = 0
    failed: int = 0


class _Chunks:
    """The chunks of one step: units that are decided stay together as they were, those that wait come together in new ones."""

    def __init__(self, last: int, size: int) -> None:
        self.last = last
        self.known: dict[tuple[bool, int], _Chunk] = {}
        self._size = size
        self._waiting = 0

    def take(self, one: Decided) -> int:
        """The chunk a unit belongs to, counted."""
        waits = one.state is UnitState.TODO
        key = (True, self._waiting // self._size) if waits else (False, one.tries[-1].chunk)
        chunk = self.known.get(key)
        if chunk is None:
            self.last += 1
            chunk = self.known[key] = _Chunk(self.last, waits)
        self._waiting += waits
        chunk.n += 1
        chunk.again |= len(one.tries) > 1 or (waits and bool(one.tries))
        chunk.valid += one.state is UnitState.VALID
        chunk.failed += one.state is UnitState.FAILED
        return chunk.id


def grouped(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """The values in lists of at most `size`."""
    rest = iter(values)
    while group := list(islice(rest, size)):
        yield group


def _lines(step: int, group: Sequence[Decided]) -> tuple[list[Json], list[list[int]]]:
    """The payload lines of some units, and for each unit the numbers of those of its attempts."""
    lines, places = list[Json](), list[list[int]]()
    for one in group:
        numbers = []
        for n, tried in enumerate(one.tries, 1):
            numbers.append(len(lines))
            line: JsonObject = {"seq": one.unit.seq, "n": n, "step": step, "raw": tried.raw}
            if tried.outcome is Outcome.VALID:
                line["record"] = one.record
            elif tried.reason is not None:
                line |= {"reason": tried.reason.value, "errors": list(tried.errors)}
            lines.append(line)
        lines += [{"record": child} for child in one.children or ()]
        places.append(numbers)
    return lines, places


def _next_units(one: Decided, place: tuple[int, int], first: int) -> list[Arrived]:
    """A valid unit at the next step: itself, or its children with numbers from `first` on."""
    if one.children is None:
        assert one.origin is not None
        return [Arrived(one.unit.uid, one.unit.seq, one.unit.seq, one.origin, place)]
    segment, row = place
    return [
        Arrived(str(child["unit_id"]), first + at, one.unit.seq, child, (segment, row + 1 + at)) for at, child in enumerate(one.children)
    ]


def _usage(tried: Try) -> str | None:
    if tried.input_tokens is None and tried.output_tokens is None:
        return None
    usage = Usage(input_uncached=tried.input_tokens or 0, output_text=tried.output_tokens or 0)
    return encode_text(usage_json(usage))


def _count(written: Written, one: Decided) -> None:
    written.valid += one.state is UnitState.VALID
    written.failed += one.state is UnitState.FAILED
    written.pending += one.state is UnitState.TODO
    for n, tried in enumerate(one.tries):
        again = int(n > 0)
        written.calls[again] += 1
        written.tokens[2 * again] += tried.input_tokens or 0
        written.tokens[2 * again + 1] += tried.output_tokens or 0


def _commit(db: sqlite3.Connection, segment: int, frame: Frame) -> None:
    db.execute(RUN_SQL["insert_frame"], {"segment": segment, **msgspec.structs.asdict(frame)})
    fields = {"segment": segment, "committed": frame.offset + frame.length, "rows": frame.first_row + frame.rows}
    db.execute(RUN_SQL["commit_segment"], fields)


def _all(db: sqlite3.Connection, statement: str, rows: Sequence[JsonObject]) -> None:
    db.executemany(statement, rows)
