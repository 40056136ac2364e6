"""From settings and keys to targets."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from headgate.assembly.parts import load_parts, new_run_id
from headgate.errors import ConfigError, MissingKey
from headgate.providers import PROVIDERS
from headgate.sim.server import Simulator

pytest_plugins = ["headgate.testing.pytest_plugin"]

pytestmark = pytest.mark.usefixtures("headgate_environment")


def test_a_simulated_target_lies_where_the_setting_says(headgate_sim: Simulator) -> None:
    target = load_parts().resolve("sim-gemini/sim-small")
    assert target.origin.url == f"{headgate_sim.url}/gemini"
    assert target.card is not None and target.card.name == "sim-gemini/sim-small"
    assert target.credential.key.reveal() == "sim-headgate"


def test_a_real_target_lies_where_the_provider_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one")
    monkeypatch.setenv("HEADGATE_PROXY", "http://10.0.0.1:3128")
    target = load_parts().resolve("openai/gpt-4o-mini")
    assert (target.origin.url, target.origin.proxy, target.origin.allow_private) == (
        "https://api.openai.com/v1",
        "http://10.0.0.1:3128",
        False,
    )
    assert load_parts().resolve("sim-openai/sim-small").origin.proxy is None


def test_a_key_on_the_command_line_goes_first_and_to_real_providers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    parts = load_parts(key="sk-flag")
    assert parts.credential(PROVIDERS["openai"]).key.reveal() == "sk-flag"
    assert parts.credential(PROVIDERS["sim-openai"]).key.reveal() == "sim-headgate"
    assert "sk-flag" not in repr(parts)


@pytest.mark.parametrize(
    "name", sorted(name for name, provider in PROVIDERS.items() if not provider.simulated and not provider.auth.optional)
)
def test_a_missing_key_says_which_variable_and_how_to_go_on(name: str) -> None:
    with pytest.raises(MissingKey) as caught:
        load_parts().credential(PROVIDERS[name])
    for variable in PROVIDERS[name].auth.env:
        assert variable in caught.value.message
    assert "--provider sim-openai" in caught.value.message
    assert caught.value.hint == "headgate doctor"


def test_providers_that_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = tuple(name for name, provider in PROVIDERS.items() if provider.simulated)
    assert load_parts().with_keys() == simulated
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-one")
    assert load_parts().with_keys() == ("gemini", *simulated)


def test_the_real_environment_goes_before_the_dotenv(headgate_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (headgate_environment / ".env").write_text("OPENAI_API_KEY=sk-file\nHEADGATE_GATEWAY_PORT=7001\n")
    assert load_parts().credential(PROVIDERS["openai"]).key.reveal() == "sk-file"
    assert load_parts().settings.gateway_port == 7001
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    assert load_parts().credential(PROVIDERS["openai"]).key.reveal() == "sk-real"


def test_a_key_that_cannot_be_sent_is_told_and_stops_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "two words")
    parts = load_parts()
    assert any("OPENAI_API_KEY" in warning for warning in parts.key_warnings())
    with pytest.raises(ConfigError):
        parts.credential(PROVIDERS["openai"])
    assert parts.resolve("sim-openai/sim-small").model == "sim-small"


def test_default_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_OPENAI_DEFAULT_MODEL", "gpt-5")
    found = load_parts().default_models
    assert found["openai"] == "gpt-5"
    assert found["anthropic"] == PROVIDERS["anthropic"].default_model


def test_a_catalog_of_ones_own_goes_over_the_shipped_one(headgate_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_CATALOG_FILE", "mine.yaml")
    with pytest.raises(ConfigError) as caught:
        load_parts()
    assert str(headgate_environment / "mine.yaml") in str(caught.value)


def test_names_of_runs_are_readable_and_never_taken(tmp_path: Path) -> None:
    at = 1_780_000_000.0
    name = new_run_id("DrunkenSailor", at, tmp_path)
    assert name == "drunkensailor-" + time.strftime("%Y%m%d-%H%M%S", time.gmtime(at))
    (tmp_path / name).mkdir()
    assert new_run_id("DrunkenSailor", at, tmp_path) == f"{name}-2"
    (tmp_path / f"{name}-2").mkdir()
    assert new_run_id("DrunkenSailor", at, tmp_path) == f"{name}-3"
