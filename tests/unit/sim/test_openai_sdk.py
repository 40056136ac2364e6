"""The official OpenAI client is the judge of the simulator's OpenAI wire."""

from __future__ import annotations

import json

import openai
import pytest
from pydantic import BaseModel

from headgate.sim.server import Simulator

HELLO = [{"role": "user", "content": "Tell me about harbours, city: Lima"}]
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]


class City(BaseModel):
    city: str
    size: int


def test_chat(sim: Simulator, openai_client: openai.OpenAI) -> None:
    raw = openai_client.chat.completions.with_raw_response.create(model="sim-small", messages=HELLO)
    answer = raw.parse()
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    (line,) = sim.bill.lines
    assert (line.response_id, line.request_id) == (answer.id, raw.headers["x-request-id"])
    assert line.nanos == answer.usage.prompt_tokens * 150 + answer.usage.completion_tokens * 600
    assert (line.provider, line.account, line.lane) == ("openai", "sim-key", "realtime")


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream_says_what_the_whole_answer_says(openai_client: openai.OpenAI, include_usage: bool) -> None:
    create = openai_client.chat.completions.create
    whole = create(model="sim-small", messages=HELLO, n=2)
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    chunks = list(create(model="sim-small", messages=HELLO, n=2, stream=True, **options))
    for index in range(2):
        pieces = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        assert "".join(piece.delta.content or "" for piece in pieces) == whole.choices[index].message.content
        assert pieces[0].delta.role == "assistant"
        assert [piece.finish_reason for piece in pieces if piece.finish_reason] == ["stop"]
    assert [chunk.usage for chunk in chunks if chunk.usage] == ([whole.usage] if include_usage else [])


def test_tools_round_trip(openai_client: openai.OpenAI) -> None:
    create = openai_client.chat.completions.create
    first = create(model="sim-small", messages=HELLO, tools=TOOLS, tool_choice="required")
    (call,) = first.choices[0].message.tool_calls
    assert (first.choices[0].finish_reason, call.function.name) == ("tool_calls", "look")
    assert json.loads(call.function.arguments) == {"city": "Lima"}
    follow = [*HELLO, first.choices[0].message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "foggy"}]
    assert "foggy" in create(model="sim-small", messages=follow, tools=TOOLS).choices[0].message.content


def test_streamed_tool_calls(openai_client: openai.OpenAI) -> None:
    with openai_client.chat.completions.stream(model="sim-small", messages=HELLO, tools=TOOLS, tool_choice="required") as stream:
        final = stream.get_final_completion()
    assert json.loads(final.choices[0].message.tool_calls[0].function.arguments) == {"city": "Lima"}


def test_structured_output(openai_client: openai.OpenAI) -> None:
    asked = [{"role": "user", "content": "city: Lima\nsize: 12"}]
    answer = openai_client.chat.completions.parse(model="sim-small", messages=asked, response_format=City)
    assert answer.choices[0].message.parsed == City(city="Lima", size=12)
    loose = openai_client.chat.completions.create(model="sim-small", messages=asked, response_format={"type": "json_object"})
    assert json.loads(loose.choices[0].message.content) == {"city": "Lima", "size": 12}


def test_limits_and_reasoning(openai_client: openai.OpenAI) -> None:
    create = openai_client.chat.completions.create
    cut = create(model="sim-small", messages=HELLO, max_completion_tokens=3)
    assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 3)
    thought = create(model="sim-small", messages=HELLO, reasoning_effort="high")
    assert 0 < thought.usage.completion_tokens_details.reasoning_tokens < thought.usage.completion_tokens
    assert thought.usage.total_tokens == thought.usage.prompt_tokens + thought.usage.completion_tokens


def test_long_prompts_are_cached_per_account(sim: Simulator, openai_client: openai.OpenAI) -> None:
    create = openai_client.chat.completions.create
    system = {"role": "system", "content": "rule " * 2000}
    first, second = (create(model="sim-small", messages=[system, *HELLO]) for _ in range(2))
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    cached = second.usage.prompt_tokens_details.cached_tokens
    assert cached % 128 == 0 and cached >= 2432
    assert sim.bill.lines[1].usage.cache_read == cached
    with openai_client.with_options(api_key="sim-other") as other:
        assert other.chat.completions.create(model="sim-small", messages=[system]).usage.prompt_tokens_details.cached_tokens == 0


def test_errors(sim: Simulator, openai_client: openai.OpenAI) -> None:
    create = openai_client.chat.completions.create
    with pytest.raises(openai.NotFoundError) as unknown:
        create(model="unknown-1", messages=HELLO)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as missing:
        openai_client.post("/chat/completions", cast_to=object, body={"model": "sim-small"})
    assert missing.value.param == "messages"
    with pytest.raises(openai.BadRequestError) as long:
        create(model="sim-small", messages=[{"role": "user", "content": "x" * 600_000}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.AuthenticationError) as refused:
        openai_client.with_options(api_key="sk-wrong-key-value").chat.completions.create(model="sim-small", messages=HELLO)
    assert refused.value.code == "invalid_api_key" and "sk-wrong-key-value" not in str(refused.value)
    assert len(sim.bill) == 0


def test_models(openai_client: openai.OpenAI) -> None:
    assert {model.id for model in openai_client.models.list()} >= {"sim-small", "sim-large", "sim-flash"}
    assert openai_client.models.retrieve("sim-small").id == "sim-small"
