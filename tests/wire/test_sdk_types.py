"""What we write is what the official clients' own types accept: requests towards providers, answers and events towards clients.

The types are an oracle for spelling, not for meaning; where a recording disagrees with a type, the recording wins.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from anthropic.types import Message as AnthropicMessage
from anthropic.types import RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from google.genai import types as google
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming, CompletionCreateParamsStreaming
from pydantic import TypeAdapter, ValidationError

from headgate.dialects import anthropic_messages, gemini_generate, openai_chat
from headgate.dialects.base import ChatDialect, StreamContext
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.content import Cache, Media, Text, Thinking, ToolCall, ToolResult
from headgate.domain.request import Message, Reasoning, Request, ResponseFormat, ToolChoice, system_message, user_message
from headgate.domain.response import Response
from headgate.errors import Unsupported
from headgate.testing import samples
from headgate.testing.conformance.fidelity import FEATURES
from headgate.wire.json import JsonObject, decode, encode

TAKEN_BY_OTHERS = {"top_k"}
"""Fields of servers that speak OpenAI's wire with additions; requests of other dialects lose them with a note."""
UNDECLARED = {"temperature", "top_p", "top_k"}
"""Fields Anthropic's 2.x client no longer declares, which models that sample still take (recorded traffic)."""


@cache
def validator(shape: type) -> jsonschema_rs.Draft202012Validator:
    """A type of a client as a schema, closed: a key it does not declare is an error at any depth."""
    return jsonschema_rs.Draft202012Validator(closed(TypeAdapter(shape).json_schema()))


def closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    whole = {key: closed(value) for key, value in schema.items()}
    return {**whole, "additionalProperties": False} if "properties" in whole and "additionalProperties" not in whole else whole


def check_openai(payload: JsonObject, path: str) -> None:
    shape = CompletionCreateParamsStreaming if payload.get("stream") else CompletionCreateParamsNonStreaming
    validator(shape).validate({key: value for key, value in payload.items() if key not in TAKEN_BY_OTHERS})


def check_anthropic(payload: JsonObject, path: str) -> None:
    shape = MessageCreateParamsStreaming if payload.get("stream") else MessageCreateParamsNonStreaming
    validator(shape).validate({key: value for key, value in payload.items() if key not in UNDECLARED})


GOOGLE: dict[str, Callable[[Any], Any]] = {
    "contents": TypeAdapter(list[google.Content]).validate_python,
    "systemInstruction": google.Content.model_validate,
    "tools": TypeAdapter(list[google.Tool]).validate_python,
    "toolConfig": google.ToolConfig.model_validate,
    "generationConfig": google.GenerationConfig.model_validate,
    "safetySettings": TypeAdapter(list[google.SafetySetting]).validate_python,
    "cachedContent": TypeAdapter(str).validate_python,
    "serviceTier": TypeAdapter(str).validate_python,
    "labels": TypeAdapter(dict[str, str]).validate_python,
}


def check_gemini(payload: JsonObject, path: str) -> None:
    for key, value in payload.items():
        GOOGLE[key](value)


CHECKS: dict[str, tuple[ChatDialect, Callable[[JsonObject, str], None]]] = {
    "openai": (openai_chat.DIALECT, check_openai),
    "anthropic": (anthropic_messages.DIALECT, check_anthropic),
    "gemini": (gemini_generate.DIALECT, check_gemini),
}
MODELS = {
    "permissive": ANY_MODEL,
    "budget": Capabilities(reasoning="budget", max_output=64000),
    "effort": Capabilities(reasoning="effort", sampling=False, max_output=64000),
    "adaptive": Capabilities(reasoning="adaptive", max_output=64000),
    "old": Capabilities(structured_output="tool", json_schema_field=False, system_anywhere=False, audio=True),
}
EVERYTHING = msgspec.structs.replace(
    samples.TOOLS,
    messages=(
        system_message("Be brief."),
        Message("user", (Text("Look.", cache=Cache("1h")), Media("image", mime="image/jpeg", data=samples.PIXEL))),
        Message("assistant", (Thinking("Hm.", signature="c2ln"), Text("I see."), ToolCall("toolu_1", "get_weather", '{"city":"Oslo"}'))),
        Message("tool", (ToolResult("toolu_1", (Text("failed"),), "get_weather", is_error=True),)),
        user_message("Again."),
    ),
    tool_choice=ToolChoice("auto"),
    parallel_tools=False,
    temperature=0.5,
    stop=("END",),
    reasoning=Reasoning(effort="high"),
    response_format=ResponseFormat("json_schema", samples.SCHEMA, "weather", "The weather.", True),
    user="someone",
    stream=True,
    stream_usage=True,
)
REQUESTS: dict[str, Request] = {**samples.REQUESTS, **{feature.name: feature.request for feature in FEATURES}, "everything": EVERYTHING}


@pytest.mark.parametrize("model", sorted(MODELS))
@pytest.mark.parametrize("name", sorted(REQUESTS))
@pytest.mark.parametrize("provider", sorted(CHECKS))
def test_requests_are_what_the_official_client_would_send(provider: str, name: str, model: str) -> None:
    dialect, check = CHECKS[provider]
    try:
        rendered = dialect.render_request(REQUESTS[name], MODELS[model])
    except Unsupported as refused:
        assert refused.param
        return
    check(decode(encode(rendered.payload)), rendered.path)


@pytest.mark.parametrize("provider", sorted(CHECKS))
def test_the_oracle_notices_a_wrong_request(provider: str) -> None:
    dialect, check = CHECKS[provider]
    payload = decode(encode(dialect.render_request(samples.TOOL_LOOP, ANY_MODEL).payload))
    with pytest.raises((ValidationError, jsonschema_rs.ValidationError, KeyError)):
        check({**payload, "temprature": 1}, "")
    wrong = "contents" if provider == "gemini" else "messages"
    with pytest.raises((ValidationError, jsonschema_rs.ValidationError)):
        check({**payload, wrong: [{"role": 5, "content": 7, "parts": 7}]}, "")


@pytest.mark.parametrize("answer", samples.ANSWERS.values(), ids=samples.ANSWERS)
def test_answers_are_what_the_official_clients_read(answer: Response) -> None:
    ChatCompletion.model_validate_json(openai_chat.DIALECT.render_response(answer))
    AnthropicMessage.model_validate_json(anthropic_messages.DIALECT.render_response(answer))
    google.GenerateContentResponse.model_validate_json(gemini_generate.DIALECT.render_response(answer))


def data_of(stream: bytes) -> list[bytes]:
    lines = stream.replace(b"\r\n", b"\n").split(b"\n")
    return [line[6:] for line in lines if line.startswith(b"data: ") and line != b"data: [DONE]"]


EVENT_TYPES: dict[str, Callable[[bytes], Any]] = {
    "openai_chat": ChatCompletionChunk.model_validate_json,
    "anthropic_messages": TypeAdapter(RawMessageStreamEvent).validate_json,
    "gemini_generate": google.GenerateContentResponse.model_validate_json,
}


@pytest.mark.parametrize(
    "dialect", [openai_chat.DIALECT, anthropic_messages.DIALECT, gemini_generate.DIALECT], ids=lambda found: found.name
)
@pytest.mark.parametrize("name", ["everything", *samples.ANSWERS])
def test_stream_events_are_what_the_official_clients_read(dialect: ChatDialect, name: str) -> None:
    encoder = dialect.stream_encoder(StreamContext("a-model", "answer-1", samples.CREATED))
    events = samples.EVENTS if name == "everything" else tuple(samples.events_of(samples.ANSWERS[name]))
    written = b"".join([*(encoder.render_event(event) for event in events), encoder.close()])
    found = data_of(written)
    assert found
    for data in found:
        if b'"type":"ping"' not in data:
            EVENT_TYPES[dialect.name](data)
