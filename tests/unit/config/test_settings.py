"""Which value wins, where it came from, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.config.dotenv import parse_dotenv
from headgate.config.environment import Environment
from headgate.config.secret import Secret
from headgate.config.settings import NAMES, SPECS, Settings, load_settings
from headgate.errors import ConfigError


def load(folder: Path, real: dict[str, str] | None = None, dotenv: str = "", yaml: str | None = None, **flags: str | None) -> Settings:
    if yaml is not None:
        (folder / "headgate.yaml").write_text(yaml)
    return load_settings(Environment({"HOME": "/homes/user", **(real or {})}, parse_dotenv(dotenv)), folder, flags)


def test_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.data_dir == Path("/homes/user/.local/share/headgate")
    assert settings.ledger_file == settings.data_dir / "ledger.db"
    assert settings.run_dir == tmp_path / "runs"
    ports = {name: getattr(settings, name) for name in SPECS if name.endswith("_port")}
    assert list(ports.values()) == [6120, 6103, 6121, 6109, 8100, 8101, 8102, 8103, 6199]
    assert (settings.sim_url, settings.request_timeout, settings.gateway_host) == ("http://127.0.0.1:6199", 120.0, "127.0.0.1")
    assert set(settings.origins.values()) == {"default"}
    assert repr(settings) == "Settings()"


LEVELS = [
    ({"flag": "1"}, 1, "flag --gateway-port"),
    ({"real": "2"}, 2, "environment HEADGATE_GATEWAY_PORT"),
    ({"dotenv": "3"}, 3, ".env:1 HEADGATE_GATEWAY_PORT"),
    ({"yaml": "4"}, 4, "headgate.yaml:2:15"),
    ({"real": "", "yaml": "4"}, 4, "headgate.yaml:2:15"),
    ({"flag": "1", "real": "2", "dotenv": "3", "yaml": "4"}, 1, "flag --gateway-port"),
    ({"real": "2", "dotenv": "3", "yaml": "4"}, 2, "environment HEADGATE_GATEWAY_PORT"),
    ({"dotenv": "3", "yaml": "4"}, 3, ".env:1 HEADGATE_GATEWAY_PORT"),
    ({}, 6120, "default"),
]


@pytest.mark.parametrize(("given", "value", "origin"), LEVELS)
def test_precedence(tmp_path: Path, given: dict[str, str], value: int, origin: str) -> None:
    settings = load(
        tmp_path,
        {"HEADGATE_GATEWAY_PORT": given["real"]} if "real" in given else {},
        f"HEADGATE_GATEWAY_PORT={given['dotenv']}" if "dotenv" in given else "",
        f"# ours\ngateway_port: {given['yaml']}\n" if "yaml" in given else None,
        gateway_port=given.get("flag"),
    )
    assert settings.gateway_port == value
    assert settings.origins["gateway_port"].endswith(origin)


def test_aliases_come_after_the_settings_own_name(tmp_path: Path) -> None:
    assert load(tmp_path, {"GENAI_DEFAULT_PROVIDER": "OpenAI"}).default_provider == "openai"
    both = load(tmp_path, {"GENAI_DEFAULT_PROVIDER": "openai", "HEADGATE_DEFAULT_PROVIDER": "gemini"})
    assert both.default_provider == "gemini"
    assert load(tmp_path, {"SSL_CERT_FILE": "/etc/ca.pem"}).ca_file == Path("/etc/ca.pem")


def test_paths_start_where_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "our.yaml").write_text("data_dir: state\nrun_dir: ~\n")
    environment = Environment({"HEADGATE_CATALOG_FILE": "prices.yaml", "XDG_DATA_HOME": "/xdg"})
    settings = load_settings(environment, tmp_path, {}, Path("sub/our.yaml"))
    assert (settings.data_dir, settings.run_dir, settings.catalog_file) == (
        tmp_path / "sub" / "state",
        tmp_path / "runs",
        tmp_path / "prices.yaml",
    )
    assert load_settings(environment, tmp_path).data_dir == Path("/xdg/headgate")
    named = load_settings(Environment({"HEADGATE_CONFIG": "sub/our.yaml"}), tmp_path)
    assert named.data_dir == tmp_path / "sub" / "state"
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(Environment({}), tmp_path, {}, Path("absent.yaml"))


def test_the_simulators_address_follows_its_port(tmp_path: Path) -> None:
    assert load(tmp_path, sim_port="7000").sim_url == "http://127.0.0.1:7000"
    assert load(tmp_path, {"HEADGATE_SIM_URL": "http://sim:1/"}, sim_port="7000").sim_url == "http://sim:1"


def test_secrets_and_logins_are_masked(tmp_path: Path) -> None:
    real = {"HEADGATE_KEY": "hg-0123456789abcdefgh", "HEADGATE_PROXY": "http://ann:pass@proxy:3128"}
    settings = load(tmp_path, real)
    shown = str(settings.explain()) + repr(settings)
    assert "0123456789abcdef" not in shown
    assert "pass" not in shown
    assert ("key", "hg-012…fgh", "environment HEADGATE_KEY") in settings.explain()
    assert ("proxy", "http://***@proxy:3128", "environment HEADGATE_PROXY") in settings.explain()
    assert settings.key is not None
    assert settings.key.reveal() == "hg-0123456789abcdefgh"
    assert [name for name, _, _ in settings.explain()] == list(NAMES)


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("gateway_prt: 1", 'headgate.yaml:1:1: unknown key "gateway_prt" (did you mean "gateway_port"?)'),
        ("\n  zzz: 1", 'headgate.yaml:2:3: unknown key "zzz"; known are admin_key'),
        ("proxy: http://a:1\nproxy: http://b:1", 'headgate.yaml:2:1: the key "proxy" stands here twice'),
        ("gateway_port: [1]", "headgate.yaml:1:15: gateway_port must be a text or a number"),
        ("gateway_port: true", "headgate.yaml:1:15: gateway_port must be a text or a number"),
        ("gateway_port: 99999", "headgate.yaml:1:15: gateway_port must be a port from 1 to 65535, not '99999'"),
        ("request_timeout: soon", "headgate.yaml:1:18: request_timeout must be a number of seconds"),
        ("- a", "headgate.yaml:1:1: must be a mapping"),
        ("a: [", "headgate.yaml:1:5: not valid YAML"),
        ("\x00", "headgate.yaml: not valid YAML"),
        ("[a]: 1", "headgate.yaml:1:1: a key must be a single text"),
    ],
)
def test_mistakes_in_the_file_have_a_place(tmp_path: Path, yaml: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, yaml=yaml)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HEADGATE_GATEWAY_PORT", "0"),
        ("HEADGATE_GATEWAY_PORT", "-1"),
        ("HEADGATE_GATEWAY_PORT", "٣"),
        ("HEADGATE_REQUEST_TIMEOUT", "nan"),
        ("HEADGATE_REQUEST_TIMEOUT", "-5"),
        ("HEADGATE_SIM_URL", "127.0.0.1:6199"),
        ("HEADGATE_SIM_URL", "file:///etc/passwd"),
        ("HEADGATE_PROXY", "http://"),
    ],
)
def test_wrong_values_name_their_origin(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"environment {name}") as caught:
        load(tmp_path, {name: text})
    assert caught.value.hint == "headgate doctor"


def test_a_wrong_secret_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must not contain") as caught:
        load(tmp_path, {"HEADGATE_KEY": "my pass phrase"})
    assert "phrase" not in str(caught.value)


def test_an_empty_file_and_nulls_are_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, yaml="").gateway_port == 6120
    assert load(tmp_path, yaml="gateway_port:\nproxy: null\n").gateway_port == 6120


def test_warnings(tmp_path: Path) -> None:
    settings = load(tmp_path, {"HEADGATE_GATEWAY_PRT": "1", "HEADGATE_SIM_KEY": "x"}, "what is this\n")
    assert settings.warnings == (
        ".env:1: not NAME=value; skipped",
        "the variable HEADGATE_GATEWAY_PRT is not known (did you mean HEADGATE_GATEWAY_PORT?)",
    )


def test_variables_for_default_models_go_before_the_file(tmp_path: Path) -> None:
    variables = {"HEADGATE_OPENAI_DEFAULT_MODEL": "gpt-6-luna", "OPENAI_MODEL_NAME": "gpt-4o", "GROK_MODEL_NAME": "grok-9"}
    yaml = "providers:\n  openai: {default_model: gpt-5, label: Ours}\n  gemini: {default_model: g}\n  xai:\n"
    settings = load(tmp_path, variables, yaml=yaml)
    found = {name: (entry.default_model, settings.origins[f"providers.{name}.default_model"]) for name, entry in settings.providers.items()}
    assert found == {
        "openai": ("gpt-6-luna", "environment HEADGATE_OPENAI_DEFAULT_MODEL"),
        "gemini": ("g", f"{tmp_path}/headgate.yaml:3:27"),
        "xai": ("grok-9", "environment GROK_MODEL_NAME"),
    }
    assert settings.providers["openai"].label == "Ours"
    assert load(tmp_path, variables, yaml="").providers["openai"].default_model == "gpt-6-luna"
    with pytest.raises(ConfigError, match="providers must be"):
        load(tmp_path, variables, yaml="providers: 5\n")


URL = "postgresql://someone:very-secret-words@db:5432/money?schema=ours"


def test_the_ledger_may_be_on_a_server(tmp_path: Path) -> None:
    settings = load(tmp_path, {"HEADGATE_DATABASE_URL": URL, "DATABASE_URL": "postgres://other/x"})
    assert settings.ledger_place == settings.database_url == Secret(URL)
    shown = {name: (value, origin) for name, value, origin in settings.explain()}["database_url"]
    assert shown[1] == "environment HEADGATE_DATABASE_URL"
    assert "secret" not in f"{shown} {settings!r}"
    assert load(tmp_path).ledger_place == load(tmp_path).ledger_file


MEANT = {URL: True, "postgres://h/x": True, "sqlite:///x.db": False, "mysql://h/x": False, "": False}


@pytest.mark.parametrize(("url", "used"), MEANT.items())
def test_a_variable_of_many_programs_counts_only_when_it_can_be_meant(tmp_path: Path, url: str, used: bool) -> None:
    settings = load(tmp_path, {"DATABASE_URL": url})
    assert settings.ledger_place == (Secret(url) if used else settings.ledger_file)
    assert settings.origins["database_url"] == ("environment DATABASE_URL" if used else "default")


@pytest.mark.parametrize("url", ["mysql://someone:very-secret-words@h/x", "sqlite:///x.db", "ledger.db", "postgresql://h/very secret"])
def test_a_database_of_an_unknown_kind_is_refused_without_repeating_it(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="database_url must") as caught:
        load(tmp_path, {"HEADGATE_DATABASE_URL": url})
    assert url not in str(caught.value)
    assert "secret" not in str(caught.value)
