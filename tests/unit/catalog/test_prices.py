"""The arithmetic of money, against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.catalog.cards import Fee, Lane, ModelCard, Price, Rates, Tier
from headgate.catalog.load import load_catalog
from headgate.catalog.prices import bound_by_prompt, decimal_text, price, rate_table, rounded, unit_prices, upper_bound
from headgate.domain.capabilities import Capabilities
from headgate.domain.cost import UNPRICED, usd_text
from headgate.domain.usage import BUCKETS, Usage
from headgate.sim.bill import Tokens, charge

DAY = "2026-11-21"
LANES: tuple[Lane, ...] = ("realtime", "batch")
NAMES = {"input_uncached": "input", "output_text": "output"}
STAND_INS = {
    "cache_read": ("cache_read", "input"),
    "cache_write_5m": ("cache_write_5m", "input"),
    "cache_write_1h": ("cache_write_1h", "cache_write_5m", "input"),
    "input_audio": ("input_audio", "input"),
    "input_image": ("input_image", "input"),
    "output_reasoning": ("output_reasoning", "output"),
}

decimals = st.builds(
    lambda whole, places, digits: f"{whole}.{places:0{digits}d}" if digits else str(whole),
    st.integers(0, 500),
    st.integers(0, 9),
    st.integers(0, 4),
)
maybe = st.none() | decimals
rates = st.builds(
    Rates,
    input=decimals,
    output=decimals,
    cache_read=maybe,
    cache_write_5m=maybe,
    cache_write_1h=maybe,
    input_audio=maybe,
    input_image=maybe,
    output_reasoning=maybe,
    output_audio=maybe,
    output_image=maybe,
)
tiers = st.lists(st.integers(1, 400_000), max_size=2, unique=True).flatmap(
    lambda marks: st.tuples(*(st.builds(Tier, above=st.just(mark), rates=rates) for mark in sorted(marks)))
)
prices = st.builds(
    Price,
    since=st.just("2026-01-01"),
    source=st.just("a test"),
    rates=rates,
    tiers=tiers,
    batch_factor=st.sampled_from([None, "0.5", "0.75", "1/3"]),
    rule=st.just("p/m@2026-01-01"),
    digest=st.just("d"),
)
tokens = st.integers(0, 300_000)
usages = st.builds(Usage, **dict.fromkeys(BUCKETS, tokens))


def reference(record: Price, usage: Usage, lane: Lane) -> int | None:
    """Nano-dollars by definition: every bucket's own fraction, summed, rounded once by Python's half-even rounding."""
    chosen = record.rates
    for tier in record.tiers:
        if usage.input_total > tier.above:
            chosen = tier.rates
    if lane == "batch" and record.batch_factor is None:
        return None
    factor = Fraction(record.batch_factor or "1") if lane == "batch" else Fraction(1)
    total = Fraction(0)
    for bucket in BUCKETS:
        count = getattr(usage, bucket)
        names = STAND_INS.get(bucket, (NAMES.get(bucket, bucket),))
        text = next((found for name in names if (found := getattr(chosen, name)) is not None), None)
        if count and text is None:
            return None
        total += count * Fraction(text or "0") / 1_000_000 * factor
    return round(total * 1_000_000_000)


@given(prices, usages, st.sampled_from(LANES))
def test_price_is_the_exact_sum_rounded_once(record: Price, usage: Usage, lane: Lane) -> None:
    assert price(record, usage, lane).nanos == reference(record, usage, lane)


@given(st.one_of(st.none(), prices), st.sampled_from(LANES), st.lists(tokens, max_size=5), st.one_of(st.none(), st.integers(0, 5_000)))
def test_the_bound_by_prompt_is_the_upper_bound_of_each(record: Price | None, lane: Lane, prompts: list[int], most: int | None) -> None:
    card = ModelCard(id="m", display_name="m", provider="p", prices=() if record is None else (record,))
    for known in (card, None):
        bound = bound_by_prompt(known, DAY, most, lane)
        assert [bound(prompt) for prompt in prompts] == [upper_bound(known, DAY, prompt, most, lane).nanos for prompt in prompts]


@given(prices, usages, st.sampled_from(LANES), st.integers(0, 5_000), st.integers(1, 3))
def test_nothing_costs_more_than_its_upper_bound(record: Price, usage: Usage, lane: Lane, slack: int, choices: int) -> None:
    card = ModelCard(id="m", display_name="m", provider="p", prices=(record,))
    bound = upper_bound(card, DAY, usage.input_total + slack, -(-usage.output_total // choices) + slack, lane, choices)
    cost = price(record, usage, lane)
    if cost.nanos is not None:
        assert bound.nanos is not None
        assert cost.nanos <= bound.nanos
    assert (bound.nanos is None) == (lane == "batch" and record.batch_factor is None)


@given(st.integers(0, 10**30), st.integers(1, 10**12))
def test_rounding_is_half_even(numerator: int, denominator: int) -> None:
    assert rounded(numerator, denominator) == round(Fraction(numerator, denominator))


@given(decimals)
def test_decimal_text_keeps_the_value(text: str) -> None:
    assert Fraction(decimal_text(Fraction(text))) == Fraction(text)
    assert decimal_text(Fraction(1, 3)) == "1/3"


@given(
    st.sampled_from(["sim-small", "sim-large", "sim-flash"]),
    st.builds(Tokens, tokens, tokens, tokens, tokens, tokens, tokens),
    st.sampled_from(LANES),
)
def test_our_price_of_a_simulated_call_is_what_the_simulator_bills(model: str, used: Tokens, lane: Lane) -> None:
    usage = Usage(
        input_uncached=used.input,
        cache_read=used.cache_read,
        cache_write_5m=used.cache_write_5m,
        cache_write_1h=used.cache_write_1h,
        output_text=used.output,
        output_reasoning=used.reasoning,
    )
    for provider in ("sim-openai", "sim-anthropic", "sim-gemini"):
        assert price(load_catalog().price(provider, model, DAY), usage, lane).nanos == charge(model, used, lane)


SIMPLE = Price(
    since="2026-01-01",
    source="a test",
    rates=Rates(input="2", output="8", cache_read="0.5"),
    tiers=(Tier(above=1000, rates=Rates(input="4", output="12"), batch=Rates(cache_read="3")),),
    batch_factor="0.5",
    batch=Rates(cache_read="1"),
    fees=(Fee("web_search", "10"),),
    rule="p/m@2026-01-01",
    digest="abcd",
)


@pytest.mark.parametrize(
    ("usage", "lane", "dollars", "rule"),
    [
        (Usage(input_uncached=1000), "realtime", "0.002", "p/m@2026-01-01"),
        (Usage(input_uncached=1001), "realtime", "0.004004", "p/m@2026-01-01:>1000"),
        (Usage(input_uncached=1, cache_read=1000), "realtime", "0.004004", "p/m@2026-01-01:>1000"),
        (Usage(cache_read=1000), "batch", "0.001", "p/m@2026-01-01:batch"),
        (Usage(cache_read=2000), "batch", "0.006", "p/m@2026-01-01:batch:>1000"),
        (Usage(output_reasoning=500, output_text=500), "batch", "0.004", "p/m@2026-01-01:batch"),
        (Usage(fees={"web_search": 3}), "batch", "0.03", "p/m@2026-01-01:batch"),
        (Usage(), "realtime", "0.00", "p/m@2026-01-01"),
    ],
)
def test_tiers_batches_and_fees(usage: Usage, lane: Lane, dollars: str, rule: str) -> None:
    cost = price(SIMPLE, usage, lane)
    assert cost.nanos is not None
    assert (usd_text(cost.nanos), cost.rule, cost.digest) == (dollars, rule, "abcd")


@pytest.mark.parametrize("usage", [Usage(output_audio=1), Usage(output_image=1), Usage(fees={"code_execution": 1})])
def test_what_has_no_price_makes_the_call_unpriced(usage: Usage) -> None:
    assert price(SIMPLE, usage) == UNPRICED
    assert price(None, Usage(input_uncached=1)) == UNPRICED
    assert price(None, Usage()) == UNPRICED


def test_a_batch_without_a_factor_is_unpriced() -> None:
    record = Price(since="2026-01-01", source="a test", rates=Rates(input="1", output="1"))
    assert price(record, Usage(input_uncached=1), "batch") == UNPRICED
    assert rate_table(record, 0, "batch") is None
    assert unit_prices(record, Usage(input_uncached=1), "batch") == {}


def test_unit_prices_name_what_was_used() -> None:
    usage = Usage(input_uncached=900, cache_read=200, output_reasoning=1)
    assert unit_prices(SIMPLE, usage) == {"input_uncached": "4", "cache_read": "4", "output_reasoning": "12"}
    assert unit_prices(SIMPLE, Usage(cache_read=2), "batch") == {"cache_read": "1"}


def test_the_bound_needs_an_output_limit() -> None:
    card = ModelCard(id="m", display_name="m", prices=(SIMPLE,))
    limited = ModelCard(id="m", display_name="m", prices=(SIMPLE,), capabilities=Capabilities(max_output=100))
    assert upper_bound(card, DAY, 10) == UNPRICED
    assert upper_bound(None, DAY, 10, 10) == UNPRICED
    assert upper_bound(limited, DAY, 10).nanos == upper_bound(card, DAY, 10, 100).nanos
    assert upper_bound(card, DAY, 1001, 0).rule.endswith(":>1000")
