"""``headgate provider``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headgate.providers import PROVIDERS

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Any]


def test_every_provider_is_listed(headgate: Command, headgate_environment: Path) -> None:
    (headgate_environment / "headgate.yaml").write_text("providers: {local: {base_url: 'http://127.0.0.1:9/v1', allow_private: true}}")
    lines = headgate("provider", "ls", code=0).out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == [*PROVIDERS, "local"]
    assert "headgate.yaml  ready" in lines[-1]
    found = {entry["name"]: entry for entry in headgate("provider", "ls", "--json", code=0).json()}
    assert found["local"]["from"] == "headgate.yaml" and found["local"]["ready"]
    assert found["anthropic"]["key_env"] == list(PROVIDERS["anthropic"].auth.env)


@pytest.mark.parametrize("name", sorted(name for name, provider in PROVIDERS.items() if provider.simulated))
def test_a_provider_is_tried(headgate: Command, name: str) -> None:
    out = headgate("provider", "check", name, code=0).out
    assert out.startswith(f"{name}/sim-small at http://127.0.0.1:")
    assert "answered '" in out and "tokens in" in out


def test_trying_what_is_not_there_says_what_is(headgate: Command) -> None:
    assert "unknown provider 'nobody'; known are openai" in headgate("provider", "check", "nobody", code=3).err


def test_a_new_provider_is_begun(headgate: Command, headgate_environment: Path) -> None:
    assert "pip install -e" in headgate("provider", "new", "acme", code=0).out
    assert (headgate_environment / "headgate-acme" / "pyproject.toml").is_file()
    assert "nothing was written" in headgate("provider", "new", "acme", code=2).err
