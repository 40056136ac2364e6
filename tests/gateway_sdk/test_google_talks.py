"""The official `google-genai` client holds whole conversations through the gateway, whichever provider answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google import genai
from google.genai import types
from pydantic import BaseModel

from headgate.testing.gateway import Rig

OSLO = types.Content(role="user", parts=[types.Part(text="What is the weather in city: Oslo?")])
NO_FORCED_TOOLS = "sim-ollama"
"""A wire that cannot demand a tool call."""
THINKERS = ("sim-anthropic", "sim-gemini", "sim-bedrock", "sim-ollama")
"""Wires that tell what the model thought."""


class City(BaseModel):
    city: str
    people: int


@pytest.fixture(scope="module")
def google(rig: Rig) -> Iterator[genai.Client]:
    with genai.Client(api_key=rig.key, http_options=types.HttpOptions(base_url=rig.url)) as client:
        yield client


@pytest.fixture(params=("sim-openai", "sim-anthropic", "sim-gemini", "sim-bedrock", "sim-ollama"))
def model(request: pytest.FixtureRequest) -> str:
    return f"{request.param}/sim-small"


def with_weather(*, forced: bool) -> types.GenerateContentConfig:
    """A request that may, or must, call `get_weather`."""
    city = types.Schema(type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)}, required=["city"])
    tool = types.Tool(function_declarations=[types.FunctionDeclaration(name="get_weather", description="The weather.", parameters=city)])
    mode = types.FunctionCallingConfigMode.ANY if forced else types.FunctionCallingConfigMode.AUTO
    calling = types.FunctionCallingConfig(mode=mode)
    return types.GenerateContentConfig(tools=[tool], tool_config=types.ToolConfig(function_calling_config=calling))


def test_tools_round_trip(google: genai.Client, model: str) -> None:
    first = google.models.generate_content(model=model, contents=[OSLO], config=with_weather(forced=True))
    if model.startswith(NO_FORCED_TOOLS):
        assert first.text
        return
    assert first.function_calls and first.candidates and first.candidates[0].content
    call = first.function_calls[0]
    assert (call.name, set(call.args or {})) == ("get_weather", {"city"})
    given = types.FunctionResponse(id=call.id, name="get_weather", response={"result": "Rain, 4 degrees."})
    result = types.Content(role="user", parts=[types.Part(function_response=given)])
    talk = [OSLO, first.candidates[0].content, result]
    second = google.models.generate_content(model=model, contents=talk, config=with_weather(forced=False))
    assert "Rain, 4 degrees." in (second.text or "")


def test_a_streamed_tool_call(google: genai.Client, model: str) -> None:
    pieces = google.models.generate_content_stream(model=model, contents=[OSLO], config=with_weather(forced=True))
    calls = [call for piece in pieces for call in piece.function_calls or ()]
    assert [call.name for call in calls] == ([] if model.startswith(NO_FORCED_TOOLS) else ["get_weather"])
    assert all("city" in (call.args or {}) for call in calls)


def test_structured_output(google: genai.Client, model: str) -> None:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=City)
    assert isinstance(google.models.generate_content(model=model, contents="Tell me of Oslo.", config=config).parsed, City)


def test_instructions_and_limit(google: genai.Client, model: str) -> None:
    config = types.GenerateContentConfig(system_instruction="Be brief.", max_output_tokens=3, temperature=0.5)
    answer = google.models.generate_content(model=model, contents="Tell me of Oslo.", config=config)
    assert answer.candidates and answer.candidates[0].finish_reason == "MAX_TOKENS"


def test_thoughts(google: genai.Client, model: str) -> None:
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=2048)
    config = types.GenerateContentConfig(thinking_config=thinking)
    answer = google.models.generate_content(model=model.replace("small", "large"), contents="Tell me of Oslo.", config=config)
    assert answer.candidates and answer.candidates[0].content and answer.text
    parts = answer.candidates[0].content.parts or []
    assert [bool(part.thought) for part in parts] == ([True, False] if model.startswith(THINKERS) else [False])


def test_a_chat(google: genai.Client, model: str) -> None:
    chat = google.chats.create(model=model)
    assert chat.send_message("Where is the sailor's harbour?").text
    assert "".join(piece.text or "" for piece in chat.send_message_stream("And the ship?"))
    assert [content.role for content in chat.get_history()][:3] == ["user", "model", "user"]


def test_counting(google: genai.Client, rig: Rig, model: str, books: int) -> None:
    assert (google.models.count_tokens(model=model, contents=["Name three rivers."]).total_tokens or 0) > 0
    assert len(rig.all_receipts()) == books
