"""Receipts worked out anew, to the last nano-dollar, from what they say themselves: usage times unit prices (IMP-10). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Literal, TypeAlias

import msgspec

from headgate.catalog.cards import Price
from headgate.catalog.prices import FEE, MILLION, rounded, unit_prices
from headgate.domain.cost import NANO
from headgate.domain.usage import BUCKETS, Usage
from headgate.ledger.receipt import Receipt

Verdict: TypeAlias = Literal["exact", "bound", "unpriced", "unexplained", "differs", "other_prices"]
LOST = "lost"
"""The `error` of a receipt whose answer nobody saw: it is booked at its bound (faults E9)."""
SOUND: frozenset[Verdict] = frozenset({"exact", "bound", "unpriced"})


class Recomputed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one receipt. `stored` and `computed` are nano-dollars, None where there is no price.

    exact         the stored cost is the computed one
    bound         the call's answer was lost: it is booked at the most it can have cost
    unpriced      no cost is stored, and none can be computed
    unexplained   a cost is stored, but the receipt lacks the price of something that was used
    differs       the stored cost is another one
    other_prices  the unit prices are not those of the price record the receipt names

    `known` says whether the price record of its digest is in the catalog here.
    """

    id: str
    verdict: Verdict
    stored: int | None
    computed: int | None
    digest: str
    known: bool

    @property
    def sound(self) -> bool:
        """Whether the receipt holds."""
        return self.verdict in SOUND


def recompute(receipt: Receipt, records: Mapping[str, Price]) -> Recomputed:
    """Work `receipt` out anew. `records` are the price records known here, by digest.

    The usage of a receipt is that of the attempt that ended it; what other attempts cost is added as they say it.
    """
    record = records.get(receipt.price_digest)
    own = usage_nanos(receipt.usage, receipt.unit_prices)
    others = sum(attempt.cost_nanos or 0 for attempt in receipt.attempts[:-1])
    computed = None if own is None else own + others
    return Recomputed(
        id=receipt.id,
        verdict=_verdict(receipt, computed, record),
        stored=receipt.cost_nanos,
        computed=computed,
        digest=receipt.price_digest,
        known=not receipt.price_digest or record is not None,
    )


def _verdict(receipt: Receipt, computed: int | None, record: Price | None) -> Verdict:
    if record is not None and receipt.unit_prices != unit_prices(record, receipt.usage, receipt.lane):
        return "other_prices"
    stored = receipt.cost_nanos
    if stored is None:
        return "unpriced" if computed is None or not receipt.unit_prices else "differs"
    if stored == computed:
        return "exact"
    if receipt.error == LOST and stored == receipt.bound_nanos:
        return "bound"
    return "unexplained" if computed is None else "differs"


def usage_nanos(usage: Usage, prices: Mapping[str, str]) -> int | None:
    """The nano-dollars of `usage` at the unit prices of a receipt, rounded once; None when something used has no price there."""
    total = Fraction(0)
    for name, count, unit in _counted(usage):
        price = prices.get(name)
        if price is None:
            return None
        total += count * Fraction(price) * NANO / unit
    return rounded(total.numerator, total.denominator)


def _counted(usage: Usage) -> list[tuple[str, int, int]]:
    """Everything used: its name among the unit prices, how many, and of how many the price is."""
    tokens = [(bucket, getattr(usage, bucket), MILLION) for bucket in BUCKETS if getattr(usage, bucket)]
    return tokens + [(f"{FEE}{name}", count, 1000) for name, count in usage.fees.items() if count]
