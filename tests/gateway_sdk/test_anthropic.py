"""The official `anthropic` client against the gateway, whichever provider answers."""

from __future__ import annotations

import asyncio

import anthropic
import pytest

from headgate.sim.faults import CutStream, Garbage, Match, Rule, Status, StreamError
from headgate.testing.gateway import Rig

ASK = [{"role": "user", "content": "Where is the sailor's harbour?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "The weather in a city.", "input_schema": SCHEMA}


def test_messages(ant: anthropic.Anthropic, model: str) -> None:
    answer = ant.messages.create(model=model, max_tokens=100, system="Be brief.", messages=ASK)
    assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "end_turn")
    assert answer.content[0].type == "text" and answer.content[0].text
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0


def test_stamps(ant: anthropic.Anthropic, rig: Rig, model: str, books: int) -> None:
    raw = ant.messages.with_raw_response.create(model=model, max_tokens=100, messages=ASK)
    receipt = rig.receipts(books + 1)[-1]
    assert raw.headers["x-headgate-request-id"] == receipt.id
    assert raw.headers["x-headgate-cost"] == str(receipt.cost)[1:]
    assert raw.parse()._request_id
    assert (receipt.dialect_in, receipt.status, receipt.finish) == ("anthropic_messages", "ok", "stop")


def test_stream_equals_the_whole_answer(ant: anthropic.Anthropic, model: str) -> None:
    whole = ant.messages.create(model=model, max_tokens=100, messages=ASK)
    with ant.messages.stream(model=model, max_tokens=100, messages=ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert whole.content[0].type == "text"
    assert text == whole.content[0].text
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_stream_events_are_well_formed(ant: anthropic.Anthropic, model: str) -> None:
    events = [event.type for event in ant.messages.create(model=model, max_tokens=100, messages=ASK, stream=True) if event.type != "ping"]
    assert events[0] == "message_start"
    assert events[1] == "content_block_start"
    assert events[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(events[2:-3]) == {"content_block_delta"}


def test_async_client(rig: Rig, model: str) -> None:
    async def ask() -> str:
        client = anthropic.AsyncAnthropic(base_url=rig.url, api_key=rig.key, max_retries=0)
        async with client, client.messages.stream(model=model, max_tokens=100, messages=ASK) as stream:
            return await stream.get_final_text()

    assert asyncio.run(ask())


def test_bearer_token(rig: Rig) -> None:
    with anthropic.Anthropic(base_url=rig.url, auth_token=rig.key, max_retries=0) as client:
        assert client.messages.create(model="sim-gemini/sim-small", max_tokens=50, messages=ASK).content


def test_tools_round_trip(ant: anthropic.Anthropic, model: str) -> None:
    question = [{"role": "user", "content": "What is the weather in city: Oslo?"}]
    first = ant.messages.create(model=model, max_tokens=200, messages=question, tools=[WEATHER], tool_choice={"type": "any"})
    assert first.stop_reason == "tool_use"
    call = next(block for block in first.content if block.type == "tool_use")
    assert call.name == "get_weather" and "city" in call.input
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "Rain, 4 degrees."}
    history = [*question, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = ant.messages.create(model=model, max_tokens=200, messages=history, tools=[WEATHER])
    assert any(block.type == "text" and block.text for block in second.content)


def test_streamed_tool_call(ant: anthropic.Anthropic, model: str) -> None:
    question = [{"role": "user", "content": "What is the weather in city: Oslo?"}]
    choice = {"type": "tool", "name": "get_weather"}
    with ant.messages.stream(model=model, max_tokens=200, messages=question, tools=[WEATHER], tool_choice=choice) as stream:
        final = stream.get_final_message()
    call = next(block for block in final.content if block.type == "tool_use")
    assert call.name == "get_weather" and "city" in call.input
    assert final.stop_reason == "tool_use"


def test_models(ant: anthropic.Anthropic, model: str) -> None:
    assert model in {entry.id for entry in ant.models.list()}
    found = ant.models.retrieve(model)
    assert (found.id, found.type) == (model, "model")
    with pytest.raises(anthropic.NotFoundError):
        ant.models.retrieve("sim-openai/no-such-model")


REFUSALS = {
    "rate_limit": (429, anthropic.RateLimitError),
    "overloaded": (None, anthropic.InternalServerError),
    "server": (None, anthropic.InternalServerError),
    "bad_request": (400, anthropic.BadRequestError),
}


@pytest.mark.parametrize("name", sorted(REFUSALS))
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_upstream_errors(ant: anthropic.Anthropic, rig: Rig, model: str, name: str, stream: bool, books: int) -> None:
    status, kind = REFUSALS[name]
    rig.sim.set_faults((Rule(Status(name)),))
    with pytest.raises((kind, anthropic.InternalServerError)) as caught:
        ant.messages.create(model=model, max_tokens=100, messages=ASK, stream=stream)
    assert status is None or caught.value.status_code == status
    assert caught.value.body["type"] == "error"
    receipt = rig.receipts(books + 1)[-1]
    assert receipt.status == "error" and receipt.cost_nanos == 0


def test_anthropics_own_529_stays_one(ant: anthropic.Anthropic, rig: Rig) -> None:
    rig.sim.set_faults((Rule(Status("overloaded")),))
    with pytest.raises(anthropic.APIStatusError) as caught:
        ant.messages.create(model="sim-anthropic/sim-small", max_tokens=100, messages=ASK)
    assert caught.value.status_code == 529
    assert caught.value.body["error"]["type"] == "overloaded_error"


def test_the_providers_401_is_not_the_clients(ant: anthropic.Anthropic, rig: Rig, model: str) -> None:
    rig.sim.set_faults((Rule(Status("auth")),))
    with pytest.raises(anthropic.InternalServerError) as caught:
        ant.messages.create(model=model, max_tokens=100, messages=ASK)
    assert caught.value.status_code == 502


def test_html_with_200(ant: anthropic.Anthropic, rig: Rig, model: str) -> None:
    rig.sim.set_faults((Rule(Garbage()),))
    with pytest.raises(anthropic.InternalServerError) as caught:
        ant.messages.create(model=model, max_tokens=100, messages=ASK)
    assert caught.value.status_code == 502


@pytest.mark.parametrize("action", [CutStream(3), StreamError(3)], ids=["cut", "error event"])
def test_broken_streams_never_look_complete(
    ant: anthropic.Anthropic, rig: Rig, model: str, action: CutStream | StreamError, books: int
) -> None:
    rig.sim.set_faults((Rule(action, Match(operation="stream")),))
    events = []
    with pytest.raises(anthropic.APIError):
        for event in ant.messages.create(model=model, max_tokens=100, messages=ASK, stream=True):
            events.append(event.type)
    assert "message_stop" not in events and "message_delta" not in events
    receipt = rig.receipts(books + 1)[-1]
    assert (receipt.status, receipt.usage.source) == ("error", "estimated")
    assert receipt.cost_nanos is not None and receipt.cost_nanos > 0


def test_our_own_errors(ant: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        ant.messages.create(model="sim-openai/sim-smal", max_tokens=100, messages=ASK)
    assert caught.value.body["error"]["type"] == "not_found_error"
    assert "did you mean" in str(caught.value)


def test_wrong_key(rig: Rig) -> None:
    client = anthropic.Anthropic(base_url=rig.url, api_key="hg-ffffffffffffffffffffffffffffffff", max_retries=0)
    with client, pytest.raises(anthropic.AuthenticationError) as caught:
        client.messages.create(model="sim-openai/sim-small", max_tokens=100, messages=ASK)
    assert caught.value.body["error"]["type"] == "authentication_error"
