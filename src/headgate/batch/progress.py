"""How far a run is, from its totals and two moments in time. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headgate.batch.rows import StepTotals


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A run at one moment. `done` is the share of unit-steps decided (0 to 1), `eta` seconds (None while unknown).

    Money in nano-dollars: `spent` so far, `projected` for the whole run (None while unknown), `held` set aside for open calls.
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
        """Units valid at the last step."""
        return self.steps[-1].valid if self.steps else 0

    @property
    def failed(self) -> int:
        """Units that failed at any step."""
        return sum(step.failed for step in self.steps)


def share_done(total: int | None, steps: Sequence[StepTotals]) -> float:
    """Decided unit-steps over all of them; a unit that failed has no later steps to go through."""
    if not total or not steps:
        return 0.0
    decided = sum(step.valid + step.failed * (len(steps) - step.idx) for step in steps)
    return min(1.0, decided / (total * len(steps)))


def remaining_seconds(done: float, before: float, elapsed: float) -> float | None:
    """Seconds left at the pace of this invocation: `before` was done when it began, `elapsed` seconds ago."""
    gained = done - before
    if gained <= 0 or elapsed <= 0:
        return 0.0 if done >= 1.0 else None
    return (1.0 - done) * elapsed / gained


def projected_cost(total: int | None, steps: Sequence[StepTotals]) -> int | None:
    """Nano-dollars for the whole run, if every unit still to come costs what the decided ones did, step by step."""
    if total is None:
        return None
    cost = 0
    for step in steps:
        decided = step.valid + step.failed
        if step.kind != "chunk":
            continue
        if decided == 0:
            return None
        expected = total if step.pending or step.open_chunks or decided < step.started else decided
        cost += step.cost_nanos * max(expected, decided) // decided
    return cost


def duration_text(seconds: float | None) -> str:
    """``1h02m``, ``3m05s``, ``12s``; a dash while unknown."""
    if seconds is None:
        return "—"
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"
