"""Stored answers judged again, without a call: what holds now becomes valid, what does not stays as it is (OCT-155)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from headgate.batch.again import FailedUnit, NewChunk, next_round, note, open_chunk, pause, uncount
from headgate.batch.audit_rows import SQL
from headgate.batch.evaluate import Judged, judge_text
from headgate.batch.outputs import LOCAL
from headgate.batch.reasons import Reason
from headgate.batch.run import record_of
from headgate.batch.segments import Frame
from headgate.batch.states import AFTER, Outcome, UnitState
from headgate.batch.tables import SQL as RUN_SQL
from headgate.batch.tables import Tables, Ways
from headgate.batch.validate import StepValidator
from headgate.wire.json import Json, JsonObject

JUDGED = frozenset({Reason.PARSE_ERROR, Reason.TRUNCATED, Reason.SCHEMA, Reason.RULE})
"""Failures that were a judgement on an answer's text."""
SEGMENT = "segments/local.jsonl.zst"
GROUP = 500

SeedOf = Callable[[JsonObject, int], int]
"""The seed of a record's rules at a step."""


class Rejudged(msgspec.Struct, frozen=True):
    """A failed unit, and what its stored answer is worth now; None where there is no answer to judge."""

    unit: FailedUnit
    judged: Judged | None


def rejudge(tables: Tables, units: Sequence[FailedUnit], validators: Mapping[int, StepValidator], seed_of: SeedOf) -> Iterator[Rejudged]:
    """Judge the stored answers of failed units at the steps of `validators`."""
    for start in range(0, len(units), GROUP):
        group = units[start : start + GROUP]
        wanted = [unit for unit in group if unit.step in validators and unit.reason in JUDGED and unit.segment is not None]
        lines = tables.read_lines(place for unit in wanted for place in _places(unit))
        for unit in group:
            yield Rejudged(unit, _judged(unit, lines, validators, seed_of) if unit in wanted else None)


def _places(unit: FailedUnit) -> Iterator[tuple[int, int]]:
    yield unit.input_segment, unit.input_row
    if unit.segment is not None and unit.row is not None:
        yield unit.segment, unit.row


def _judged(
    unit: FailedUnit, lines: Mapping[tuple[int, int], Json], validators: Mapping[int, StepValidator], seed_of: SeedOf
) -> Judged | None:
    record, answer = (lines[place] for place in _places(unit))
    if not answer.get("raw"):
        return None
    fields = record_of(record)
    return judge_text(answer["raw"], validators[unit.step], fields, seed_of(fields, unit.step), cut=unit.reason == Reason.TRUNCATED)


async def accept(tables: Tables, run: int, passing: Sequence[Rejudged], lanes: Sequence[str], at: float) -> tuple[int, ...]:
    """Make units valid whose stored answers hold, all of one step, and hand them on to the next one. `lanes` are those of all steps.

    Each gets an attempt that cost nothing. Until they are handed on the run is paused, so that a crash in between leaves nothing behind.
    Returns the chunks opened at the next step.
    """
    row = await tables.segment(run, SEGMENT)
    writer = tables.writer(row)
    try:
        frame = writer.append([_line(one) for one in passing])
    finally:
        writer.close()
    step = passing[0].unit.step

    def work(db: sqlite3.Connection) -> int:
        units = [one.unit for one in passing]
        chunk = open_chunk(db, run, NewChunk(step, lanes[step], next_round(db, units), units[0].chunk, len(units), len(units)), at)
        db.execute(RUN_SQL["insert_frame"], {"segment": row.id, **msgspec.structs.asdict(frame)})
        committed = {"segment": row.id, "committed": frame.offset + frame.length, "rows": frame.first_row + frame.rows}
        db.execute(RUN_SQL["commit_segment"], committed)
        attempts = [_attempt(run, chunk, unit, row.id, frame, line, at) for line, unit in enumerate(units)]
        db.executemany(RUN_SQL["insert_attempt"], attempts)
        db.executemany(RUN_SQL["set_unit"], attempts)
        db.executemany(SQL["move_to"], attempts)
        uncount(db, units)
        pause(db, run, f"{len(units)} stored answers are valid now", at)
        note(db, run, "revalidated", {"step": step, "units": len(units)}, at)
        return chunk

    chunk = tables.chunk(await tables.db.write(work))
    following = lanes[step + 1] if step + 1 < len(lanes) and lanes[step + 1] != AFTER else None
    return await tables.advance(chunk, Ways() if following is None else Ways(step + 1, following), at)


def _line(one: Rejudged) -> JsonObject:
    assert one.judged is not None
    unit = one.unit
    line: JsonObject = {"seq": unit.seq, "n": unit.attempts + 1, "step": unit.step, "raw": one.judged.raw, "record": one.judged.record}
    if one.judged.notes:
        line["notes"] = list(one.judged.notes)
    return line


def _attempt(run: int, chunk: int, unit: FailedUnit, segment: int, frame: Frame, line: int, at: float) -> JsonObject:
    """The fields of the attempt, and of what it leaves the unit as."""
    nothing = ("duration", "request_id", "upstream_id", "model", "usage", "price_rule", "submission", "reason")
    return {
        **dict.fromkeys(nothing),
        "run": run,
        "step": unit.step,
        "seq": unit.seq,
        "n": unit.attempts + 1,
        "chunk": chunk,
        "lane": LOCAL,
        "outcome": Outcome.VALID.value,
        "state": int(UnitState.VALID),
        "children": None,
        "tries": unit.tries,
        "errors": unit.errors,
        "at": at,
        "cost_nanos": 0,
        "cost_source": "none",
        "segment": segment,
        "row": frame.first_row + line,
    }
