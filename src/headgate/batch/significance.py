"""Whether two shares differ by more than chance would make them. Pure.

Sources: Newcombe (1998), method 10, for the interval of a difference; Pearson's pooled test where every expected count is at least 5, and
Fisher's exact test where one is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import erfc, exp, lgamma, sqrt

import msgspec

from headgate.batch.statistics import Interval, wilson

LEAST_EXPECTED = 5.0


class Difference(msgspec.Struct, frozen=True):
    """Share of the second minus share of the first with its interval, the two-sided p-value, and the test that gave it."""

    interval: Interval
    p_value: float
    test: str

    def significant(self, level: float = 0.05) -> bool:
        """True if chance alone would seldom show such a difference."""
        return self.p_value < level


def two_proportions(count: int, total: int, other: int, other_total: int) -> Difference | None:
    """Compare `count` in `total` with `other` in `other_total`; None when one of them is of nothing."""
    if total == 0 or other_total == 0:
        return None
    first, second = wilson(count, total), wilson(other, other_total)
    value = second.value - first.value
    low = value - sqrt((second.value - second.low) ** 2 + (first.high - first.value) ** 2)
    high = value + sqrt((second.high - second.value) ** 2 + (first.value - first.low) ** 2)
    interval = Interval(value, max(-1.0, low), min(1.0, high))
    if _least_expected(count, total, other, other_total) < LEAST_EXPECTED:
        return Difference(interval, fisher_exact(count, total, other, other_total), "Fisher's exact test")
    return Difference(interval, pooled(count, total, other, other_total), "two-proportion z-test")


def _least_expected(count: int, total: int, other: int, other_total: int) -> float:
    hits, every = count + other, total + other_total
    return min(hits, every - hits) * min(total, other_total) / every


def pooled(count: int, total: int, other: int, other_total: int) -> float:
    """The two-sided p-value of the pooled z-test."""
    share = (count + other) / (total + other_total)
    spread = sqrt(share * (1 - share) * (1 / total + 1 / other_total))
    return 1.0 if spread == 0 else erfc(abs(count / total - other / other_total) / spread / sqrt(2))


def fisher_exact(count: int, total: int, other: int, other_total: int) -> float:
    """The two-sided p-value: the chance of all tables with these margins that are no likelier than this one."""
    hits, every = count + other, total + other_total
    base = _log_choose(every, hits)

    def chance(k: int) -> float:
        return exp(_log_choose(total, k) + _log_choose(other_total, hits - k) - base)

    seen = chance(count) * (1 + 1e-7)
    chances = map(chance, range(max(0, hits - other_total), min(hits, total) + 1))
    return min(1.0, sum(each for each in chances if each <= seen))


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def outliers(groups: Mapping[str, tuple[int, int]], level: float = 0.05) -> tuple[str, ...]:
    """Groups (count, total) whose share differs from that of all others together; `level` is for all comparisons at once (Bonferroni)."""
    every = sum(count for count, _ in groups.values()), sum(total for _, total in groups.values())
    found = []
    for name, (count, total) in groups.items():
        difference = two_proportions(count, total, every[0] - count, every[1] - total)
        if difference is not None and difference.significant(level / len(groups)):
            found.append(name)
    return tuple(found)
