"""The official `openai` client against the gateway, whichever provider answers."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest

from headgate.sim.faults import CutStream, Garbage, Match, Rule, Status, StreamError
from headgate.testing.gateway import Rig

ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is the sailor's harbour?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
    },
}
STEP = {
    "type": "object",
    "properties": {"step": {"type": "integer"}, "note": {"type": "string"}},
    "required": ["step", "note"],
    "additionalProperties": False,
}


def test_chat(oai: openai.OpenAI, model: str) -> None:
    answer = oai.chat.completions.create(model=model, messages=ASK, max_tokens=100)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.created > 1_600_000_000
    assert answer.usage is not None and answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


def test_stamps(oai: openai.OpenAI, rig: Rig, model: str, books: int) -> None:
    raw = oai.chat.completions.with_raw_response.create(model=model, messages=ASK)
    receipt = rig.receipts(books + 1)[-1]
    assert raw.headers["x-headgate-request-id"] == receipt.id
    assert raw.headers["x-headgate-provider"] == receipt.provider == model.partition("/")[0]
    assert raw.headers["x-headgate-cost"] == str(receipt.cost)[1:]
    assert raw.headers["cache-control"] == "no-store"
    assert (receipt.face, receipt.dialect_in, receipt.status, receipt.finish, receipt.stream) == (
        "gateway",
        "openai_chat",
        "ok",
        "stop",
        False,
    )


def test_stream_equals_the_whole_answer(oai: openai.OpenAI, model: str) -> None:
    whole = oai.chat.completions.create(model=model, messages=ASK)
    chunks = list(oai.chat.completions.create(model=model, messages=ASK, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


def test_stream_with_usage(oai: openai.OpenAI, model: str) -> None:
    chunks = list(oai.chat.completions.create(model=model, messages=ASK, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_async_client(rig: Rig, model: str) -> None:
    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key=rig.key, max_retries=0) as client:
            stream = await client.chat.completions.create(model=model, messages=ASK, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert asyncio.run(ask())


def test_tools_round_trip(oai: openai.OpenAI, model: str) -> None:
    question = [{"role": "user", "content": "What is the weather in city: Oslo?"}]
    first = oai.chat.completions.create(model=model, messages=question, tools=[WEATHER], tool_choice="required")
    assert first.choices[0].finish_reason == "tool_calls"
    calls = first.choices[0].message.tool_calls
    assert calls is not None and len(calls) == 1
    call = calls[0]
    assert call.type == "function" and call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"]
    history = [*question, first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "Rain, 4 degrees."}]
    second = oai.chat.completions.create(model=model, messages=history, tools=[WEATHER])
    assert second.choices[0].message.content


def test_streamed_tool_call(oai: openai.OpenAI, model: str) -> None:
    question = [{"role": "user", "content": "What is the weather in city: Oslo?"}]
    choice = {"type": "function", "function": {"name": "get_weather"}}
    stream = oai.chat.completions.create(model=model, messages=question, tools=[WEATHER], tool_choice=choice, stream=True)
    deltas = [piece for chunk in stream for piece in chunk.choices[0].delta.tool_calls or []]
    assert {piece.index for piece in deltas} == {0}
    assert [piece.function.name for piece in deltas if piece.function and piece.function.name] == ["get_weather"]
    assert deltas[0].id
    assert "city" in json.loads("".join(piece.function.arguments or "" for piece in deltas if piece.function))


def test_structured_output(oai: openai.OpenAI, model: str) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "walk", "schema": STEP, "strict": True}}
    answer = oai.chat.completions.create(model=model, messages=[{"role": "user", "content": "step: 3, note: left"}], response_format=wanted)
    assert set(json.loads(answer.choices[0].message.content or "")) == {"step", "note"}
    assert answer.choices[0].finish_reason == "stop"


def test_length(oai: openai.OpenAI, model: str) -> None:
    answer = oai.chat.completions.create(model=model, messages=ASK, max_tokens=3)
    assert answer.choices[0].finish_reason == "length"


def test_models(oai: openai.OpenAI, model: str) -> None:
    listed = {entry.id: entry for entry in oai.models.list()}
    assert model in listed
    found = oai.models.retrieve(model)
    assert (found.id, found.object, found.owned_by) == (model, "model", model.partition("/")[0])
    with pytest.raises(openai.NotFoundError):
        oai.models.retrieve("sim-openai/no-such-model")


REFUSALS = {
    "rate_limit": (429, openai.RateLimitError),
    "server": (None, openai.InternalServerError),
    "overloaded": (None, openai.InternalServerError),
    "bad_request": (400, openai.BadRequestError),
}


@pytest.mark.parametrize("name", sorted(REFUSALS))
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_upstream_errors(oai: openai.OpenAI, rig: Rig, model: str, name: str, stream: bool, books: int) -> None:
    status, kind = REFUSALS[name]
    rig.sim.set_faults((Rule(Status(name, retry_after=7 if name == "rate_limit" else None)),))
    with pytest.raises(kind) as caught:
        oai.chat.completions.create(model=model, messages=ASK, stream=stream)
    assert status is None or caught.value.status_code == status
    assert caught.value.message
    if name == "rate_limit":
        assert caught.value.response.headers["retry-after"] == "7"
    receipt = rig.receipts(books + 1)[-1]
    assert receipt.status == "error" and receipt.cost_nanos == 0 and receipt.error is not None
    assert caught.value.response.headers["x-headgate-request-id"] == receipt.id


def test_the_providers_401_is_not_the_clients(oai: openai.OpenAI, rig: Rig, model: str, books: int) -> None:
    rig.sim.set_faults((Rule(Status("auth")),))
    with pytest.raises(openai.InternalServerError) as caught:
        oai.chat.completions.create(model=model, messages=ASK)
    assert caught.value.status_code == 502
    assert caught.value.code == "upstream_auth"
    assert rig.receipts(books + 1)[-1].error == "auth"


def test_html_with_200(oai: openai.OpenAI, rig: Rig, model: str, books: int) -> None:
    rig.sim.set_faults((Rule(Garbage()),))
    with pytest.raises(openai.InternalServerError) as caught:
        oai.chat.completions.create(model=model, messages=ASK)
    assert caught.value.status_code == 502
    assert caught.value.code == "upstream_bad_content"
    assert rig.receipts(books + 1)[-1].usage.source == "estimated"


@pytest.mark.parametrize("action", [CutStream(3), StreamError(3)], ids=["cut", "error event"])
def test_broken_streams_never_look_complete(oai: openai.OpenAI, rig: Rig, model: str, action: CutStream | StreamError, books: int) -> None:
    rig.sim.set_faults((Rule(action, Match(operation="stream")),))
    finishes = []
    with pytest.raises(openai.APIError) as caught:
        for chunk in oai.chat.completions.create(model=model, messages=ASK, stream=True):
            finishes += [choice.finish_reason for choice in chunk.choices if choice.finish_reason]
    assert finishes == []
    if isinstance(action, CutStream):
        assert caught.value.code == "upstream_incomplete"
    receipt = rig.receipts(books + 1)[-1]
    assert (receipt.status, receipt.usage.source) == ("error", "estimated")
    assert receipt.cost_nanos is not None and receipt.cost_nanos > 0


@pytest.mark.parametrize(
    ("change", "status", "param", "word"),
    [
        ({"model": "sim-openai/sim-smal"}, 404, None, "did you mean"),
        ({"model": "opnai/gpt-4o"}, 404, None, "did you mean"),
        ({"model": ""}, 400, "model", "/v1/models"),
        ({"model": "openai/gpt-4o-mini"}, 502, None, "OPENAI_API_KEY"),
    ],
    ids=["model", "provider", "empty", "no key for the provider"],
)
def test_our_own_errors(oai: openai.OpenAI, change: dict[str, str], status: int, param: str | None, word: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        oai.chat.completions.create(**{"model": "sim-openai/sim-small", "messages": ASK, **change})
    assert caught.value.status_code == status
    assert caught.value.param == param
    assert word in caught.value.message


def test_several_choices_of_a_model_that_gives_one(oai: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        oai.chat.completions.create(model="sim-anthropic/sim-small", messages=ASK, n=2)
    assert caught.value.param == "n"


def test_fidelity_and_strict(oai: openai.OpenAI) -> None:
    asked = {"model": "sim-anthropic/sim-small", "messages": ASK, "temperature": 1.6, "logit_bias": {"50256": -100}}
    raw = oai.chat.completions.with_raw_response.create(**asked)
    words = raw.headers["x-headgate-fidelity"].split(", ")
    assert "dropped:logit_bias" in words
    assert "approximated:temperature" in words
    with pytest.raises(openai.BadRequestError) as caught:
        oai.chat.completions.create(**asked, extra_headers={"x-headgate-strict": "true"})
    assert caught.value.code == "unsupported_parameter"
    assert caught.value.param in ("temperature", "logit_bias", "max_tokens")


def test_wrong_key(rig: Rig) -> None:
    client = openai.OpenAI(base_url=f"{rig.url}/v1", api_key="hg-ffffffffffffffffffffffffffffffff", max_retries=0)
    with client, pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model="sim-openai/sim-small", messages=ASK)
    assert caught.value.code == "invalid_api_key"
