"""How many requests at a time a deployment bears that refuses without saying when to come back (faults C4). Pure."""

from __future__ import annotations

CUT = 0.5
REST = 1.0
"""Seconds after a cut in which further refusals cut no deeper: they answer requests that were under way before."""
RECOVERED = 4.0
"""Grown to so many times what was under way at the first cut, it is no longer in force."""


class Adaptive:
    """Additive increase, multiplicative decrease: halved by a refusal, one more for each round of answers."""

    __slots__ = ("_cap", "_cut_at", "_enough")

    def __init__(self, active: int, now: float) -> None:
        self._cap = max(1.0, active * CUT)
        self._cut_at = now
        self._enough = max(8.0, active * RECOVERED)

    @property
    def cap(self) -> int:
        """Requests at a time, at least 1."""
        return int(self._cap)

    def cut(self, now: float) -> None:
        """A request was refused without a hint."""
        if now - self._cut_at >= REST:
            self._cap = max(1.0, self._cap * CUT)
            self._cut_at = now

    def grow(self) -> bool:
        """A request was answered; False once the bound is no longer needed."""
        self._cap += 1.0 / self._cap
        return self._cap < self._enough
