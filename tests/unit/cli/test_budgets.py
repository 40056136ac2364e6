"""Budgets are made, changed, listed and ended on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headgate.cli import main


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_DATA_DIR", str(tmp_path / "data"))


def test_a_budget_is_made_changed_listed_and_ended(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["budgets", "ls"]) == 0
    assert capsys.readouterr().out == "no budgets\n"
    assert main(["budgets", "set", "team-day", "--scope", "team:*", "--limit", "12.50", "--window", "day"]) == 0
    assert capsys.readouterr().out == "team-day: at most $12.50 per day for team:* (block)\n"
    assert main(["budgets", "set", "team-day", "--limit", "20", "--action", "warn", "--thresholds", "50,100"]) == 0
    assert capsys.readouterr().out == "team-day: at most $20.00 per day for team:* (warn)\n"
    assert main(["budgets", "ls"]) == 0
    assert "team-day  team:*  day     warn" in capsys.readouterr().out
    assert main(["budgets", "ls", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    expected = {"id": "team-day", "scope": "team:*", "limit": "20.00", "window": "day", "action": "warn", "thresholds": [50, 100]}
    assert document == {"budgets": [expected], "balances": []}
    assert main(["budgets", "rm", "team-day"]) == 0
    assert main(["budgets", "rm", "team-day"]) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["set", "b", "--limit", "1"], 2, "needs --scope, --window"),
        (["set", "b", "--limit", "lots", "--scope", "global", "--window", "day"], 3, "--limit is 'lots'"),
        (["set", "b", "--limit", "1", "--scope", "planet", "--window", "day"], 3, "'planet' is no scope"),
        (["set", "b", "--limit", "1", "--scope", "global", "--window", "day", "--thresholds", "x"], 2, "--thresholds is 'x'"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["budgets", *arguments]) == code
    assert said in capsys.readouterr().err
