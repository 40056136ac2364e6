"""``headgate doctor``."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]


def test_every_finding_is_a_line_and_what_to_do_another(headgate: Command) -> None:
    done = headgate("doctor", code=0)
    lines = done.out.splitlines()
    assert lines[0].startswith("✓ python: 3.")
    assert "! key openai: none set" in lines
    assert "    → export OPENAI_API_KEY=…" in lines
    assert all(line.startswith(("✓ ", "! ", "✗ ", "    → ")) for line in lines)


def test_json(headgate: Command) -> None:
    checks = headgate("doctor", "--json", code=0).json()
    assert {frozenset(check) for check in checks} == {frozenset({"name", "level", "message", "fix"})}
    assert {check["level"] for check in checks} <= {"ok", "warn", "fail"}


def test_warnings_count_when_asked(headgate: Command) -> None:
    assert headgate("doctor").code == 0
    assert headgate("doctor", "--strict").code == 1


def test_a_failure_is_exit_code_one(headgate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not a key")
    done = headgate("doctor", code=1)
    assert "✗ key openai:" in done.out


def test_a_hostile_setting_is_made_harmless(headgate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_DEFAULT_PROVIDER", "open\x1b[2Jai")
    assert "\x1b" not in headgate("doctor").out
