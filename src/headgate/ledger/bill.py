"""A receipt as the lines it is made of: what was used, at which price, for how much, exactly. Pure."""

from __future__ import annotations

from fractions import Fraction

import msgspec

from headgate.catalog.cards import Price
from headgate.catalog.prices import FEE, MILLION, decimal_text, rate_table
from headgate.domain.cost import usd_text
from headgate.domain.usage import BUCKETS
from headgate.ledger.receipt import Attempt, Receipt
from headgate.wire.json import JsonObject


class BillLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line. `unit` says what `price` (dollars) is for: a million tokens, a thousand uses, or an attempt. None: unknown."""

    name: str
    count: int
    price: str | None
    unit: str
    dollars: Fraction | None

    @property
    def text(self) -> str:
        """The amount, exact and unrounded."""
        return "unpriced" if self.dollars is None else decimal_text(self.dollars)


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """All lines. `exact` is their sum in dollars before rounding, `cache_saved` what reading from the provider's cache saved."""

    lines: tuple[BillLine, ...]
    exact: Fraction | None
    charged_nanos: int | None
    cache_saved: Fraction | None


def bill_of(receipt: Receipt, record: Price | None = None) -> Bill:
    """The bill of `receipt`. `record` is the price record it names, where that is known here."""
    tokens = tuple(_tokens(receipt, bucket) for bucket in BUCKETS if getattr(receipt.usage, bucket))
    fees = tuple(_fee(receipt, name, count) for name, count in receipt.usage.fees.items() if count)
    others = tuple(_attempt(attempt) for attempt in receipt.attempts[:-1] if attempt.cost_nanos)
    lines = (*tokens, *fees, *others)
    return Bill(lines=lines, exact=_sum(lines), charged_nanos=receipt.cost_nanos, cache_saved=cache_saving(receipt, record))


def cache_saving(receipt: Receipt, record: Price | None) -> Fraction | None:
    """Dollars that the tokens read from cache would have cost more as uncached input; None when a price is unknown."""
    if not receipt.usage.cache_read:
        return Fraction(0)
    table = rate_table(record, receipt.usage.input_total, receipt.lane)
    full = receipt.unit_prices.get("input_uncached") or (table.dollars.get("input_uncached") if table is not None else None)
    paid = receipt.unit_prices.get("cache_read")
    if full is None or paid is None:
        return None
    return (Fraction(full) - Fraction(paid)) * receipt.usage.cache_read / MILLION


def bill_json(bill: Bill) -> JsonObject:
    """The bill as JSON; every amount a decimal string of dollars."""
    return {
        "lines": [
            {
                "name": line.name,
                "count": line.count,
                "price": line.price,
                "unit": line.unit,
                "usd": None if line.dollars is None else line.text,
            }
            for line in bill.lines
        ],
        "exact_usd": None if bill.exact is None else decimal_text(bill.exact),
        "charged_usd": None if bill.charged_nanos is None else usd_text(bill.charged_nanos),
        "cache_saved_usd": None if bill.cache_saved is None else decimal_text(bill.cache_saved),
    }


def _sum(lines: tuple[BillLine, ...]) -> Fraction | None:
    total = Fraction(0)
    for line in lines:
        if line.dollars is None:
            return None
        total += line.dollars
    return total


def _tokens(receipt: Receipt, bucket: str) -> BillLine:
    count: int = getattr(receipt.usage, bucket)
    price = receipt.unit_prices.get(bucket)
    dollars = None if price is None else Fraction(price) * count / MILLION
    return BillLine(name=bucket, count=count, price=price, unit="M tokens", dollars=dollars)


def _fee(receipt: Receipt, name: str, count: int) -> BillLine:
    price = receipt.unit_prices.get(f"{FEE}{name}")
    dollars = None if price is None else Fraction(price) * count / 1000
    return BillLine(name=name, count=count, price=price, unit="1,000 uses", dollars=dollars)


def _attempt(attempt: Attempt) -> BillLine:
    """What an attempt before the last one cost."""
    price = usd_text(attempt.cost_nanos or 0)
    return BillLine(name=f"{attempt.provider}/{attempt.model}", count=1, price=price, unit="attempt", dollars=Fraction(price))
