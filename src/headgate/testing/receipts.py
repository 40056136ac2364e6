"""Receipts made by the rules the product makes them by, for tests of what reads them."""

from __future__ import annotations

import msgspec

from headgate.catalog.cards import Lane, Price, Rates, sealed
from headgate.catalog.prices import price, unit_prices
from headgate.domain.usage import Usage
from headgate.ledger import Attempt, Receipt

START = 1_796_040_000.0
"""2026-11-30T12:00:00Z."""
USAGE = Usage(input_uncached=1200, cache_read=800, output_text=300)
PRICE = sealed(
    "openai/gpt-5",
    Price(since="2026-01-01", source="a test", rates=Rates(input="1.25", output="10", cache_read="0.125"), batch_factor="0.5"),
)


def priced_receipt(number: int, usage: Usage = USAGE, record: Price | None = PRICE, lane: Lane = "realtime", **changes: object) -> Receipt:
    """The receipt number so-and-so, a minute after the one before, at the prices of `record` (None: unpriced)."""
    cost = price(record, usage, lane)
    at = START + 60 * number
    receipt = Receipt(
        id=f"01{number:024d}",
        at=at,
        face="gateway",
        provider="openai",
        model="gpt-5",
        lane=lane,
        usage=usage,
        cost_nanos=cost.nanos,
        price_rule=cost.rule,
        price_digest=cost.digest,
        unit_prices=unit_prices(record, usage, lane),
        attempts=(Attempt(provider="openai", model="gpt-5", status=200, started=at, duration=1.5, cost_nanos=cost.nanos),),
        duration=1.5,
        finish="stop",
    )
    return msgspec.structs.replace(receipt, **changes)
