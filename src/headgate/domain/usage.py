"""What a call consumed, in disjoint buckets; totals are derived and never stored (translation cases 47–60)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Literal

import msgspec

from headgate.domain.cost import Cost
from headgate.wire.json import JsonObject


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens by kind. The buckets do not overlap: `input_total` and `output_total` are their sums.

    `source` says whether the provider counted or we estimated. `fees` are per-use charges by name (web searches …). `native` is the
    provider's own object, kept for the receipt. `cost` is set where an answer is to name it, and is nothing that was counted.
    """

    input_uncached: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    input_audio: int = 0
    input_image: int = 0
    output_text: int = 0
    output_reasoning: int = 0
    output_audio: int = 0
    output_image: int = 0
    fees: dict[str, int] = {}
    source: Literal["provider", "estimated"] = "provider"
    native: JsonObject | None = None
    cost: Cost | None = None

    @property
    def input_total(self) -> int:
        """Every token that went in, cached or not."""
        return self.input_uncached + self.cache_read + self.cache_write_5m + self.cache_write_1h + self.input_audio + self.input_image

    @property
    def output_total(self) -> int:
        """Every token that came out, reasoning included."""
        return self.output_text + self.output_reasoning + self.output_audio + self.output_image

    @property
    def total(self) -> int:
        """Input and output together."""
        return self.input_total + self.output_total

    @property
    def cached(self) -> int:
        """Tokens read from a prompt cache."""
        return self.cache_read

    @property
    def reasoning(self) -> int:
        """Tokens spent on thinking."""
        return self.output_reasoning


BUCKETS = (
    "input_uncached",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "input_audio",
    "input_image",
    "output_text",
    "output_reasoning",
    "output_audio",
    "output_image",
)
"""The token buckets, in the order prices and receipts list them."""
INPUTS = 6
"""So many of them, the first ones, went in."""


_counts_of: Callable[[Usage], tuple[int, ...]] = attrgetter(*BUCKETS)


def sum_usage(records: Iterable[Usage]) -> Usage:
    """The sum of any number of records, bucket by bucket; estimated if one of them was."""
    every = tuple(records)
    counts = [sum(column) for column in zip(*map(_counts_of, every), strict=True)]
    fees: Counter[str] = Counter()
    for record in every:
        if record.fees:
            fees.update(record.fees)
    source: Literal["provider", "estimated"] = "estimated" if any(record.source == "estimated" for record in every) else "provider"
    return Usage(**dict(zip(BUCKETS, counts, strict=False)), fees=dict(fees), source=source)


def add_usage(one: Usage, other: Usage) -> Usage:
    """The sum of two records, bucket by bucket; estimated if either was."""
    fees = dict(one.fees)
    for name, count in other.fees.items():
        fees[name] = fees.get(name, 0) + count
    sums = {name: getattr(one, name) + getattr(other, name) for name in BUCKETS}
    source: Literal["provider", "estimated"] = "estimated" if "estimated" in (one.source, other.source) else "provider"
    return Usage(**sums, fees=fees, source=source)
