"""``providers:`` in ``headgate.yaml``."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.config import load_settings, read_environment
from headgate.config.provider_settings import AccountSettings, ProviderSettings
from headgate.errors import ConfigError


def read(folder: Path, text: str) -> dict[str, ProviderSettings]:
    (folder / "headgate.yaml").write_text(text)
    return load_settings(read_environment({}, folder), folder).providers


def test_a_provider_of_ones_own_is_declared(tmp_path: Path) -> None:
    text = """
providers:
  my-vllm:
    dialect: openai_chat
    base_url: http://10.0.0.5:8000/v1
    allow_private: true
    key_env: VLLM_KEY
    quirks: [no_done]
    capabilities: {context: 32768, vision: false}
"""
    found = read(tmp_path, text)["my-vllm"]
    assert (found.base_url, found.allow_private, found.key_env, found.quirks) == ("http://10.0.0.5:8000/v1", True, "VLLM_KEY", ("no_done",))
    assert found.capabilities is not None and found.capabilities.context == 32768 and not found.capabilities.vision


def test_key_files_lie_relative_to_the_settings(tmp_path: Path) -> None:
    found = read(tmp_path, "providers: {vertex: {accounts: {main: {key_file: token.txt}}}}")
    assert found["vertex"].accounts == {"main": AccountSettings(key_file=str(tmp_path / "token.txt"))}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("providers: [openai]", "headgate.yaml:1:12: providers must be a mapping"),
        ("providers: {openai: {acounts: {}}}", 'headgate.yaml:1:22: unknown key "acounts" of providers.openai (did you mean "accounts"?)'),
        ("providers: {Open AI: {}}", "the name 'Open AI'"),
        ("providers: {openai: {accounts: {a: {}}}}", "either key_env or key_file in openai.accounts.a"),
        ("providers: {openai: {accounts: {a: {key_env: A, key_file: b}}}}", "either key_env or key_file"),
        ("providers: {openai: {accounts: {a: {key_env: sk-very-secret}}}}", "a key itself does not belong into this file"),
        ("providers: {openai: {key_env: sk-very-secret}}", "a key itself does not belong into this file"),
        ("providers: {openai: {account: b, accounts: {a: {key_env: A}}}}", "names the account 'b' for openai, which has a"),
        (
            "providers: {x: {base_url: http://x, capabilities: {contxt: 1}}}",
            'unknown key "contxt" of providers.x.capabilities (did you mean "context"?)',
        ),
        ("providers: {x: {headers: {a: 2026-01-01}}}", ""),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    if not message:
        assert read(tmp_path, text)["x"].headers == {"a": "2026-01-01"}
        return
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert "very-secret" not in str(caught.value)


def test_nothing_is_declared_without_the_setting(tmp_path: Path) -> None:
    assert read(tmp_path, "gateway_port: 7000") == {}
    assert load_settings(read_environment({}, tmp_path), tmp_path).origins["providers"] == "default"


def test_a_key_file_in_a_home_that_nobody_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="home directory is not known"):
        read(tmp_path, "providers: {vertex: {accounts: {main: {key_file: ~nobody-has-this-name/k}}}}")
