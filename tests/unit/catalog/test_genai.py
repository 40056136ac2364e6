"""Reading published `genai-prices` data."""

from __future__ import annotations

from decimal import Decimal

import pytest

from headgate.catalog.cards import Fee, Rates, Tier
from headgate.catalog.genai import EARLIEST, Model, find_model, parse_data, records, unpriceable
from headgate.errors import ConfigError
from headgate.wire.json import Json, encode

DAY = "2026-11-21"


def model(prices: Json, *variants: Json, match: Json = None) -> Model:
    entry = {"id": "m", "match": match or {"equals": "m"}, "prices": prices, "price_variants": list(variants)}
    ((source,)) = parse_data(encode([{"id": "openai", "models": [entry]}]))
    return source.models[0]


def batch(prices: Json, since: str | None = None) -> Json:
    return {"when": {"processing": "batch"}, "prices": prices} | ({"constraint": {"start_date": since}} if since else {})


def test_a_plain_price() -> None:
    prices = {"input_mtok": 2.5, "cache_read_mtok": "0.25", "output_mtok": 15, "web_searches_kcount": 10, "output_audio_mtok": None}
    (record,) = records(model(prices, batch({"input_mtok": 1.25, "cache_read_mtok": 0.13, "output_mtok": 7.5})), DAY, "data")
    assert record.rates == Rates(input="2.5", output="15", cache_read="0.25")
    assert (record.since, record.source, record.batch_factor, record.batch) == (DAY, "data", "0.5", Rates(cache_read="0.13"))
    assert record.fees == (Fee("web_search", "10"),)


def test_what_batches_do_not_discount_costs_as_always() -> None:
    (record,) = records(
        model({"input_mtok": 2, "cache_read_mtok": 0.5, "output_mtok": 8}, batch({"input_mtok": 1, "output_mtok": 4})), DAY, "data"
    )
    assert (record.batch_factor, record.batch) == ("0.5", Rates(cache_read="0.5"))


def test_prices_by_prompt_size() -> None:
    prices = {"input_mtok": {"base": 1, "tiers": [{"start": 199999, "price": 2}]}, "cache_read_mtok": 0.1, "output_mtok": 5}
    (record,) = records(model(prices), DAY, "data")
    assert record.rates == Rates(input="1", output="5", cache_read="0.1")
    assert record.tiers == (Tier(above=199999, rates=Rates(input="2", output="5", cache_read="0.1")),)


def test_dated_prices_and_the_batches_of_their_time() -> None:
    prices = [
        {"prices": {"input_mtok": 10, "output_mtok": 40}},
        {"constraint": {"start_date": "2026-06-10"}, "prices": {"input_mtok": 2, "output_mtok": 8}},
        {"constraint": {"start_date": "2027-01-01"}, "prices": {"input_mtok": 4, "output_mtok": 8}},
        {"constraint": {"start_time": "01:00", "end_time": "02:00"}, "prices": {"input_mtok": 0.1, "output_mtok": 0.1}},
    ]
    later = batch({"input_mtok": 2, "output_mtok": 4}, "2027-01-01")
    found = records(model(prices, later, batch({"input_mtok": 1, "output_mtok": 4}, "2026-10-14")), DAY, "data")
    assert [(record.since, record.rates.input, record.batch_factor) for record in found] == [
        (EARLIEST, "10", None),
        ("2026-06-10", "2", "0.5"),
        ("2027-01-01", "4", "0.5"),
    ]


@pytest.mark.parametrize(
    ("prices", "reason"),
    [
        ({}, "no price per input token"),
        ({"audio_hours": 3}, "no price per input token"),
        ({"input_mtok": 1, "output_video_mtok": 17}, "priced by output_video_mtok"),
        ({"input_mtok": 1, "cache_audio_read_mtok": 1}, None),
    ],
)
def test_what_a_price_cannot_say_is_unpriced(prices: dict[str, int], reason: str | None) -> None:
    assert unpriceable({name: Decimal(amount) for name, amount in prices.items()}) == reason
    assert (records(model(prices), DAY, "data") == ()) == (reason is not None)


@pytest.mark.parametrize(
    ("match", "yes", "no"),
    [
        ({"equals": "M-1"}, "m-1", "m-12"),
        ({"starts_with": "m-"}, "m-9", "am-9"),
        ({"ends_with": "-x"}, "m-x", "m-xy"),
        ({"contains": "oo"}, "foot", "fot"),
        ({"regex": r"^m-\d$"}, "m-3", "m-33"),
        ({"or": [{"equals": "a"}, {"equals": "b"}]}, "B", "c"),
        ({"and": [{"starts_with": "a"}, {"ends_with": "z"}]}, "a-z", "a-y"),
    ],
)
def test_names_a_model_answers_to(match: Json, yes: str, no: str) -> None:
    found = model({"input_mtok": 1}, match=match)
    assert found.answers_to(yes)
    assert not found.answers_to(no)


def test_resellers_charge_as_the_home_does() -> None:
    home = {"id": "openai", "models": [{"id": "gpt", "match": {"equals": "gpt"}, "prices": {"input_mtok": 1}}]}
    sources = parse_data(encode([{"id": "azure", "models": [], "fallback_model_providers": ["openai", "nobody"]}, home]))
    found = find_model(sources, "azure_openai", "gpt")
    assert found is not None
    assert found.names() == ("gpt",)
    assert find_model(sources, "azure_openai", "other") is None
    assert find_model(sources, "ollama", "gpt") is None


@pytest.mark.parametrize("data", [b"", b"{}", b'[{"id": 3}]', b'[{"id": "a", "models": [{"id": "x"}]}]'])
def test_what_is_no_such_data_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match="not genai-prices data"):
        parse_data(data)
