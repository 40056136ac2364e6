"""``headgate run`` and ``headgate status``, against the simulator."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import click
import pytest

from headgate.batch.pipeline_load import STAGES
from headgate.cli.params import Dollars, Duration
from headgate.ledger import Filter, Ledger
from headgate.providers import PROVIDERS
from headgate.sim.faults import Delay, Match, Rule, Status
from headgate.sim.server import Simulator
from headgate.testing.clock import START, Clock, ScaledClock
from headgate.testing.pipelines import CONFIG, ITEMS, write_quiz
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]


@pytest.fixture
def headgate_sim_clock() -> Clock:
    """A batch of a minute is over in a third of a second."""
    return ScaledClock(START, 200.0)


def rows(path: str | Path) -> list[Json]:
    """A JSONL file."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("mode", ["realtime", "batch"])
def test_a_run_from_start_to_receipts(headgate: Command, headgate_environment: Path, headgate_sim: Simulator, mode: str) -> None:
    write_quiz(headgate_environment)
    done = headgate("run", "Quiz", "-r", "one", "--mode", mode, "--json", code=0)
    told = done.json()
    assert set(told) == {"run", "folder", "state", "exit_code", "valid", "failed", "cost_nanos", "unpriced_calls", "reason", "outputs"}
    assert (told["run"], told["state"], told["exit_code"], told["valid"], told["failed"]) == ("one", "complete", 0, 6, 0)
    assert told["cost_nanos"] == headgate_sim.bill.total > 0
    assert "sim-openai/sim-small" in done.err
    answers = rows(told["outputs"]["results"])
    assert sorted(answer["answer"] for answer in answers) == [f"question {n}" for n in range(6)]
    assert rows(told["outputs"]["failures"]) == []
    with closing(Ledger.open(headgate_environment / "data" / "ledger.db")) as ledger:
        booked = ledger.totals(Filter(run="one"))
    assert sum(total.cost_nanos for total in booked) == headgate_sim.bill.total

    status = headgate("status", "one", "--json", code=0).json()
    assert (status["state"], status["mode"], status["units"], status["driven"]) == ("complete", mode, 6, False)
    assert Decimal(status["cost_usd"]) * 10**9 == headgate_sim.bill.total
    (step,) = status["steps"]
    assert (step["name"], step["provider"], step["model"]) == ("ask", "sim-openai", "sim-small")
    assert step["started"] == step["valid"] + step["failed"] + step["pending"] == 6
    assert len(status["batches"]) == (1 if mode == "batch" else 0)
    assert status["problems"] == []
    text = headgate("status", str(headgate_environment / "runs" / "one"), code=0).out
    assert text.startswith(f"one: Quiz, {mode}, complete\nunits 6, spent $")


@pytest.mark.parametrize("mode", ["realtime", "batch"])
def test_a_run_of_combinations(headgate: Command, headgate_environment: Path, headgate_sim: Simulator, mode: str) -> None:
    """OCT-60, OCT-198: every person in every mood, twice."""
    positions = "[{name: npc, source_key: npcs}, {name: mood}]"
    config = CONFIG.replace("strategy: direct", f"strategy: cross_product\n  repeat: 2\n  positions: {positions}").replace(
        "    key: questions\n", ""
    )
    people = "npcs: [{id: smith}, {id: wise elder}]\nmoods: [{id: calm}, {id: cross}, {id: sad}]\n"
    write_quiz(headgate_environment, config=config, items=people, template="answer: {{ npc.id }} is {{ mood.id }}\n")
    told = headgate("run", "Quiz", "-r", "one", "--mode", mode, "--json", code=0).json()
    assert (told["state"], told["valid"], told["cost_nanos"]) == ("complete", 12, headgate_sim.bill.total)
    answers = {row["unit_id"]: row["answer"] for row in rows(told["outputs"]["results"])}
    assert len(answers) == 12
    assert answers["wise_elder-cross__rep0001"] == "wise elder is cross"


def test_a_run_goes_on_where_it_stopped(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """A refused key stops the run; with a key that works it goes on, and pays for nothing twice."""
    write_quiz(headgate_environment)
    headgate_sim.set_faults((Rule(Status("auth"), Match(operation="chat")),))
    stopped = headgate("run", "Quiz", "-r", "one")
    assert stopped.code != 0
    assert "check the key in HEADGATE_SIM_KEY" in stopped.err
    assert "go on with: headgate run Quiz --run-dir runs/one" in stopped.err
    assert headgate_sim.bill.total == 0

    wrong = headgate("run", "Other", "-r", "one", code=2)
    assert "is a run of 'Quiz', not of 'Other'" in wrong.err
    assert "headgate run Quiz --run-dir" in wrong.err

    headgate_sim.set_faults(())
    done = headgate("run", "Quiz", "-r", "one", "--json", code=0)
    assert done.json()["valid"] == 6
    assert "resuming one" in done.err
    assert len(headgate_sim.bill.lines) == 6
    again = headgate("run", "Quiz", "-r", "one", "--json", code=0)
    assert again.json()["valid"] == 6
    assert len(headgate_sim.bill.lines) == 6


def test_a_cost_cap_ends_with_two(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    done = headgate("run", "Quiz", "-r", "one", "--max-cost", "0.0000001", code=2)
    assert "reason: the cost cap is reached" in done.err
    assert "hint: run the same command with a higher --max-cost to go on" in done.err
    assert headgate_sim.bill.total == 0
    assert headgate("run", "Quiz", "-r", "one", "--max-cost", "$1", "-q", code=0).out.startswith("complete: 6 valid")


def test_an_answer_that_breaks_the_schema_fails_only_its_unit(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator
) -> None:
    write_quiz(headgate_environment, items=ITEMS.replace("question 3", "'x'\n    extra: 1"), template="answer: {{ text }}\n")
    headgate_sim.set_faults((Rule(Status("bad_request"), Match(operation="chat", nth=2)),))
    told = headgate("run", "Quiz", "-r", "one", "--json", "--concurrency", "1").json()
    assert (told["valid"], told["failed"]) == (5, 1)
    (failure,) = rows(told["outputs"]["failures"])
    assert "Invalid request" in json.dumps(failure)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("Quizz",), 3, "did you mean 'Quiz'?"),
        (("Quiz", "-p", "sim-opnai"), 3, "unknown provider 'sim-opnai' (did you mean sim-openai?)"),
        (("Quiz", "-m", "sim-openai/sim-smal"), 3, "did you mean sim-small?"),
        (("Quiz", "-m", "sim-smal"), 3, "did you mean sim-small?"),
        (("Quiz", "-p", "openai"), 3, "no key for OpenAI: OPENAI_API_KEY is not set"),
        (("Quiz", "--mode", "bach"), 2, "'bach' is not one of"),
        (("Quiz", "--max-units", "0"), 2, "0 is not in the range"),
        (("Quiz", "--max-cost", "much"), 2, "'much' is not an amount; write 2.50"),
        (("Quiz", "--max-cost", "0"), 2, "the amount must be greater than zero"),
        (("Quiz", "--max-cost", "-1"), 2, "the amount must be greater than zero"),
        (("Quiz", "--max-cost", "inf"), 2, "the amount must be greater than zero"),
        (("Quiz", "-r", "a b"), 2, "'a b' cannot be the name of a run"),
        (("Quiz", "-r", "..secret"), 2, "cannot be the name of a run"),
        (("Quiz", "--concurency", "1"), 2, "Did you mean '--concurrency'?"),
        ((), 2, "Missing argument 'PIPELINE'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_said_at_once(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, arguments: tuple[str, ...], code: int, told: str
) -> None:
    write_quiz(headgate_environment)
    done = headgate("run", *arguments)
    assert done.code == code, done.err
    assert told in " ".join(done.err.split())
    assert headgate_sim.requests == []
    assert not (headgate_environment / "runs").exists(), "nothing is left behind"


def test_no_provider_named_anywhere(headgate: Command, headgate_environment: Path) -> None:
    write_quiz(headgate_environment, config=CONFIG.replace("api:\n  provider: sim-openai\n", ""))
    done = headgate("run", "Quiz", code=3)
    simulated = ", ".join(sorted(name for name, provider in PROVIDERS.items() if provider.simulated))
    assert f"no provider is named anywhere; keys were found for {simulated}" in done.err
    assert "hint: add --provider sim-anthropic" in done.err


@pytest.mark.parametrize(
    ("text", "nanos"), [("2.50", 2_500_000_000), ("$1", 10**9), ("0.000000001", 1), ("1e-3", 10**6), ("1000000", 10**15)]
)
def test_amounts(text: str, nanos: int) -> None:
    assert Dollars().convert(text, None, None) == nanos


@pytest.mark.parametrize("text", ["1e400", "1e-12", "0", "-1", "nan", "inf"])
def test_what_is_no_amount(headgate: Command, headgate_environment: Path, text: str) -> None:
    write_quiz(headgate_environment)
    assert "the amount must be" in headgate("run", "Quiz", "--max-cost", text, code=2).err


def test_a_path_with_a_slash_is_a_folder(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    headgate("run", "Quiz", "-r", "./here", "-q", code=0)
    assert (headgate_environment / "here" / "outputs" / "results.jsonl").exists()


def test_a_step_that_does_not_exist(headgate: Command, headgate_environment: Path) -> None:
    write_quiz(headgate_environment, config=CONFIG.replace("validation:\n  ask:", "validation:\n  aks:"))
    done = headgate("run", "Quiz", code=3)
    assert "config.yaml:21:3: validation names 'aks', which is no step (known: ask)" in done.err


@pytest.mark.parametrize(
    ("config", "place"),
    [
        (CONFIG.replace("  chunk_size: 10", "  chunk_size: ten"), "config.yaml:10:3"),
        (CONFIG.replace("  chunk_size: 10", "  chunk_size: [10"), "config.yaml:1"),
        (CONFIG.replace("  strategy: direct", "  stratgey: direct"), "config.yaml:9:3"),
        (CONFIG.replace("      prompt_template: ask.jinja2", "\t prompt_template: ask.jinja2"), "config.yaml:5:1"),
    ],
    ids=["type", "unclosed", "unknown-key", "tab"],
)
def test_an_error_in_the_yaml_names_its_place(headgate: Command, headgate_environment: Path, config: str, place: str) -> None:
    write_quiz(headgate_environment, config=config)
    done = headgate("run", "Quiz", code=3)
    assert place in done.err
    assert not (headgate_environment / "runs").exists()


def test_status_of_what_is_not_there(headgate: Command, headgate_environment: Path) -> None:
    done = headgate("status", "nowhere", code=2)
    assert "there is no run 'nowhere'" in done.err
    assert "hint: headgate run" in done.err


def test_a_run_is_found_by_the_beginning_of_its_name(headgate: Command, headgate_environment: Path) -> None:
    write_quiz(headgate_environment, items="questions:\n  - id: a\n    text: b\n")
    for name in ("first-one", "first-two", "last"):
        headgate("run", "Quiz", "-r", name, "-q", code=0)
    assert headgate("status", "la", code=0).out.startswith("last: Quiz")
    assert "several runs begin with 'first'" in headgate("status", "first", code=2).err


def test_hostile_text_is_not_printed_raw(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    headgate_sim.set_faults((Rule(Status("auth", message="no\x1b[2Jentry\x07"), Match(operation="chat")),))
    done = headgate("run", "Quiz", "-r", "one")
    status = headgate("status", "one", code=0)
    for text in (done.out, done.err, status.out, status.err):
        assert not set(text) & set("\x1b\x07"), text
    assert "no\ufffd[2Jentry" in done.err
    for arguments in (("run", "Qu\x1b[2Jiz"), ("run", "Quiz", "-m", "sim-openai/\x1b[2J"), ("status", "\x1b[2J"), ("\x1b[2J",)):
        found = headgate(*arguments)
        assert found.code in (2, 3)
        assert "\x1b" not in found.out + found.err, arguments


def test_a_provider_that_cannot_be_reached_stops_the_run_and_fails_no_unit(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = "questions:\n" + "".join(f"  - id: q{n}\n    text: question {n}\n" for n in range(20))
    write_quiz(headgate_environment, items=items)
    with monkeypatch.context() as nowhere:
        nowhere.setenv("HEADGATE_SIM_URL", "http://127.0.0.1:1")
        stopped = headgate("run", "Quiz", "-r", "one", "--no-preflight", "--json", code=1)
    assert (stopped.json()["state"], stopped.json()["failed"]) == ("failed", 0)
    assert "calls in a row had no answer" in stopped.json()["reason"]
    done = headgate("run", "Quiz", "-r", "one", "--seed", "other", "--provider", "sim-gemini", "--json", code=0)
    assert done.json()["valid"] == 20
    assert "--seed other is left out" in done.err
    assert "--provider sim-gemini is left out" in done.err


def test_a_run_without_a_single_result_is_loud(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment, template="{{ 1 // (text | length - text | length) }}\n")
    done = headgate("run", "Quiz", "-r", "one", "--no-preflight", "--json", code=1)
    assert (done.json()["state"], done.json()["valid"], done.json()["failed"]) == ("complete", 0, 6)
    assert done.json()["reason"].startswith("no unit came through")
    assert headgate("run", "Quiz", "-r", "one", "--json", code=1).json()["valid"] == 0


def test_a_run_stops_when_its_time_is_up(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    headgate_sim.set_faults((Rule(Delay(30.0), Match(operation="chat")),))
    write_quiz(headgate_environment)
    stopped = headgate("run", "Quiz", "-r", "one", "--timeout", "1s", "--json", code=3)
    assert (stopped.json()["state"], stopped.json()["reason"]) == ("paused", "the time given with --timeout is up")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90.0), ("30m", 1800.0), ("1h30m", 5400.0), ("2h", 7200.0)])
def test_times(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "1x", "0s", "30", "1m1h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a time"):
        Duration().convert(text, None, None)


def test_many_real_calls_are_not_made_unasked(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-used")
    items = "questions:\n" + "".join(f"  - id: q{n}\n    text: question {n}\n" for n in range(60))
    write_quiz(headgate_environment, items=items)
    refused = headgate("run", "Quiz", "-p", "openai", "-r", "one", code=2)
    assert "60 calls to openai/gpt-4o-mini: too many to be made unasked" in refused.err
    assert "--yes" in refused.err


SERVER = """providers:
  my-server:
    dialect: openai_chat
    base_url: {url}/openai/v1
    allow_private: true
    key_env: MY_SERVER_KEY
    default_model: sim-small
"""


@pytest.fixture
def unpriced(headgate_environment: Path, headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """A provider whose model has no known price."""
    (headgate_environment / "headgate.yaml").write_text(SERVER.format(url=headgate_sim.url), encoding="utf-8")
    monkeypatch.setenv("MY_SERVER_KEY", "sim-key")
    write_quiz(headgate_environment)
    return "my-server"


def test_a_model_without_a_price_is_not_free(headgate: Command, unpriced: str, headgate_environment: Path) -> None:
    """OCT-17: no command says that calls without a price cost nothing."""
    done = headgate("run", "Quiz", "-p", unpriced, "-r", "one", "--yes", code=0)
    unknown = "cost unknown: what 6 calls without a known price cost"
    assert f"complete: 6 valid, 0 failed, {unknown}" in done.out
    assert unknown in headgate("watch", "one", code=0).out and f"units 6, {unknown}" in headgate("status", "one", code=0).out
    assert "1 run, cost unknown" in headgate("ls", code=0).out
    assert "cost unknown)" in headgate("delete", "one", code=2).err
    for command in (("watch", "one"), ("status", "one"), ("info", "one"), ("report", "one"), ("ls",), ("dump",), ("dump", "one")):
        assert "0.00" not in headgate(*command, code=0).out.replace("set aside $0.000000", "")


def test_an_unknown_cost_is_null_in_json(headgate: Command, unpriced: str) -> None:
    done = headgate("run", "Quiz", "-p", unpriced, "-r", "one", "--yes", "--json", code=0).json()
    assert (done["cost_nanos"], done["unpriced_calls"]) == (None, 6)
    status = headgate("status", "one", "--json", code=0).json()
    for told in (status, status["tokens"]["total"], *status["steps"]):
        assert (told["cost_usd"], told["priced_cost_usd"], told["unpriced_calls"]) == (None, "0.00", 6)
    assert status["tokens"]["retry"]["cost_usd"] == "0.00"
    assert headgate("watch", "one", "--json", code=0).json()["cost_usd"] is None
    units = headgate("export", "one", "--what", "units", code=0).out.splitlines()
    assert [json.loads(unit)["cost_usd"] for unit in units] == [None] * 6


def test_a_limit_that_cannot_be_kept_is_refused_beforehand(headgate: Command, unpriced: str, headgate_environment: Path) -> None:
    refused = headgate("run", "Quiz", "-p", unpriced, "-r", "one", "--yes", "--max-cost", "1", code=3)
    assert "the price of my-server/sim-small is unknown: a cost limit cannot be kept" in refused.err
    assert not (headgate_environment / "runs" / "one").exists()


# Before and after


def test_a_pipeline_is_checked_without_a_call(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    told = headgate("validate", "Quiz", "--units", "2", "--show-prompt", code=0)
    assert told.out.splitlines() == [
        *(f"✓ {name}: {what}" for name, what in STAGES.items()),
        "✓ Quiz: 1 step, 6 units (direct)",
        "✓ 2 units tried at ask",
        "Answer this. answer: question 0",
        "",
    ]
    found = headgate("validate", "Quiz", "--json", code=0).json()
    assert (found["valid"], found["errors"], found["units"], found["tried"]["units"]) == (True, [], 6, 6)
    assert headgate_sim.requests == []


def test_what_is_wrong_with_a_pipeline_is_told_at_once(headgate: Command, headgate_environment: Path) -> None:
    write_quiz(
        headgate_environment, config=CONFIG.replace("chunk_size: 10", "chunk_size: 0").replace("strategy: direct", "strategy: direkt")
    )
    told = headgate("validate", "Quiz", code=3)
    assert "'chunk_size' must be at least 1" in told.err and "'strategy' cannot be 'direkt'" in told.err
    found = headgate("validate", "Quiz", "--json", code=3).json()
    assert (found["valid"], len(found["errors"])) == (False, 2)
    assert [check["passed"] for check in found["checks"]] == [False, None, None, None, None]
    assert "✗ configuration: 2 errors" in told.err and "not looked at yet: links, files, names, trial" in told.err
    assert all(re.match(r".*config\.yaml:\d+:3: ", error) for error in found["errors"])
    write_quiz(headgate_environment, template="{{ more }}\n", items=ITEMS.replace("question 5", "question 5\n    more: 1"))
    told = headgate("validate", "Quiz", "--units", "1", code=3)
    assert "config.yaml:4:7: step 'ask', unit 'q0': 'more' is undefined" in told.err
    assert "✓ names: " in told.out and "✗ trial: 1 error" in told.err
    assert "there is no pipeline 'Nope'" in headgate("validate", "Nope", code=3).err


def test_runs_are_listed(headgate: Command, headgate_environment: Path) -> None:
    assert headgate("ls", code=0).out.startswith("no runs in ")
    write_quiz(headgate_environment)
    for name in ("one", "two"):
        headgate("run", "Quiz", "-r", name, "-q", code=0)
    broken = headgate_environment / "runs" / "broken"
    broken.mkdir()
    (broken / "run.sqlite").write_bytes(b"no database")
    told = headgate("ls", code=0)
    lines = told.out.splitlines()
    assert [line.split()[0] for line in lines if line[0] != "-"] == ["run", "two", "one", "broken", "3"]
    assert lines[2].split()[1:7] == ["Quiz", "realtime", "complete", "6", "6", "0"]
    assert lines[4].split()[3] == "unreadable" and "warning: broken cannot be read: " in told.err
    found = headgate("ls", "--json", code=0).json()
    assert [(one["run"], one["state"]) for one in found] == [("two", "complete"), ("one", "complete"), ("broken", "unreadable")]
