"""Figures that are smoothed in bounded memory: moving averages, and a sketch of the 95th percentile."""

from __future__ import annotations

import math

SMOOTHING = 0.2
"""Share of the newest measurement in a moving average."""
SHORTEST = 0.001
RATIO = 1.2
BUCKETS = 78
"""Bucket n holds figures around ``SHORTEST · RATIO^n`` seconds: from a millisecond to more than twenty minutes, within 10 %."""
REMEMBERED = 256
"""Above so many measurements all counts are halved: old ones fade."""
_LOG_RATIO = math.log(RATIO)


def smoothed(old: float | None, new: float) -> float:
    """The moving average after `new`."""
    return new if old is None else old + SMOOTHING * (new - old)


class Sketch:
    """Durations in geometric buckets."""

    __slots__ = ("_counts", "_total")

    def __init__(self) -> None:
        self._counts = [0.0] * BUCKETS
        self._total = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration; those out of range count at its ends."""
        place = int(math.log(max(seconds, SHORTEST) / SHORTEST) / _LOG_RATIO) if seconds < math.inf else BUCKETS
        self._counts[min(place, BUCKETS - 1)] += 1.0
        self._total += 1.0
        if self._total > REMEMBERED:
            self._counts = [count / 2 for count in self._counts]
            self._total = sum(self._counts)

    def quantile(self, share: float) -> float | None:
        """The duration below which `share` of the remembered ones lie, in seconds; None without any."""
        left = share * self._total
        for place, count in enumerate(self._counts):
            left -= count
            if count and left <= 1e-9:
                return float(SHORTEST * RATIO ** (place + 0.5))
        return None
