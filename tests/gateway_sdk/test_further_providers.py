"""The official `openai` and `anthropic` clients against the gateway before every other simulated provider, peculiarities included.

Where the provider speaks the client's own wire its bytes pass through, and so do its ways: Together's ``eos``, Azure's first chunk without
choices, Groq's 498. On another wire the client sees its own wire only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import anthropic
import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from headgate.providers import PROVIDERS
from headgate.sim.faults import CutStream, Match, Rule, Status
from headgate.testing.gateway import Rig

FURTHER = [name for name, provider in PROVIDERS.items() if provider.simulated and name not in ("sim-openai", "sim-anthropic", "sim-gemini")]
NO_FORCED_TOOLS = {"sim-ollama"}
"""Wires that cannot demand a tool call: the wish is dropped, and said to be."""
KEYS_ARE_ARGUMENTS = {"sim-xai"}
"""Where a wrong key is told as an invalid argument (400)."""
BLIND_USAGE = {"sim-ollama"}
"""Where a prompt that was seen before is not counted, so that usage is estimated."""
ASK = [{"role": "user", "content": "Where is the sailor's harbour?"}]
QUESTION = [{"role": "user", "content": "What is the weather in city: Oslo?"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"type": "function", "function": {"name": "get_weather", "description": "The weather in a city.", "parameters": CITY}}
TOOL = {"name": "get_weather", "description": "The weather in a city.", "input_schema": CITY}

pytestmark = pytest.mark.parametrize("name", FURTHER)


def text_of(chunks: Iterable[ChatCompletionChunk]) -> tuple[str, list[str]]:
    """The text of a stream, and its finish reasons."""
    choices = [choice for chunk in chunks for choice in chunk.choices]
    return "".join(choice.delta.content or "" for choice in choices), [choice.finish_reason for choice in choices if choice.finish_reason]


def test_openai_whole_and_stream(oai: openai.OpenAI, rig: Rig, name: str, books: int) -> None:
    whole = oai.chat.completions.create(model=f"{name}/sim-small", messages=ASK, max_tokens=100)
    text, finishes = text_of(oai.chat.completions.create(model=f"{name}/sim-small", messages=ASK, max_tokens=100, stream=True))
    assert text == whole.choices[0].message.content != ""
    assert finishes == [whole.choices[0].finish_reason]
    assert finishes == ["eos" if name == "sim-together" else "stop"]
    assert whole.usage is not None and whole.usage.completion_tokens > 0
    receipts = rig.receipts(books + 2)[-2:]
    assert [(receipt.provider, receipt.status, receipt.finish) for receipt in receipts] == [(name, "ok", "stop")] * 2
    assert {receipt.usage.source for receipt in receipts} <= {"provider", *(["estimated"] if name in BLIND_USAGE else [])}


def test_anthropic_whole_and_stream(ant: anthropic.Anthropic, name: str) -> None:
    whole = ant.messages.create(model=f"{name}/sim-small", max_tokens=100, system="Be brief.", messages=ASK)
    with ant.messages.stream(model=f"{name}/sim-small", max_tokens=100, system="Be brief.", messages=ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert whole.content[0].type == "text"
    assert text == whole.content[0].text != ""
    assert (whole.stop_reason, final.stop_reason) == ("end_turn", "end_turn")
    assert final.usage.output_tokens == whole.usage.output_tokens > 0


def test_openai_tools(oai: openai.OpenAI, name: str) -> None:
    asked = {"model": f"{name}/sim-small", "messages": QUESTION, "tools": [FUNCTION], "tool_choice": "required"}
    raw = oai.chat.completions.with_raw_response.create(**asked)
    if name in NO_FORCED_TOOLS:
        assert "dropped:tool_choice" in raw.headers["x-headgate-fidelity"].split(", ")
        return
    first = raw.parse().choices[0]
    assert (first.finish_reason, len(first.message.tool_calls or ())) == ("tool_calls", 1)
    call = (first.message.tool_calls or [])[0]
    assert json.loads(call.function.arguments)["city"]
    history = [*QUESTION, first.message, {"role": "tool", "tool_call_id": call.id, "content": "Rain, 4 degrees."}]
    assert oai.chat.completions.create(model=asked["model"], messages=history, tools=[FUNCTION]).choices[0].message.content
    chunks = list(oai.chat.completions.create(**asked, stream=True))
    pieces = [piece for chunk in chunks for choice in chunk.choices for piece in choice.delta.tool_calls or []]
    assert json.loads("".join(piece.function.arguments or "" for piece in pieces if piece.function))["city"]


def test_anthropic_tools(ant: anthropic.Anthropic, name: str) -> None:
    asked = {"model": f"{name}/sim-small", "max_tokens": 200, "messages": QUESTION, "tools": [TOOL], "tool_choice": {"type": "any"}}
    if name in NO_FORCED_TOOLS:
        raw = ant.messages.with_raw_response.create(**asked)
        assert "dropped:tool_choice" in raw.headers["x-headgate-fidelity"].split(", ")
        return
    with ant.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    call = next(block for block in final.content if block.type == "tool_use")
    assert (final.stop_reason, call.name, "city" in call.input) == ("tool_use", "get_weather", True)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "Rain, 4 degrees."}
    history = [*QUESTION, {"role": "assistant", "content": final.content}, {"role": "user", "content": [result]}]
    second = ant.messages.create(model=asked["model"], max_tokens=200, messages=history, tools=[TOOL])
    assert any(block.type == "text" and block.text for block in second.content)


@pytest.mark.parametrize(
    ("error", "status"), [("rate_limit", {429}), ("bad_request", {400}), ("overloaded", {498, 500, 502, 503, 504, 529, 429})]
)
def test_refusals_reach_both_clients(
    oai: openai.OpenAI, ant: anthropic.Anthropic, rig: Rig, name: str, error: str, status: set[int], books: int
) -> None:
    rig.sim.set_faults((Rule(Status(error)),))
    with pytest.raises(openai.APIStatusError) as whole:
        oai.chat.completions.create(model=f"{name}/sim-small", messages=ASK)
    rig.calm()
    with pytest.raises(anthropic.APIStatusError) as streamed:
        ant.messages.create(model=f"{name}/sim-small", max_tokens=100, messages=ASK, stream=True)
    assert whole.value.status_code in status
    assert streamed.value.status_code in status
    assert whole.value.message and streamed.value.body["type"] == "error"
    assert [(receipt.status, receipt.cost_nanos) for receipt in rig.receipts(books + 2)[-2:]] == [("error", 0)] * 2


def test_the_providers_refusal_of_its_key_is_not_the_clients(oai: openai.OpenAI, rig: Rig, name: str) -> None:
    rig.sim.set_faults((Rule(Status("auth")),))
    with pytest.raises(openai.APIStatusError) as caught:
        oai.chat.completions.create(model=f"{name}/sim-small", messages=ASK)
    assert caught.value.status_code == (400 if name in KEYS_ARE_ARGUMENTS else 502)


def test_a_cut_stream_never_looks_complete(oai: openai.OpenAI, rig: Rig, name: str, books: int) -> None:
    rig.sim.set_faults((Rule(CutStream(4), Match(operation="stream")),))
    finishes: list[str] = []
    with pytest.raises(openai.APIError):
        for chunk in oai.chat.completions.create(model=f"{name}/sim-small", messages=ASK, stream=True):
            finishes += text_of([chunk])[1]
    assert finishes == []
    receipt = rig.receipts(books + 1)[-1]
    assert (receipt.status, receipt.usage.source) == ("error", "estimated")
    assert receipt.cost_nanos is not None and receipt.cost_nanos > 0
