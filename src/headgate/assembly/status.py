"""How a run stands, read from its database by whoever asks. Counters only: a run of a million units answers as fast as a small one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import msgspec

from headgate.batch.home import Home
from headgate.batch.notices import notices
from headgate.batch.progress import RESHAPING, share_done
from headgate.batch.readings import Readings
from headgate.batch.rows import RunRow, StepRow, StepTotals, SubmissionRow, last_unit_step, unit_steps
from headgate.batch.signals import Signal, by_reason, signals
from headgate.batch.states import RunState, SubmissionState
from headgate.batch.tables import Tables
from headgate.batch.tally import Tally, total
from headgate.errors import RunError, StoreError
from headgate.store import Database

BATCHES = 50
"""Batches that are listed; of more, those that are open and the newest."""
AT_PROVIDER = (SubmissionState.SUBMITTED, SubmissionState.ENDED)


class Times(msgspec.Struct, frozen=True):
    """Moments in epoch seconds, lengths in seconds. `elapsed` is from the beginning to the end (or now), `driven` what a process worked."""

    now: float
    started: float
    finished: float | None
    elapsed: float
    driven: float


class RunStatus(msgspec.Struct, frozen=True):
    """A run at one moment. `state` adds to the run's own word whether a process drives it; money in nano-dollars.

    `spent` is what calls with a known price cost; `tallies` say how many have none. `batches` are submissions and their units by state, of
    which `submissions` lists some; `failed` are (step, reason, units).
    """

    run: RunRow
    folder: str
    state: str
    driven: bool
    pid: int | None
    steps: tuple[StepTotals, ...]
    targets: tuple[StepRow, ...]
    submissions: tuple[SubmissionRow, ...]
    batches: dict[SubmissionState, tuple[int, int]]
    open_calls: int
    spent: int
    held: int
    tallies: tuple[Tally, ...]
    failed: tuple[tuple[int, str | None, int], ...]
    times: Times
    problems: tuple[str, ...]
    notices: tuple[str, ...]
    signals: tuple[Signal, ...]

    @property
    def cost(self) -> int | None:
        """What the run cost so far, the same number wherever it is shown (OCT-183); None when a call's price is not known."""
        return None if self.unpriced else self.spent

    @property
    def unpriced(self) -> int:
        """Calls whose price is not known."""
        return total(self.tallies).unpriced

    @property
    def tokens(self) -> Tally:
        """All calls together."""
        return total(self.tallies)

    @property
    def retries(self) -> Tally:
        """Calls for units that had been asked before at the same step."""
        return total(self.tallies, retry=True)

    @property
    def units(self) -> int:
        """Units of the run, as far as they are planned."""
        return self.run.planned if self.run.total is None else self.run.total

    @property
    def unit_steps(self) -> tuple[StepTotals, ...]:
        """The steps that units go through; those after all units have none."""
        return tuple(unit_steps(self.steps))

    @property
    def valid(self) -> int:
        """Units valid at the last step that units go through."""
        return last_unit_step(self.steps).valid if self.steps else 0

    @property
    def failures(self) -> int:
        """Units that failed at any step."""
        return sum(step.failed for step in self.steps)

    @property
    def pending(self) -> int:
        """Units that are neither valid at the last step nor failed: at a step, on their way to the next one, or not begun with.

        On the way from a step that makes more or fewer units of them, units are not counted until they are at the next one.
        """
        ways = (way for way in pairwise(unit_steps(self.steps)) if way[0].kind not in RESHAPING)
        between = sum(max(0, before.valid - after.started) for before, after in ways)
        return sum(step.pending for step in self.steps) + between + max(0, self.units - self.run.planned)

    @property
    def in_flight(self) -> int:
        """Units that lie at a provider now: in batches, and in calls."""
        return self.open_calls + sum(self.batches.get(state, (0, 0))[1] for state in AT_PROVIDER)

    @property
    def done(self) -> float:
        """The share of the work that is decided, 0 to 1."""
        return share_done(self.run.total, self.steps)

    @property
    def overridden(self) -> tuple[str, ...]:
        """Steps whose provider or model the command line chose (OCT-12b)."""
        return tuple(step.name for step in self.targets if step.overridden)

    @property
    def current(self) -> int | None:
        """The number of the first step that has units to work on; None when there is none."""
        return next((step.idx for step in self.steps if step.pending), None)

    @property
    def per_hour(self) -> float | None:
        """Units decided for good in an hour of work; None before there is anything to go by."""
        decided = self.valid + self.failures
        return decided / self.times.driven * 3600 if decided and self.times.driven > 0 else None

    @property
    def remaining(self) -> float | None:
        """Seconds of work left at the pace so far; None while that is unknown."""
        if self.run.state is RunState.COMPLETE:
            return 0.0
        return (1 - self.done) / self.done * self.times.driven if self.done > 0 and self.times.driven > 0 else None


@contextmanager
def opened_run(folder: Path) -> Iterator[tuple[Tables, RunRow]]:
    """A run's tables for reading, and its row; whoever drives it is not disturbed. Raises `StoreError`, `RunError`."""
    with Database.open(Home(folder).database, migrations="run", read_only=True) as database:
        tables = Tables(database, folder)
        row = tables.find_run()
        if row is None:
            raise RunError(f"{folder} holds no run yet")
        yield tables, row


def read_status(folder: Path, clock: Callable[[], float] = time.time) -> RunStatus:
    """Read how a run stands. Raises `StoreError`, `RunError`."""
    with opened_run(folder) as (tables, row):
        return status_of(tables, row, clock())


def status_of(tables: Tables, row: RunRow, now: float) -> RunStatus:
    """How the run in `tables` stands at `now`."""
    home = Home(tables.folder)
    readings = Readings(tables, row.key)
    steps, tallies, failed = tuple(tables.totals(row.key)), readings.tallies(), readings.failed()
    driven, batches = home.locked(), readings.batches()
    submissions = readings.submissions(BATCHES)
    return RunStatus(
        run=row,
        folder=str(tables.folder),
        state=_state(row, driven),
        driven=driven,
        pid=home.pid() if driven else None,
        steps=steps,
        targets=tuple(tables.steps(row.key)),
        submissions=submissions,
        batches=batches,
        open_calls=readings.open_calls(),
        spent=sum(step.cost_nanos for step in steps),
        held=tables.reserved(row.key),
        tallies=tallies,
        failed=failed,
        times=_times(readings, row, driven, now),
        problems=tuple(_unattended(steps)),
        notices=notices(tables.warnings(row.key)),
        signals=_signals(readings, failed, batches, submissions, tallies),
    )


def _times(readings: Readings, row: RunRow, driven: bool, now: float) -> Times:
    end = now if driven else row.finished_at or readings.last_event() or row.created_at
    worked = readings.driven_seconds(now if driven else None)
    return Times(now, row.created_at, None if driven else row.finished_at, max(0.0, end - row.created_at), worked)


def _signals(
    readings: Readings,
    failed: tuple[tuple[int, str | None, int], ...],
    batches: dict[SubmissionState, tuple[int, int]],
    submissions: tuple[SubmissionRow, ...],
    tallies: tuple[Tally, ...],
) -> tuple[Signal, ...]:
    lost = batches.get(SubmissionState.LOST, (0, 0))[0]
    broken = sum(submission.status == "failed" for submission in submissions)
    return signals(readings.warnings(), by_reason(failed), lost, broken, total(tallies, retry=False), total(tallies, retry=True))


def _unattended(steps: tuple[StepTotals, ...]) -> Iterator[str]:
    """What the counters alone show to be wrong; `headgate verify` counts unit by unit."""
    for step in steps:
        if step.pending and not step.open_chunks:
            yield f"step {step.name}: {step.pending} units are neither valid nor failed, and nothing works on them"


class Listed(msgspec.Struct, frozen=True):
    """A run's folder with how it stands, or with why that cannot be read."""

    folder: str
    status: RunStatus | None
    problem: str = ""


def list_runs(folder: Path) -> tuple[Listed, ...]:
    """The runs below a folder (OCT-44): those a process drives first, then the newest."""
    found = [_listed(path) for path in sorted(folder.glob("*/")) if Home(path).exists]
    return tuple(sorted(found, key=_rank, reverse=True))


def _listed(path: Path) -> Listed:
    try:
        return Listed(str(path), read_status(path))
    except (StoreError, RunError) as error:
        return Listed(str(path), None, error.message)


def _rank(listed: Listed) -> tuple[bool, float]:
    status = listed.status
    return (False, 0.0) if status is None else (status.driven, status.run.created_at)


def _state(row: RunRow, driven: bool) -> str:
    if row.state in (RunState.RUNNING, RunState.PLANNING) and not driven:
        return f"{row.state.value}, but no process drives it; run it again to go on"
    return row.state.value
