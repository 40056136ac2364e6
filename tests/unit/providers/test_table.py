"""The table of providers: what each is, and that simulated ones never pass for real ones."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from headgate.catalog.load import load_catalog
from headgate.providers import PROVIDER_API, PROVIDERS, Auth
from headgate.providers.sim import DEFAULT_URL, simulated

REAL = {name: provider for name, provider in PROVIDERS.items() if not provider.simulated}
TWINS = {name: provider for name, provider in PROVIDERS.items() if provider.simulated}
TWINNED = sorted(name.removeprefix("sim-") for name in TWINS)
KEYS = {
    "openai": ("authorization", "Bearer ", ("OPENAI_API_KEY", "GENAI_OPENAI_API_KEY")),
    "anthropic": ("x-api-key", "", ("ANTHROPIC_API_KEY", "GENAI_ANTHROPIC_API_KEY")),
    "gemini": ("x-goog-api-key", "", ("GOOGLE_API_KEY", "GEMINI_API_KEY")),
    "xai": ("authorization", "Bearer ", ("XAI_API_KEY", "GROK_API_KEY")),
    "ollama": ("authorization", "Bearer ", ("OLLAMA_API_KEY",)),
    "groq": ("authorization", "Bearer ", ("GROQ_API_KEY", "GENAI_GROQ_API_KEY")),
    "together": ("authorization", "Bearer ", ("TOGETHER_API_KEY", "GENAI_TOGETHER_API_KEY")),
    "azure_openai": ("api-key", "", ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_KEY")),
    "vertex": ("authorization", "Bearer ", ("VERTEX_ACCESS_TOKEN", "GOOGLE_OAUTH_ACCESS_TOKEN")),
}
"""Of every provider that takes a key in a header: which, what stands before it, and the variables it is looked for in."""


def test_the_table_is_keyed_by_the_records_own_names() -> None:
    assert {provider.name: provider for provider in PROVIDERS.values()} == PROVIDERS
    assert list(PROVIDERS) == [*REAL, *TWINS], "real ones first"
    assert list(REAL)[:3] == ["openai", "anthropic", "gemini"]
    assert set(KEYS) <= set(REAL)
    assert PROVIDER_API == 1


@pytest.mark.parametrize("name", sorted(KEYS))
def test_how_a_key_is_sent(name: str) -> None:
    header, prefix, _ = KEYS[name]
    for provider in (PROVIDERS[name], PROVIDERS[f"sim-{name}"]):
        assert provider.auth.headers("k") == ((header, f"{prefix}k"),)
        assert provider.auth.headers("") == ()


@pytest.mark.parametrize("name", sorted(KEYS))
def test_where_a_key_is_looked_for(name: str) -> None:
    auth = PROVIDERS[name].auth
    assert (auth.env, auth.parts) == (KEYS[name][2], ())


@pytest.mark.parametrize("name", TWINNED)
def test_a_twin_looks_for_no_key_or_address_of_its_original(name: str) -> None:
    twin = PROVIDERS[f"sim-{name}"]
    assert (twin.auth.env, twin.auth.parts, twin.url_env, twin.base_url_env) == (("HEADGATE_SIM_KEY",), (), (), "HEADGATE_SIM_URL")
    assert twin.auth.default
    assert all(variable.env == () and variable.default for variable in twin.variables)


def test_a_variable_belongs_to_one_provider() -> None:
    """A key of one provider is never sent to another: no two look for theirs under the same name."""
    names = [part.removesuffix("?") for provider in REAL.values() for part in (*provider.auth.env, *provider.auth.parts)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", sorted(REAL))
def test_an_address_needs_no_other_variables_than_those_declared(name: str) -> None:
    provider = REAL[name]
    declared = {variable.name for variable in provider.variables}
    braces = {found for url in (provider.base_url, *dict(provider.hosts).values()) for found in re.findall(r"\{(\w+)\}", url)}
    assert braces <= declared
    assert all(variable.env and (variable.default or variable.example) for variable in provider.variables)


@pytest.mark.parametrize("name", TWINNED)
def test_a_simulated_twin_speaks_the_wire_of_its_original(name: str) -> None:
    real, twin = PROVIDERS[name], PROVIDERS[f"sim-{name}"]
    assert (twin.chat, twin.surfaces, twin.embed, twin.headers) == (real.chat, real.surfaces, real.embed, real.headers)
    assert (twin.batch, twin.batch_endpoint, twin.max_age) == (real.batch, real.batch_endpoint, real.max_age)
    assert (twin.route, twin.auth.sign, twin.auth.optional) == (real.route, real.auth.sign, real.auth.optional)
    assert dict(twin.hosts).keys() == dict(real.hosts).keys()
    assert twin.simulated and not real.simulated
    assert twin.base_url == DEFAULT_URL + twin.base_path
    assert twin.polling.first < real.polling.first


def test_no_real_provider_comes_with_a_key() -> None:
    assert not [name for name, provider in REAL.items() if provider.auth.default or provider.base_url_env]


def test_only_a_server_of_ones_own_may_lie_on_a_private_address() -> None:
    """Keys go out encrypted; the exception serves without one, and on this machine."""
    private = {name for name, provider in REAL.items() if provider.allow_private}
    assert private == {"ollama"}
    assert all(REAL[name].auth.optional and urlsplit(REAL[name].base_url).hostname == "localhost" for name in private)
    outside = {name: urlsplit(provider.base_url).scheme for name, provider in REAL.items() if name not in private}
    assert set(outside.values()) == {"https"}
    assert all(url.startswith("https://") for provider in REAL.values() for url in dict(provider.hosts).values())


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
