"""New tries for units that failed: exactly the chosen ones, in chunks of their own. What they cost before stays booked."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby

import msgspec

from headgate.batch.audit_rows import SQL
from headgate.batch.reasons import Reason, retryable
from headgate.batch.rows import StepRow
from headgate.batch.states import RUN_SCOPE, RunState
from headgate.batch.tables import Tables, as_value
from headgate.errors import UsageError
from headgate.wire.json import encode_text


class FailedUnit(msgspec.Struct, frozen=True):
    """A unit that failed at a step: why, in which chunk, its counters, and where its input and its last answer lie."""

    step: int
    seq: int
    reason: str | None
    chunk: int
    tries: int
    errors: int
    attempts: int
    input_segment: int
    input_row: int
    segment: int | None
    row: int | None


class NewChunk(msgspec.Struct, frozen=True):
    """A chunk to be opened at a step. `parent` is the chunk its first unit was in; only a `round` of 0 counts its units as started."""

    step: int
    lane: str
    round: int
    parent: int | None
    n: int
    valid: int = 0


def failed_units(tables: Tables, run: int) -> list[FailedUnit]:
    """Every failed unit of the run, by step and number."""
    return tables.db.read(lambda db: [as_value(FailedUnit, row) for row in db.execute(SQL["failed_units"], {"run": run})])


def step_index(steps: Sequence[StepRow], name: str | None) -> int | None:
    """The number of the step called `name`; None for None. Raises `UsageError`."""
    if name is None:
        return None
    known = {step.name: step.idx for step in steps}
    if name not in known:
        raise UsageError(f"the run has no step {name!r} (known: {', '.join(known)})")
    return known[name]


def choose(
    failed: Iterable[FailedUnit],
    steps: Sequence[StepRow],
    step: int | None,
    reasons: Collection[str],
    everything: bool,
    blaming: Collection[str] = (),
) -> list[FailedUnit]:
    """The failed units that get new tries: at `step` (None: any), for `reasons`; else those for which another try can end differently.

    `blaming` are the steps that send units back to an earlier one.
    """

    def wanted(unit: FailedUnit) -> bool:
        if reasons:
            return unit.reason in reasons
        at = steps[unit.step]
        return everything or can_end_differently(unit.reason, deterministic=at.kind != "chunk" and at.name not in blaming)

    return [unit for unit in failed if step in (None, unit.step) and wanted(unit)]


def can_end_differently(reason: str | None, *, deterministic: bool) -> bool:
    """Whether another try may help a unit that failed for `reason`; what only computes (`deterministic`) fails the same way every time."""
    return reason in _REASONS and retryable(Reason(reason), deterministic=deterministic)


def still_open(units: Sequence[FailedUnit], steps: Sequence[StepRow], finished: Collection[int]) -> list[FailedUnit]:
    """Those of `units` that would be looked at by every step after them: a step that has gathered its units takes no more.

    `finished` are the steps that are done once and were done. Raises `UsageError` when nothing is left of `units`.
    """
    gathered = max((idx for idx in finished if steps[idx].kind != RUN_SCOPE), default=-1)
    left = [unit for unit in units if unit.step > gathered]
    if units and not left:
        message = f"step {steps[gathered].name!r} has brought its units together already: what failed before it cannot join them any more"
        raise UsageError(message, hint="run the pipeline anew, with --cache to be given the answers again that were good")
    return left


_REASONS = frozenset(reason.value for reason in Reason)


async def try_again(tables: Tables, run: int, units: Sequence[FailedUnit], steps: Sequence[StepRow], size: int, at: float) -> int:
    """Give `units` new tries in new chunks of at most `size`, and pause the run so that it can be gone on with. Returns the chunks."""

    def work(db: sqlite3.Connection) -> int:
        made = 0
        for step, group in groupby(units, lambda unit: unit.step):
            members = list(group)
            for start in range(0, len(members), size):
                part = members[start : start + size]
                chunk = open_chunk(db, run, NewChunk(step, steps[step].lane, next_round(db, part), part[0].chunk, len(part)), at)
                db.executemany(SQL["put_back"], [{"run": run, "step": step, "seq": unit.seq, "chunk": chunk} for unit in part])
                uncount(db, part)
                made += 1
        reason = f"{len(units)} failed units get new tries"
        pause(db, run, reason, at)
        note(db, run, "failed_again", {"units": len(units), "chunks": made}, at)
        return made

    return await tables.db.write(work)


def next_round(db: sqlite3.Connection, units: Sequence[FailedUnit]) -> int:
    """The round of a chunk that takes units over: later than those they were in."""
    chunks = {unit.chunk for unit in units}
    rounds = [db.execute(SQL["chunk_round"], {"id": chunk}).fetchone() for chunk in chunks]
    return 1 + max((row[0] for row in rounds if row is not None), default=0)


def open_chunk(db: sqlite3.Connection, run: int, chunk: NewChunk, at: float) -> int:
    """Insert an open chunk; returns its id."""
    key = db.execute(SQL["insert_chunk"], {"run": run, "at": at, **msgspec.structs.asdict(chunk)}).lastrowid
    assert key is not None
    note(db, run, "chunk_open", {"chunk": key, "step": chunk.step, "n": chunk.n}, at)
    return key


def uncount(db: sqlite3.Connection, units: Iterable[FailedUnit]) -> None:
    """Take units out of the failures of the chunks they failed in."""
    for chunk, count in Counter(unit.chunk for unit in units).items():
        db.execute(SQL["uncount_failed"], {"id": chunk, "count": count})


def pause(db: sqlite3.Connection, run: int, reason: str, at: float) -> None:
    """Make the run one that can be gone on with. What is done once after all units is to be done again, because these are other units."""
    db.execute(SQL["reopen_steps"], {"run": run})
    db.execute(SQL["set_state"], {"run": run, "state": RunState.PAUSED.value, "reason": reason})
    note(db, run, "run_state", {"state": RunState.PAUSED.value, "reason": reason}, at)


def note(db: sqlite3.Connection, run: int, what: str, data: dict[str, object], at: float) -> None:
    """Write an event."""
    db.execute(SQL["insert_event"], {"run": run, "at": at, "level": "info", "what": what, "data": encode_text(data)})
