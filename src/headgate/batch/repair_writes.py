"""Doing what a repair has decided, in one transaction: it is done whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import groupby

from headgate.batch.again import NewChunk, note, open_chunk, pause
from headgate.batch.audit_rows import SQL, Facts
from headgate.batch.repair import Key, Plan, Restore, shortened
from headgate.batch.rows import RunRow, StepRow, last_unit_step
from headgate.batch.states import RunState, UnitState
from headgate.batch.tables import Tables
from headgate.errors import StoreError
from headgate.store.statements import load_migrations
from headgate.wire.json import JsonObject

INPUTS = "segments/input-again.jsonl.zst"
"""Where inputs lie that were made from the pipeline a second time."""


async def mend(
    tables: Tables, run: RunRow, steps: Sequence[StepRow], plan: Plan, facts: Facts, records: Mapping[int, JsonObject], at: float
) -> bool:
    """Carry out a plan. `records` are the inputs to be written again, by unit number. Returns whether there is work to go on with."""
    places = await _write_inputs(tables, run.key, records)

    def work(db: sqlite3.Connection) -> bool:
        writes = Writes(db, run.key, steps, at)
        writes.lift_law()
        writes.bring_back_chunks()
        writes.give_up(plan, facts)
        writes.move(plan, places)
        writes.restore(plan.restore, places)
        writes.count()
        writes.lay_down_law()
        left = bool(db.execute(SQL["pending"], {"run": run.key}).fetchone()[0] or db.execute(SQL["open"], {"run": run.key}).fetchone()[0])
        if left and run.state is not RunState.PAUSED:
            pause(db, run.key, "repaired", at)
        note(db, run.key, "repaired", {"what": list(plan.sentences)}, at)
        return left

    return await tables.db.write(work)


async def _write_inputs(tables: Tables, run: int, records: Mapping[int, JsonObject]) -> dict[int, tuple[int, int]]:
    """Append inputs to a segment of their own; where each lies."""
    if not records:
        return {}
    row = await tables.segment(run, INPUTS)
    writer = tables.writer(row)
    try:
        frame = writer.append([{"seq": seq, "record": record} for seq, record in records.items()])
    finally:
        writer.close()
    await tables.commit_frame(row.id, frame)
    return {seq: (row.id, frame.first_row + line) for line, seq in enumerate(records)}


LAW = next(statement for migration in load_migrations("run") for statement in migration.statements if "TRIGGER chunk_law" in statement)
"""What holds a chunk to the law of conservation."""


class Writes:
    """The writes of one repair, inside its transaction."""

    def __init__(self, db: sqlite3.Connection, run: int, steps: Sequence[StepRow], at: float) -> None:
        self._db = db
        self._run = run
        self._steps = steps
        self._last = last_unit_step(steps).idx
        self._at = at

    def _do(self, statement: str, **fields: int | float | str | None) -> sqlite3.Cursor:
        return self._db.execute(SQL[statement], {"run": self._run, **fields})

    def _chunk(self, step: int, round_: int, n: int) -> int:
        return open_chunk(self._db, self._run, NewChunk(step, self._steps[step].lane, round_, None, n), self._at)

    def bring_back_chunks(self) -> None:
        """Make chunks again that units are in and that are not there, before a new one takes the number of one."""
        self._do("restore_chunks", at=self._at)

    def lift_law(self) -> None:
        """Let counters be wrong while they are mended; the database holds them to the law again at the end of the transaction."""
        self._do("lift_law")

    def lay_down_law(self) -> None:
        """Counters are right: the database refuses what would make them wrong."""
        self._db.execute(LAW)

    def give_up(self, plan: Plan, facts: Facts) -> None:
        """Forget what cannot be read."""
        for torn in plan.gone:
            low, high = torn.frame.first_row, torn.frame.first_row + torn.frame.rows - 1
            self._do("forget_attempts", segment=torn.segment, low=low, high=high)
            self._do("drop_frame", segment=torn.segment, first_row=low)
        for segment in {torn.segment for torn in plan.gone}:
            gone = [torn.frame for torn in plan.gone if torn.segment == segment]
            self._do("shorten_segment", segment=segment, committed=shortened(facts.frames[segment], gone))
        if plan.gone or plan.again:
            for segment, row in facts.misplaced:
                self._do("forget_attempts", segment=segment, low=row, high=row)
        for step, seq in plan.answers:
            self._do("forget_answer", step=step, seq=seq)
        for chunk in plan.rebuild:
            self._do("rebuild_chunk", id=chunk)

    def move(self, plan: Plan, places: Mapping[int, tuple[int, int]]) -> None:
        """Set aside, put back and set right units that are there."""
        for step, seq in plan.aside:
            self._do("set_aside", step=step, seq=seq)
        for step, seq in (*plan.again, *plan.recompute):
            self._do("forget_result", step=step, seq=seq)
        self._gather("put_back", sorted((*plan.again, *plan.recompute)))
        self._gather("rescue", sorted((one.step, one.seq) for one in plan.rescue))
        for seq in plan.inputs:
            self._do("set_input", step=0, seq=seq, segment=places[seq][0], row=places[seq][1])
        for (step, seq), (segment, row) in plan.moved:
            self._do("set_input", step=step, seq=seq, segment=segment, row=row)
        for (step, seq), (segment, row) in plan.revive:
            self._do("revive", step=step, seq=seq, segment=segment, row=row)

    def _gather(self, statement: str, keys: Sequence[Key]) -> None:
        """Put units into a new chunk for each step, in which they do not count as started once more."""
        for step, group in groupby(keys, lambda key: key[0]):
            seqs = [seq for _, seq in group]
            chunk = self._chunk(step, 1, len(seqs))
            for seq in seqs:
                self._do(statement, step=step, seq=seq, chunk=chunk)

    def restore(self, units: Sequence[Restore], places: Mapping[int, tuple[int, int]]) -> None:
        """Make units anew: those whose answer is there and handed on in closed chunks, the others in open ones.

        From the last step to the first, so that what was handed on is there to be seen.
        """
        for step in sorted({unit.step for unit in units}, reverse=True):
            here = [unit for unit in units if unit.step == step]
            settled = [unit for unit in here if unit.result is not None and self._handed_on(unit)]
            waiting = [unit for unit in here if unit not in settled]
            for group, closed in ((settled, True), (waiting, False)):
                if group:
                    chunk = self._chunk(step, 0, len(group))
                    for unit in group:
                        self._insert(unit, chunk, places)
                    if closed:
                        self._do("close_chunk", id=chunk, at=self._at)

    def _handed_on(self, unit: Restore) -> bool:
        last = unit.step == self._last
        return last or self._do("children_of", step=unit.step + 1, seq=unit.seq).fetchone() is not None

    def _insert(self, unit: Restore, chunk: int, places: Mapping[int, tuple[int, int]]) -> None:
        place = unit.place or places[unit.seq]
        result = unit.result or (None, None)
        made = self._do(
            "restore_unit",
            step=unit.step,
            seq=unit.seq,
            parent_seq=unit.parent_seq,
            state=int(UnitState.TODO if unit.result is None else UnitState.VALID),
            chunk=chunk,
            input_segment=place[0],
            input_row=place[1],
            segment=result[0],
            row=result[1],
            attempts=unit.attempts,
            cost_nanos=unit.cost_nanos,
        )
        if made.rowcount != 1:
            raise StoreError(f"unit {unit.seq} of step {unit.step} cannot be made anew: another one has its number")

    def count(self) -> None:
        """Bring every counter in line with units and attempts."""
        self._do("keep_traces")
        self._do("recount_units")
        self._do("recount_chunks")
