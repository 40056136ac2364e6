"""A receipt can be worked out anew from what it says, to the last nano-dollar."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.catalog.cards import Fee, Lane, Price, Rates, Tier, sealed
from headgate.domain.usage import BUCKETS, Usage
from headgate.ledger import Attempt, Receipt
from headgate.ledger.recompute import recompute, usage_nanos
from headgate.testing.receipts import PRICE, USAGE, priced_receipt

KNOWN = {PRICE.digest: PRICE}

decimals = st.decimals(0, 500, allow_nan=False, places=4).map(str)
maybe = st.none() | decimals
rates = st.builds(
    Rates,
    input=decimals,
    output=decimals,
    cache_read=maybe,
    cache_write_5m=maybe,
    cache_write_1h=maybe,
    output_audio=maybe,
    input_image=maybe,
)
tiers = st.lists(st.integers(1, 300_000), max_size=2, unique=True).flatmap(
    lambda marks: st.tuples(*(st.builds(Tier, above=st.just(mark), rates=rates) for mark in sorted(marks)))
)
records = st.builds(
    Price,
    since=st.just("2026-01-01"),
    source=st.just("a test"),
    rates=rates,
    tiers=tiers,
    batch_factor=st.sampled_from([None, "0.5", "1/3"]),
    fees=st.sampled_from([(), (Fee("web_search", "10"),), (Fee("web_search", "3.3333"), Fee("container", "1/7"))]),
).map(lambda price: sealed("openai/gpt-5", price))
usages = st.builds(
    Usage,
    **{bucket: st.integers(0, 400_000) for bucket in BUCKETS},
    fees=st.dictionaries(st.sampled_from(["web_search", "container"]), st.integers(0, 50), max_size=2),
)


@given(record=records, usage=usages, lane=st.sampled_from(["realtime", "batch"]))
def test_whatever_was_used_at_whatever_price(record: Price, usage: Usage, lane: Lane) -> None:
    receipt = priced_receipt(1, usage, record, lane)
    found = recompute(receipt, {record.digest: record})
    assert found.verdict == ("unpriced" if receipt.cost_nanos is None else "exact")
    assert found.sound and found.known
    without = recompute(receipt, {})
    assert without.verdict == found.verdict
    assert without.known == (receipt.cost_nanos is None)


@given(record=records, usage=usages, off=st.integers(-(10**6), 10**6).filter(bool))
def test_one_nano_dollar_more_or_less_is_seen(record: Price, usage: Usage, off: int) -> None:
    receipt = priced_receipt(1, usage, record)
    if receipt.cost_nanos is not None:
        assert recompute(msgspec.structs.replace(receipt, cost_nanos=receipt.cost_nanos + off), {}).verdict == "differs"


LOST = priced_receipt(1, Usage(source="estimated"), None, status="cancelled", error="lost", bound_nanos=77, cost_nanos=77, attempts=())
CASES: dict[str, tuple[Receipt, str]] = {
    "refused": (priced_receipt(1, Usage(), None, cost_nanos=0, status="error", error="rate_limit"), "exact"),
    "unknown model": (priced_receipt(1, USAGE, None), "unpriced"),
    "price taken away": (priced_receipt(1, unit_prices={"output_text": "10"}), "other_prices"),
    "price taken away, record unknown": (priced_receipt(1, unit_prices={"output_text": "10"}, price_digest="ffff"), "unexplained"),
    "price changed with the cost": (
        priced_receipt(1, Usage(output_text=1_000_000), unit_prices={"output_text": "1"}, cost_nanos=10**9),
        "other_prices",
    ),
    "cost taken away": (priced_receipt(1, cost_nanos=None), "differs"),
    "lost, at its bound": (LOST, "bound"),
    "lost, at something else": (msgspec.structs.replace(LOST, cost_nanos=78), "differs"),
}


@pytest.mark.parametrize("name", CASES)
def test_verdicts(name: str) -> None:
    receipt, verdict = CASES[name]
    assert recompute(receipt, KNOWN).verdict == verdict


def test_what_earlier_attempts_cost_is_added() -> None:
    alone = priced_receipt(1)
    assert alone.cost_nanos is not None
    earlier = Attempt(provider="anthropic", model="claude", status=200, kind="timeout", cost_nanos=5)
    receipt = msgspec.structs.replace(alone, attempts=(earlier, *alone.attempts), cost_nanos=alone.cost_nanos + 5)
    assert recompute(receipt, KNOWN).verdict == "exact"
    assert recompute(msgspec.structs.replace(receipt, cost_nanos=alone.cost_nanos), KNOWN).verdict == "differs"


def test_a_price_that_is_no_finite_decimal() -> None:
    assert usage_nanos(Usage(output_text=3), {"output_text": "1/3"}) == 1000
