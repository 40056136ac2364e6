"""What earlier runs of the same pipeline used: tokens, seconds and tries of each step, for the estimate of the next one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from pathlib import Path

import msgspec

from headgate.batch.home import Home
from headgate.batch.pipeline import StepKind
from headgate.batch.rows import StepTotals
from headgate.batch.states import RunState
from headgate.batch.tables import Tables
from headgate.errors import StoreError
from headgate.store import Database

MOST_RUNS = 5
MOST_FOLDERS = 200
"""Of the run folders, so many are looked into, the newest first."""


class Moments(msgspec.Struct, frozen=True):
    """Numbers summed up so that sums of several runs can be added: how many, their sum, the sum of their squares."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """Their mean; 0 of none."""
        return self.total / self.n if self.n else 0.0

    @property
    def doubt(self) -> float:
        """Twice the standard error of the mean: how far the mean of many more may lie from this one."""
        if self.n < 2:
            return self.mean
        variance = max(0.0, self.squares / self.n - self.mean**2) * self.n / (self.n - 1)
        return 2 * sqrt(variance / self.n)


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """One step in earlier runs: `units` it began with, `input` and `output` tokens of its calls, `seconds` of those in realtime.

    For a step that makes units, `units` are those it had and `children` those it made of them.
    """

    runs: int = 1
    units: int = 0
    children: int = 0
    input: Moments = Moments()
    output: Moments = Moments()
    seconds: Moments = Moments()

    def __add__(self, other: Lesson) -> Lesson:
        return Lesson(
            runs=self.runs + other.runs,
            units=self.units + other.units,
            children=self.children + other.children,
            input=self.input + other.input,
            output=self.output + other.output,
            seconds=self.seconds + other.seconds,
        )

    @property
    def calls(self) -> int:
        """How many answers were counted."""
        return self.input.n


Lessons = dict[tuple[str, str], Lesson]
"""By step and by ``provider/model`` ("" for a step that calls none)."""


def learned(folder: Path, digest: str) -> Lessons:
    """The lessons of the newest complete runs below `folder` whose pipeline has this digest. A run that cannot be read teaches nothing."""
    homes = [home for path in folder.glob("*/") if (home := Home(path)).exists]
    homes.sort(key=lambda home: home.database.stat().st_mtime, reverse=True)
    found: Lessons = {}
    runs = 0
    for home in homes[:MOST_FOLDERS]:
        lessons = _lessons(home, digest)
        for key, lesson in lessons.items():
            found[key] = found[key] + lesson if key in found else lesson
        runs += bool(lessons)
        if runs == MOST_RUNS:
            break
    return found


def _lessons(home: Home, digest: str) -> Lessons:
    try:
        with Database.open(home.database, migrations="run", read_only=True) as database:
            tables = Tables(database, home.folder)
            row = tables.find_run()
            if row is None or row.pipeline_digest != digest or row.state is not RunState.COMPLETE:
                return {}
            return _of_run(tables, row.key)
    except StoreError:
        return {}


def _of_run(tables: Tables, run: int) -> Lessons:
    totals = tables.totals(run)
    started = {total.name: total.started for total in totals}
    found: Lessons = {}
    for name, provider, model, calls, *sums, seconds, timed in tables.lessons(run):
        found[name, f"{provider}/{model}"] = Lesson(
            units=started[name],
            input=Moments(calls, *sums[:2]),
            output=Moments(calls, *sums[2:]),
            seconds=Moments(timed, seconds),
        )
    return found | _fans(totals)


def _fans(totals: Sequence[StepTotals]) -> Lessons:
    pairs = pairwise(totals)
    return {
        (step.name, ""): Lesson(units=step.valid, children=following.started)
        for step, following in pairs
        if step.kind == StepKind.FAN_OUT and step.valid
    }
