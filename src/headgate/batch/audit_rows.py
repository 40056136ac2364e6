"""What an audit of a run looks at, read from its database in one snapshot, so that it holds while a process goes on writing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

from headgate.batch.rows import SegmentRow
from headgate.batch.segments import Frame
from headgate.batch.states import UnitState
from headgate.batch.tables import Tables, as_value
from headgate.store import Statements

SQL = Statements.load("mending")

T = TypeVar("T", bound=msgspec.Struct)

Place = tuple[int, int]
"""A segment and a row in it."""


class Children(msgspec.Struct, frozen=True):
    """A valid unit with more or fewer units at the next step than came of it: `children` of them, None for itself alone."""

    step: int
    seq: int
    children: int | None
    segment: int | None
    row: int | None
    input_segment: int
    input_row: int
    chunk: int
    found: int

    @property
    def expected(self) -> int:
        """How many there should be."""
        return 1 if self.children is None else self.children


class Unit(msgspec.Struct, frozen=True):
    """A unit at a step, with the place of its input."""

    step: int
    seq: int
    input_segment: int
    input_row: int


class Stranded(msgspec.Struct, frozen=True):
    """An undecided unit in a chunk that is closed."""

    step: int
    seq: int
    input_segment: int
    input_row: int
    chunk: int


class ChunkCounts(msgspec.Struct, frozen=True):
    """A chunk's counters beside what its units and attempts say; `n` is what is in it now. Money in nano-dollars."""

    id: int
    step: int
    state: str
    round: int
    n: int
    valid: int
    failed: int
    cost_nanos: int
    units_valid: int
    units_failed: int
    attempts_cost: int


class UnitCounts(msgspec.Struct, frozen=True):
    """A unit's counters beside what its attempts say."""

    step: int
    seq: int
    cost_nanos: int
    attempts_cost: int
    attempts: int
    attempts_n: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is looked at. `states` counts units by step and state, `gaps` are numbers no unit of the first step has,
    `surplus` such as were never planned, `expected` the units each step must hand on. `misplaced` are places in no frame."""

    states: dict[tuple[int, int], int]
    planned: int
    total: int
    gaps: tuple[int, ...]
    surplus: tuple[int, ...]
    expected: dict[int, int]
    children: tuple[Children, ...]
    orphans: tuple[Unit, ...]
    stranded: tuple[Stranded, ...]
    chunks: tuple[ChunkCounts, ...]
    units: tuple[UnitCounts, ...]
    resultless: tuple[Unit, ...]
    booked: int
    posted: int
    unsettled: int
    endless: tuple[tuple[str, str], ...]
    lost_claims: int
    segments: tuple[SegmentRow, ...]
    frames: dict[int, tuple[Frame, ...]]
    misplaced: tuple[Place, ...]
    requests: tuple[tuple[int, str, int], ...]

    def started(self, step: int) -> int:
        """Units at a step."""
        return sum(n for (at, state), n in self.states.items() if at == step and state != UnitState.AWAY)


def read_facts(tables: Tables, run: int, last: int) -> Facts:
    """The facts of a run whose last step is `last`. Raises `StoreError`."""
    return tables.db.read(lambda db: _facts(db, run, last))


def _facts(db: sqlite3.Connection, run: int, last: int) -> Facts:
    fields = {"run": run, "last": last}
    planned, total = db.execute(SQL["planned_units"], fields).fetchone()
    present = [row[0] for row in db.execute(SQL["first_units"], fields)]
    frames = _frames(db, run)
    booked, posted, unsettled = db.execute(SQL["money"], fields).fetchone()
    return Facts(
        states={(step, state): n for step, state, n in db.execute(SQL["unit_states"], fields)},
        planned=planned,
        total=total,
        gaps=tuple(sorted(set(range(planned)).difference(present))),
        surplus=tuple(seq for seq in present if seq >= planned),
        expected=dict(db.execute(SQL["expected_children"], fields)),
        children=_values(Children, db, "wrong_children", fields),
        orphans=_values(Unit, db, "orphans", fields),
        stranded=_values(Stranded, db, "stranded", fields),
        chunks=_values(ChunkCounts, db, "chunk_counts", fields),
        units=_values(UnitCounts, db, "wrong_units", fields),
        resultless=_values(Unit, db, "without_result", fields),
        booked=booked,
        posted=posted,
        unsettled=unsettled,
        endless=tuple((row[0], row[1]) for row in db.execute(SQL["endless_submissions"], fields)),
        lost_claims=db.execute(SQL["lost_claims"], fields).fetchone()[0],
        segments=_values(SegmentRow, db, "segments", fields),
        frames=frames,
        misplaced=tuple(outside(db.execute(SQL["places"], fields), frames)),
        requests=tuple((row[0], row[1], row[2]) for row in db.execute(SQL["request_chunks"], fields)),
    )


def _values(kind: type[T], db: sqlite3.Connection, statement: str, fields: dict[str, int]) -> tuple[T, ...]:
    return tuple(as_value(kind, row) for row in db.execute(SQL[statement], fields))


def _frames(db: sqlite3.Connection, run: int) -> dict[int, tuple[Frame, ...]]:
    found: dict[int, list[Frame]] = {}
    for segment, *row in db.execute(SQL["frames"], {"run": run}):
        found.setdefault(segment, []).append(as_value(Frame, row))
    return {segment: tuple(frames) for segment, frames in found.items()}


def outside(places: Iterable[Place], frames: dict[int, tuple[Frame, ...]]) -> Iterator[Place]:
    """Those of `places` (ascending) that no frame covers."""
    current, at = -1, 0
    for segment, row in places:
        if segment != current:
            current, at = segment, 0
        known = frames.get(segment, ())
        while at < len(known) and known[at].first_row + known[at].rows <= row:
            at += 1
        if at == len(known) or row < known[at].first_row:
            yield segment, row
