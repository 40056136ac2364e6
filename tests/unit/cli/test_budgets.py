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
    assert capsys.readouterr().out.startswith("no budgets; make one: headgate budgets set ")
    assert main(["budgets", "set", "team-day", "--scope", "team:*", "--limit", "12.50", "--window", "day"]) == 0
    assert capsys.readouterr().out == "team-day: at most $12.50 per day for team:* (block)\n"
    assert main(["budgets", "set", "team-day", "--limit", "20", "--action", "warn", "--thresholds", "50,100"]) == 0
    assert capsys.readouterr().out == "team-day: at most $20.00 per day for team:* (warn)\n"
    assert main(["budgets", "ls"]) == 0
    assert "team-day  team:*  day     warn" in capsys.readouterr().out
    assert main(["budgets", "ls", "--json"]) == 0
    expected = {"id": "team-day", "scope": "team:*", "limit": "20.00", "window": "day", "action": "warn", "thresholds": [50, 100]}
    assert json.loads(capsys.readouterr().out) == [{**expected, "origin": "api", "balances": []}]
    assert main(["budgets", "show", "team-day", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**expected, "origin": "api", "balances": [], "alerts": []}
    assert main(["budgets", "show", "team-day"]) == 0
    assert "team-day: at most $20.00 per day for team:* (warn)" in capsys.readouterr().out
    assert main(["budgets", "end", "team-day"]) == 0
    assert main(["budgets", "end", "team-day"]) == main(["budgets", "show", "team-day"]) == 2
    assert main(["budgets", "alerts"]) == 0
    assert capsys.readouterr().out.endswith("nothing was told\n")
    assert main(["keys", "audit", "--json"]) == 0
    deeds = json.loads(capsys.readouterr().out)
    assert [(deed["action"], deed["object"], deed["actor"]) for deed in deeds] == [
        (f"budget.{verb}", "team-day", "the command line") for verb in ("end", "set", "set")
    ]


def test_the_budget_of_a_key_is_changed_with_the_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["budgets", "set", "key:k1", "--scope", "key:k1", "--limit", "1", "--window", "day"]) == 2
    assert "hint: headgate keys limit k1 --budget USD" in capsys.readouterr().err


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
