"""``headgate config`` and ``headgate reload``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from headgate.serving.pid_file import PidFile, pid_file

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Any]


def test_what_is_in_force_and_where_it_comes_from(headgate: Command, headgate_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_KEY", "hg-0123456789abcdefgh")
    (headgate_environment / "headgate.yaml").write_text('budgets:\n  - {scope: global, limit_usd: "2.50"}\n')
    plain = headgate("config", "show", code=0).out
    assert "budgets[0].limit_usd = 2.5\n" in plain
    assert "gateway.workers = 1\n" in plain
    assert "0123456789abcdef" not in plain
    lines = [line.split() for line in headgate("config", "show", "--origin", "--changed", code=0).out.splitlines()]
    assert ["budgets[0].limit_usd", "2.5", f"{headgate_environment}/headgate.yaml:2:32"] in lines
    assert ["key", "hg-012…fgh", "environment", "HEADGATE_KEY"] in lines
    found = {row["name"]: row for row in headgate("config", "show", "--json", code=0).json()}
    assert found["gateway_port"] == {"name": "gateway_port", "value": "6120", "origin": "default"}


def test_a_file_is_checked(headgate: Command, headgate_environment: Path) -> None:
    assert headgate("config", "check", code=0).out == "no settings file; the defaults and variables are right\n"
    other = headgate_environment / "other.yaml"
    other.write_text("aliases: {a: openai/gpt-9-unheard}\n")
    done = headgate("config", "check", "other.yaml", code=0)
    assert done.out.splitlines()[0].startswith(f"{other}:1:14: warning: openai/gpt-9-unheard is not in the catalog")
    assert done.out.splitlines()[-1] == f"{other}: right"
    assert headgate("config", "check", "other.yaml", "--strict", code=3).out.count("\n") == 1
    other.write_text("aliases: {a: opnai/x}\nroutes: {r: {deployments: [opnai/y]}}\n")
    assert [line.split(": ")[:2] for line in headgate("config", "check", "other.yaml", code=3).out.splitlines()] == [
        [f"{other}:1:14", "error"],
        [f"{other}:2:28", "error"],
    ]
    found = headgate("config", "check", "other.yaml", "--json", code=3).json()
    assert (found["file"], len(found["findings"])) == (str(other), 2)


def test_a_file_that_cannot_be_read_has_a_place_and_a_hint(headgate: Command, headgate_environment: Path) -> None:
    (headgate_environment / "headgate.yaml").write_text("routs: {}\n")
    done = headgate("config", "check", code=3)
    assert f'{headgate_environment}/headgate.yaml:1:1: unknown key "routs" (did you mean "routes"?)' in done.err
    assert "hint: headgate config check" in done.err
    assert "absent.yaml: cannot be read: No such file or directory" in headgate("config", "check", "absent.yaml", code=3).err


def test_the_schema_is_a_schema(headgate: Command) -> None:
    schema = headgate("config", "schema", code=0).json()
    assert jsonschema_rs.Draft7Validator(schema).is_valid({"gateway_port": 1})


def test_a_first_file_is_begun_once(headgate: Command, headgate_environment: Path) -> None:
    assert headgate("config", "init", code=0).out.splitlines()[-1] == "next: headgate config check headgate.yaml"
    assert headgate("config", "check", code=0).out == f"{headgate_environment}/headgate.yaml: right\n"
    before = (headgate_environment / "headgate.yaml").read_bytes()
    assert "is there already" in headgate("config", "init", code=3).err
    assert (headgate_environment / "headgate.yaml").read_bytes() == before


def test_reload_without_a_gateway(headgate: Command, headgate_environment: Path) -> None:
    done = headgate("reload", code=3)
    assert "is running on port 6120" in done.err
    assert "hint: headgate serve" in done.err


def test_a_gateway_that_says_nothing(headgate: Command, headgate_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda pid, number: sent.append((pid, number)))
    with PidFile(pid_file(headgate_environment / "data", 6120)):
        assert "has not said how that went" in headgate("reload", "--wait", "0", code=0).out
    assert len(sent) == 1
