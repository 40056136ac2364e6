"""``--account`` and declared providers on the command line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headgate.ledger import Ledger
from headgate.sim.faults import Match, Rule, Status
from headgate.sim.server import Simulator
from headgate.testing.pipelines import write_quiz
from headgate.wire.json import decode

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Any]


@pytest.fixture(autouse=True)
def settings(headgate_environment: Path, headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A declared provider at the simulator, with a key for each of two accounts."""
    (headgate_environment / "headgate.yaml").write_text(
        f"providers:\n  my-sim:\n    base_url: {headgate_sim.url}/openai/v1\n    allow_private: true\n    key_env: MY_SIM_KEY\n"
        "    default_model: sim-small\n    accounts:\n      team-a: {key_env: TEAM_A_KEY}\n"
    )
    monkeypatch.setenv("MY_SIM_KEY", "sim-main")
    monkeypatch.setenv("TEAM_A_KEY", "sim-team-a")


def accounts(folder: Path) -> list[str]:
    """The accounts that receipts name, oldest first."""
    with closing(Ledger.open(folder / "data" / "ledger.db")) as ledger:
        return [receipt.account for receipt in sorted(ledger.list(), key=lambda receipt: receipt.id)]


def test_a_question_to_a_declared_provider(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    assert headgate("ask", "Hello", "-m", "my-sim/sim-small", code=0).out.strip()
    told = headgate("ask", "Hello", "-p", "my-sim", "--account", "team-a", "--json", code=0).json()
    assert (told["model"], told["cost_usd"]) == ("my-sim/sim-small", None)
    assert accounts(headgate_environment) == ["default", "team-a"]
    assert [line.account for line in headgate_sim.bill.lines] == ["sim-main", "sim-team-a"]


@pytest.mark.parametrize(
    "command", [("ask", "Hello", "-m", "my-sim/sim-small"), ("run", "Quiz", "-p", "my-sim"), ("provider", "check", "my-sim")]
)
def test_an_account_that_is_not_set_up(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, command: tuple[str, ...]
) -> None:
    write_quiz(headgate_environment)
    done = headgate(*command, "--account", "team-b", code=3)
    assert "my-sim has no account 'team-b'; it has default, team-a" in done.err
    assert "hint: see providers: in headgate.yaml" in done.err
    assert headgate_sim.requests == []


def test_a_resumed_run_keeps_its_account(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    headgate_sim.set_faults((Rule(Status("auth"), Match(operation="chat", nth=2)),))
    stopped = headgate("run", "Quiz", "-r", "one", "-p", "my-sim", "--account", "team-a", "--concurrency", "1")
    assert stopped.code == 1
    headgate_sim.set_faults(())
    done = headgate("run", "Quiz", "-r", "one", "--account", "default", "--json", code=0)
    assert "--account default is left out: the run goes on as it was planned" in done.err
    assert done.json()["valid"] == 6
    assert {line.account for line in headgate_sim.bill.lines} == {"sim-team-a"}
    assert len(headgate_sim.bill.lines) == 6
    receipts = (headgate_environment / "runs" / "one" / "outputs" / "receipts.jsonl").read_text(encoding="utf-8").splitlines()
    assert {decode(line)["account"] for line in receipts} == {"team-a"}


def test_a_declared_provider_is_tried_with_an_account(headgate: Command, headgate_sim: Simulator) -> None:
    out = headgate("provider", "check", "my-sim", "--account", "team-a", code=0).out
    assert out.startswith(f"my-sim/sim-small at {headgate_sim.url}/openai/v1, openai_chat, account team-a\n")
    assert [line.account for line in headgate_sim.bill.lines] == ["sim-team-a"]


def test_the_list_of_providers_shows_accounts(headgate: Command) -> None:
    found = {entry["name"]: entry for entry in headgate("provider", "ls", "--json", code=0).json()}
    assert (found["my-sim"]["accounts"], found["my-sim"]["ready"], found["my-sim"]["from"]) == (["team-a"], True, "headgate.yaml")
    assert found["openai"]["accounts"] == []


def test_a_key_in_the_settings_file_is_refused_and_not_repeated(headgate: Command, headgate_environment: Path) -> None:
    (headgate_environment / "headgate.yaml").write_text("providers: {openai: {key_env: sk-secret-1234}}")
    done = headgate("provider", "ls", code=3)
    assert "needs the NAME of a variable in openai.key_env" in done.err
    assert "sk-secret-1234" not in done.err + done.out
