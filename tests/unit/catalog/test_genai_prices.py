"""Our arithmetic against that of `genai_prices`: every card, its own look-up, its own data, its own usage records."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from genai_prices import types as published
from genai_prices.data import providers as bundled
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.catalog.cards import Lane, ModelCard
from headgate.catalog.genai import PROVIDERS
from headgate.catalog.load import load_catalog
from headgate.catalog.prices import price, rounded
from headgate.domain.usage import Usage

DAYS = ("2026-11-21", "2027-02-01")
LANES: tuple[Lane, ...] = ("realtime", "batch")
SOURCES = {provider.id: provider for provider in bundled}

CACHED = "the provider's batch table has no row for cached tokens, so they cost as others do; the data charges them at list price"
LONG = "the provider's page has no surcharge for long prompts any more; the data still has it"
DIFFERENT: dict[tuple[str, Lane], str] = {
    ("anthropic/claude-sonnet-4-5", "realtime"): LONG,
    ("anthropic/claude-sonnet-4-5", "batch"): LONG,
    ("openai/gpt-4.1", "batch"): CACHED,
    ("openai/gpt-4.1-mini", "batch"): CACHED,
    ("openai/gpt-4.1-nano", "batch"): CACHED,
    ("openai/o3", "batch"): CACHED,
    ("openai/o4-mini", "batch"): CACHED,
}
"""Cards that were taken from the provider's own page, which decides (CON-16), where the data says otherwise."""


def theirs(card: ModelCard) -> published.ModelInfo | None:
    """The model of the data that a request for the card's id is charged as."""
    return SOURCES[PROVIDERS[card.provider]].find_model(card.id, all_providers=bundled)


def comparable(card: ModelCard, lane: Lane, day: str) -> bool:
    """Whether both have a price: the data has no batch prices of retired models, nor of some we took from elsewhere."""
    record = card.price_on(day)
    if record is None or (card.name, lane) in DIFFERENT:
        return False
    if lane == "realtime":
        return True
    known = any(variant.when == {"processing": "batch"} for variant in (getattr(theirs(card), "price_variants", None) or ()))
    return known and record.batch_factor is not None and "batches:" not in record.source


CARDS = [card for card in load_catalog().cards if card.provider in PROVIDERS and card.prices]
CASES = [(card, lane, day) for card in CARDS for lane in LANES for day in DAYS if comparable(card, lane, day)]

counts = st.integers(0, 400_000) | st.sampled_from([0, 1, 99_999, 199_999, 200_000, 200_001, 272_000, 272_001])


def their_usage(usage: Usage) -> published.Usage:
    """The same tokens in units that contain one another. Nobody reports of what kind cached tokens are: they count as cached text."""
    return published.Usage(
        input_tokens=usage.input_total,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write_5m + usage.cache_write_1h,
        cache_write_5m_tokens=usage.cache_write_5m,
        cache_write_1h_tokens=usage.cache_write_1h,
        input_audio_tokens=usage.input_audio,
        input_image_tokens=usage.input_image,
        output_tokens=usage.output_total,
        output_audio_tokens=usage.output_audio,
        output_image_tokens=usage.output_image,
        cache_audio_read_tokens=0,
        cache_image_read_tokens=0,
        web_searches=usage.fees.get("web_search", 0),
    )


def their_nanos(card: ModelCard, usage: Usage, lane: Lane, day: str) -> int:
    """Their total, unrounded, to nano-dollars half to even."""
    model = theirs(card)
    assert model is not None
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    with localcontext(prec=60):
        prices = model.get_prices(at, {"processing": "batch"} if lane == "batch" else None)
        total: Decimal = prices.calc_price(their_usage(usage))["total_price"]
        nanos = Fraction(total) * 10**9
    return rounded(nanos.numerator, nanos.denominator)


@settings(max_examples=400)
@given(st.sampled_from(CASES), st.data())
def test_a_price_is_the_one_genai_prices_computes(case: tuple[ModelCard, Lane, str], data: st.DataObject) -> None:
    card, lane, day = case
    record = card.price_on(day)
    assert record is not None
    rates = record.rates
    writes = rates.output is not None
    usage = Usage(
        input_uncached=data.draw(counts),
        cache_read=data.draw(counts),
        cache_write_5m=data.draw(counts),
        cache_write_1h=data.draw(counts),
        input_audio=data.draw(counts),
        input_image=data.draw(counts),
        output_text=data.draw(counts) if writes else 0,
        output_reasoning=data.draw(counts) if writes else 0,
        output_audio=data.draw(counts) if rates.output_audio else 0,
        output_image=data.draw(counts) if rates.output_image else 0,
        fees={fee.name: data.draw(st.integers(0, 50)) for fee in record.fees if fee.name == "web_search" and shares_searches(card)},
    )
    assert price(record, usage, lane).nanos == their_nanos(card, usage, lane, day)


def shares_searches(card: ModelCard) -> bool:
    """Whether the data has the price of a search too (it leaves it out of some retired models)."""
    model = theirs(card)
    prices = getattr(model, "prices", [])
    listed = [prices] if isinstance(prices, published.ModelPrice) else [entry.prices for entry in prices]
    return all(entry.web_searches_kcount is not None for entry in listed)


def test_every_card_of_the_data_is_compared() -> None:
    compared = {card.name for card, _, _ in CASES}
    assert {card.name for card in CARDS} - compared == {"anthropic/claude-sonnet-4-5"}
    assert len(compared) >= 540
    assert len({card.name for card, lane, _ in CASES if lane == "batch"}) >= 100


@pytest.mark.parametrize(("name", "lane"), DIFFERENT)
def test_exceptions_are_still_needed(name: str, lane: Lane) -> None:
    card = load_catalog().find(*name.split("/"))
    assert card is not None
    probes = [Usage(**{bucket: 300_000}) for bucket in ("input_uncached", "cache_read", "output_text")]
    ours = [price(card.price_on(DAYS[0]), usage, lane).nanos for usage in probes]
    assert ours != [their_nanos(card, usage, lane, DAYS[0]) for usage in probes]
