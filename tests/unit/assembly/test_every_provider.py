"""Whole runs over every simulated provider, realtime and in batches, with the real command: nothing lost, every nano-dollar booked."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest

from headgate.cli import main
from headgate.ledger import Filter, Ledger
from headgate.providers import PROVIDERS
from headgate.sim.faults import DropReply, Match, Reset, Rule, Status
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.testing.clock import Clock, ScaledClock
from headgate.wire.json import Json, JsonObject

pytest_plugins = ["headgate.testing.pytest_plugin"]

UNITS = 20
SIMULATED = [provider for provider in PROVIDERS.values() if provider.simulated]
WITH_BATCHES = [provider.name for provider in SIMULATED if provider.batch is not None]
IN_BATCHES = [name for name in WITH_BATCHES if name != "sim-bedrock"]
WITHOUT = [provider.name for provider in SIMULATED if provider.batch is None]

ACCOUNTS = """
providers:
  sim-anthropic: &accounts
    accounts:
      team-a: {key_env: TEAM_A_KEY}
      team-b: {key_env: TEAM_B_KEY}
  sim-openai: *accounts
"""


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def headgate_sim_settings() -> SimSettings:
    return SimSettings(seed=11)


@pytest.fixture
def headgate_sim_clock() -> Clock:
    """A batch of a minute is over in a seventh of a second; it begins now, because jobs are looked for by when they were made."""
    return ScaledClock(time.time(), 400.0)


@pytest.fixture
def headgate(headgate_environment: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``headgate`` with some arguments."""

    def run(*arguments: str, code: int = 0) -> Done:
        capsys.readouterr()
        done = Done(main([*arguments]), *capsys.readouterr())
        logging.getLogger("dbos").handlers.clear()
        assert done.code == code, f"exit code {done.code}\n{done.out}\n{done.err}"
        return done

    return run


def sailor(provider: str, mode: str, units: int = UNITS, run: str = "one") -> list[str]:
    """The arguments of a run of the packaged pipeline."""
    return ["run", "DrunkenSailor", "-r", run, "-p", provider, "--mode", mode, "--max-units", str(units), "--seed", "7", "--grace", "0.3"]


def sampled(names: list[str], usual: set[str]) -> list[object]:
    """Every name; those that are not in `usual` with the long sweeps, because other tests go over them in every test run."""
    return [pytest.param(name, marks=() if name in usual else pytest.mark.proofs) for name in names]


def lines(folder: Path, name: str) -> list[JsonObject]:
    """An output file of the run."""
    text = (folder / "runs" / "one" / "outputs" / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def check_books(folder: Path, sim: Simulator, provider: str, account: str = "default", units: int = UNITS) -> None:
    """Every unit came out once; receipts and ledger are the provider's bill, under the provider's and the account's names."""
    results = lines(folder, "results")
    assert len({record["unit_id"] for record in results}) == len(results) == units
    assert lines(folder, "failures") == []
    receipts = lines(folder, "receipts")
    assert {(receipt["provider"], receipt["account"]) for receipt in receipts} == {(provider, account)}
    billed = sorted(line.nanos for line in sim.bill.lines)
    assert sorted(int(Decimal(receipt["cost_usd"]) * 10**9) for receipt in receipts if receipt["cost_source"] != "none") == billed
    assert Counter(receipt["lane"] for receipt in receipts) == Counter(line.lane for line in sim.bill.lines)
    with closing(Ledger.open(folder / "data" / "ledger.db", read_only=True)) as ledger:
        (total,) = {(total.provider, total.account) for total in ledger.totals(Filter(run="one"))}
        booked = sum(total.cost_nanos for total in ledger.totals(Filter(run="one")))
    assert (total, booked) == ((provider, account), sim.bill.total)


def check_again(headgate: Command, sim: Simulator, arguments: list[str]) -> None:
    """The same command once more asks the provider for nothing and books nothing."""
    before = (len(sim.requests), sim.bill.total)
    assert f"complete: {UNITS} valid, 0 failed" in headgate(*arguments).out
    assert (len(sim.requests), sim.bill.total) == before


@pytest.mark.parametrize(
    "provider", sampled([p.name for p in SIMULATED], {"sim-gemini", "sim-xai", "sim-ollama", "sim-bedrock", "sim-vertex"})
)
def test_a_realtime_run(headgate: Command, headgate_environment: Path, headgate_sim: Simulator, provider: str) -> None:
    arguments = sailor(provider, "realtime")
    assert f"complete: {UNITS} valid, 0 failed" in headgate(*arguments).out
    check_books(headgate_environment, headgate_sim, provider)
    assert {line.lane for line in headgate_sim.bill.lines} == {"realtime"}
    check_again(headgate, headgate_sim, arguments)


@pytest.mark.parametrize("provider", sampled(IN_BATCHES, {"sim-xai", "sim-groq", "sim-together", "sim-azure_openai"}))
def test_a_run_in_batches(headgate: Command, headgate_environment: Path, headgate_sim: Simulator, provider: str) -> None:
    arguments = sailor(provider, "batch")
    assert f"complete: {UNITS} valid, 0 failed" in headgate(*arguments).out
    check_books(headgate_environment, headgate_sim, provider)
    assert {line.lane for line in headgate_sim.bill.lines} == {"batch"}
    assert not [entry for entry in headgate_sim.requests if entry.operation == "chat"]
    check_again(headgate, headgate_sim, arguments)


@pytest.mark.parametrize("provider", WITHOUT)
def test_a_provider_without_batches_is_refused_before_anything_is_made(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, provider: str
) -> None:
    refused = headgate(*sailor(provider, "batch"), code=3)
    assert f"{provider}/sim-small cannot be used in batch mode: {PROVIDERS[provider].label} has no batches" in refused.err
    assert "hint: use --mode realtime" in refused.err
    assert (headgate_sim.requests, (headgate_environment / "runs" / "one").exists()) == ([], False)


# Bedrock: a hundred records at least


def test_bedrock_answers_a_hundred_records_as_a_batch(headgate: Command, headgate_environment: Path, headgate_sim: Simulator) -> None:
    done = headgate(*sailor("sim-bedrock", "batch", 100))
    assert "realtime prices" not in done.err
    check_books(headgate_environment, headgate_sim, "sim-bedrock", units=100)
    assert {line.lane for line in headgate_sim.bill.lines} == {"batch"}


def test_bedrock_answers_fewer_at_realtime_prices_and_says_so(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator
) -> None:
    done = headgate(*sailor("sim-bedrock", "batch"))
    announced, told = "20 of 20 units make no batch of Simulator", "note: units asked one by one, at realtime prices: 20"
    assert announced in done.err and told in done.err
    check_books(headgate_environment, headgate_sim, "sim-bedrock")
    assert {line.lane for line in headgate_sim.bill.lines} == {"realtime"}
    assert told in headgate("status", "one").out


def test_bedrock_without_a_bucket_is_refused_before_anything_is_made(
    headgate: Command, headgate_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "key")
    refused = headgate(*sailor("bedrock", "batch"), code=3)
    assert "Amazon Bedrock needs its batch_bucket: set BEDROCK_BATCH_BUCKET" in refused.err
    monkeypatch.setenv("BEDROCK_BATCH_BUCKET", "s3://bucket")
    assert "needs its batch_role: set BEDROCK_BATCH_ROLE" in headgate(*sailor("bedrock", "batch"), code=3).err
    assert not (headgate_environment / "runs" / "one").exists()


# Accounts


@pytest.fixture
def accounts(headgate_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose settings know two accounts, each with its key."""
    (headgate_environment / "headgate.yaml").write_text(ACCOUNTS)
    monkeypatch.setenv("TEAM_A_KEY", "sim-team-a")
    monkeypatch.setenv("TEAM_B_KEY", "sim-team-b")
    return headgate_environment


def keys(sim: Simulator) -> set[str]:
    """The keys of every request."""
    return {entry.key for entry in sim.requests}


def stop_at_the_first_look(headgate: Command, sim: Simulator, provider: str) -> None:
    """A run under team-b whose batch is submitted, and that ends when it first looks at it."""
    sim.set_faults((Rule(Status("auth"), Match(operation="batch_get")),))
    headgate(*sailor(provider, "batch"), "--account", "team-b", code=1)
    sim.set_faults(())
    assert [entry.operation for entry in sim.requests if entry.operation.startswith("batch")] == ["batch_create", "batch_get"]


def submissions(headgate: Command) -> list[Json]:
    """The batches of the run."""
    document: JsonObject = json.loads(headgate("status", "one", "--json").out)
    return document["batches"]


@pytest.mark.parametrize("provider", sampled(["sim-anthropic", "sim-openai"], {"sim-openai"}))
def test_a_run_keeps_its_account_from_its_first_call_to_its_last(
    headgate: Command, accounts: Path, headgate_sim: Simulator, provider: str
) -> None:
    stop_at_the_first_look(headgate, headgate_sim, provider)
    resumed = headgate("run", "DrunkenSailor", "-r", "one", "--mode", "batch", "--account", "team-a")
    assert "--account team-a is left out" in resumed.err
    check_books(accounts, headgate_sim, provider, "team-b")
    assert {line.account for line in headgate_sim.bill.lines} == keys(headgate_sim) == {"sim-team-b"}


@pytest.mark.parametrize("fault", [DropReply(), pytest.param(Reset(), marks=pytest.mark.proofs)], ids=["made", "not made"])
def test_only_jobs_of_the_runs_own_account_are_adopted(
    headgate: Command, accounts: Path, headgate_sim: Simulator, fault: DropReply | Reset
) -> None:
    """Anthropic's wire has no tag: a job as large and as young as ours, under another account, is nobody's to take."""
    headgate(*sailor("sim-anthropic", "batch", run="other"), "--account", "team-a")
    headgate_sim.set_faults((Rule(fault, Match(operation="batch_create", nth=1)),))
    headgate(*sailor("sim-anthropic", "batch"), "--account", "team-b")
    assert {line.account for line in headgate_sim.bill.lines} == {"sim-team-a", "sim-team-b"}
    adopted = [batch["matched_by"] for batch in submissions(headgate)]
    assert adopted == (["window"] if isinstance(fault, DropReply) else [None, "create"])
    receipts = lines(accounts, "receipts")
    mine = sum(line.nanos for line in headgate_sim.bill.lines if line.account == "sim-team-b")
    assert sum(int(Decimal(receipt["cost_usd"]) * 10**9) for receipt in receipts) == mine


def test_a_run_whose_account_has_no_key_any_more_is_not_moved_to_another(
    headgate: Command, accounts: Path, headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at_the_first_look(headgate, headgate_sim, "sim-openai")
    (accounts / "headgate.yaml").write_text("{}\n")
    refused = headgate("run", "DrunkenSailor", "-r", "one", code=3)
    assert "the account 'team-b' of sim-openai" in refused.err
    assert "default" not in keys(headgate_sim)
