"""Looking on while another process drives a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import msgspec

from headgate.batch.control import INTERRUPTED, TIMED_OUT
from headgate.batch.home import Home
from headgate.batch.progress import Progress, projected_cost, remaining_seconds, share_done, waiting_text
from headgate.batch.rows import RunRow
from headgate.batch.run import CAP_REACHED, UNBOUNDED
from headgate.batch.states import RunState
from headgate.batch.tables import Tables
from headgate.domain.cost import usd_text
from headgate.errors import RunError
from headgate.store import Database
from headgate.wire.json import JsonObject

ENDS: dict[str | None, int] = {stop.reason: stop.exit_code for stop in (CAP_REACHED, UNBOUNDED, TIMED_OUT, INTERRUPTED)}
"""The exit codes of runs that were paused, by the word why (OCT-42)."""


class Glance(msgspec.Struct, frozen=True):
    """A run at one moment, and whether a process drives it."""

    run: RunRow
    progress: Progress
    driven: bool

    @property
    def exit_code(self) -> int:
        """What ``headgate run`` returned, or would: 0 done, 1 error, 2 cost limit, 3 timeout, 130 interrupted."""
        if self.run.state is RunState.COMPLETE:
            return 0 if self.progress.valid else 1
        if self.run.state is RunState.PAUSED:
            return ENDS.get(self.run.reason, 1)
        return 1


class Watcher:
    """Reads a run's progress without disturbing whoever drives it. A context manager; `clock` gives seconds since the epoch."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._home = Home(folder)
        self._clock = clock
        self._database = Database.open(self._home.database, migrations="run", read_only=True)
        self._tables = Tables(self._database, folder)
        self._began = clock()
        self._before: float | None = None

    def glance(self) -> Glance:
        """The run now. Raises `RunError` while it has not begun."""
        driven = self._home.locked()
        row = self._tables.find_run()
        if row is None:
            raise RunError(f"{self._home.folder} holds no run yet")
        steps = tuple(self._tables.totals(row.key))
        done, now = share_done(row.total, steps), self._clock()
        if self._before is None:
            self._before = done
        elapsed = now - self._began
        progress = Progress(
            state=row.state.value,
            units=row.total,
            steps=steps,
            done=done,
            elapsed=elapsed,
            eta=remaining_seconds(done, self._before, elapsed),
            spent=sum(step.cost_nanos for step in steps),
            held=self._tables.reserved(row.key),
            projected=projected_cost(row.total, steps),
            cap=row.cost_cap_nanos,
            waiting=waiting_text(*self._tables.under_way(row.key), now),
        )
        return Glance(row, progress, driven)

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._database.close()


def progress_json(glance: Glance) -> JsonObject:
    """A moment as plain JSON; money as decimal strings of dollars, times in seconds."""
    progress = glance.progress
    return {
        "run": glance.run.id,
        "state": glance.run.state.value,
        "driven": glance.driven,
        "done": round(progress.done, 6),
        "units": progress.units,
        "valid": progress.valid,
        "failed": progress.failed,
        "eta": None if progress.eta is None else round(progress.eta, 1),
        "cost_usd": None if progress.unpriced else usd_text(progress.spent),
        "unpriced_calls": progress.unpriced,
        "held_usd": usd_text(progress.held),
        "projected_usd": None if progress.projected is None else usd_text(progress.projected),
        "cap_usd": None if progress.cap is None else usd_text(progress.cap),
        "waiting": progress.waiting,
        "steps": [
            {"name": s.name, "started": s.started, "valid": s.valid, "failed": s.failed, "pending": s.pending} for s in progress.steps
        ],
    }
