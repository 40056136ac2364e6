"""Targets from a key and an address of the caller's, the settings filling in the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from headgate.client.direct import Connection, direct_target, read_workspace, rendering_target
from headgate.config import Secret
from headgate.errors import ConfigError, MissingKey
from headgate.providers import PROVIDERS
from headgate.providers.base import Variable

KEY = Secret("sk-test-0000000000000000")


@pytest.fixture(autouse=True)
def workplace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working folder and data folder, and no keys."""
    keys = {name for provider in PROVIDERS.values() for name in (*provider.auth.env, *provider.auth.parts)}
    for name in [name for name in os.environ if name.startswith("HEADGATE_") or name in keys]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HEADGATE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_key_that_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    here = read_workspace()
    openai = PROVIDERS["openai"]
    assert direct_target(openai, "gpt-4o-mini", Connection(api_key=KEY), here).credential.key == KEY
    assert direct_target(openai, "gpt-4o-mini", Connection(), here).credential.key == Secret("sk-from-the-environment")


def test_without_a_key_the_error_says_which_variable_to_set() -> None:
    with pytest.raises(MissingKey, match="OPENAI_API_KEY"):
        direct_target(PROVIDERS["openai"], "gpt-4o-mini", Connection(), read_workspace())


def test_rendering_needs_neither_key_nor_address() -> None:
    target = rendering_target(PROVIDERS["openai"], "gpt-4o-mini", read_workspace())
    assert (target.model, target.credential.key.reveal(), target.origin.host) == ("gpt-4o-mini", "", "nowhere.invalid")
    assert target.card is not None


def test_only_an_address_that_is_given_may_be_private() -> None:
    openai, here = PROVIDERS["openai"], read_workspace()
    given = direct_target(openai, "gpt-4o-mini", Connection(api_key=KEY, base_url="http://10.0.0.5:8000/v1/"), here)
    assert (given.origin.url, given.origin.allow_private) == ("http://10.0.0.5:8000/v1", True)
    usual = direct_target(openai, "gpt-4o-mini", Connection(api_key=KEY), here)
    assert (usual.origin.url, usual.origin.allow_private) == ("https://api.openai.com/v1", False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:7000", "http://127.0.0.1:7000/", "http://127.0.0.1:7000/gemini"])
def test_the_simulators_address_may_leave_out_the_path_of_the_wire(url: str) -> None:
    target = direct_target(PROVIDERS["sim-gemini"], "sim-small", Connection(base_url=url), read_workspace())
    assert target.origin.url == "http://127.0.0.1:7000/gemini"


def test_the_simulator_is_found_where_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_SIM_URL", "http://127.0.0.1:7001")
    assert direct_target(PROVIDERS["sim-openai"], None, Connection(), read_workspace()).origin.url == "http://127.0.0.1:7001/openai/v1"


def test_variables_of_the_address_are_given_or_found(monkeypatch: pytest.MonkeyPatch) -> None:
    variable = Variable(name="region", env=("ACME_REGION",))
    acme = replace(PROVIDERS["openai"], name="acme", base_url="https://{region}.acme.example", variables=(variable,))
    with pytest.raises(ConfigError, match="ACME_REGION"):
        direct_target(acme, "m", Connection(api_key=KEY), read_workspace())
    monkeypatch.setenv("ACME_REGION", "north")
    assert direct_target(acme, "m", Connection(api_key=KEY), read_workspace()).origin.host == "north.acme.example"
    given = Connection(api_key=KEY, variables={"region": "south"})
    assert direct_target(acme, "m", given, read_workspace()).origin.host == "south.acme.example"


def test_settings_of_a_provider_count(workplace: Path) -> None:
    (workplace / "headgate.yaml").write_text(
        "providers:\n  my-vllm: {dialect: openai_chat, base_url: 'http://127.0.0.1:8000/v1', allow_private: true, default_model: llama}\n",
        encoding="utf-8",
    )
    here = read_workspace()
    mine = here.provider("My-VLLM")
    assert here.default_model(mine) == "llama"
    assert direct_target(mine, "llama", Connection(), here).origin.url == "http://127.0.0.1:8000/v1"
    with pytest.raises(ConfigError, match="unknown provider 'nobody'"):
        here.provider("nobody")


def test_a_retired_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="retired"):
        direct_target(PROVIDERS["openai"], "gpt-4", Connection(api_key=KEY), read_workspace())
