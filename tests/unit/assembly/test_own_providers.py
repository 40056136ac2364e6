"""Accounts, declared providers and addresses out of variables, from ``headgate.yaml`` to the provider's bill, on real sockets."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from headgate.assembly.faces import library_parts
from headgate.assembly.parts import Parts, load_parts
from headgate.assembly.runs import RunRequest, drive_run, open_run
from headgate.batch.control import Control
from headgate.batch.states import RunState
from headgate.client import ChatClient
from headgate.errors import ConfigError, ErrorKind, MissingKey, ProviderError
from headgate.ledger import Filter, Ledger, Receipt
from headgate.ledger.receipt import Total
from headgate.library import AsyncClient
from headgate.providers import PROVIDERS
from headgate.sim.faults import Match, Rule, Status
from headgate.sim.server import Simulator
from headgate.testing import samples
from headgate.testing.pipelines import write_quiz
from headgate.testing.simulators import with_chat
from headgate.wire.http import Send

pytest_plugins = ["headgate.testing.pytest_plugin"]

pytestmark = pytest.mark.usefixtures("headgate_environment")

OWN = """
providers:
  my-sim:
    label: My own
    dialect: openai_chat
    base_url: {url}/openai/v1
    allow_private: true
    key_env: MY_SIM_KEY
    default_model: sim-small
    capabilities: {{context: 32768, max_output: 4096, vision: false}}
    accounts:
      team-a: {{key_env: TEAM_A_KEY}}
      rotated: {{key_file: tokens/current}}
"""


@pytest.fixture
def declared(headgate_environment: Path, headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose settings declare `my-sim`, with keys for the default account and for team-a."""
    (headgate_environment / "headgate.yaml").write_text(OWN.format(url=headgate_sim.url))
    monkeypatch.setenv("MY_SIM_KEY", "sim-main")
    monkeypatch.setenv("TEAM_A_KEY", "sim-team-a")
    return headgate_environment


def token(folder: Path, text: str) -> None:
    """Put a key into the file of the account `rotated`."""
    (folder / "tokens").mkdir(exist_ok=True)
    (folder / "tokens" / "current").write_text(text + "\n")


def ask(parts: Parts, model: str) -> str:
    """The text of one answer, asked with a client of `parts`."""

    async def main() -> str:
        async with AsyncClient(library_parts(parts)) as client:
            return (await client.complete(model, "Name a colour.")).text

    return asyncio.run(main())


def booked(folder: Path) -> list[Receipt]:
    """The receipts, oldest first."""
    with closing(Ledger.open(folder / "data" / "ledger.db")) as ledger:
        return sorted(ledger.list(Filter()), key=lambda receipt: receipt.id)


def totals(folder: Path, run: str) -> tuple[Total, ...]:
    """What a run has booked, by provider, account and model."""
    with closing(Ledger.open(folder / "data" / "ledger.db")) as ledger:
        return ledger.totals(Filter(run=run))


def accounts_billed(simulator: Simulator) -> set[str]:
    """The accounts on the provider's bill: here each key is one."""
    return {line.account for line in simulator.bill.lines}


def drive(parts: Parts, request: RunRequest) -> RunState:
    """Open a run, or go on with it, and drive it to where it stops."""
    opened = open_run(parts, request)
    return asyncio.run(drive_run(parts, opened, lambda progress: None, Control())).state


# Declared providers


def test_a_declared_provider_is_one_like_any_other(declared: Path, headgate_sim: Simulator) -> None:
    target = load_parts().resolve("my-sim/sim-small")
    assert (target.origin.url, target.origin.allow_private) == (f"{headgate_sim.url}/openai/v1", True)
    assert (target.card, target.capabilities.context, target.capabilities.vision) == (None, 32768, False)
    assert load_parts().default_models["my-sim"] == "sim-small"
    assert "my-sim" in load_parts().with_keys()
    assert load_parts().providers["my-sim"].label == "My own"
    assert "my-sim" not in PROVIDERS


def test_its_receipts_name_it_and_the_account_and_invent_no_price(declared: Path, headgate_sim: Simulator) -> None:
    assert ask(load_parts(), "my-sim/sim-small")
    assert ask(load_parts(account="team-a"), "my-sim/sim-small")
    first, second = booked(declared)
    assert (first.provider, first.model, first.account, second.account) == ("my-sim", "sim-small", "default", "team-a")
    assert (first.cost_nanos, second.cost_nanos) == (None, None)
    assert accounts_billed(headgate_sim) == {"sim-main", "sim-team-a"}


@pytest.mark.parametrize(
    ("dialect", "path"), [("anthropic_messages", "/anthropic"), ("gemini_generate", "/gemini"), ("openai_responses", "/openai/v1")]
)
def test_any_known_wire_can_be_declared(headgate_environment: Path, headgate_sim: Simulator, dialect: str, path: str) -> None:
    (headgate_environment / "headgate.yaml").write_text(
        f"providers:\n  local:\n    dialect: {dialect}\n    base_url: {headgate_sim.url}{path}\n    allow_private: true\n"
        "    key_env: LOCAL_KEY\n"
    )
    (headgate_environment / ".env").write_text("LOCAL_KEY=sim-local\n")
    assert ask(load_parts(), "local/sim-small")
    assert accounts_billed(headgate_sim) == {"sim-local"}


def test_a_private_address_needs_permission(headgate_environment: Path, headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    (headgate_environment / "headgate.yaml").write_text(
        OWN.format(url=headgate_sim.url).replace("allow_private: true", "allow_private: false")
    )
    monkeypatch.setenv("MY_SIM_KEY", "sim-main")
    with pytest.raises((ConfigError, ProviderError)):
        ask(load_parts(), "my-sim/sim-small")
    assert headgate_sim.requests == []


def test_a_provider_is_ready_once_one_of_its_keys_is_there(declared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_SIM_KEY")
    monkeypatch.delenv("TEAM_A_KEY")
    (declared / "headgate.yaml").write_text(
        (declared / "headgate.yaml").read_text().replace("      rotated: {key_file: tokens/current}\n", "")
    )
    assert "my-sim" not in load_parts().with_keys()
    with pytest.raises(MissingKey, match="account team-a: TEAM_A_KEY is not set"):
        load_parts().resolve("my-sim/sim-small")
    monkeypatch.setenv("TEAM_A_KEY", "sim-team-a")
    assert "my-sim" in load_parts().with_keys()
    assert load_parts().resolve("my-sim/sim-small").credential.account == "team-a"


def test_the_account_of_the_settings_is_used_unless_another_is_asked_for(declared: Path) -> None:
    page = declared / "headgate.yaml"
    page.write_text(page.read_text() + "    account: team-a\n")
    assert load_parts().resolve("my-sim/sim-small").credential.account == "team-a"
    assert load_parts(account="default").resolve("my-sim/sim-small").credential.key.reveal() == "sim-main"
    with pytest.raises(ConfigError, match="my-sim has no account 'team-b'; it has default, team-a, rotated"):
        load_parts(account="team-b").resolve("my-sim/sim-small")
    assert load_parts(account="team-b").resolve("sim-openai/sim-small").credential.account == "default"


# Key files


def test_a_refused_token_is_read_again_for_the_next_call(declared: Path, headgate_sim: Simulator) -> None:
    token(declared, "revoked-token-1")
    target = load_parts(account="rotated").resolve("my-sim/sim-small")
    assert target.credential.account == "rotated"

    async def calls(chat: ChatClient) -> None:
        with pytest.raises(ProviderError) as caught:
            await chat.complete(target, samples.PLAIN)
        assert caught.value.kind is ErrorKind.AUTH
        assert "revoked-token-1" not in f"{caught.value}{caught.value.body!r}"
        token(declared, "sim-fresh")
        await chat.complete(target, samples.PLAIN)
        token(declared, "sim-later")
        await chat.complete(target, samples.PLAIN)
        async with chat.stream(target, samples.PLAIN) as session:
            assert [event async for event in session]

    with_chat(calls)
    assert accounts_billed(headgate_sim) == {"sim-fresh"}, "a token that works is kept"
    assert len(headgate_sim.bill.lines) == 3


def test_a_token_refused_in_a_stream_is_read_again_too(declared: Path, headgate_sim: Simulator) -> None:
    token(declared, "revoked-token-1")
    target = load_parts(account="rotated").resolve("my-sim/sim-small")

    async def calls(chat: ChatClient) -> None:
        with pytest.raises(ProviderError):
            async with chat.stream(target, samples.PLAIN) as session:
                assert [event async for event in session]
        token(declared, "sim-fresh")
        async with chat.stream(target, samples.PLAIN) as session:
            assert [event async for event in session]

    with_chat(calls)
    assert accounts_billed(headgate_sim) == {"sim-fresh"}


def test_a_key_file_that_is_not_there_is_told_before_anything_is_sent(declared: Path, headgate_sim: Simulator) -> None:
    with pytest.raises(ConfigError, match="the key file cannot be read") as caught:
        ask(load_parts(account="rotated"), "my-sim/sim-small")
    assert caught.value.where == str(declared / "tokens" / "current")
    assert headgate_sim.requests == []


@pytest.mark.parametrize("text", ["", "two words", "line\nline", "schlüssel"])
def test_what_is_no_key_is_not_sent(declared: Path, headgate_sim: Simulator, text: str) -> None:
    token(declared, text)
    with pytest.raises(ConfigError):
        ask(load_parts(account="rotated"), "my-sim/sim-small")
    assert headgate_sim.requests == []


# Runs


def test_a_run_with_a_declared_provider_books_its_account(declared: Path, headgate_sim: Simulator) -> None:
    write_quiz(declared)
    asked = RunRequest(pipeline="Quiz", provider="my-sim", run="one")
    assert drive(load_parts(account="team-a"), asked) is RunState.COMPLETE
    (total,) = totals(declared, "one")
    assert (total.provider, total.account, total.calls, total.unpriced) == ("my-sim", "team-a", 6, 6)
    assert accounts_billed(headgate_sim) == {"sim-team-a"}


def test_a_resumed_run_keeps_its_account_whatever_is_asked_for_later(declared: Path, headgate_sim: Simulator) -> None:
    write_quiz(declared)
    headgate_sim.set_faults((Rule(Status("auth"), Match(operation="chat", nth=3)),))
    asked = RunRequest(pipeline="Quiz", provider="my-sim", run="one", concurrency=1)
    assert drive(load_parts(account="team-a"), asked) is not RunState.COMPLETE
    assert 0 < len(headgate_sim.bill.lines) < 6
    headgate_sim.set_faults(())
    again = RunRequest(pipeline="Quiz", run="one")
    opened = open_run(load_parts(account="rotated"), again)
    opened.home.release()
    assert {target.credential.account for target in opened.plan.targets.values()} == {"team-a"}
    assert "--account rotated is left out: the run goes on as it was planned" in opened.notes
    opened = open_run(load_parts(account="team-a"), again)
    opened.home.release()
    assert opened.notes == ()
    assert drive(load_parts(), again) is RunState.COMPLETE
    assert accounts_billed(headgate_sim) == {"sim-team-a"}
    assert {(total.account, total.calls) for total in totals(declared, "one")} == {("team-a", 6)}
    assert len(headgate_sim.bill.lines) == 6


def test_a_run_that_a_revoked_token_stopped_goes_on_with_the_new_one(declared: Path, headgate_sim: Simulator) -> None:
    write_quiz(declared)
    token(declared, "revoked-token-1")
    assert drive(load_parts(account="rotated"), RunRequest(pipeline="Quiz", provider="my-sim", run="one")) is not RunState.COMPLETE
    assert not headgate_sim.bill.lines
    token(declared, "sim-fresh")
    assert drive(load_parts(), RunRequest(pipeline="Quiz", run="one")) is RunState.COMPLETE
    assert accounts_billed(headgate_sim) == {"sim-fresh"}
    assert {(total.account, total.calls) for total in totals(declared, "one")} == {("rotated", 6)}


def test_a_declared_provider_has_the_batches_and_embeddings_it_declares(declared: Path, headgate_sim: Simulator) -> None:
    write_quiz(declared)
    batch = RunRequest(pipeline="Quiz", provider="my-sim", mode="batch")
    with pytest.raises(ConfigError, match="my-sim/sim-small cannot be used in batch mode"):
        open_run(load_parts(), batch)
    page = declared / "headgate.yaml"
    page.write_text(page.read_text() + "    batch: batch_openai_files\n    embeddings: openai_embeddings\n")
    opened = open_run(load_parts(), batch)
    opened.home.release()
    assert opened.plan.options.mode == "batch"

    async def embed() -> int:
        async with AsyncClient(library_parts(load_parts(account="team-a"))) as client:
            return len((await client.embed("my-sim/sim-small", ["one", "two"])).vectors)

    assert asyncio.run(embed()) == 2
    assert accounts_billed(headgate_sim) == {"sim-team-a"}


# Addresses out of variables


def test_ollama_is_where_its_own_variable_says(headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ollama" not in load_parts().with_keys()
    for host in ("127.0.0.1", "0.0.0.0"):
        monkeypatch.setenv("OLLAMA_HOST", f"{host}:{headgate_sim.port}/ollama")
        assert load_parts().resolve("ollama/sim-small").origin.url == f"{headgate_sim.url}/ollama"
    assert "ollama" in load_parts().with_keys()
    assert ask(load_parts(), "ollama/sim-small")
    monkeypatch.setenv("OLLAMA_HOST", "0.0.0.0")
    assert load_parts().resolve("ollama/sim-small").origin.url == "http://127.0.0.1:11434"
    monkeypatch.setenv("OLLAMA_URL", "https://ollama.example/base/")
    assert load_parts().resolve("ollama/sim-small").origin.url == "https://ollama.example/base"


def test_the_settings_go_before_the_variable(headgate_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "somewhere.example:1")
    (headgate_environment / "headgate.yaml").write_text("providers: {ollama: {base_url: 'http://gpu-box:11434'}}")
    assert load_parts().resolve("ollama/sim-small").origin.url == "http://gpu-box:11434"
    assert "ollama" in load_parts().with_keys()


def test_azure_by_its_resource_or_by_its_endpoint(
    headgate_environment: Path, headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "sim-azure-key")
    with pytest.raises(ConfigError, match="needs its resource: set AZURE_OPENAI_RESOURCE"):
        load_parts().resolve("azure_openai/gpt-4o-mini")
    monkeypatch.setenv("AZURE_OPENAI_RESOURCE", "my-resource")
    assert load_parts().resolve("azure_openai/gpt-4o-mini").origin.url == "https://my-resource.openai.azure.com"
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", f"{headgate_sim.url}/azure")
    (headgate_environment / "headgate.yaml").write_text("providers: {azure_openai: {allow_private: true}}")
    target = load_parts().resolve("azure_openai/gpt-4o-mini")
    assert target.origin.url == f"{headgate_sim.url}/azure"
    assert ask(load_parts(), "azure_openai/gpt-4o-mini")
    assert [(entry.provider, entry.operation, entry.model) for entry in headgate_sim.requests] == [("azure", "chat", "gpt-4o-mini")]
    placed = target.placed(Send("POST", "/chat/completions"))
    assert placed.path == "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2025-04-01-preview"
    assert accounts_billed(headgate_sim) == {"sim-azure-key"}


def test_a_key_of_several_parts_makes_a_provider_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    composed = [provider for provider in PROVIDERS.values() if provider.auth.parts]
    assert composed
    for provider in composed:
        required = [name for name in provider.auth.parts if not name.endswith("?")]
        for name in required[:-1]:
            monkeypatch.setenv(name, "part")
        assert provider.name not in load_parts().with_keys()
        monkeypatch.setenv(required[-1], "last-part")
        assert provider.name in load_parts().with_keys()
        assert load_parts().credential(provider).key.reveal() == ":".join([*["part"] * (len(required) - 1), "last-part"])
