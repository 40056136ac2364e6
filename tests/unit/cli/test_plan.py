"""``headgate run --plan``, and what is said and asked before a run begins."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest

from headgate.sim.faults import Match, Rule, Status
from headgate.sim.server import Simulator
from headgate.testing.clock import START, Clock, ScaledClock
from headgate.testing.pipelines import CONFIG, write_quiz
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]
MANY = "questions:\n" + "".join(f"  - id: q{n}\n    text: question {n}\n" for n in range(60))


@pytest.fixture
def headgate_sim_clock() -> Clock:
    """A batch of a minute is over in a third of a second."""
    return ScaledClock(START, 200.0)


class Usage(NamedTuple):
    """What `shutil.disk_usage` says."""

    total: int
    used: int
    free: int


def dollars(cost: Json) -> dict[str, Decimal]:
    return {name: Decimal(text) for name, text in cost.items()}


def test_a_plan_makes_no_run_and_no_call_and_needs_no_key(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    done = headgate("run", "Quiz", "--plan", "-p", "openai", "-m", "gpt-4o-mini", code=0)
    assert done.out.startswith("Quiz: 6 units, 6 of them looked at; all numbers are approximate\n")
    assert re.search(r"^\* realtime  about \$0\.\d+ \(\$0\.\d+ to \$0\.\d+\), at most \$0\.\d+; about ", done.out, re.MULTILINE)
    assert re.search(r"^  batch     about .* saves 50%, at most .*; about 2h00m \(.* to 26h00m\)", done.out, re.MULTILINE)
    assert headgate_sim.requests == []
    assert not (headgate_environment / "runs").exists()


@pytest.mark.parametrize("mode", ["realtime", "batch"])
def test_the_bill_is_within_the_plan(headgate: Command, headgate_environment: Path, headgate_sim: Simulator, mode: str) -> None:
    planned = headgate("run", "DrunkenSailor", "--plan", "--max-units", "30", "--mode", mode, "-p", "sim-openai", "--json", code=0).json()
    assert planned["approximate"] is True and planned["units"] == 30
    done = headgate("run", "DrunkenSailor", "-p", "sim-openai", "--max-units", "30", "--mode", mode, "--grace", "0", "-q", "--json", code=0)
    assert "estimate: 30 (30 to 38) calls, about $" in done.err
    spent, cost = Decimal(done.json()["cost_nanos"]) / 10**9, dollars(planned["cost_usd"][mode])
    assert spent == Decimal(headgate_sim.bill.total) / 10**9
    assert cost["low"] <= spent <= cost["high"] <= Decimal(planned["at_most_usd"][mode])


def test_the_next_plan_has_learned_from_the_run(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    before = headgate("run", "Quiz", "--plan", "--json", code=0).json()
    headgate("run", "Quiz", "-r", "one", "-q", code=0)
    after = headgate("run", "Quiz", "--plan", "--json", code=0).json()
    (guessed,), (learned,) = before["steps"], after["steps"]
    assert (guessed["source"], learned["source"]) == ("6 prompts, and the schema", "6 calls of an earlier run")
    assert dollars(after["cost_usd"]["realtime"])["likely"] == pytest.approx(Decimal(headgate_sim.bill.total) / 10**9, rel=Decimal("0.1"))
    spread = [dollars(told["cost_usd"]["realtime"]) for told in (before, after)]
    assert spread[1]["high"] - spread[1]["low"] < spread[0]["high"] - spread[0]["low"]
    other = headgate("run", "Quiz", "--plan", "--json", "-m", "sim-large", code=0).json()
    assert other["steps"][0]["source"] == "6 prompts, and the schema"


def test_a_fan_out_is_in_the_plan_and_is_said_to_be_a_guess(headgate: Command, headgate_environment: Path) -> None:
    config = CONFIG.replace("    - name: ask\n", "    - {name: split, scope: fan_out, field: words}\n    - name: ask\n")
    items = "questions:\n  - {id: a, text: x, words: [1, 2]}\n  - {id: b, text: y, words: [1, 2, 3, 4]}\n"
    write_quiz(headgate_environment, config=config, items=items)
    counted = headgate("run", "Quiz", "--plan", "--json", code=0).json()
    assert counted["calls"]["likely"] == 6
    given = headgate("run", "Quiz", "--plan", "--fan-out", "100", "--json", code=0).json()
    assert given["calls"]["likely"] == 200


def test_a_cap_below_the_likely_cost_is_told(headgate: Command, headgate_environment: Path) -> None:
    write_quiz(headgate_environment)
    done = headgate("run", "Quiz", "--plan", "--max-cost", "0.00000001", code=0)
    assert "is likely to cost: it will stop early" in done.err
    assert "stop early" not in headgate("run", "Quiz", "--plan", "--max-cost", "1", code=0).err


def test_what_has_no_price_is_unknown(headgate: Command, headgate_environment: Path) -> None:
    write_quiz(headgate_environment)
    done = headgate("run", "Quiz", "--plan", "-p", "openai", "-m", "gpt-77-of-tomorrow", code=0)
    assert "* realtime  cost unknown, no upper bound" in done.out


def test_local_pipelines_cost_nothing(headgate: Command, headgate_environment: Path) -> None:
    config = CONFIG.partition("prompts:")[0].replace(
        "    - name: ask\n      prompt_template: ask.jinja2\n", "    - {name: size, scope: expression, expressions: {n: len(text)}}\n"
    )
    write_quiz(headgate_environment, config=config)
    assert "* realtime  no cost" in headgate("run", "Quiz", "--plan", code=0).out
    assert "estimate" not in headgate("run", "Quiz", "-r", "one", code=0).err


# Asking


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--max-units", "60"), "60 calls to openai/gpt-4o-mini: too many to be made unasked"),
        (("--max-units", "5", "--confirm-over", "0.000001"), "5 calls to openai/gpt-4o-mini: more than $0.000001 is not spent unasked"),
        (("--max-units", "60", "--mode", "batch", "--confirm-over", "0.0001"), "more than $0.000100 is not spent unasked"),
    ],
    ids=["many", "dear", "dear-batch"],
)
def test_without_a_terminal_it_needs_a_yes(
    headgate: Command, headgate_environment: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-used")
    write_quiz(headgate_environment, items=MANY)
    refused = headgate("run", "Quiz", "-p", "openai", "-r", "one", *arguments, code=2)
    assert told in refused.err and "hint: add --yes" in refused.err and "about $0." in refused.err
    assert not (headgate_environment / "runs").exists(), "nothing is left behind"


def test_the_threshold_is_a_setting(headgate: Command, headgate_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-used")
    monkeypatch.setenv("HEADGATE_CONFIRM_OVER", "0.00001")
    write_quiz(headgate_environment)
    assert "more than $0.000010 is not spent unasked" in headgate("run", "Quiz", "-p", "openai", code=2).err


def test_simulated_dollars_are_spent_unasked(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment, items=MANY)
    headgate("run", "Quiz", "-r", "one", "--confirm-over", "0.000001", "-q", code=0)


# Preflight


def test_a_key_that_is_refused_is_told_before_the_run_is_made(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator
) -> None:
    write_quiz(headgate_environment)
    headgate_sim.set_faults((Rule(Status("auth"), Match(operation="models")),))
    done = headgate("run", "Quiz", "-r", "one", code=4)
    assert "check the key in HEADGATE_SIM_KEY" in done.err
    assert [entry.operation for entry in headgate_sim.requests] == ["models"]
    assert not (headgate_environment / "runs").exists()
    assert headgate("run", "Quiz", "-r", "one", "--no-preflight", "-q", code=0).out.startswith("complete: 6 valid")


@pytest.mark.parametrize("fault", ["not_found", "permission", "rate_limit", "server"])
def test_a_list_that_is_not_given_keeps_no_run_from_beginning(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, fault: str
) -> None:
    write_quiz(headgate_environment)
    headgate_sim.set_faults((Rule(Status(fault), Match(operation="models")),))
    done = headgate("run", "Quiz", "-r", "one", code=0)
    assert ("did not list its models" in done.err) is (fault != "not_found")


def test_a_provider_that_is_not_there_is_told_at_once(
    headgate: Command, headgate_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_quiz(headgate_environment)
    monkeypatch.setenv("HEADGATE_SIM_URL", "http://127.0.0.1:1")
    done = headgate("run", "Quiz", "-r", "one", code=5)
    assert "Simulator (OpenAI wire) cannot be reached" in done.err and "hint: " in done.err
    assert not (headgate_environment / "runs").exists()


def test_templates_that_no_unit_gets_through_are_told(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment, template="{{ text.missing.more }}\n")
    done = headgate("run", "Quiz", "-r", "one", code=3)
    assert "none of the 6 units tried gets through: step 'ask', unit 'q0': " in done.err
    assert "hint: headgate validate Quiz" in done.err
    assert headgate_sim.requests == []


def test_some_units_that_would_fail_are_a_note(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment, template="answer: {{ 1 // (text | replace('question ', '') | int) }}\n")
    done = headgate("run", "Quiz", "-r", "one", code=0)
    assert "note: 1 of 6 units tried would fail: step 'ask', unit 'q0': " in done.err


@pytest.mark.parametrize(("free", "code", "told"), [(10, 3, "will write about"), (12_000, 0, "has only 12 kB free"), (10**12, 0, None)])
def test_a_disk_that_is_too_small_is_told(
    headgate: Command,
    headgate_environment: Path,
    headgate_sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    code: int,
    told: str | None,
) -> None:
    write_quiz(headgate_environment)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, free))
    done = headgate("run", "Quiz", "-r", "one", code=code)
    assert told is None or told in done.err
    assert ("will write about" in done.err) is (told is not None)


def test_a_run_that_goes_on_asks_nobody_anything(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    headgate("run", "Quiz", "-r", "one", "-q", code=0)
    asked = len(headgate_sim.requests)
    done = headgate("run", "Quiz", "-r", "one", code=0)
    assert "resuming one" in done.err and "estimate" not in done.err
    assert len(headgate_sim.requests) == asked
