"""The official `openai` client asks for text completions, whichever provider answers."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from headgate.sim.faults import Rule, Status
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import ONCE, Rig, running_gateway, with_completions

PROMPT = "Where is the sailor's harbour?"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_gateway(
        tmp_path_factory.mktemp("completions"), settings=SimSettings(seed=7), change=with_completions, gate=ONCE
    ) as running:
        yield running


@pytest.fixture(params=("sim-openai", "sim-anthropic", "sim-gemini", "sim-bedrock", "sim-ollama"))
def model(request: pytest.FixtureRequest) -> str:
    return f"{request.param}/sim-small"


def test_completion(oai: openai.OpenAI, rig: Rig, model: str, books: int) -> None:
    answer = oai.completions.create(model=model, prompt=PROMPT, max_tokens=100)
    assert answer.object == "text_completion"
    assert answer.choices[0].text and answer.choices[0].finish_reason in ("stop", "length")
    assert answer.created > 1_600_000_000
    assert answer.usage is not None and answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    receipt = rig.receipts(books + 1)[-1]
    assert receipt.dialect_in == "openai_completions"
    assert (receipt.dialect_out == "openai_completions") == model.startswith("sim-openai")


def test_a_stream_equals_the_whole_answer(oai: openai.OpenAI, model: str) -> None:
    whole = oai.completions.create(model=model, prompt=PROMPT, max_tokens=100)
    chunks = list(oai.completions.create(model=model, prompt=PROMPT, max_tokens=100, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert {chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason} == {whole.choices[0].finish_reason}
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_with_usage(oai: openai.OpenAI, model: str) -> None:
    chunks = list(oai.completions.create(model=model, prompt=PROMPT, max_tokens=100, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens > 0


def test_length(oai: openai.OpenAI, model: str) -> None:
    answer = oai.completions.create(model=model, prompt=PROMPT, max_tokens=3)
    assert answer.choices[0].finish_reason == "length"


def test_several_prompts_go_to_a_provider_that_takes_them(oai: openai.OpenAI) -> None:
    answer = oai.completions.create(model="sim-openai/sim-small", prompt=[PROMPT, "And the ship?"], max_tokens=50)
    assert [choice.index for choice in answer.choices] == [0, 1]


@pytest.mark.parametrize(
    "ask", [{"prompt": ["a", "b"]}, {"prompt": [11, 12]}, {"prompt": "a", "suffix": "z"}, {"prompt": "a", "echo": True}]
)
def test_what_only_this_wire_has_is_refused_elsewhere(oai: openai.OpenAI, ask: dict[str, object]) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        oai.post("/completions", body={"model": "sim-anthropic/sim-small", "max_tokens": 9, **ask}, cast_to=object)
    assert refused.value.code == "unsupported_parameter"
    assert refused.value.param in ("prompt[1]", "prompt", "suffix", "echo")


def test_errors(oai: openai.OpenAI, rig: Rig, model: str) -> None:
    rig.sim.set_faults((Rule(Status("rate_limit")),))
    with pytest.raises(openai.RateLimitError):
        oai.completions.create(model=model, prompt=PROMPT)
    rig.sim.set_faults(())
    rig.calm()
    with pytest.raises(openai.BadRequestError) as refused:
        oai.post("/completions", body={"model": model, "prompt": 5}, cast_to=object)
    assert refused.value.param == "prompt" or model.startswith("sim-openai")
