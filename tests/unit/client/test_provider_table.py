"""Providers of the package, of the settings, and of other packages."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from headgate.client.provider_table import ProviderTable
from headgate.config.provider_settings import AccountSettings, ProviderSettings
from headgate.config.third_party import GROUP
from headgate.errors import ConfigError
from headgate.providers import PROVIDERS

MODULE = """
from headgate.dialects import openai_chat
from headgate.providers.base import Auth, Provider

def make(name, api=1):
    auth = Auth(header="authorization", env=("ACME_KEY",))
    return Provider(name=name, label="Acme", base_url="https://acme.example", chat=openai_chat.DIALECT, auth=auth, api=api)

GOOD = make("acme")
OLD = make("old", api=0)
OTHER = make("somebody")
NOTHING = 42
"""


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProviderTable:
    (tmp_path / "acme_headgate.py").write_text(MODULE)
    (tmp_path / "acme_broken.py").write_text("raise RuntimeError('out of order')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "acme_headgate", raising=False)
    found = {
        "acme": entry("acme", "acme_headgate:GOOD"),
        "old": entry("old", "acme_headgate:OLD"),
        "renamed": entry("renamed", "acme_headgate:OTHER"),
        "number": entry("number", "acme_headgate:NOTHING"),
        "broken": entry("broken", "acme_broken:PROVIDER"),
        "absent": entry("absent", "acme_absent:PROVIDER"),
        "openai": entry("openai", "acme_headgate:GOOD"),
    }
    return ProviderTable({}, lambda: found)


def test_a_foreign_provider_is_loaded_when_it_is_used(table: ProviderTable) -> None:
    assert "acme" in table and "acme" in set(table)
    assert "acme_headgate" not in sys.modules
    assert table["acme"].label == "Acme"
    assert table["acme"] is table["acme"]


def test_settings_are_for_the_providers_of_packages_too(table: ProviderTable) -> None:
    own = ProviderSettings(accounts={"team": AccountSettings(key_env="TEAM_KEY")}, headers={"X-Team": "a"})
    changed = ProviderTable({"acme": own}, lambda: {"acme": entry("acme", "acme_headgate:GOOD")})
    assert "acme_headgate" not in sys.modules
    assert (changed["acme"].label, changed["acme"].headers) == ("Acme", (("x-team", "a"),))
    with pytest.raises(ConfigError, match="needs a base_url"):
        ProviderTable({"acme": own}, dict)


def test_built_in_names_cannot_be_shadowed(table: ProviderTable) -> None:
    assert table["openai"] is PROVIDERS["openai"]
    assert table.shadowing == ("openai",)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("old", "made for version 0 of the record; this is version 1"),
        ("renamed", "calls itself somebody"),
        ("number", "is int, not a headgate.providers.Provider"),
        ("broken", "cannot be loaded: RuntimeError"),
        ("absent", "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_a_broken_one_says_so_when_it_is_used(table: ProviderTable, name: str, message: str) -> None:
    assert name in table
    with pytest.raises(ConfigError, match=message):
        table[name]


def test_what_nobody_brings_is_not_there(table: ProviderTable) -> None:
    assert "nobody" not in table
    with pytest.raises(KeyError):
        table["nobody"]
    assert len(table) == len(list(table)) == len(set(table))


def test_settings_change_a_built_in_provider() -> None:
    own = ProviderSettings(
        base_url="https://eu.api.openai.com/v1/", headers={"OpenAI-Organization": "org-1"}, key_env="EU_KEY", quirks=("no_done",)
    )
    changed = ProviderTable({"openai": own}, dict)["openai"]
    assert changed.base_url == "https://eu.api.openai.com/v1"
    assert changed.headers == (("openai-organization", "org-1"),)
    assert changed.auth.env == ("EU_KEY",)
    assert changed.chat.name == "openai_chat" and changed.chat != PROVIDERS["openai"].chat
    assert changed.batch == PROVIDERS["openai"].batch


def test_settings_declare_a_provider() -> None:
    made = ProviderTable({"local": ProviderSettings(dialect="anthropic_messages", base_url="https://x.example", key_env="X_KEY")}, dict)[
        "local"
    ]
    assert made.auth.headers("k") == (("x-api-key", "k"),)
    assert made.headers == PROVIDERS["anthropic"].headers
    own = ProviderSettings(dialect="anthropic_messages", base_url="https://x.example", headers={"Anthropic-Version": "2099-01-01"})
    assert ProviderTable({"local": own}, dict)["local"].headers == (("anthropic-version", "2099-01-01"),)
    keyless = ProviderTable({"local": ProviderSettings(base_url="http://127.0.0.1:8000/v1", allow_private=True)}, dict)["local"]
    assert keyless.auth.optional and keyless.auth.headers("") == () and keyless.allow_private


def test_a_declared_provider_may_embed_and_take_batches() -> None:
    settings = ProviderSettings(
        base_url="https://x.example/v1", key_env="X_KEY", embeddings="openai_embeddings", batch="batch_openai_files"
    )
    made = ProviderTable({"local": settings}, dict)["local"]
    assert made.embed is not None and made.batch is not None and made.batch_endpoint == "/v1/chat/completions"
    assert ProviderTable({"o": ProviderSettings(dialect="ollama_chat", base_url="https://x.example")}, dict)["o"].chat.name == "ollama_chat"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("local", ProviderSettings(base_url="https://x", embeddings="odd"), "no embeddings wire 'odd'; known are openai_embeddings"),
        ("local", ProviderSettings(base_url="https://x", batch="odd"), "no batch wire 'odd'; known are batch_openai_files"),
        ("local", ProviderSettings(dialect="openai_chat"), "needs a base_url"),
        ("local", ProviderSettings(dialect="carrier_pigeon", base_url="https://x"), "no dialect 'carrier_pigeon'"),
        ("local", ProviderSettings(base_url="https://x", quirks=("shy",)), "no quirk 'shy'"),
        ("openai", ProviderSettings(dialect="gemini_generate"), "openai speaks openai_chat"),
        ("openai", ProviderSettings(key_header="x-key"), "openai takes its key in authorization"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(name: str, settings: ProviderSettings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ProviderTable({name: settings}, dict)


def test_a_header_of_the_settings_replaces_the_providers_own() -> None:
    own = ProviderSettings(headers={"Anthropic-Version": "2099-01-01", "x-team": "a"})
    changed = ProviderTable({"anthropic": own}, dict)["anthropic"]
    assert changed.headers == (("anthropic-version", "2099-01-01"), ("x-team", "a"))
