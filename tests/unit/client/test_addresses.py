"""Addresses and keys of providers, from records, settings and variables."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from headgate.client.addresses import address, as_url, base_url, composed_key, credential, key_file, variables_of
from headgate.client.target import Credential, Target
from headgate.config import Environment, Secret
from headgate.config.provider_settings import AccountSettings, ProviderSettings
from headgate.dialects import openai_chat
from headgate.errors import ConfigError, MissingKey
from headgate.providers.azure_openai import PROVIDER as AZURE
from headgate.providers.base import Auth, Provider
from headgate.providers.vertex import PROVIDER as VERTEX
from headgate.wire.http import Send

PLAIN = Provider(
    name="acme",
    label="Acme",
    base_url="https://acme.example/v1",
    url_env=("ACME_URL",),
    chat=openai_chat.DIALECT,
    auth=Auth(header="authorization", prefix="Bearer ", env=("ACME_KEY",)),
)
COMPOSED = msgspec.structs.replace(PLAIN, auth=Auth(header="authorization", parts=("ID", "SECRET", "SESSION?")))


def test_a_variable_comes_from_settings_then_environment_then_default() -> None:
    environment = Environment({"AZURE_OPENAI_RESOURCE": "from-environment"})
    assert variables_of(AZURE, None, environment) == {"resource": "from-environment", "api_version": "2025-04-01-preview"}
    assert variables_of(AZURE, ProviderSettings(variables={"resource": "mine"}), environment)["resource"] == "mine"
    with pytest.raises(ConfigError, match="azure_openai has no variable 'region'"):
        variables_of(AZURE, ProviderSettings(variables={"region": "x"}), environment)


def test_a_missing_variable_is_named_with_what_sets_it() -> None:
    with pytest.raises(ConfigError, match="needs its resource: set AZURE_OPENAI_RESOURCE") as caught:
        address(AZURE, AZURE.base_url, {}, None, None)
    assert caught.value.hint == "export AZURE_OPENAI_RESOURCE=my-resource"
    assert address(AZURE, AZURE.base_url, {"resource": "r", "api_version": "v"}, None, None).url == "https://r.openai.azure.com"


def test_a_variable_that_only_paths_need_is_missed_before_anything_is_sent() -> None:
    with pytest.raises(ConfigError, match="Google Vertex AI needs its project: set GOOGLE_CLOUD_PROJECT, or"):
        address(VERTEX, VERTEX.base_url, {"location": "us-central1"}, None, None)
    place = address(VERTEX, VERTEX.base_url, {"location": "us-central1", "project": "p"}, None, None)
    assert place.url == "https://us-central1-aiplatform.googleapis.com"
    with pytest.raises(ConfigError, match="needs its project"):
        Target(VERTEX, "m", Credential("a", Secret("k")), place).placed(Send("POST", "/v1beta/models/m:generateContent"))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://host:1/", "http://host:1"),
        ("localhost:11500", "http://localhost:11500"),
        ("0.0.0.0:11500", "http://127.0.0.1:11500"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("host/base", "http://host:11434/base"),
        ("http://host", "http://host"),
        ("https://x.example/base/", "https://x.example/base"),
    ],
)
def test_addresses_may_be_written_as_servers_write_theirs(text: str, url: str) -> None:
    assert as_url(text, "http://localhost:11434") == url


def test_a_variable_replaces_the_address_as_a_whole() -> None:
    assert base_url(PLAIN, Environment({})) == ("https://acme.example/v1", False)
    assert base_url(PLAIN, Environment({"ACME_URL": "http://acme.local:9"})) == ("http://acme.local:9", True)
    assert base_url(PLAIN, Environment({"ACME_URL": "acme.local:9"})) == ("https://acme.local:9", True), "keys go out encrypted"


def test_a_key_of_several_parts_needs_all_that_are_required() -> None:
    assert composed_key(COMPOSED, Environment({"ID": "a"})) is None
    both = composed_key(COMPOSED, Environment({"ID": "a", "SECRET": "b"}))
    three = composed_key(COMPOSED, Environment({"ID": "a", "SECRET": "b", "SESSION": "c"}))
    assert both is not None and both.reveal() == "a:b"
    assert three is not None and three.reveal() == "a:b:c"
    with pytest.raises(MissingKey, match="ID is not set"):
        credential(COMPOSED, None, Environment({}), None, None)
    either = msgspec.structs.replace(COMPOSED, auth=msgspec.structs.replace(COMPOSED.auth, env=("WHOLE",)))
    with pytest.raises(MissingKey, match=r"WHOLE is not set \(ID with SECRET will do as well\)"):
        credential(either, None, Environment({}), None, None)


def test_accounts_are_found_by_name() -> None:
    settings = ProviderSettings(accounts={"a": AccountSettings(key_env="KEY_A"), "b": AccountSettings(key_env="KEY_B")})
    environment = Environment({"KEY_A": "key-a", "KEY_B": "key-b"})
    assert credential(PLAIN, settings, environment, None, "b").key.reveal() == "key-b"
    assert credential(PLAIN, settings, environment, None, None).account == "a"
    chosen = msgspec.structs.replace(settings, account="b")
    assert credential(PLAIN, chosen, environment, None, None).account == "b"
    own = Environment({**environment.real, "ACME_KEY": "key-own"})
    assert credential(PLAIN, settings, own, None, None).key.reveal() == "key-own"
    assert credential(PLAIN, settings, own, Secret("given"), None).key.reveal() == "given"
    with pytest.raises(ConfigError, match="acme has no account 'c'; it has default, a, b"):
        credential(PLAIN, settings, environment, None, "c")
    with pytest.raises(MissingKey, match="account b: KEY_B is not set"):
        credential(PLAIN, settings, Environment({"KEY_A": "key-a"}), None, "b")


def test_a_key_file_is_read_when_it_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "token"
    settings = ProviderSettings(accounts={"file": AccountSettings(key_file=str(path))})
    found = credential(PLAIN, settings, Environment({}), None, "file")
    assert found.token is not None
    with pytest.raises(ConfigError, match="the key file cannot be read"):
        asyncio.run(found.token.current())
    path.write_text("token-1\n")
    assert asyncio.run(found.token.current()).reveal() == "token-1"
    path.write_text("token-2\n")
    assert asyncio.run(found.token.current()).reveal() == "token-1"
    found.token.refused(Secret("token-1"))
    assert asyncio.run(found.token.current()).reveal() == "token-2"


def test_a_provider_without_keys_needs_none() -> None:
    free = msgspec.structs.replace(PLAIN, auth=Auth(header="authorization", optional=True))
    assert credential(free, None, Environment({}), None, None).key.reveal() == ""


@pytest.mark.parametrize(
    "value", ["evil.example/", "evil.example#", "https://my.openai.azure.com/", "a@evil.example", "..", "a b", "", "x\r\ny"]
)
def test_a_variable_cannot_lead_to_another_host(value: str) -> None:
    with pytest.raises(ConfigError, match="the resource of Azure OpenAI stands in its address") as caught:
        address(AZURE, AZURE.base_url, {"resource": value, "api_version": "v"}, None, None)
    assert caught.value.hint == "example: my-resource"


@pytest.mark.parametrize("text", ["host:99999", "[::1", "host:x", "::1"])
def test_an_address_that_is_none_says_how_one_looks(text: str) -> None:
    with pytest.raises(ConfigError, match="is no address") as caught:
        as_url(text, "http://localhost:11434")
    assert caught.value.hint is not None and "127.0.0.1:11434" in caught.value.hint


def read_key(path: Path) -> str:
    return asyncio.run(key_file(path).current()).reveal()


def test_only_a_small_regular_file_is_a_key_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "big").write_bytes(b"k" * 100_000)
    (tmp_path / "latin").write_bytes("schlüssel-geheim".encode())
    (tmp_path / "good").write_text("key-1\n")
    assert read_key(tmp_path / "good") == "key-1"
    cases = {"pipe": "no regular file", "": "no regular file", "big": "more than a key", "latin": "more than a key", "a\0b": "null byte"}
    for name, message in {**cases, "none": "No such file"}.items():
        with pytest.raises(ConfigError, match=message) as caught:
            read_key(tmp_path / name)
        assert "geheim" not in repr(caught.value) + repr(caught.value.__cause__)


def test_an_account_called_default_is_the_one_that_is_set_up() -> None:
    settings = ProviderSettings(accounts={"default": AccountSettings(key_env="KEY_A")})
    environment = Environment({"KEY_A": "key-a", "ACME_KEY": "key-own"})
    assert credential(PLAIN, settings, environment, None, "default").key.reveal() == "key-a"
    assert credential(PLAIN, settings, environment, None, None).key.reveal() == "key-own"
