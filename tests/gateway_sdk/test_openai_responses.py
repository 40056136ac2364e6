"""The official `openai` client asks by the Responses API, whichever provider answers."""

from __future__ import annotations

import openai
import pytest

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


def test_tools(oai: openai.OpenAI, model: str) -> None:
    answer = oai.responses.create(model=model, input="The weather in city: Oslo?", tools=[WEATHER], tool_choice="required")
    calls = [item.name for item in answer.output if item.type == "function_call"]
    assert calls == ["get_weather"] or (not calls and model.startswith("sim-ollama")), "Ollama's wire cannot require a call"


def test_errors(oai: openai.OpenAI, rig: Rig, model: str) -> None:
    rig.sim.set_faults((Rule(Status("rate_limit")),))
    with pytest.raises(openai.RateLimitError):
        oai.responses.create(model=model, input=QUESTION)
    rig.sim.set_faults(())
    with pytest.raises(openai.BadRequestError):
        oai.responses.create(model=model, input=5)


def test_a_cut_stream_ends_in_an_error(oai: openai.OpenAI, rig: Rig, model: str) -> None:
    rig.sim.set_faults((Rule(CutStream(2)),))
    kinds = [event.type for event in oai.responses.create(model=model, input=QUESTION, stream=True)]
    assert kinds[-1] == "error"
    assert "response.completed" not in kinds
