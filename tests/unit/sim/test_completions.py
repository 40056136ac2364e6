"""The official OpenAI client is the judge of the simulator's legacy completions."""

from __future__ import annotations

import openai
import pytest

from headgate.sim.server import Simulator
from headgate.wire.json import Json


def test_prompts_and_choices(sim: Simulator, openai_client: openai.OpenAI) -> None:
    made = openai_client.completions.create(model="sim-small", prompt=["one", "two"], n=2, max_tokens=200)
    assert [choice.index for choice in made.choices] == [0, 1, 2, 3]
    assert {choice.finish_reason for choice in made.choices} == {"stop"} and made.choices[0].logprobs is None
    assert len({choice.text for choice in made.choices}) == 4
    (line,) = sim.bill.lines
    assert line.nanos == made.usage.prompt_tokens * 150 + made.usage.completion_tokens * 600


def test_the_usual_limit_is_sixteen_tokens(openai_client: openai.OpenAI) -> None:
    made = openai_client.completions.create(model="sim-small", prompt="Tell me about harbours")
    assert (made.choices[0].finish_reason, made.usage.completion_tokens) == ("length", 16)


@pytest.mark.parametrize("prompt", ["Tell me", [5, 6, 7], [[5, 6], [7]], None])
def test_a_stream_says_what_the_whole_answer_says(openai_client: openai.OpenAI, prompt: Json) -> None:
    asked = {"model": "sim-small", "prompt": prompt, "echo": True, "n": 2, "max_tokens": 100}
    whole = openai_client.completions.create(**asked)
    chunks = list(openai_client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    for choice in whole.choices:
        pieces = [part for chunk in chunks for part in chunk.choices if part.index == choice.index]
        assert "".join(part.text for part in pieces) == choice.text
        assert [part.finish_reason for part in pieces if part.finish_reason] == [choice.finish_reason]
    assert [chunk.usage for chunk in chunks if chunk.usage] == [whole.usage] == [chunks[-1].usage]


def test_echo_and_stop(openai_client: openai.OpenAI) -> None:
    made = openai_client.completions.create(model="sim-small", prompt="Tell me", echo=True, stop=" about", max_tokens=100)
    assert made.choices[0].text == "Tell meYou asked"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"model": "sim-small", "prompt": "x", "max_tokens": -1}, "integer_below_min_value", "max_tokens"),
        ({"model": "sim-small", "prompt": "x", "n": 0.5}, "invalid_value", "n"),
        ({"model": "sim-small", "prompt": {"text": "x"}}, None, "prompt"),
        ({"model": "sim-small", "prompt": "x" * 600_000}, "context_length_exceeded", None),
    ],
)
def test_refusals(openai_client: openai.OpenAI, body: Json, code: str | None, param: str | None) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.post("/completions", cast_to=object, body=body)
    assert (refused.value.code, refused.value.param) == (code, param)
