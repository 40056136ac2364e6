"""Whether observed shares can be believed to come from a theory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from headgate.batch.statistics import binomial_two_sided
from headgate.wire.json import JsonObject

ALPHA = 1e-6
"""How rarely a true theory is doubted, for each share that is looked at."""


def doubts(records: Iterable[JsonObject], group_by: str, field: str, theory: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The shares of `field` within each group of `theory` that a two-sided binomial test at `ALPHA` does not believe, told in words.

    Values that the theory does not know have a share of 0.
    """
    counts: dict[str, Counter[str]] = {}
    for record in records:
        counts.setdefault(str(record[group_by]), Counter())[str(record[field])] += 1
    found = []
    for group, shares in theory.items():
        seen = counts.get(group, Counter())
        for value in {**shares, **seen}:
            count, total, share = seen[value], seen.total(), shares.get(value, 0.0)
            if binomial_two_sided(count, total, share) < ALPHA:
                found.append(f"{group}: {value} {count} of {total}, not {share:.1%}")
    return found
