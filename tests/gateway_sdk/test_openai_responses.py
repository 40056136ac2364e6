"""The official `openai` client asks by the Responses API, whichever provider answers."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from openai.types.responses import ResponseInputParam
from pydantic import BaseModel

from headgate.providers import PROVIDERS
from headgate.sim.faults import CutStream, Rule, Status
from headgate.testing.gateway import Rig

QUESTION = "Where is the sailor's harbour?"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
    "strict": False,
}
WEATHER_IN_OSLO: ResponseInputParam = [{"role": "user", "content": "What is the weather in city: Oslo?"}]
NO_FORCED_TOOLS = "sim-ollama"
"""A wire that cannot demand a tool call."""
SIGNED = ("sim-openai", "sim-anthropic", "sim-bedrock")
"""Providers that give reasoning in a form they take back."""


class City(BaseModel):
    city: str
    people: int


@pytest.fixture(params=("sim-openai", "sim-anthropic", "sim-gemini", "sim-bedrock", "sim-ollama"))
def model(request: pytest.FixtureRequest) -> str:
    return f"{request.param}/sim-small"


def test_answer(oai: openai.OpenAI, rig: Rig, model: str, books: int) -> None:
    answer = oai.responses.create(model=model, instructions="Be brief.", input=QUESTION, max_output_tokens=200)
    assert answer.object == "response" and answer.status == "completed"
    assert answer.output_text
    assert answer.usage is not None and answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
    receipt = rig.receipts(books + 1)[-1]
    assert (receipt.dialect_in, receipt.status) == ("openai_responses", "ok")
    spoken = PROVIDERS[receipt.provider].speaks("openai_responses")
    assert (receipt.dialect_out == "openai_responses") == (spoken is not None)


def test_a_stream_equals_the_whole_answer(oai: openai.OpenAI, model: str) -> None:
    whole = oai.responses.create(model=model, input=QUESTION, max_output_tokens=200)
    events = list(oai.responses.create(model=model, input=QUESTION, max_output_tokens=200, stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert [event.type for event in events if event.type.startswith("response.completed")] == ["response.completed"]
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))


def test_tools_round_trip(oai: openai.OpenAI, model: str) -> None:
    raw = oai.responses.with_raw_response.create(model=model, input=WEATHER_IN_OSLO, tools=[WEATHER], tool_choice="required")
    if model.startswith(NO_FORCED_TOOLS):
        assert "dropped:tool_choice" in raw.headers["x-headgate-fidelity"].split(", ")
        return
    first = raw.parse()
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments).keys()) == ("get_weather", {"city"})
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Rain, 4 degrees."}
    second = oai.responses.create(model=model, input=[*WEATHER_IN_OSLO, *first.output, result], tools=[WEATHER])
    assert "Rain, 4 degrees." in second.output_text


def test_a_streamed_tool_call(oai: openai.OpenAI, model: str) -> None:
    with oai.responses.stream(model=model, input=WEATHER_IN_OSLO, tools=[WEATHER], tool_choice="required") as stream:
        pieces = [event.delta for event in stream if event.type == "response.function_call_arguments.delta"]
        final = stream.get_final_response()
    calls = [item.arguments for item in final.output if item.type == "function_call"]
    assert calls == ([] if model.startswith(NO_FORCED_TOOLS) else ["".join(pieces)])
    assert all(json.loads(arguments)["city"] for arguments in calls)


def test_structured_output(oai: openai.OpenAI, model: str) -> None:
    answer = oai.responses.parse(model=model, input="Tell me of Oslo.", text_format=City)
    assert isinstance(answer.output_parsed, City)
    with oai.responses.stream(model=model, input="Tell me of Oslo.", text_format=City) as stream:
        assert stream.get_final_response().output_parsed == answer.output_parsed


def test_reasoning_comes_and_goes_back(oai: openai.OpenAI, model: str) -> None:
    thinker = model.replace("small", "large")
    asked = {
        "model": thinker,
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }
    first = oai.responses.create(input=QUESTION, **asked)
    assert [item.type for item in first.output] == ["reasoning", "message"]
    thought = first.output[0]
    assert thought.type == "reasoning" and thought.summary[0].text
    assert bool(thought.encrypted_content) == model.startswith(SIGNED)
    talk = [{"role": "user", "content": QUESTION}, *first.output, {"role": "user", "content": "And then?"}]
    raw = oai.responses.with_raw_response.create(input=talk, **asked)
    assert raw.parse().output_text
    lost = "dropped:messages" in raw.headers.get("x-headgate-fidelity", "")
    assert lost == model.startswith("sim-gemini"), "a thought without a signature cannot go back to Gemini; Ollama's have none"


def test_what_an_account_keeps_is_followed_there_only(oai: openai.OpenAI, rig: Rig, model: str) -> None:
    first = oai.responses.create(model="sim-openai/sim-small", input="My harbour is called Alpha.")
    follow_up = {"model": model, "input": "And now?", "previous_response_id": first.id}
    if model.startswith("sim-openai"):
        assert oai.responses.create(**follow_up).previous_response_id == first.id
        return
    calls = len(rig.sim.bill.lines)
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as refused:
            oai.responses.create(stream=stream, **follow_up)
        assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "previous_response_id")
        assert "previous_response_id" in refused.value.message
    assert len(rig.sim.bill.lines) == calls


def test_async_client(rig: Rig, model: str) -> None:
    async def ask() -> str:
        client = openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key=rig.key, max_retries=0)
        async with client, client.responses.stream(model=model, input=QUESTION) as stream:
            return (await stream.get_final_response()).output_text

    assert asyncio.run(ask())


def test_errors(oai: openai.OpenAI, rig: Rig, model: str) -> None:
    rig.sim.set_faults((Rule(Status("rate_limit")),))
    with pytest.raises(openai.RateLimitError):
        oai.responses.create(model=model, input=QUESTION)
    rig.sim.set_faults(())
    rig.calm()
    with pytest.raises(openai.BadRequestError):
        oai.responses.create(model=model, input=5)


def test_a_cut_stream_ends_in_an_error(oai: openai.OpenAI, rig: Rig, model: str) -> None:
    rig.sim.set_faults((Rule(CutStream(2)),))
    kinds = [event.type for event in oai.responses.create(model=model, input=QUESTION, stream=True)]
    assert kinds[-1] == "error"
    assert "response.completed" not in kinds
