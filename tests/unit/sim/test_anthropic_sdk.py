"""The official Anthropic client is the judge of the simulator's Anthropic wire."""

from __future__ import annotations

import json

import anthropic
import pytest

from headgate.sim.server import Simulator

HELLO = [{"role": "user", "content": "Tell me about harbours, city: Lima"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
TOOLS = [{"name": "look", "input_schema": SCHEMA}]
ASK = {"model": "sim-large", "max_tokens": 2000, "messages": HELLO}


def test_messages(sim: Simulator, anthropic_client: anthropic.Anthropic) -> None:
    raw = anthropic_client.messages.with_raw_response.create(**ASK)
    answer = raw.parse()
    assert answer.stop_reason == "end_turn" and answer.content[0].type == "text"
    (line,) = sim.bill.lines
    assert (line.response_id, line.request_id) == (answer.id, raw.headers["request-id"])
    assert line.nanos == answer.usage.input_tokens * 3000 + answer.usage.output_tokens * 15000


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"tools": TOOLS, "tool_choice": {"type": "any"}},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"stop_sequences": ["answer it"]},
        {"max_tokens": 5},
    ],
)
def test_a_stream_says_what_the_whole_answer_says(anthropic_client: anthropic.Anthropic, extra: dict[str, object]) -> None:
    whole = anthropic_client.messages.create(**{**ASK, **extra})
    with anthropic_client.messages.stream(**{**ASK, **extra}) as stream:
        names = [event.type for event in stream]
        final = stream.get_final_message()
    assert names[0] == "message_start" and names[-1] == "message_stop"
    for streamed, said in zip(final.content, whole.content, strict=True):
        assert streamed.model_dump(exclude={"id", "parsed_output"}) == said.model_dump(exclude={"id"})
    assert (final.stop_reason, final.stop_sequence) == (whole.stop_reason, whole.stop_sequence)
    assert (final.usage.input_tokens, final.usage.output_tokens) == (whole.usage.input_tokens, whole.usage.output_tokens)


def test_thinking(anthropic_client: anthropic.Anthropic) -> None:
    answer = anthropic_client.messages.create(**ASK, thinking={"type": "enabled", "budget_tokens": 1024})
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.content[0].signature
    assert 0 < answer.usage.output_tokens_details.thinking_tokens < answer.usage.output_tokens


def test_tools_round_trip(anthropic_client: anthropic.Anthropic) -> None:
    first = anthropic_client.messages.create(**ASK, tools=TOOLS, tool_choice={"type": "tool", "name": "look"})
    (use,) = first.content
    assert (first.stop_reason, use.input) == ("tool_use", {"city": "Lima"})
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "foggy"}]}
    follow = {**ASK, "messages": [*HELLO, {"role": "assistant", "content": [use.to_dict()]}, result]}
    assert "foggy" in anthropic_client.messages.create(**follow, tools=TOOLS).content[0].text


def test_structured_output(anthropic_client: anthropic.Anthropic) -> None:
    config = {"format": {"type": "json_schema", "schema": SCHEMA}}
    answer = anthropic_client.messages.create(**ASK, output_config=config)
    assert json.loads(answer.content[0].text) == {"city": "Lima"}


@pytest.mark.parametrize(("ttl", "field", "rate"), [("5m", "ephemeral_5m_input_tokens", 3750), ("1h", "ephemeral_1h_input_tokens", 6000)])
def test_prompt_caching(sim: Simulator, anthropic_client: anthropic.Anthropic, ttl: str, field: str, rate: int) -> None:
    system = [{"type": "text", "text": "rule " * 2000, "cache_control": {"type": "ephemeral", "ttl": ttl}}]
    first, second = (anthropic_client.messages.create(**ASK, system=system).usage for _ in range(2))
    written = getattr(first.cache_creation, field)
    assert first.cache_creation_input_tokens == written == second.cache_read_input_tokens > 2000
    assert first.input_tokens == second.input_tokens and second.cache_creation_input_tokens == 0
    assert sim.bill.lines[0].nanos == first.input_tokens * 3000 + written * rate + first.output_tokens * 15000
    assert sim.bill.lines[1].nanos == second.input_tokens * 3000 + written * 300 + second.output_tokens * 15000
    sim.advance(3601)
    assert anthropic_client.messages.create(**ASK, system=system).usage.cache_read_input_tokens == 0


def test_count_tokens(anthropic_client: anthropic.Anthropic) -> None:
    counted = anthropic_client.messages.count_tokens(model="sim-large", messages=HELLO)
    assert counted.input_tokens == anthropic_client.messages.create(**ASK).usage.input_tokens


def test_errors(sim: Simulator, anthropic_client: anthropic.Anthropic) -> None:
    create = anthropic_client.messages.create
    with pytest.raises(anthropic.NotFoundError, match="model: unknown-1"):
        create(**{**ASK, "model": "unknown-1"})
    with pytest.raises(anthropic.BadRequestError, match="non-empty content"):
        create(**{**ASK, "messages": [{"role": "user", "content": ""}]})
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        create(**{**ASK, "messages": [{"role": "user", "content": "x" * 900_000}]})
    with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key") as refused:
        anthropic_client.with_options(api_key="sk-ant-wrong").messages.create(**ASK)
    assert refused.value.body["request_id"] == refused.value.response.headers["request-id"]
    assert len(sim.bill) == 0


def test_the_version_header_is_required(http: object, sim: Simulator) -> None:
    reply = http("POST", "/anthropic/v1/messages", ASK, {"x-api-key": "sim-key"})
    assert (reply.status, reply.json()["error"]["type"]) == (400, "invalid_request_error")


def test_models(anthropic_client: anthropic.Anthropic) -> None:
    assert {model.id for model in anthropic_client.models.list()} >= {"sim-small", "sim-large", "sim-flash"}
