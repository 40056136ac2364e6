"""``headgate ask``, against the simulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from headgate.ledger import Ledger, Receipt
from headgate.providers import PROVIDERS
from headgate.sim.faults import CutStream, Match, Rule, Status, Twist
from headgate.sim.server import Simulator
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]

MODELS = sorted(f"{name}/sim-small" for name, provider in PROVIDERS.items() if provider.simulated)


def receipts(folder: Path) -> tuple[Receipt, ...]:
    """What the ledger holds."""
    with closing(Ledger.open(folder / "data" / "ledger.db")) as ledger:
        return ledger.list()


@pytest.mark.parametrize("model", MODELS)
def test_a_question_an_answer_a_receipt(headgate: Command, headgate_environment: Path, headgate_sim: Simulator, model: str) -> None:
    done = headgate("ask", "Name a colour.", "-m", model, code=0)
    assert done.out.strip()
    tokens, _, receipt_id = done.err.strip().splitlines()[-1].rpartition(", ")
    assert tokens.startswith("[TOKENS] ")
    (receipt,) = receipts(headgate_environment)
    assert receipt.id == receipt_id
    assert (receipt.face, receipt.status, f"{receipt.provider}/{receipt.model}") == ("cli", "ok", model)
    assert receipt.cost_nanos == headgate_sim.bill.total > 0


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_prints_the_same_answer(headgate: Command, headgate_environment: Path, headgate_sim: Simulator, model: str) -> None:
    whole = headgate("ask", "Name a colour.", "-m", model, code=0)
    streamed = headgate("ask", "Name a colour.", "-m", model, "--stream", code=0)
    assert streamed.out == whole.out
    written = receipts(headgate_environment)
    assert [receipt.stream for receipt in written].count(True) == 1
    booked = sum(receipt.cost_nanos or 0 for receipt in written)
    if {receipt.usage.source for receipt in written} == {"provider"}:
        assert booked == headgate_sim.bill.total
    else:
        assert model == "sim-ollama/sim-small", "Ollama alone does not count a prompt that it has seen before"
        assert booked > headgate_sim.bill.total


def test_json(headgate: Command, headgate_sim: Simulator) -> None:
    told = headgate("ask", "Name a colour.", "-m", "sim-openai/sim-small", "--json", code=0).json()
    assert set(told) == {"model", "model_answered", "text", "tool_calls", "finish", "usage", "cost_usd", "receipt", "notes"}
    assert (told["model"], told["model_answered"], told["finish"]) == ("sim-openai/sim-small", "sim-small", "stop")
    assert Decimal(told["cost_usd"]) * 10**9 == headgate_sim.bill.total
    assert told["usage"]["source"] == "provider"


def test_json_of_a_stream_is_a_line_for_each_piece(headgate: Command) -> None:
    lines = [
        json.loads(line) for line in headgate("ask", "Hello", "-m", "sim-openai/sim-small", "--json", "--stream", code=0).out.splitlines()
    ]
    assert len(lines) > 2
    assert {frozenset(line) for line in lines[:-1]} == {frozenset({"text"})}
    assert "".join(line["text"] for line in lines[:-1]) == lines[-1]["text"]


def test_words_and_standard_input_are_one_question(
    headgate: Command, pipe: Callable[[bytes], None], headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = headgate("ask", "Summarise:\n\nö text", "-m", "sim-openai/sim-small", code=0).out
    pipe(" ö text\n".encode())
    assert headgate("ask", "Summarise:", "-m", "sim-openai/sim-small", code=0).out == alone
    pipe("Summarise:\n\nö text".encode())
    assert headgate("ask", "-m", "sim-openai/sim-small", code=0).out == alone


@pytest.mark.parametrize(
    ("data", "told"), [(b"", "there is no question"), (b" \n", "there is no question"), (b"\xff\xfe", "standard input is not UTF-8 text")]
)
def test_no_question(headgate: Command, pipe: Callable[[bytes], None], data: bytes, told: str) -> None:
    pipe(data)
    done = headgate("ask", "-m", "sim-openai/sim-small", code=2)
    assert told in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("-m", "sim-openai/sim-smal"), 3, "did you mean sim-small?"),
        (("-m", "sim-opnai/sim-small"), 3, "did you mean sim-openai/sim-small?"),
        (("-m", "sim-small"), 3, "sim-small is served by several providers"),
        (("-m", "gpt-4o-mini"), 3, "no key for OpenAI: OPENAI_API_KEY is not set"),
        ((), 3, "no provider is named anywhere"),
        (("-m", "sim-openai/sim-small", "--temperature", "9"), 2, "9.0 is not in the range"),
        (("-m", "sim-openai/sim-small", "--max-tokens", "0"), 2, "0 is not in the range"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_asked(headgate: Command, headgate_sim: Simulator, arguments: tuple[str, ...], code: int, told: str) -> None:
    done = headgate("ask", "Hello", *arguments)
    assert done.code == code, done.err
    assert told in " ".join(done.err.split())
    assert headgate_sim.requests == []


def test_a_provider_alone_takes_its_default_model(headgate: Command) -> None:
    assert headgate("ask", "Hello", "-p", "sim-gemini", "--json", code=0).json()["model"] == "sim-gemini/sim-small"


@pytest.mark.parametrize(
    ("action", "code", "told"),
    [
        (Status("auth"), 4, "hint: check the key in HEADGATE_SIM_KEY"),
        (Status("permission"), 4, "error: "),
        (Status("overloaded"), 5, "error: "),
        (Status("bad_request", message="no\x1b[2J such\x07"), 5, "no\ufffd[2J such\ufffd"),
    ],
    ids=lambda value: value.error if isinstance(value, Status) else "",
)
def test_a_refusal(headgate: Command, headgate_environment: Path, headgate_sim: Simulator, action: Status, code: int, told: str) -> None:
    headgate_sim.set_faults((Rule(action, Match(operation="chat")),))
    done = headgate("ask", "Hello", "-m", "sim-openai/sim-small")
    assert done.code == code, done.err
    assert told in done.err
    assert not set(done.err) & set("\x1b\x07")
    (receipt,) = receipts(headgate_environment)
    assert (receipt.status, receipt.cost_nanos or 0) == ("error", 0)


def test_a_cut_stream_is_an_error_and_what_came_is_paid_for(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    headgate_sim.set_faults((Rule(CutStream(events=5), Match(operation="stream")),))
    done = headgate("ask", "Hello", "-m", "sim-openai/sim-small", "--stream")
    assert done.code == 5
    assert done.out
    (receipt,) = receipts(headgate_environment)
    assert receipt.status != "ok"
    assert receipt.usage is not None and receipt.usage.source == "estimated"


def test_an_empty_answer_is_an_answer(headgate: Command, headgate_sim: Simulator) -> None:
    headgate_sim.set_faults((Rule(Twist("empty"), Match(operation="chat")),))
    assert headgate("ask", "Hello", "-m", "sim-openai/sim-small", code=0).out == "\n"


def test_losses_are_told(headgate: Command) -> None:
    done = headgate("ask", "Hello", "-m", "sim-anthropic/sim-small", "--temperature", "1.5", code=0)
    assert "note: temperature approximated" in done.err


def test_a_key_given_for_once_is_never_sent_to_a_simulator(headgate: Command, headgate_sim: Simulator) -> None:
    headgate("ask", "Hello", "-m", "sim-openai/sim-small", "--api-key", "sk-real", code=0)
    assert [entry.key for entry in headgate_sim.requests] == ["sim-headgate"]


def test_strict_refuses_what_would_not_arrive(headgate: Command) -> None:
    asked = ("ask", "Hello", "-m", "sim-anthropic/sim-small")
    assert "note: max_tokens approximated" in headgate(*asked, code=0).err
    assert "max_tokens would be approximated" in headgate(*asked, "--strict", code=2).err
    assert headgate(*asked, "--strict", "--max-tokens", "50", code=0).out


def test_a_question_within_a_budget_and_beyond(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    named = ("-m", "sim-openai/sim-small", "--user", "ann", "--tag", "nightly", "--run", "r1")
    headgate("ask", "Name a colour.", *named, "--budget", "0.01", code=0)
    (receipt,) = receipts(headgate_environment)
    assert (receipt.user, receipt.tags, receipt.run) == ("ann", ("nightly",), "r1")
    done = headgate("ask", "Name a colour.", *named, "--budget", "0.000001", code=6)
    assert "the budget run:r1" in done.err and "hint: headgate budgets set run:r1 --limit USD" in done.err
    assert len(receipts(headgate_environment)) == 1


def test_a_route_and_an_alias_are_names(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    routes = "routes: {chat: {deployments: [sim-openai/sim-small], fallback: [sim-anthropic/sim-small]}}"
    Path("headgate.yaml").write_text(f"aliases: {{fast: sim-gemini/sim-small}}\n{routes}\n")
    headgate_sim.set_faults((Rule(Status("overloaded"), Match(provider="openai")),))
    headgate("ask", "Name a colour.", "-m", "chat", code=0)
    headgate("ask", "Name a colour.", "-m", "fast", code=0)
    assert [receipt.provider for receipt in receipts(headgate_environment)] == ["sim-gemini", "sim-anthropic"]
