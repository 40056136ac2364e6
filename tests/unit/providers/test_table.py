"""The table of providers: what each is, and that simulated ones never pass for real ones."""

from __future__ import annotations

import pytest

from headgate.catalog.load import load_catalog
from headgate.providers import PROVIDER_API, PROVIDERS, Auth
from headgate.providers.sim import DEFAULT_URL, simulated

REAL = {name: provider for name, provider in PROVIDERS.items() if not provider.simulated}


def test_the_table_is_keyed_by_the_records_own_names() -> None:
    assert {provider.name: provider for provider in PROVIDERS.values()} == PROVIDERS
    assert list(PROVIDERS) == ["openai", "anthropic", "gemini", "sim-openai", "sim-anthropic", "sim-gemini"]
    assert PROVIDER_API == 1


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("openai", (("authorization", "Bearer k"),)),
        ("anthropic", (("x-api-key", "k"),)),
        ("gemini", (("x-goog-api-key", "k"),)),
    ],
)
def test_how_a_key_is_sent(name: str, headers: tuple[tuple[str, str], ...]) -> None:
    assert PROVIDERS[name].auth.headers("k") == headers
    assert PROVIDERS[f"sim-{name}"].auth.headers("k") == headers


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("openai", ("OPENAI_API_KEY", "GENAI_OPENAI_API_KEY")),
        ("anthropic", ("ANTHROPIC_API_KEY", "GENAI_ANTHROPIC_API_KEY")),
        ("gemini", ("GOOGLE_API_KEY", "GEMINI_API_KEY")),
        ("sim-openai", ("HEADGATE_SIM_KEY",)),
    ],
)
def test_where_a_key_is_looked_for(name: str, variables: tuple[str, ...]) -> None:
    assert PROVIDERS[name].auth.env == variables


@pytest.mark.parametrize("name", sorted(REAL))
def test_every_real_provider_has_a_simulated_twin_on_the_same_wire(name: str) -> None:
    real, twin = PROVIDERS[name], PROVIDERS[f"sim-{name}"]
    assert (twin.chat, twin.batch, twin.batch_endpoint, twin.headers) == (real.chat, real.batch, real.batch_endpoint, real.headers)
    assert twin.simulated and not real.simulated
    assert twin.base_url == DEFAULT_URL + twin.base_path
    assert twin.polling.first < real.polling.first


def test_no_real_provider_reaches_private_addresses_or_comes_with_a_key() -> None:
    assert not [name for name, provider in REAL.items() if provider.allow_private or provider.auth.default or provider.base_url_env]
    assert all(provider.base_url.startswith("https://") for provider in REAL.values())


def test_no_simulated_dollar_mixes_with_a_real_one() -> None:
    catalog = load_catalog()
    real = {card.id for card in catalog.cards if not PROVIDERS[card.provider].simulated}
    simulated_models = {card.id for card in catalog.cards if PROVIDERS[card.provider].simulated}
    assert simulated_models
    assert not real & simulated_models


def test_every_provider_has_an_entry_in_the_catalog() -> None:
    assert set(load_catalog().providers) == set(PROVIDERS)


def test_a_twin_is_made_of_any_record() -> None:
    twin = simulated(PROVIDERS["openai"], "/elsewhere")
    assert twin.auth == Auth(header="authorization", prefix="Bearer ", env=("HEADGATE_SIM_KEY",), shape="sim-", default="sim-headgate")
    assert twin.base_url == f"{DEFAULT_URL}/elsewhere"
