"""The shipped data: its schema, its dates, and the figures the requirements name."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest
import yaml

from headgate.catalog.cards import ModelCard, day_of
from headgate.catalog.load import COMPILED, load_catalog
from headgate.catalog.prices import price
from headgate.catalog.resolve import resolve
from headgate.catalog.source import compile_catalog, parse_folder
from headgate.domain.cost import UNPRICED
from headgate.domain.usage import Usage

DATA = COMPILED.parent / "data"
FILES = sorted(DATA.glob("*.yaml"))
CATALOG = load_catalog()
CARDS = CATALOG.cards
REAL = [card for card in CARDS if not card.provider.startswith("sim-")]


def name_of(card: ModelCard) -> str:
    return card.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_follows_the_schema(path: Path) -> None:
    schema = msgspec.json.decode((DATA / "schema.json").read_bytes())
    document = yaml.safe_load(path.read_text())
    errors = [f"{list(error.instance_path)}: {error.message}" for error in jsonschema_rs.validator_for(schema).iter_errors(document)]
    assert errors == []
    assert document["provider"] == path.stem


def test_the_schema_refuses_what_is_wrong() -> None:
    validator = jsonschema_rs.validator_for(msgspec.json.decode((DATA / "schema.json").read_bytes()))
    good = yaml.safe_load(FILES[0].read_text())
    for wrong in (
        {"since": "yesterday"},
        {"source": "https://example.com"},
        {"rates": {"input": "1"}},
        {"rates": {"input": 1, "output": 2}},
    ):
        bad = msgspec.json.decode(msgspec.json.encode(good))
        bad["models"][0]["prices"][0].update(wrong)
        assert not validator.is_valid(bad)


def test_the_compiled_catalog_is_up_to_date() -> None:
    assert compile_catalog(parse_folder(DATA)) == COMPILED.read_bytes(), "run: python tools/compile_catalog.py"


KEPT_BY_HAND = {"openai", "anthropic", "gemini"}


@pytest.mark.parametrize("provider", sorted({card.provider for card in REAL}))
def test_real_cards_are_dated_and_say_what_they_can(provider: str) -> None:
    for card in (card for card in REAL if card.provider == provider):
        for record in card.prices:
            assert re.search(r"\b\d{4}-\d{2}-\d{2}$", record.source), card.name
            assert record.rule == f"{card.name}@{record.since}"
            assert len(record.digest) == 16
        able = card.capabilities
        if card.status != "retired":
            assert not able.batch or any(record.batch_factor for record in card.prices), card.name
            assert able.batch or not any(record.batch_factor for record in card.prices), card.name
        else:
            assert card.successor or not CATALOG.is_home(card) or card.kind == "video", card.name


@pytest.mark.parametrize("provider", sorted(KEPT_BY_HAND))
def test_cards_kept_by_hand_are_complete(provider: str) -> None:
    kept = [card for card in REAL if card.provider == provider and card.prices and "genai-prices" not in card.prices[0].source]
    assert len(kept) >= 17
    for card in kept:
        assert card.capabilities.max_output, card.name
        assert card.capabilities.context, card.name


def test_what_is_offered_is_known() -> None:
    counts = {name: len(entry.models) for name, entry in CATALOG.providers.items()}
    least = {"openai": 125, "anthropic": 29, "gemini": 70, "xai": 25, "groq": 35, "together": 145, "bedrock": 195, "azure_openai": 90}
    assert {name: counts[name] >= count for name, count in least.items()} == dict.fromkeys(least, True)
    assert counts["ollama"] >= 6


def test_local_models_cost_nothing_and_cloud_models_of_the_same_server_are_unpriced() -> None:
    for name in ("llama3.2:latest", "llama3.2:3b", "mistral:latest", "qwen2.5:7b", "codellama:7b", "phi4:14b"):
        target = resolve(name, "ollama", CATALOG, {"ollama": None})
        assert target.card is not None
        assert price(target.card.price_on("2026-11-21"), Usage(input_uncached=10**6, output_text=10**6)).nanos == 0
    assert resolve("gpt-oss:120b-cloud", "ollama", CATALOG, {"ollama": None}).card is None


@pytest.mark.parametrize(
    ("name", "context", "rates"),
    [
        ("openai/gpt-4o", 128000, ("2.5", "10")),
        ("openai/gpt-4o-mini", 128000, ("0.15", "0.6")),
        ("openai/gpt-4-turbo", 128000, ("10", "30")),
        ("openai/gpt-3.5-turbo", 16385, ("0.5", "1.5")),
        ("openai/o3-mini", 200000, ("1.1", "4.4")),
        ("openai/gpt-5-codex", 400000, ("1.25", "10")),
        ("anthropic/claude-3-5-sonnet-20241022", 200000, ("3", "15")),
        ("anthropic/claude-3-opus-20240229", 200000, ("15", "75")),
        ("anthropic/claude-3-haiku-20240307", 200000, ("0.25", "1.25")),
        ("anthropic/claude-3-5-haiku", 200000, ("0.8", "4")),
        ("groq/llama-3.3-70b", 131072, ("0.59", "0.79")),
        ("groq/llama-3.1-8b-instant", 131072, ("0.05", "0.08")),
        ("groq/mixtral", None, ("0.24", "0.24")),
        ("bedrock/amazon.nova-micro-v1:0", 128000, ("0.035", "0.14")),
        ("bedrock/us.amazon.nova-lite-v1:0", 300000, ("0.06", "0.24")),
        ("bedrock/amazon.nova-pro-v1:0", 300000, ("0.8", "3.2")),
        ("bedrock/anthropic.claude-3-sonnet-20240229-v1:0", 200000, ("3", "15")),
        ("azure_openai/gpt-5-mini", 400000, ("0.25", "2")),
        ("vertex/gemini-2.5-flash", 1048576, ("0.3", "2.5")),
        ("xai/grok-4.3", 1000000, ("1.25", "2.5")),
    ],
)
def test_models_and_prices_of_the_requirements(name: str, context: int | None, rates: tuple[str, str]) -> None:
    provider, _, model = name.partition("/")
    card = CATALOG.find(provider, model)
    assert card is not None
    record = card.price_on("2026-11-21")
    assert record is not None
    assert (card.capabilities.context, record.rates.input, record.rates.output) == (context, *rates)


def test_prices_nobody_published_are_unpriced() -> None:
    for model in ("grok-beta", "grok-1"):
        card = CATALOG.find("xai", model)
        assert card is not None
        assert (card.prices, card.status, card.successor) == ((), "retired", "grok-4.3")
        assert price(card.price_on("2026-11-21"), Usage(input_uncached=1)) == UNPRICED


def test_routing_finds_tiers_tags_and_ranks() -> None:
    cards = {name: card for name in ROUTED for card in [CATALOG.find(*name.split("/"))] if card is not None}
    assert {name: (card.tier, card.best_for, card.tags[:1]) for name, card in cards.items()} == ROUTED
    ranks = [CATALOG.find(*name) for name in (("openai", "gpt-4o"), ("anthropic", "claude-3-opus"), ("ollama", "llama3.1:70b"))]
    qualities = [card.quality or 0 for card in ranks if card is not None]
    assert qualities == sorted(qualities, reverse=True)
    assert len(set(qualities)) == 3
    traits = {name: CATALOG.providers[name].traits for name in ("ollama", "groq")}
    assert traits == {"ollama": ("local", "free", "medium_speed", "private"), "groq": ("cheap", "ultra_fast")}


ROUTED = {
    "openai/gpt-5-codex": ("high", (), ("planning",)),
    "openai/gpt-4o": ("high", ("complex reasoning",), ()),
    "openai/gpt-4-turbo": ("high", ("legacy",), ("planning",)),
    "openai/gpt-3.5-turbo": ("low", ("simple tasks",), ("chat",)),
    "anthropic/claude-sonnet-4-5-20250929": ("high", (), ("planning",)),
    "anthropic/claude-haiku-4-5": ("low", (), ("classification",)),
    "gemini/gemini-2.5-pro": ("high", (), ("planning",)),
    "gemini/gemini-2.5-flash": ("medium", (), ("fast_tasks",)),
    "gemini/gemini-2.5-flash-lite": ("low", (), ("fast_tasks",)),
    "ollama/llama3.2:latest": ("low", ("general", "fast"), ()),
    "ollama/codellama:7b": ("low", ("code",), ()),
}


def test_surfaces_kinds_and_dimensions() -> None:
    codex, embedding = CATALOG.find("openai", "gpt-5-codex"), CATALOG.find("openai", "text-embedding-3-large")
    assert codex is not None
    assert codex.surface == "openai_responses"
    assert embedding is not None
    assert (embedding.kind, embedding.embedding_dimensions, embedding.prices[0].rates.output) == ("embedding", 3072, None)


@pytest.mark.parametrize("card", [card for card in CARDS if card.successor], ids=name_of)
def test_successors_exist_and_outlive_what_they_replace(card: ModelCard) -> None:
    successor = CATALOG.find(card.provider, card.successor or "")
    assert successor is not None
    assert successor.status != "retired"
    assert (successor.retires or "9") > (card.retires or "")


BATCH_PRICES = {
    "gemini/gemini-2.5-flash": ("0.15", "1.25"),
    "gemini/gemini-2.5-pro": ("0.625", "5.0"),
    "gemini/gemini-2.5-flash-lite": ("0.05", "0.20"),
    "gemini/gemini-3-flash-preview": ("0.25", "1.5"),
    "gemini/gemini-3-pro-preview": ("1.0", "6.0"),
    "openai/gpt-4o-mini": ("0.075", "0.30"),
    "openai/gpt-4o": ("1.25", "5.0"),
    "openai/gpt-4.1": ("1.0", "4.0"),
    "openai/gpt-4.1-mini": ("0.2", "0.8"),
    "openai/gpt-4.1-nano": ("0.05", "0.2"),
    "openai/gpt-5": ("0.625", "5.0"),
    "openai/gpt-5-mini": ("0.125", "1.0"),
    "openai/gpt-5-nano": ("0.025", "0.2"),
    "openai/o3-mini": ("0.55", "2.2"),
    "openai/o4-mini": ("0.55", "2.2"),
    "anthropic/claude-sonnet-4-20250514": ("1.5", "7.5"),
    "anthropic/claude-sonnet-4-5": ("1.5", "7.5"),
    "anthropic/claude-haiku-4-5": ("0.5", "2.5"),
    "anthropic/claude-opus-4-5": ("2.5", "12.5"),
    "anthropic/claude-opus-4-20250514": ("7.5", "37.5"),
    "anthropic/claude-opus-4-1": ("7.5", "37.5"),
    "anthropic/claude-3-5-haiku": ("0.4", "2.0"),
}
"""OCT-16, but for gemini-2.0-flash-001, whose figure there is not the provider's (CON-16: the dated source decides)."""


@pytest.mark.parametrize(("name", "dollars"), BATCH_PRICES.items())
def test_batch_prices_of_the_old_registry(name: str, dollars: tuple[str, str]) -> None:
    provider, model = name.split("/")
    record = CATALOG.price(provider, model, "2026-11-21")
    costs = price(record, Usage(input_uncached=100_000), "batch"), price(record, Usage(output_text=100_000), "batch")
    assert tuple(10 * (cost.usd or 0) for cost in costs) == tuple(map(Decimal, dollars))


@pytest.mark.parametrize(("name", "dollars"), [("openai/gpt-4o", "1.25"), ("openai/gpt-5", "0.0625"), ("gemini/gemini-2.5-flash", "0.03")])
def test_cached_tokens_in_batches_follow_each_providers_table(name: str, dollars: str) -> None:
    provider, model = name.split("/")
    cost = price(CATALOG.price(provider, model, "2026-11-21"), Usage(cache_read=1_000_000), "batch")
    assert str(cost.usd) == dollars


def test_prices_change_on_their_day() -> None:
    card = CATALOG.find("gemini", "gemini-3.8-flash")
    assert card is not None
    days = ("2020-01-01", "2026-12-31", "2027-01-01", "2030-01-01")
    assert [record.rates.input for day in days if (record := card.price_on(day))] == ["0.75", "0.75", "1.5", "1.5"]
    assert day_of(1798761599.0) == "2026-12-31"
    assert day_of(1798761600.0) == "2027-01-01"


@pytest.mark.parametrize(
    ("provider", "name", "id"),
    [
        ("openai", "gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("openai", "gpt-5.6", "gpt-5.6-sol"),
        ("anthropic", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("anthropic", "claude-3-7-sonnet-latest", "claude-3-7-sonnet"),
        ("anthropic", "opus", "claude-opus-5-5"),
        ("gemini", "models/gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("sim-gemini", "sim-large", "sim-large"),
    ],
)
def test_names_that_find_a_card(provider: str, name: str, id: str) -> None:
    card = CATALOG.find(provider, name)
    assert card is not None
    assert card.id == id
    assert card in CATALOG.named(name.removeprefix("models/"))


def test_names_that_find_none() -> None:
    assert CATALOG.find("openai", "gpt-4o-audio-preview") is None
    assert CATALOG.find("anthropic", "gpt-4o") is None
    assert CATALOG.price("openai", "no-such-model", "2026-11-21") is None
    assert CATALOG.capabilities("openai", "no-such-model").context is None
    assert CATALOG.capabilities("openai", "gpt-5").max_tokens_field == "max_completion_tokens"
