"""The official OpenAI client is the judge of the simulator's Responses, stored ones included."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import openai
import pytest
from pydantic import BaseModel

from headgate.sim.faults import StreamError
from headgate.sim.server import Simulator
from headgate.wire.json import Json

Http = Callable[..., Json]
TEXT = "Tell me about harbours, city: Lima"
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
THINK = {"effort": "low", "summary": "auto"}


class City(BaseModel):
    city: str
    size: int


def test_a_response(sim: Simulator, openai_client: openai.OpenAI) -> None:
    raw = openai_client.responses.with_raw_response.create(model="sim-small", input=TEXT, instructions="Be brief.")
    made = raw.parse()
    assert (made.status, made.instructions, made.usage.total_tokens) == (
        "completed",
        "Be brief.",
        made.usage.input_tokens + made.usage.output_tokens,
    )
    assert "You asked about" in made.output_text
    (line,) = sim.bill.lines
    assert (line.response_id, line.request_id) == (made.id, raw.headers["x-request-id"])
    assert line.nanos == made.usage.input_tokens * 150 + made.usage.output_tokens * 600


@pytest.mark.parametrize("extra", [{}, {"reasoning": THINK}, {"tools": [LOOK], "tool_choice": "required"}, {"max_output_tokens": 16}])
def test_a_stream_says_what_the_whole_answer_says(openai_client: openai.OpenAI, extra: Json) -> None:
    whole = openai_client.responses.create(model="sim-small", input=TEXT, **extra)
    events = list(openai_client.responses.create(model="sim-small", input=TEXT, stream=True, **extra))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [events[0].type, events[1].type] == ["response.created", "response.in_progress"]
    final = events[-1].response
    assert events[-1].type == f"response.{whole.status}" and final.usage == whole.usage
    assert [item.type for item in final.output] == [item.type for item in whole.output]
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole.output_text == final.output_text
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert done == final.output


def test_reasoning(openai_client: openai.OpenAI) -> None:
    include = ["reasoning.encrypted_content"]
    made = openai_client.responses.create(model="sim-small", input=TEXT, reasoning=THINK, include=include)
    thought = made.output[0]
    assert thought.type == "reasoning" and thought.summary[0].text and thought.encrypted_content
    assert 0 < made.usage.output_tokens_details.reasoning_tokens < made.usage.output_tokens
    plain = openai_client.responses.create(model="sim-small", input=TEXT, reasoning={"effort": "low"}).output[0]
    assert (plain.summary, plain.encrypted_content) == ([], None)


def test_a_cut_answer_is_incomplete(openai_client: openai.OpenAI) -> None:
    made = openai_client.responses.create(model="sim-small", input=TEXT, max_output_tokens=16)
    assert (made.status, made.incomplete_details.reason, made.output[0].status) == ("incomplete", "max_output_tokens", "incomplete")
    assert made.usage.output_tokens == 16


def test_schemas_are_obeyed(openai_client: openai.OpenAI) -> None:
    made = openai_client.responses.parse(model="sim-small", input="city: Lima\nsize: 12", text_format=City)
    assert made.output_parsed == City(city="Lima", size=12)
    loose = openai_client.responses.create(model="sim-small", input="city: Lima", text={"format": {"type": "json_object"}})
    assert json.loads(loose.output_text) == {"city": "Lima"}


def test_tools_round_trip(openai_client: openai.OpenAI) -> None:
    first = openai_client.responses.create(model="sim-small", input=TEXT, tools=[LOOK], tool_choice={"type": "function", "name": "look"})
    (call,) = first.output
    assert (call.name, json.loads(call.arguments)) == ("look", {"city": "Lima"})
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "foggy"}
    again = openai_client.responses.create(
        model="sim-small", input=[{"role": "user", "content": TEXT}, call.to_dict(), result], tools=[LOOK]
    )
    followed = openai_client.responses.create(model="sim-small", previous_response_id=first.id, input=[result], tools=[LOOK])
    assert "foggy" in again.output_text and "foggy" in followed.output_text


def test_pictures_count(openai_client: openai.OpenAI) -> None:
    parts = [{"type": "input_text", "text": TEXT}, {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}]
    create = openai_client.responses.create
    plain = create(model="sim-small", input=TEXT).usage.input_tokens
    assert create(model="sim-small", input=[{"role": "user", "content": parts}]).usage.input_tokens > plain + 50


def test_a_followed_response_is_part_of_the_prompt(openai_client: openai.OpenAI) -> None:
    first = openai_client.responses.create(model="sim-small", input=TEXT)
    second = openai_client.responses.create(model="sim-small", input="And now?", previous_response_id=first.id)
    third = openai_client.responses.create(model="sim-small", input="And now?", previous_response_id=second.id)
    assert second.previous_response_id == first.id
    assert first.usage.input_tokens + first.usage.output_tokens < second.usage.input_tokens < third.usage.input_tokens
    items = [item.content[0].text for item in openai_client.responses.input_items.list(third.id, order="asc")]
    assert items == [TEXT, first.output_text, "And now?", second.output_text, "And now?"]
    counted = openai_client.responses.input_tokens.count(model="sim-small", input="And now?", previous_response_id=second.id)
    assert counted.input_tokens == third.usage.input_tokens


def test_input_items_come_in_pages(openai_client: openai.OpenAI) -> None:
    talk = [{"role": "user", "content": f"question {number}"} for number in range(5)]
    made = openai_client.responses.create(model="sim-small", input=talk)
    page = openai_client.responses.input_items.list(made.id, limit=2)
    assert page.has_more and [item.content[0].text for item in page.data] == ["question 4", "question 3"]
    assert len(list(page)) == 5


def test_stored_responses_belong_to_their_account(openai_client: openai.OpenAI) -> None:
    made = openai_client.responses.create(model="sim-small", input=TEXT)
    assert openai_client.responses.retrieve(made.id).output_text == made.output_text
    other = openai_client.with_options(api_key="sim-other")
    with pytest.raises(openai.NotFoundError):
        other.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError) as refused:
        other.responses.create(model="sim-small", input=TEXT, previous_response_id=made.id)
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")
    openai_client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.retrieve(made.id)


def test_what_is_not_stored_cannot_be_followed(openai_client: openai.OpenAI) -> None:
    made = openai_client.responses.create(model="sim-small", input=TEXT, store=False)
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.retrieve(made.id)


class Wrong(NamedTuple):
    body: Json
    code: str | None
    param: str | None


@pytest.mark.parametrize(
    "wrong",
    [
        Wrong({"model": "unknown-1", "input": TEXT}, "model_not_found", "model"),
        Wrong({"input": TEXT}, "missing_required_parameter", "model"),
        Wrong({"model": "sim-small"}, "missing_required_parameter", "input"),
        Wrong({"model": "sim-small", "input": [{"role": "robot", "content": "x"}]}, "invalid_value", "input[0].role"),
        Wrong({"model": "sim-small", "input": TEXT, "max_output_tokens": 3}, "integer_below_min_value", "max_output_tokens"),
        Wrong({"model": "sim-small", "input": "x" * 600_000}, "context_length_exceeded", "input"),
        Wrong(
            {"model": "sim-small", "input": TEXT, "text": {"format": {"type": "json_schema"}}},
            "missing_required_parameter",
            "text.format.name",
        ),
        Wrong({"model": "sim-small", "input": TEXT, "conversation": "conv_1"}, None, "conversation"),
    ],
)
def test_refusals(sim: Simulator, openai_client: openai.OpenAI, wrong: Wrong) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.post("/responses", cast_to=object, body=wrong.body)
    assert (refused.value.code, refused.value.param) == (wrong.code, wrong.param)
    assert len(sim.bill) == 0


def test_an_error_in_the_stream_ends_it_as_failed(sim: Simulator, http: Http, openai_client: openai.OpenAI) -> None:
    sim.fail(StreamError(5, "quota"), operation="stream")
    seen = []
    with pytest.raises(openai.APIError), openai_client.responses.create(model="sim-small", input=TEXT, stream=True) as stream:
        seen.extend(stream)
    assert len(seen) == 5
    raw = http("POST", "/openai/v1/responses", {"model": "sim-small", "input": TEXT, "stream": True}, {"authorization": "Bearer sim-key"})
    frames = [json.loads(line[6:]) for line in raw.body.decode().split("\n") if line.startswith("data: ")]
    assert [frame["sequence_number"] for frame in frames] == list(range(7))
    assert [frame["type"] for frame in frames[5:]] == ["error", "response.failed"]
    assert frames[6]["response"]["status"] == "failed" and frames[6]["response"]["error"]["code"] == "insufficient_quota"
