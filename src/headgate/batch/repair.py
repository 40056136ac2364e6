"""What is to be done about what an audit found: decided here, with looks at the database, done in `repair_writes` (OCT-151)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

import msgspec

from headgate.batch.audit import Audit, Kind
from headgate.batch.audit_rows import SQL, Facts, Stranded
from headgate.batch.audit_segments import Torn
from headgate.batch.segments import Frame
from headgate.batch.states import Outcome, UnitState
from headgate.batch.tables import Tables

Key = tuple[int, int]
"""A step and a unit number."""


class Restore(msgspec.Struct, frozen=True):
    """A unit to be made anew. `place` is where its input lies, None where it is made from the pipeline again; `result` that of an answer
    it has had, `attempts` and `cost_nanos` what there was of it before."""

    step: int
    seq: int
    parent_seq: int | None
    place: tuple[int, int] | None
    result: tuple[int, int] | None
    attempts: int
    cost_nanos: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What will be done, and what cannot be. `again` are valid units whose result is gone and that have to be asked again, `aside` units
    that should not be there, `inputs` those of the first step whose input has to be made from the pipeline again, `moved` those whose
    input is taken from their parent again, `answers` failed units whose last answer is gone, `gone` the frames that cannot be read,
    `rebuild` chunks whose requests have to be written again."""

    restore: tuple[Restore, ...] = ()
    revive: tuple[tuple[Key, tuple[int, int]], ...] = ()
    recompute: tuple[Key, ...] = ()
    aside: tuple[Key, ...] = ()
    rescue: tuple[Stranded, ...] = ()
    again: tuple[Key, ...] = ()
    inputs: tuple[int, ...] = ()
    moved: tuple[tuple[Key, tuple[int, int]], ...] = ()
    answers: tuple[Key, ...] = ()
    gone: tuple[Torn, ...] = ()
    rebuild: tuple[int, ...] = ()
    recount: bool = False
    settle: bool = False
    outputs: bool = False
    reopen: bool = False
    unmended: tuple[str, ...] = ()
    needs_again: int = 0

    @property
    def empty(self) -> bool:
        """There is nothing to do."""
        flags = self.recount or self.settle or self.outputs or self.reopen
        return not flags and not any(count for count, _ in self._counts())

    def _counts(self) -> tuple[tuple[int, str], ...]:
        return (
            (len(self.restore), "missing units are made anew from the last record of them"),
            (len(self.recompute), "units are computed again, with everything that came of them"),
            (len(self.revive), "units are valid by the answer that is there"),
            (len(self.aside), "units that nothing became, or that are there twice, are set aside"),
            (len(self.rescue), "undecided units in closed chunks are put into new ones"),
            (len(self.again), "units are asked again, because their answers cannot be read; that costs what it costs"),
            (len(self.inputs), "inputs are made from the pipeline again"),
            (len(self.moved), "units take their input from their parents again"),
            (len(self.answers), "failed units lose the answer that cannot be read"),
            (len(self.gone), "unreadable stretches of segments are given up"),
            (len(self.rebuild), "chunks have their requests written again"),
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        """What will be done, one sentence each."""
        flags = (
            (self.recount, "counters are computed from units and attempts"),
            (self.settle, "postings are handed to the ledger"),
            (self.outputs, "results, failures and receipts are written anew"),
            (self.reopen, "the run is no longer called complete"),
        )
        return (*(f"{count} {text}" for count, text in self._counts() if count), *(text for flag, text in flags if flag))


def make_plan(tables: Tables, found: Audit, again: bool) -> Plan:
    """Decide what to do about everything that was found. With `again`, units whose answers cannot be read are put back to be asked."""
    return tables.db.read(lambda db: Planner(db, found, again).plan())


class Planner:
    """One look at a run that nobody drives."""

    def __init__(self, db: sqlite3.Connection, found: Audit, again: bool) -> None:
        self._db = db
        self._found = found
        self._facts: Facts = found.facts
        self._run = found.run.key
        self._again = again
        self._lost = list(_lost_rows(found))
        self._unmended: list[str] = []

    def plan(self) -> Plan:
        """The whole plan."""
        restore, recompute = self._missing()
        revive, orphans = self._orphans({(one.step, one.seq) for one in restore if one.result is not None})
        again, answers, inputs, moved = self._unreadable()
        found = [(key, self._answer(*key)) for key in again]
        revive += [(key, answer) for key, answer in found if answer is not None]
        again = [key for key, answer in found if answer is None]
        revive += [((one.step, one.seq), answer) for one in self._facts.stranded if (answer := self._answer(one.step, one.seq)) is not None]
        revived = {key for key, _ in revive}
        wrong = (*self._duplicates(), *((0, seq) for seq in self._facts.surplus), *orphans)
        sent = (*recompute, *(again if self._again else ()))
        aside = dict.fromkeys((*wrong, *self._below(wrong), *self._below(sent)))
        plan = Plan(
            restore=tuple(restore),
            revive=tuple(one for one in dict(revive).items() if one[0] not in aside),
            recompute=tuple(recompute),
            aside=tuple(aside),
            rescue=tuple(one for one in self._facts.stranded if (one.step, one.seq) not in aside and (one.step, one.seq) not in revived),
            recount=self._has(Kind.COUNTERS, Kind.COSTS),
            settle=self._has(Kind.UNSETTLED),
            outputs=self._has(Kind.RESULTS),
            reopen=self._has(Kind.PENDING),
            needs_again=0 if self._again else len({*again, *answers, *((0, seq) for seq in inputs), *(key for key, _ in moved)}),
        )
        if self._again:
            plan = msgspec.structs.replace(
                plan,
                again=tuple(key for key in again if key not in aside),
                inputs=tuple(inputs),
                moved=tuple(one for one in moved if one[0] not in aside),
                answers=tuple(answers),
                rebuild=tuple(self._requests()),
                gone=self._given_up(),
            )
        return msgspec.structs.replace(plan, unmended=(*self._unmended, *self._hopeless()))

    def _has(self, *kinds: Kind) -> bool:
        return any(fault.kind in kinds for fault in self._found.faults)

    def _rows(self, statement: str, **fields: int) -> list[tuple[int, ...]]:
        return self._db.execute(SQL[statement], {"run": self._run, **fields}).fetchall()

    def _missing(self) -> tuple[list[Restore], list[Key]]:
        """Units to be made anew, and units of a fan_out to be computed again because all of their children are gone."""
        made = [self._restored(0, seq, None, None) for seq in self._facts.gaps]
        recompute: list[Key] = []
        for unit in self._facts.children:
            if unit.found >= unit.expected:
                continue
            if unit.children is None and unit.segment is not None and unit.row is not None:
                made.append(self._restored(unit.step + 1, unit.seq, unit.seq, (unit.segment, unit.row)))
            elif unit.children is not None and unit.found == 0:
                recompute.append((unit.step, unit.seq))
            else:
                self._unmended.append(f"unit {unit.seq} of step {unit.step} has {unit.found} of {unit.expected} units at the next step")
        for one in made:  # grows as it is gone through
            made.extend(self._handed_on(one))
        return made, recompute

    def _handed_on(self, unit: Restore) -> Iterator[Restore]:
        """The same unit at the next step, where it has been and is missing too."""
        step = unit.step + 1
        if unit.result is None or step == len(self._found.steps) or self._rows("children_of", step=step, seq=unit.seq):
            return
        child = self._restored(step, unit.seq, unit.seq, unit.result)
        if child.attempts:
            yield child

    def _restored(self, step: int, seq: int, parent: int | None, place: tuple[int, int] | None) -> Restore:
        """The unit as its attempts say it was."""
        (past,) = self._rows("past_of_unit", step=step, seq=seq)
        return Restore(step, seq, parent, place, self._answer(step, seq), past[0], past[1])

    def _answer(self, step: int, seq: int) -> tuple[int, int] | None:
        """Where the answer lies that made the unit valid in its last attempt, if it can be read."""
        row = self._db.execute(SQL["last_attempt"], {"run": self._run, "step": step, "seq": seq}).fetchone()
        if row is None or row[0] != Outcome.VALID or row[1] is None or self._is_lost((row[1], row[2])):
            return None
        return row[1], row[2]

    def _is_lost(self, place: tuple[int, int]) -> bool:
        return any(segment == place[0] and low <= place[1] <= high for segment, low, high in self._lost)

    def _duplicates(self) -> Iterator[Key]:
        for unit in self._facts.children:
            if unit.found > unit.expected:
                children = [row[0] for row in self._rows("children_of", step=unit.step + 1, seq=unit.seq)]
                own = [seq for seq in children if seq == unit.seq]
                kept = [*own, *(seq for seq in children if seq != unit.seq)]
                yield from ((unit.step + 1, seq) for seq in kept[unit.expected :])

    def _orphans(self, valid: set[Key]) -> tuple[list[tuple[Key, tuple[int, int]]], list[Key]]:
        """Parents that are valid after all, and units that nothing became."""
        revived: dict[Key, tuple[int, int]] = {}
        aside: list[Key] = []
        for unit in self._facts.orphans:
            parent, state, _, _, chunk = self._db.execute(SQL["lineage"], {"run": self._run, "step": unit.step, "seq": unit.seq}).fetchone()
            key = (unit.step - 1, -1 if parent is None else parent)
            answer = None if parent is None or state is None or chunk not in ("done", "split") else self._answer(*key)
            if key in valid or key in revived:
                continue
            if answer is not None and state != UnitState.AWAY:
                revived[key] = answer
            else:
                aside.append((unit.step, unit.seq))
        return list(revived.items()), aside

    def _below(self, keys: Iterable[Key]) -> Iterator[Key]:
        """Everything that came of some units, step by step."""
        level = list(keys)
        while level:
            level = [(step + 1, row[0]) for step, seq in level for row in self._rows("children_of", step=step + 1, seq=seq)]
            yield from level

    def _unreadable(self) -> tuple[list[Key], list[Key], list[int], list[tuple[Key, tuple[int, int]]]]:
        """Valid units without a result, failed ones without their answer, inputs to be made again, and inputs to be taken from parents."""
        again: dict[Key, None] = {}
        answers: list[Key] = []
        inputs: list[int] = []
        moved: list[tuple[Key, tuple[int, int]]] = []
        if self._has(Kind.RESULTLESS):
            again.update(dict.fromkeys((unit.step, unit.seq) for unit in self._facts.resultless))
        for segment, low, high in self._lost:
            for step, seq, state, _ in self._rows("units_at", segment=segment, low=low, high=high):
                if state == UnitState.VALID:
                    again[step, seq] = None
                else:
                    answers.append((step, seq))
            for step, seq in self._rows("inputs_at", segment=segment, low=low, high=high):
                if step == 0:
                    inputs.append(seq)
                    continue
                _, state, at, row, _ = self._db.execute(SQL["lineage"], {"run": self._run, "step": step, "seq": seq}).fetchone()
                if state == UnitState.VALID and at is not None and not self._is_lost((at, row)):
                    moved.append(((step, seq), (at, row)))
        return list(again), answers, inputs, moved

    def _requests(self) -> list[int]:
        """Chunks whose requests cannot be read and were not submitted."""
        torn = {one.segment for one in self._found.torn}
        rebuild = []
        for chunk, state, segment in self._facts.requests:
            if segment in torn and state == "built":
                rebuild.append(chunk)
            elif segment in torn:
                self._unmended.append(f"the requests of chunk {chunk} cannot be read, and it is with the provider: resume the run first")
        return rebuild

    def _given_up(self) -> tuple[Torn, ...]:
        kept = {segment for _, state, segment in self._facts.requests if state != "built"}
        return tuple(one for one in self._found.torn if one.segment not in kept)

    def _hopeless(self) -> list[str]:
        """What nobody can mend from here."""
        kinds = (Kind.MONEY, Kind.SUBMISSIONS, Kind.CLAIMS, Kind.SEGMENTS)
        return [fault.message for fault in self._found.faults if fault.kind in kinds]


def _lost_rows(found: Audit) -> Iterator[tuple[int, int, int]]:
    """Stretches of segments that cannot be read: (segment, first row, last row)."""
    for torn in found.torn:
        yield torn.segment, torn.frame.first_row, torn.frame.first_row + torn.frame.rows - 1
    for segment, row in found.facts.misplaced:
        yield segment, row, row


def shortened(frames: Iterable[Frame], gone: Iterable[Frame]) -> int:
    """How many bytes of a segment are committed once some of its frames are given up."""
    left = set(frames) - set(gone)
    return max((frame.offset + frame.length for frame in left), default=0)
