"""The retry budget of one upstream: what may be sent again without making an outage worse (faults C10)."""

from __future__ import annotations

MINIMUM = 3.0
"""Retries that are always put by, so that a quiet upstream can be retried at all."""
REFILL = 20.0
"""Seconds in which a quiet upstream earns one retry."""


class RetryBudget:
    """A bucket of retries: each request puts `ratio` of one into it, each retry takes one out.

    It holds `MINIMUM`, or `ratio` of the calls under way where that is more.
    """

    __slots__ = ("_at", "_tokens", "ratio")

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio
        self._tokens = MINIMUM
        self._at = 0.0

    def deposit(self, live: int) -> None:
        """A request has begun; `live` are under way."""
        most = MINIMUM if live < MINIMUM / (self.ratio or 1.0) else self.ratio * live
        if self._tokens < most:
            self._tokens = min(most, self._tokens + self.ratio)

    def left(self, now: float) -> float:
        """Retries that may be made now."""
        if self.ratio and self._tokens < MINIMUM:
            self._tokens = min(MINIMUM, self._tokens + max(0.0, now - self._at) / REFILL)
        self._at = now
        return self._tokens

    def withdraw(self, now: float) -> bool:
        """Take one retry, if there is one."""
        if not self.ratio or self.left(now) < 1.0:
            return False
        self._tokens -= 1.0
        return True
