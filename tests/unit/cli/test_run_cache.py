"""``headgate run --cache``: answers of earlier runs in place of calls (IMP-14), against the simulator."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from headgate.batch.answer_cache import AnswerCache
from headgate.domain.response import Response
from headgate.errors import StoreError
from headgate.ledger import Filter, Ledger
from headgate.sim.faults import Match, Rows, Rule, Twist
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


def rows(told: Json, name: str) -> list[Json]:
    return [json.loads(line) for line in Path(told["outputs"][name]).read_text(encoding="utf-8").splitlines()]


def sources(told: Json) -> Counter[str]:
    return Counter(receipt["cost_source"] for receipt in rows(told, "receipts"))


def booked(folder: Path, run: str) -> tuple[int, int]:
    """Calls and nano-dollars of a run in the ledger."""
    with closing(Ledger.open(folder / "data" / "ledger.db", read_only=True)) as ledger:
        totals = ledger.totals(Filter(run=run))
    return sum(total.calls for total in totals), sum(total.cost_nanos for total in totals)


@pytest.mark.parametrize(("first", "second"), [("realtime", "realtime"), ("realtime", "batch"), ("batch", "realtime"), ("batch", "batch")])
def test_what_was_answered_is_not_asked_again(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, first: str, second: str
) -> None:
    home = write_quiz(headgate_environment)
    one = headgate("run", "Quiz", "-r", "one", "--cache", "--no-preflight", "--mode", first, "--json", code=0).json()
    paid, asked = headgate_sim.bill.total, len(headgate_sim.requests)
    assert (one["valid"], sources(one)) == (6, Counter(usage=6))
    (home / "items.yaml").write_text(ITEMS.replace("question 5", "question five"))
    two = headgate("run", "Quiz", "-r", "two", "--cache", "--no-preflight", "--mode", second, "--json", code=0).json()
    assert (two["valid"], sources(two)) == (6, Counter(cached=5, usage=1))
    assert two["cost_nanos"] == headgate_sim.bill.total - paid > 0
    assert len(headgate_sim.bill.lines) == 7
    assert [one["answer"] for one in rows(two, "results")] == [*(f"question {n}" for n in range(5)), "question five"]
    assert booked(headgate_environment, "two") == (1, two["cost_nanos"])
    before = len(headgate_sim.requests)
    three = headgate("run", "Quiz", "-r", "three", "--cache", "--no-preflight", "--mode", second, "--json", code=0).json()
    assert (three["valid"], three["cost_nanos"], sources(three)) == (6, 0, Counter(cached=6))
    assert (len(headgate_sim.requests), before > asked) == (before, True)
    assert {(r["cost_usd"], r["price_rule"]) for r in rows(three, "receipts")} == {("0.00", "response cache")}
    assert booked(headgate_environment, "three") == (0, 0)


def test_without_the_option_nothing_is_kept_or_taken(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    headgate("run", "Quiz", "-r", "one", code=0)
    assert not (headgate_environment / "data" / "run-answers.db").exists()
    headgate("run", "Quiz", "-r", "two", "--cache", code=0)
    headgate("run", "Quiz", "-r", "three", code=0)
    assert len(headgate_sim.bill.lines) == 18


def test_a_pipeline_may_ask_for_it_and_the_command_decides(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment, config=CONFIG.replace("provider: sim-openai", "provider: sim-openai\n  cache: true"))
    headgate("run", "Quiz", "-r", "one", code=0)
    headgate("run", "Quiz", "-r", "two", code=0)
    assert len(headgate_sim.bill.lines) == 6
    headgate("run", "Quiz", "-r", "three", "--no-cache", code=0)
    assert len(headgate_sim.bill.lines) == 12


def test_copies_of_a_unit_have_answers_of_their_own(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    """Within a run no answer is given twice, and a later run gives each copy its own."""
    write_quiz(headgate_environment, config=CONFIG.replace("strategy: direct", "strategy: direct\n  repeat: 3"))
    for mode in ("batch", "realtime"):
        told = headgate("run", "Quiz", "-r", mode, "--cache", "--mode", mode, "--json", code=0).json()
        assert told["valid"] == 18
    assert len(headgate_sim.bill.lines) == 18


@pytest.mark.parametrize("mode", ["realtime", "batch"])
def test_bad_answers_are_neither_kept_nor_is_a_retry_answered_from_there(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, mode: str
) -> None:
    write_quiz(headgate_environment, items=ITEMS.splitlines()[0] + "\n" + "\n".join(ITEMS.splitlines()[1:3]) + "\n")
    fault = (
        Rule(Twist("invalid"), Match(operation="chat", nth=1))
        if mode == "realtime"
        else Rule(Rows("invalid", share=1.0), Match(operation="batch_create", nth=1))
    )
    headgate_sim.set_faults((fault,))
    one = headgate("run", "Quiz", "-r", "one", "--cache", "--mode", mode, "--json", code=0).json()
    assert [(r["attempt"], r["outcome"]) for r in rows(one, "receipts")] == [(1, "invalid"), (2, "valid")]
    two = headgate("run", "Quiz", "-r", "two", "--cache", "--mode", mode, "--json", code=0).json()
    assert sources(two) == Counter(cached=1)
    assert len(headgate_sim.bill.lines) == 2


def test_an_answer_that_breaks_new_rules_is_asked_for_again(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    home = write_quiz(headgate_environment)
    headgate("run", "Quiz", "-r", "one", "--cache", code=0)
    config = home / "config.yaml"
    config.write_text(config.read_text() + "    rules: [{name: no, expr: \"answer != 'question 2'\"}]\n")
    told = headgate("run", "Quiz", "-r", "two", "--cache", "--json").json()
    assert (told["valid"], told["failed"]) == (5, 1)
    assert sources(told) == Counter(cached=5, usage=3)


def test_a_run_goes_on_with_the_cache_it_began_with(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    write_quiz(headgate_environment)
    headgate("run", "Quiz", "-r", "one", "--cache", code=0)
    home = headgate_environment / "pipelines" / "Quiz"
    (home / "items.yaml").write_text(ITEMS.replace("question 5", "question five"))
    headgate("run", "Quiz", "-r", "two", "--cache", "--max-cost", "0.00000001", code=2)
    told = headgate("run", "Quiz", "-r", "two", "--max-cost", "1", "--json", code=0).json()
    assert sources(told) == Counter(cached=5, usage=1)


def test_a_cache_that_fails_is_gone_without(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_quiz(headgate_environment)
    headgate("run", "Quiz", "-r", "one", "--cache", code=0)

    async def find(self: AnswerCache, keys: Sequence[bytes], now: float, before: float) -> dict[bytes, Response]:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(AnswerCache, "find", find)
    done = headgate("run", "Quiz", "-r", "two", "--cache", "--json", code=0)
    assert "note: the run went on without answers of earlier runs: the disk is gone" in done.err
    assert done.json()["valid"] == 6
