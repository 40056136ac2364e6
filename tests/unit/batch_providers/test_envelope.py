"""Batches through the contract: what is prepared, what comes back, and what is never done twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from headgate.batch_providers import (
    AnthropicBatchProvider,
    BatchMode,
    BatchStatus,
    GeminiBatchProvider,
    InvalidRequest,
    PreparedSubmission,
    ProviderPermanentError,
    ProviderResultRow,
    ProviderTransientError,
    batch_provider_registry,
)
from headgate.batch_providers.catalogue import class_of
from headgate.batch_providers.dto import UsageInfo
from headgate.batch_providers.envelope import EnvelopeBatchProvider
from headgate.batch_providers.providers.openai_provider import OpenAIBatchProvider
from headgate.dialects import embed_openai
from headgate.ledger import Ledger
from headgate.ledger.receipt import Filter
from headgate.providers import PROVIDERS
from headgate.sim.faults import Action, BatchEnd, DropReply, Rows, Status
from headgate.sim.server import Simulator
from headgate.testing.simulators import END_OF_BATCH, fault

WIRES = ["sim-openai", "sim-anthropic", "sim-gemini"]
ID = UUID("9f3b6c1e-5a77-4c39-8f5e-2d1f1a6f0c11")
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


def at(sim: Simulator, name: str = "sim-openai", **config: object) -> EnvelopeBatchProvider:
    """A provider whose jobs go to the simulator."""
    return class_of(name)({"base_url": sim.url, **config})


def prepared(provider: EnvelopeBatchProvider, count: int = 6, batch: UUID = ID) -> PreparedSubmission:
    """A submission of some questions."""
    requests = [{"text": f"Name colour number {number}.", "max_tokens": 64} for number in range(count)]
    return provider.prepare_payloads(batch, "sim-small", "chat", requests)


def finished(provider: EnvelopeBatchProvider, sim: Simulator, made: PreparedSubmission) -> tuple[str, list[ProviderResultRow]]:
    """The id and rows of a submission that ran to its end."""
    job = asyncio.run(provider.submit(made)).provider_batch_id
    sim.advance(END_OF_BATCH)
    return job, asyncio.run(provider.fetch_results(job))


def bodies(cls: type[EnvelopeBatchProvider], model: str, *requests: dict[str, object]) -> list[dict[str, object]]:
    """The bodies of prepared requests."""
    made = cls().prepare_payloads(ID, model, "chat", requests)
    return [next(line[key] for key in ("body", "params", "request") if key in line) for line in made.payloads]


def test_the_original_usage_snippet_runs_after_changing_the_import_paths() -> None:
    usage = UsageInfo(prompt_tokens=10, completion_tokens=20, total_tokens=30)

    batch_provider_registry.register(OpenAIBatchProvider)
    provider_class = batch_provider_registry.get("openai")
    provider = provider_class(config={"api_key": "your-key"})
    model = "gpt-4o-mini"
    if provider.supports_model(model):
        prepared = provider.prepare_payloads(
            batch_id=uuid4(), model=model, mode=BatchMode.CHAT, requests=[{"messages": [{"role": "user", "content": "Hello"}]}]
        )
    assert usage.total_tokens == 30
    assert len(prepared.payloads) == 1


def test_openai_rows_are_those_of_its_batch_file() -> None:
    requests = [{**HELLO, "temperature": 0.7}, {"messages": [{"role": "user", "content": "World"}], "max_tokens": 100}]
    made = OpenAIBatchProvider().prepare_payloads(batch_id=ID, model="gpt-4o-mini", mode="chat", requests=requests)
    assert (made.batch_id, made.provider_name, made.model, made.mode) == (ID, "openai", "gpt-4o-mini", "chat")
    assert (made.chunk_index, made.total_chunks) == (0, 1)
    first, second = made.payloads
    assert {name: first[name] for name in ("custom_id", "method", "url")} == {
        "custom_id": "request_0",
        "method": "POST",
        "url": "/v1/chat/completions",
    }
    assert first["body"] == {"model": "gpt-4o-mini", "messages": HELLO["messages"], "temperature": 0.7}
    assert second["custom_id"] == "request_1"
    assert second["body"]["max_tokens"] == 100


def test_anthropic_rows_have_params_and_a_limit_of_1024_unless_one_is_given() -> None:
    provider = AnthropicBatchProvider()
    made = provider.prepare_payloads(
        ID, "claude-sonnet-4-5", "chat", [{"content": "Hello", "system": "Be brief."}, {"text": "x", "max_tokens": 7}]
    )
    assert [set(line) for line in made.payloads] == [{"custom_id", "params"}] * 2
    assert [line["params"]["max_tokens"] for line in made.payloads] == [1024, 7]
    assert "Be brief." in str(made.payloads[0]["params"]["system"])


def test_gemini_rows_have_keys_and_understand_a_generation_config() -> None:
    config = {"maxOutputTokens": 9, "top_k": 3, "stopSequences": ["END"], "responseMimeType": "application/json"}
    made = GeminiBatchProvider().prepare_payloads(ID, "gemini-2.5-flash", "chat", [{"text": "Hello", "generation_config": config}])
    (line,) = made.payloads
    assert line["key"] == "request_0"
    written = line["request"]["generationConfig"]
    assert {name: written[name] for name in config if name != "top_k"} == {name: config[name] for name in config if name != "top_k"}
    assert written["topK"] == 3


def test_messages_content_and_text_are_one_question() -> None:
    items = ({"messages": [{"role": "user", "content": "Hello"}]}, {"content": "Hello"}, {"text": "Hello"})
    assert len({str(body) for body in bodies(OpenAIBatchProvider, "gpt-4o-mini", *items)}) == 1


def test_settings_beside_the_question_go_before_those_of_the_generation_config() -> None:
    (body,) = bodies(
        OpenAIBatchProvider, "gpt-4o-mini", {"text": "x", "temperature": 0.1, "top_p": 0.5, "generation_config": {"temperature": 1}}
    )
    assert (body["temperature"], body["top_p"]) == (0.1, 0.5)


@pytest.mark.parametrize(
    ("requests", "what"),
    [
        ([], "at least one request"),
        ([{}], "needs one thing to ask"),
        ([{"text": "a", "content": "b"}], "say the same twice"),
        ([{"messages": []}], "at least one message"),
        ([{"messages": [{"role": "user"}, 7]}], r"requests\[0\]"),
        (["Hello"], "must be a mapping"),
        ([{"text": "a", "generation_config": {"warmth": 1}}], "'warmth' is not known"),
        ([{"text": "a", "generation_config": 7}], "must be a mapping"),
        ([{"text": "a", "top_k": "3"}], "top_k"),
        ([{"text": "a", "custom_id": "x"}, {"text": "b", "custom_id": "x"}], "there twice"),
    ],
)
def test_requests_that_cannot_be_are_refused_with_a_value_error(requests: list[object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        OpenAIBatchProvider().prepare_payloads(ID, "gpt-4o-mini", "chat", requests)


def test_completions_and_custom_ids() -> None:
    made = OpenAIBatchProvider().prepare_payloads(
        ID, "gpt-4o-mini", "completion", [{"custom_id": "mine", "prompt": "Once", "max_tokens": 5}]
    )
    (line,) = made.payloads
    assert (line["custom_id"], line["url"]) == ("mine", "/v1/completions")
    assert line["body"] == {"model": "gpt-4o-mini", "prompt": "Once", "max_tokens": 5}


class Embedding(OpenAIBatchProvider):
    """OpenAI with the dialect of its embeddings."""

    PROVIDER = replace(PROVIDERS["openai"], embed=embed_openai.DIALECT)


def test_embeddings_where_the_provider_has_a_wire_for_them() -> None:
    made = Embedding().prepare_payloads(ID, "text-embedding-3-small", "embedding", [{"text": "a"}, {"input": ["a", "b"], "dimensions": 8}])
    assert [line["url"] for line in made.payloads] == ["/v1/embeddings"] * 2
    assert [line["body"]["input"] for line in made.payloads] == [["a"], ["a", "b"]]
    assert made.payloads[1]["body"]["dimensions"] == 8
    with pytest.raises(ValueError, match="an embedding needs a text"):
        Embedding().prepare_payloads(ID, "text-embedding-3-small", "embedding", [{"input": []}])


def test_other_modes_are_value_errors_where_there_is_no_wire_for_them() -> None:
    with pytest.raises(ValueError, match=r"Unsupported mode for OpenAI: BatchMode\.CUSTOM"):
        OpenAIBatchProvider().prepare_payloads(ID, "gpt-4o-mini", "custom", [HELLO])
    with pytest.raises(ValueError, match=r"Unsupported mode for Anthropic: BatchMode\.EMBEDDING"):
        AnthropicBatchProvider().prepare_payloads(ID, "claude-sonnet-4-5", "embedding", [{"text": "a"}])
    with pytest.raises(ValueError, match="poetry"):
        OpenAIBatchProvider().prepare_payloads(ID, "gpt-4o-mini", "poetry", [HELLO])


def test_models_come_from_the_catalog() -> None:
    provider = OpenAIBatchProvider()
    assert provider.supports_model("gpt-4o-mini")
    assert not provider.supports_model("claude-3-haiku")
    assert not provider.supports_model("gpt-4"), "retired"
    assert OpenAIBatchProvider({"models": ["my-tune"]}).supports_model("my-tune")


def test_a_retired_model_is_refused_with_its_successor() -> None:
    with pytest.raises(ProviderPermanentError, match="retired") as caught:
        OpenAIBatchProvider().prepare_payloads(ID, "gpt-4", "chat", [HELLO])
    assert caught.value.provider_name == "openai"


def test_more_than_one_batch_holds_becomes_chunks_and_loses_nothing() -> None:
    provider = OpenAIBatchProvider({"max_prompts_per_batch": 3})
    requests = [{"text": f"Question {number}"} for number in range(8)]
    chunks = provider.prepare_chunks(ID, "gpt-4o-mini", "chat", requests)
    assert [(chunk.chunk_index, chunk.total_chunks, len(chunk.payloads)) for chunk in chunks] == [(0, 3, 3), (1, 3, 3), (2, 3, 2)]
    assert [line["custom_id"] for chunk in chunks for line in chunk.payloads] == [f"request_{number}" for number in range(8)]
    with pytest.raises(ValueError, match="they need 3") as caught:
        provider.prepare_payloads(ID, "gpt-4o-mini", "chat", requests)
    assert isinstance(caught.value, InvalidRequest)
    assert "prepare_chunks" in (caught.value.hint or "")


def test_the_limit_of_a_chunk_must_be_a_number() -> None:
    with pytest.raises(ValueError, match="max_prompts_per_batch"):
        OpenAIBatchProvider({"max_prompts_per_batch": 0}).prepare_payloads(ID, "gpt-4o-mini", "chat", [HELLO])


@pytest.mark.parametrize("name", WIRES)
def test_answers_come_back_in_the_providers_own_words_with_usage(name: str, sim: Simulator) -> None:
    provider = at(sim, name)
    job, rows = finished(provider, sim, prepared(provider))
    assert {row.request_id for row in rows} == {f"request_{number}" for number in range(6)}
    for row in rows:
        assert (row.status, row.error) == ("success", None)
        assert row.response is not None and {"choices", "content", "candidates"} & set(row.response)
        assert row.usage is not None and row.usage.cache_read_input_tokens == 0
        assert row.metadata["text"] and row.metadata["cost_usd"] is not None
    status = asyncio.run(provider.poll_status(job))
    assert status.status is BatchStatus.COMPLETED
    assert status.progress is not None and status.progress["total"] == 6
    assert status.completed_at is not None


@pytest.mark.parametrize("name", WIRES)
def test_what_is_fetched_leaves_receipts_once(name: str, sim: Simulator, workplace: Path) -> None:
    provider = at(sim, name)
    job, rows = finished(provider, sim, prepared(provider))
    again = asyncio.run(at(sim, name).fetch_results(job))
    costs = [{row.request_id: row.metadata["cost_usd"] for row in fetched} for fetched in (rows, again)]
    assert costs[0] == costs[1]
    ledger = Ledger.open(workplace / "data" / "ledger.db", read_only=True)
    receipts = ledger.list(Filter(lane="batch"))
    ledger.close()
    assert len(receipts) == 6
    assert sum(receipt.cost_nanos or 0 for receipt in receipts) == sim.bill.total
    assert {receipt.model for receipt in receipts} == {"sim-small"}
    assert {f"{receipt.cost.usd}" for receipt in receipts} <= {row.metadata["cost_usd"] for row in rows}


def test_receipts_can_be_left_out(sim: Simulator, workplace: Path) -> None:
    provider = at(sim, receipts=False)
    finished(provider, sim, prepared(provider))
    assert not (workplace / "data").exists()


def test_results_are_not_there_before_the_end(sim: Simulator) -> None:
    provider = at(sim)
    job = asyncio.run(provider.submit(prepared(provider))).provider_batch_id
    with pytest.raises(ProviderTransientError, match="not over"):
        asyncio.run(provider.fetch_results(job))


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Rows("error", share=0.5, error="server"), {"success", "error"}),
        (Rows("missing", share=0.5), {"success", "error"}),
        (Rows("duplicate", share=0.5), {"success"}),
        (Rows("foreign", share=0.5), {"success"}),
        (Rows("bad_json", share=0.5), {"success", "error"}),
        (BatchEnd("expired", share=0.5), {"success", "expired"}),
    ],
)
def test_partial_results_are_kept_and_every_request_has_a_row(action: Action, words: set[str], sim: Simulator) -> None:
    sim.set_faults(fault("batch_create", action))
    provider = at(sim)
    _, rows = finished(provider, sim, prepared(provider))
    assert [row.request_id for row in rows] == [f"request_{number}" for number in range(6)]
    assert {row.status for row in rows} == words
    for row in rows:
        assert (row.error is None) == (row.status == "success")
        assert (row.response is None) == (row.status != "success")


def test_another_instance_can_fetch_what_it_did_not_send(sim: Simulator) -> None:
    sim.set_faults(fault("batch_create", Rows("bad_json", share=0.5)))
    provider = at(sim)
    job, rows = finished(provider, sim, prepared(provider))
    found = asyncio.run(at(sim).fetch_results(job))
    assert {row.request_id for row in found} == {row.request_id for row in rows if row.status == "success"} | {""}


def test_a_refusal_says_when_to_come_back(sim: Simulator) -> None:
    sim.set_faults(fault("batch_create", Status("rate_limit", retry_after=4.0)))
    provider = at(sim)
    with pytest.raises(ProviderTransientError) as caught:
        asyncio.run(provider.submit(prepared(provider)))
    assert (caught.value.retry_after, caught.value.provider_name) == (4.0, "sim-openai")


@pytest.mark.parametrize("name", ["sim-openai", "sim-gemini"])
def test_a_submission_whose_answer_was_lost_is_found_and_not_sent_again(name: str, sim: Simulator) -> None:
    sim.set_faults(fault("batch_create", DropReply(), first=1))
    provider = at(sim, name)
    made = prepared(provider)
    with pytest.raises(ProviderTransientError):
        asyncio.run(provider.submit(made))
    _, rows = finished(provider, sim, made)
    assert {row.status for row in rows} == {"success"}
    assert len(sim.bill) == len(rows)


def test_where_jobs_carry_no_mark_a_lost_submission_is_named_instead_of_repeated(sim: Simulator) -> None:
    sim.set_faults(fault("batch_create", DropReply(), first=1))
    provider = at(sim, "sim-anthropic")
    made = prepared(provider)
    with pytest.raises(ProviderTransientError):
        asyncio.run(provider.submit(made))
    with pytest.raises(ProviderPermanentError, match="may have created this batch: one of msgbatch_"):
        asyncio.run(provider.submit(made))
    sim.advance(END_OF_BATCH)
    assert len(sim.bill) == len(made.payloads)


def test_a_key_is_needed_only_for_calls() -> None:
    provider = OpenAIBatchProvider()
    made = provider.prepare_payloads(ID, "gpt-4o-mini", "chat", [HELLO])
    with pytest.raises(ProviderPermanentError, match="OPENAI_API_KEY"):
        asyncio.run(provider.submit(made))


def test_payloads_of_ones_own_are_checked(sim: Simulator) -> None:
    provider = at(sim)
    made = prepared(provider)
    made.payloads = [{"custom_id": "a"}]
    with pytest.raises(InvalidRequest, match=r"payloads\[0\] is no request"):
        asyncio.run(provider.submit(made))
    made.payloads = []
    with pytest.raises(InvalidRequest, match="no payloads"):
        asyncio.run(provider.submit(made))


def test_a_private_address_needs_to_be_given_explicitly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0000000000000000")
    provider = OpenAIBatchProvider()
    assert provider._target("gpt-4o-mini").origin.allow_private is False
    assert OpenAIBatchProvider({"base_url": "http://127.0.0.1:1/v1"})._target("gpt-4o-mini").origin.allow_private is True


def test_the_registry_gives_these_classes() -> None:
    assert batch_provider_registry.get("sim-openai") is class_of("sim-openai")
