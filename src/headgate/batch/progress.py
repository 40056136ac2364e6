"""How far a run is, from its totals and two moments in time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from operator import or_

import msgspec

from headgate.batch.rows import StepTotals, last_unit_step, unit_steps
from headgate.batch.states import RUN_SCOPE

RESHAPING = frozenset({"fan_out", "fan_in", "aggregate", "dedupe", "sample"})
"""Kinds of step at which units become more or fewer."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A run at one moment. `done` is the share of unit-steps decided (0 to 1), `eta` seconds (None while unknown).

    Money in nano-dollars: `spent` so far as far as prices are known, `projected` for the whole run (None while unknown), `held` set aside
    for open calls.
    """

    state: str
    units: int | None
    steps: tuple[StepTotals, ...]
    done: float
    elapsed: float
    eta: float | None
    spent: int
    held: int
    projected: int | None
    cap: int | None
    waiting: str = ""

    @property
    def valid(self) -> int:
        """Units valid at the last step that units go through."""
        return last_unit_step(self.steps).valid if self.steps else 0

    @property
    def failed(self) -> int:
        """Units that failed at any step."""
        return sum(step.failed for step in self.steps)

    @property
    def unpriced(self) -> int:
        """Calls whose price is not known, and which `spent` leaves out."""
        return sum(step.unpriced for step in self.steps)


def expected_units(total: int | None, steps: Sequence[StepTotals]) -> list[float] | None:
    """How many units each step will have decided in the end, by what was seen so far; None while planning.

    Each step gets what the one before lets through, times what a unit has become on its way there.
    """
    if total is None:
        return None
    expected: list[float] = []
    coming = float(total)
    for before, step in zip((None, *steps), steps, strict=False):
        if before is not None and before.kind in RESHAPING and before.valid:
            coming *= step.started / before.valid
        if step.kind == RUN_SCOPE:
            expected.append(0.0)
            continue
        expected.append(max(coming, float(step.started)))
        coming = max(expected[-1] - step.failed, 0.0)
    return expected


def goals(total: int | None, steps: Sequence[StepTotals]) -> list[int]:
    """Of how many units each step that units go through is said to have done some: the run's, or as many as they have become before it."""
    expected = expected_units(total, steps)
    if total is None or expected is None:
        return [step.started for step in unit_steps(steps)]
    became = accumulate((before.kind in RESHAPING for before in steps), or_, initial=False)
    return [round(now) if other else total for _, now, other in zip(unit_steps(steps), expected, became, strict=False)]


def share_done(total: int | None, steps: Sequence[StepTotals]) -> float:
    """Decided unit-steps over all of those that are expected; a unit that failed has no later steps to go through."""
    expected = expected_units(total, steps)
    if not expected or not sum(expected):
        return 0.0
    return min(1.0, sum(step.valid + step.failed for step in steps) / sum(expected))


def remaining_seconds(done: float, before: float, elapsed: float) -> float | None:
    """Seconds left at the pace of this invocation: `before` was done when it began, `elapsed` seconds ago."""
    gained = done - before
    if gained <= 0 or elapsed <= 0:
        return 0.0 if done >= 1.0 else None
    return (1.0 - done) * elapsed / gained


def projected_cost(total: int | None, steps: Sequence[StepTotals]) -> int | None:
    """Nano-dollars for the whole run, if every unit still to come costs what the decided ones did, step by step.

    None while that cannot be told, and where a call has no known price.
    """
    expected = expected_units(total, steps)
    if expected is None or any(step.unpriced for step in steps):
        return None
    cost = 0
    for step, units in zip(steps, expected, strict=True):
        decided = step.valid + step.failed
        if step.kind != "chunk" or not units:
            continue
        if decided == 0:
            return None
        cost += int(step.cost_nanos * max(units, decided) / decided)
    return cost


def waiting_text(count: int, polled: float | None, said: str | None, now: float) -> str:
    """What a run waits for, in a few words: `count` batches at providers, last looked at then, the newest of them said to be that."""
    if not count:
        return ""
    age = f", looked {round(now - polled)} s ago" if polled else ""
    return f"{count} batch{'es' if count > 1 else ''} at the provider ({said or 'submitted'}{age})"


def duration_text(seconds: float | None) -> str:
    """``1h02m``, ``3m05s``, ``12s``; a dash while unknown."""
    if seconds is None:
        return "—"
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"
