"""What a settings file names, held against what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headgate.assembly.config_check import check_names, examine_names
from headgate.assembly.config_init import FIRST, SCHEMA_FILE, write_first
from headgate.assembly.parts import load_parts
from headgate.assembly.routing import routing_table
from headgate.errors import ConfigError

pytest_plugins = ["headgate.testing.pytest_plugin"]


def findings(folder: Path, yaml: str) -> list[tuple[str, str, str]]:
    """Level, place within the file, and message of what is found."""
    (folder / "headgate.yaml").write_text(yaml)
    return [(f.level, f.where.replace(f"{folder}/headgate.yaml:", ""), f.message) for f in examine_names(load_parts())]


CASES = [
    ("aliases: {a: opnai/gpt-6-luna}", "error", "1:14", "unknown provider 'opnai'"),
    ("aliases: {a: openai/gpt-9-unheard}", "warning", "1:14", "is not in the catalog"),
    ("routes: {r: {deployments: [anthropic/claude-2.1]}}", "error", "1:28", "is retired"),
    (
        "routes: {r: {deployments: [{model: openai/gpt-6-luna, account: eu}]}}",
        "error",
        "1:64",
        "openai has no account 'eu'; it has default",
    ),
    ("routes: {r: {deployments: [openai/gpt-6-luna], fallback: [s]}}", "error", "1:59", "unknown model 's'"),
    ("routing: {fallback: [olama]}", "error", "1:22", "unknown model 'olama'"),
    ("routes: {r: {deployments: [high]}}", "error", "1:28", "unknown model 'high'"),
    ("routes: {r: {deployments: [{model: gpt-6-luna, account: eu}]}}", "error", "1:57", "openai has no account 'eu'"),
    ("routes: {r: {deployments: [openai/gpt-6-luna, openai/gpt-6-luna]}}", "error", "1:47", "names openai/gpt-6-luna twice"),
    (
        "routes: {a: {deployments: [openai/gpt-6-luna], fallback: [b]}, b: {deployments: [xai/grok-4.3], fallback: [a]}}",
        "error",
        "1:59",
        "leads back to a: a > b > a",
    ),
    ("aliases: {a: b}\nroutes: {b: {deployments: [openai/gpt-6-luna], fallback: [a]}}", "error", "2:59", "leads back to b"),
    ("default_provider: opnai", "error", "1:19", "did you mean openai?"),
    ("budgets: [{scope: 'provider:opnai', limit_usd: 1}]", "warning", "1:19", "counts nothing: there is no provider 'opnai'"),
    ("limits: [{subject: 'model:opnai/x', rpm: 1}]", "warning", "1:20", "counts nothing"),
]


@pytest.mark.parametrize(("yaml", "level", "where", "said"), CASES)
def test_what_is_not_there_is_found_with_its_place(headgate_environment: Path, yaml: str, level: str, where: str, said: str) -> None:
    found = findings(headgate_environment, yaml)
    assert [(entry[0], entry[1]) for entry in found] == [(level, where)]
    assert said in found[0][2]


@pytest.mark.parametrize(
    "yaml",
    [
        "",
        "aliases: {a: chat}\nroutes: {chat: {deployments: [openai/gpt-6-luna], fallback: [b, openai]}, b: {deployments: [xai/grok-4.3]}}",
        "providers: {openai: {accounts: {eu: {key_env: EU_KEY}}}}\nroutes: {r: {deployments: [{model: openai/gpt-6-luna, account: eu}]}}",
        "routes: {r: {deployments: [{model: openai/gpt-6-luna, account: default}]}}",
        "aliases: {a: high, b: openai/low}\nroutes: {r: {deployments: [xai/grok-4.3], fallback: [medium, OpenAI/high, openai]}}",
        "routing: {fallback: [low]}\nbudgets: [{scope: 'provider:*', limit_usd: 1}, {scope: 'provider:openai', limit_usd: 1}]",
    ],
)
def test_what_is_there_is_right(headgate_environment: Path, yaml: str) -> None:
    assert findings(headgate_environment, yaml) == []


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("providers: {mine: {default_model: x}}", ":1:19: the provider mine is not built in, so it needs a base_url"),
        ("providers: {openai: {}, mine: {base_url: 'http://10.0.0.1', dialect: smoke}}", ":1:31: there is no dialect 'smoke'"),
    ],
)
def test_a_provider_that_cannot_be_made_has_its_place(headgate_environment: Path, yaml: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        findings(headgate_environment, yaml)
    assert said in str(caught.value)


def test_serving_says_where_the_first_error_is(headgate_environment: Path) -> None:
    (headgate_environment / "headgate.yaml").write_text("routes: {r: {deployments: [xai/grok-4.3, xai/grok-4.3]}}")
    parts = load_parts()
    for check in (check_names, routing_table):
        with pytest.raises(ConfigError, match=re.escape("headgate.yaml:1:42: the route r names xai/grok-4.3 twice")):
            check(parts)


def test_the_usual_account_may_be_named(headgate_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EU_KEY", "sk-of-the-other-account")
    (headgate_environment / "headgate.yaml").write_text(
        "providers: {openai: {accounts: {eu: {key_env: EU_KEY}}}}\n"
        "routes: {r: {deployments: [{model: openai/gpt-6-luna, account: eu}, {model: openai/gpt-6-luna, account: default}]}}"
    )
    found = {one.account: one.missing is None for one in routing_table(load_parts()).deployments.values()}
    assert found == {"eu": True, "default": False}


def test_under_a_budget_an_unpriced_model_is_pointed_at(headgate_environment: Path) -> None:
    yaml = "providers: {mine: {base_url: 'http://10.0.0.1'}}\naliases: {a: mine/x}\nbudgets: [{scope: global, limit_usd: 1}]"
    assert any("is unpriced: where a budget holds, it is refused" in message for _, _, message in findings(headgate_environment, yaml))


def test_the_first_file_is_twelve_lines_and_right(headgate_environment: Path) -> None:
    path = headgate_environment / "headgate.yaml"
    assert write_first(path) == (path, headgate_environment / SCHEMA_FILE)
    assert len(FIRST.splitlines()) == 12
    assert findings(headgate_environment, path.read_text()) == []


def test_what_is_there_is_never_overwritten(headgate_environment: Path) -> None:
    path = headgate_environment / "headgate.yaml"
    path.write_text("gateway_port: 7000\n")
    with pytest.raises(ConfigError, match="there already"):
        write_first(path)
    assert path.read_text() == "gateway_port: 7000\n"
    other = headgate_environment / "other.yaml"
    (headgate_environment / SCHEMA_FILE).write_text("{}")
    assert write_first(other) == (other,)
    assert (headgate_environment / SCHEMA_FILE).read_text() == "{}"
