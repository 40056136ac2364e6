"""Shares, means and their intervals, and the exact theory of a symmetric walk between two ends. Pure.

Sources: Wilson (1927) and Clopper and Pearson (1934) for shares; Feller, "An Introduction to Probability Theory", vol. I, ch. XIV, for the
walk; the incomplete beta function by Lentz's continued fraction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import exp, lgamma, log, log1p, sqrt
from statistics import NormalDist

import msgspec

from headgate.wire.json import Json

_TINY = 1e-300


class Interval(msgspec.Struct, frozen=True):
    """An estimate with its lower and upper confidence bounds."""

    value: float
    low: float
    high: float

    def holds(self, truth: float) -> bool:
        """True if `truth` lies within the bounds."""
        return self.low <= truth <= self.high


def normal_quantile(confidence: float) -> float:
    """How many standard deviations enclose `confidence` of a normal distribution: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(count: int, total: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a share of `count` in `total`; the whole of [0, 1] when there is nothing to go by."""
    if total == 0:
        return Interval(0.0, 0.0, 1.0)
    z = normal_quantile(confidence)
    share = count / total
    centre = share + z * z / (2 * total)
    spread = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    low = 0.0 if count == 0 else (centre - spread) / scale
    high = 1.0 if count == total else (centre + spread) / scale
    return Interval(share, low, high)


def clopper_pearson(count: int, total: int, confidence: float = 0.95) -> Interval:
    """The exact (conservative) interval for a share."""
    if total == 0:
        return Interval(0.0, 0.0, 1.0)
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else _beta_quantile(tail, count, total - count + 1)
    high = 1.0 if count == total else _beta_quantile(1 - tail, count + 1, total - count)
    return Interval(count / total, low, high)


def binomial_two_sided(count: int, total: int, share: float = 0.5) -> float:
    """Twice the smaller tail probability of `count` successes in `total` when `share` is true; small means the share is not believable."""
    upper = 1.0 if count == 0 else incomplete_beta(count, total - count + 1, share)
    lower = 1.0 if count == total else 1 - incomplete_beta(count + 1, total - count, share)
    return min(1.0, 2 * min(upper, lower))


def mean_interval(values: Iterable[float], confidence: float = 0.95) -> Interval:
    """The mean with its normal interval, by the sample standard deviation. Raises `ValueError` for no values."""
    summary = summarise_numbers(values)
    spread = normal_quantile(confidence) * summary.stdev / sqrt(summary.count)
    return Interval(summary.mean, summary.mean - spread, summary.mean + spread)


class NumberSummary(msgspec.Struct, frozen=True):
    """Count, mean, median, sample standard deviation (0 for one value), least and most (OCT-156)."""

    count: int
    mean: float
    median: float
    stdev: float
    least: float
    most: float


def summarise_numbers(values: Iterable[float]) -> NumberSummary:
    """Summarise numbers. Raises `ValueError` for none."""
    data = sorted(values)
    if not data:
        raise ValueError("there are no values")
    count = len(data)
    mean = sum(data) / count
    middle = (data[(count - 1) // 2] + data[count // 2]) / 2
    variance = sum((value - mean) ** 2 for value in data) / (count - 1) if count > 1 else 0.0
    return NumberSummary(count, mean, middle, sqrt(variance), data[0], data[-1])


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b) for a, b > 0 and x in [0, 1]."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1 - front * _beta_fraction(b, a, 1 - x) / b


def _beta_fraction(a: float, b: float, x: float, tolerance: float = 1e-14) -> float:
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            result *= c * d
        if abs(c * d - 1) < tolerance:
            break
    return result


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _beta_quantile(probability: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if incomplete_beta(a, b, middle) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


class WalkTheory(msgspec.Struct, frozen=True):
    """A symmetric ±1 walk from inside to one of two ends: chance of the upper end, mean and standard deviation of the steps."""

    upper_share: float
    mean_steps: float
    stdev_steps: float


def walk_theory(start: int, width: int) -> WalkTheory:
    """The exact values for a walk from `start` on [0, `width`]: s/w, s(w−s), and variance s(w−s)(s²+(w−s)²−2)/3."""
    if not 0 <= start <= width or width < 1:
        raise ValueError("the start must lie within the ends")
    left, right = start, width - start
    variance = left * right * (left * left + right * right - 2) / 3
    return WalkTheory(start / width, float(left * right), sqrt(max(variance, 0.0)))


def still_walking(start: int, width: int, steps: int) -> float:
    """The chance that such a walk has reached neither end after `steps` steps."""
    chances = [0.0] * (width + 1)
    chances[start] = 1.0
    chances[0] = chances[width] = 0.0
    for _ in range(steps):
        chances = [0.0, *((chances[place - 1] + chances[place + 1]) / 2 for place in range(1, width)), 0.0]
    return sum(chances)


class OutcomeRow(msgspec.Struct, frozen=True):
    """One group: how many records, and for each outcome its count and its share with interval."""

    group: str
    total: int
    counts: dict[str, int]
    shares: dict[str, Interval]


class OutcomeTable(msgspec.Struct, frozen=True):
    """Rows by group, the outcomes met (most frequent first), and how many records lacked a field."""

    rows: tuple[OutcomeRow, ...]
    outcomes: tuple[str, ...]
    skipped: int


def outcome_table(records: Iterable[Mapping[str, Json]], group_by: str | None, field: str, confidence: float = 0.95) -> OutcomeTable:
    """Shares of each value of `field` within each value of `group_by` (None: one group), with Wilson intervals (OCT-156)."""
    groups: dict[str, Counter[str]] = {}
    skipped = 0
    for record in records:
        group = "all" if group_by is None else record.get(group_by)
        value = record.get(field)
        if group is None or value is None:
            skipped += 1
        else:
            groups.setdefault(str(group), Counter())[str(value)] += 1
    overall: Counter[str] = sum(groups.values(), Counter())
    outcomes = tuple(name for name, _ in sorted(overall.items(), key=lambda pair: (-pair[1], pair[0])))
    rows = []
    for group, counts in sorted(groups.items()):
        total = counts.total()
        shares = {name: wilson(counts[name], total, confidence) for name in outcomes}
        rows.append(OutcomeRow(group, total, {name: counts[name] for name in outcomes}, shares))
    return OutcomeTable(tuple(rows), outcomes, skipped)


class NumberTable(msgspec.Struct, frozen=True):
    """Number summaries by group, and how many records lacked a field or held no number."""

    rows: dict[str, NumberSummary]
    skipped: int


def number_table(records: Iterable[Mapping[str, Json]], group_by: str | None, field: str) -> NumberTable:
    """Summaries of the numbers in `field` within each value of `group_by` (None: one group) (OCT-156)."""
    groups: dict[str, list[float]] = {}
    skipped = 0
    for record in records:
        group = "all" if group_by is None else record.get(group_by)
        value = record.get(field)
        if group is None or isinstance(value, bool) or not isinstance(value, int | float):
            skipped += 1
        else:
            groups.setdefault(str(group), []).append(value)
    return NumberTable({group: summarise_numbers(values) for group, values in sorted(groups.items())}, skipped)
