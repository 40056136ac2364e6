"""The official `openai` client asks for embeddings, whichever provider makes them."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator

import openai
import pytest

from headgate.providers import PROVIDERS
from headgate.sim.faults import Match, Rule, Status
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import ONCE, Rig, running_gateway

MODELS = ("sim-openai/sim-small", "sim-gemini/sim-small", "sim-ollama/sim-small", "sim-vertex/sim-small", "sim-azure_openai/sim-small")
TEXTS = ["the harbour", "a sailor", "the harbour"]
models = pytest.mark.parametrize("model", MODELS)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_gateway(tmp_path_factory.mktemp("embeddings"), settings=SimSettings(seed=7), gate=ONCE) as running:
        yield running


@models
def test_vectors_come_in_the_order_of_the_texts(oai: openai.OpenAI, model: str) -> None:
    answer = oai.embeddings.create(model=model, input=TEXTS)
    assert (answer.object, [item.index for item in answer.data]) == ("list", [0, 1, 2])
    assert answer.data[0].embedding == answer.data[2].embedding != answer.data[1].embedding
    assert all(isinstance(number, float) for number in answer.data[0].embedding)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
    assert answer.model == "sim-small"


@models
def test_base64_and_numbers_are_the_same_vector(oai: openai.OpenAI, model: str) -> None:
    numbers = oai.embeddings.create(model=model, input="the harbour", encoding_format="float").data[0].embedding
    packed = oai.embeddings.create(model=model, input="the harbour", encoding_format="base64").data[0].embedding
    assert isinstance(packed, str)
    data = base64.b64decode(packed)
    assert len(data) == 4 * len(numbers)
    assert [number for (number,) in struct.iter_unpack("<f", data)] == pytest.approx(numbers, rel=1e-6)


@models
def test_dimensions(oai: openai.OpenAI, model: str) -> None:
    answer = oai.embeddings.create(model=model, input="the harbour", dimensions=64)
    assert len(answer.data[0].embedding) == 64


@models
def test_the_receipt_says_what_was_embedded_and_for_how_much(oai: openai.OpenAI, rig: Rig, model: str, books: int) -> None:
    raw = oai.embeddings.with_raw_response.create(model=model, input=TEXTS)
    receipt = rig.receipts(books + 1)[-1]
    assert raw.headers["x-headgate-request-id"] == receipt.id
    assert raw.headers["x-headgate-cost"] == str(receipt.cost)[1:]
    assert (receipt.operation, receipt.status, receipt.dialect_in) == ("embed", "ok", "openai_embeddings")
    spoken = PROVIDERS[receipt.provider].embed
    assert spoken is not None and receipt.dialect_out == spoken.name
    assert receipt.usage.input_total == raw.parse().usage.prompt_tokens
    assert receipt.usage.output_total == 0


def test_case_107_tokens_go_to_a_provider_that_reads_them(oai: openai.OpenAI) -> None:
    answer = oai.embeddings.create(model="sim-openai/sim-small", input=[[1111, 2222], [3333]])
    assert len(answer.data) == 2
    assert answer.usage.prompt_tokens == 3


def test_case_107_tokens_are_refused_for_a_provider_that_reads_text(oai: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        oai.embeddings.create(model="sim-gemini/sim-small", input=[1111, 2222])
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "input")


def test_case_108_more_texts_than_one_call_takes(oai: openai.OpenAI, rig: Rig, books: int) -> None:
    texts = [f"text number {n}" for n in range(230)]
    lines = len(rig.sim.bill.lines)
    answer = oai.embeddings.create(model="sim-gemini/sim-small", input=texts, dimensions=8)
    assert [item.index for item in answer.data] == list(range(230))
    for place in (0, 99, 100, 229):
        alone = oai.embeddings.create(model="sim-gemini/sim-small", input=texts[place], dimensions=8)
        assert alone.data[0].embedding == answer.data[place].embedding
    assert len(rig.sim.bill.lines) - lines == 3 + 4
    receipt = rig.receipts(books + 5)[books]
    assert receipt.cost_nanos == sum(line.nanos for line in rig.sim.bill.lines[lines : lines + 3])
    assert receipt.usage.input_total == answer.usage.prompt_tokens


@models
def test_case_109_a_failure_is_told_and_no_other_model_asked(oai: openai.OpenAI, rig: Rig, model: str, books: int) -> None:
    rig.sim.set_faults((Rule(Status("overloaded"), Match(operation="embed")),))
    with pytest.raises(openai.InternalServerError) as failed:
        oai.embeddings.create(model=model, input=TEXTS)
    assert failed.value.status_code == 503
    (receipt,) = rig.receipts(books + 1)[books:]
    assert {(attempt.provider, attempt.model) for attempt in receipt.attempts} == {tuple(model.split("/"))}
    assert (receipt.status, receipt.cost_nanos) == ("error", 0)


def test_a_provider_without_embeddings(oai: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        oai.embeddings.create(model="sim-anthropic/sim-small", input="x")
    assert refused.value.param == "model"


@pytest.mark.parametrize("body", [{"input": []}, {"input": [1, "x"]}, {"input": {}}, {"input": "x", "dimensions": 0}])
def test_malformed_requests_say_where(oai: openai.OpenAI, body: dict[str, object]) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        oai.post("/embeddings", body={"model": "sim-openai/sim-small", **body}, cast_to=object)
    assert refused.value.param is not None


@models
def test_unknown_models(oai: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        oai.embeddings.create(model=model.replace("sim-small", "nothing"), input="x")
    assert missing.value.code == "model_not_found"


def test_strict_refuses_what_would_be_lost(oai: openai.OpenAI) -> None:
    ask = {"model": "sim-gemini/sim-small", "input": "x", "user": "u1"}
    raw = oai.embeddings.with_raw_response.create(**ask)
    assert raw.headers["x-headgate-fidelity"] == "dropped:user"
    with pytest.raises(openai.BadRequestError) as refused:
        oai.embeddings.create(**ask, extra_headers={"x-headgate-strict": "1"})
    assert refused.value.param == "user"
