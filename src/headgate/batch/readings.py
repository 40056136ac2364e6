"""Reading a run from outside: what status, info, report and export look at. Nothing here writes, and nothing counts unit by unit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from headgate.batch.rows import ChunkRow, SubmissionRow, UnitRow
from headgate.batch.states import ChunkState, SubmissionState
from headgate.batch.tables import PAGE, SQL, Tables, as_value
from headgate.batch.tally import Tally
from headgate.wire.json import Json, JsonObject


class Readings:
    """The tables of one run, for those who only look. Every method reads one snapshot."""

    def __init__(self, tables: Tables, run: int) -> None:
        self.tables = tables
        self.run = run

    def tallies(self) -> tuple[Tally, ...]:
        """Calls, tokens and cost by step, first tries and retries apart."""
        return tuple(as_value(Tally, row) for row in self._rows("read_tallies"))

    def open_calls(self) -> int:
        """Realtime calls that are not answered yet."""
        return int(self._rows("open_calls")[0][0])

    def failed(self) -> tuple[tuple[int, str | None, int], ...]:
        """Failed units as (step, reason, count), the most frequent reason of a step first."""
        return tuple((row[0], row[1], row[2]) for row in self._rows("failed_by_reason"))

    def chunks(self) -> dict[tuple[int, ChunkState], int]:
        """How many chunks there are, by step and state."""
        return {(row[0], ChunkState(row[1])): row[2] for row in self._rows("chunks_by_state")}

    def listed_chunks(self, most: int) -> tuple[ChunkRow, ...]:
        """The first chunks, in the order they were opened, at most so many."""
        return tuple(as_value(ChunkRow, row) for row in self._rows("listed_chunks", limit=most))

    def batches(self) -> dict[SubmissionState, tuple[int, int]]:
        """How many submissions there are, and how many units they have together, by state."""
        return {SubmissionState(row[0]): (row[1], row[2]) for row in self._rows("submissions_by_state")}

    def submissions(self, most: int) -> tuple[SubmissionRow, ...]:
        """Submissions in the order of their intents, at most so many: those that are open go before those that are not, new before old."""
        found = [as_value(SubmissionRow, row) for row in self._rows("newest_submissions", limit=most)]
        return tuple(sorted(found, key=lambda submission: (submission.intent_at, submission.key)))

    def warnings(self) -> dict[str, int]:
        """How often each kind of warning was met."""
        return {row[0]: row[1] for row in self._rows("warnings_by_kind")}

    def driven_seconds(self, until: float | None) -> float:
        """Seconds that processes drove the run, up to `until` while one does; a process that was killed counts to its last event."""
        changes = [(row[0], row[1], row[2]) for row in self._rows("run_states")]
        if not changes:
            return 0.0
        seconds = 0.0
        for (_, began, state), (id_, ended, after) in pairwise(changes):
            if state == "running":
                seconds += max(0.0, (self._event_before(id_) if after == "running" else ended) - began)
        _, began, state = changes[-1]
        if state == "running":
            seconds += max(0.0, (self._event_before(2**62) if until is None else until) - began)
        return seconds

    def last_event(self) -> float | None:
        """When something was written last; None before anything was."""
        found = self._rows("event_before", id=2**62)
        return found[0][0] if found else None

    def _event_before(self, id_: int) -> float:
        return float(self._rows("event_before", id=id_)[0][0])

    def units(self, step: int) -> Iterator[UnitRow]:
        """Every unit that came to a step, in order, a page at a time."""
        after = -1
        while rows := self._rows("some_units", step=step, after=after, limit=PAGE):
            yield from (as_value(UnitRow, row) for row in rows)
            after = rows[-1][0]

    def unpriced_units(self, step: int, first: int, last: int) -> frozenset[int]:
        """Which of the units `first` to `last` had a call at a step whose price is not known."""
        return frozenset(row[0] for row in self._rows("unpriced_units", step=step, first=first, last=last))

    def _rows(self, statement: str, **fields: Json) -> list[tuple[Json, ...]]:
        named: JsonObject = {"run": self.run, **fields}
        return self.tables.db.read(lambda db: db.execute(SQL[statement], named).fetchall())
