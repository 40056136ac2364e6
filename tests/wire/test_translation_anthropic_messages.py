"""Translation cases 1–77 where the Messages wire is source or target. Each row's id names the cases it shows."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from headgate.dialects.anthropic_messages import DIALECT
from headgate.dialects.anthropic_messages.words import STRUCTURED_TOOL
from headgate.dialects.base import StreamContext
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.content import Block, Cache, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.domain.events import (
    BlockStart,
    BlockStop,
    Delta,
    Failed,
    Finished,
    OpaqueEvent,
    Ping,
    Signature,
    Start,
    StreamEvent,
    UsageSeen,
)
from headgate.domain.fold import fold
from headgate.domain.request import (
    HostedTool,
    Message,
    Reasoning,
    Request,
    ResponseFormat,
    Tool,
    ToolChoice,
    system_message,
    user_message,
)
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, ProviderError, Truncated, Unsupported, WireError
from headgate.wire.json import decode, encode

OPENAI = "openai_chat"
HELLO = (user_message("hello"),)
WEATHER = Tool("weather", "Looks out of the window", {"type": "object", "properties": {"place": {"type": "string"}}})
PARIS = ToolCall("call_1", "weather", '{"place":"Paris"}')
ROME = ToolCall("call_2", "weather", '{"place":"Rome"}')
PNG = "iVBORw0KGgo="


def ask(*messages: Message, **fields: Any) -> Request:
    return Request(model="claude", messages=messages or HELLO, dialect=OPENAI, **{"max_tokens": 100, **fields})


def user(*blocks: Block) -> Message:
    return Message("user", blocks)


def assistant(*blocks: Block) -> Message:
    return Message("assistant", blocks)


def result(call: str, words: str, **fields: Any) -> Message:
    return Message("tool", (ToolResult(call, (Text(words),), **fields),))


def think(**fields: Any) -> Capabilities:
    return Capabilities(reasoning="budget", **fields)


USE_PARIS = {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"place": "Paris"}}
USE_ROME = {"type": "tool_use", "id": "call_2", "name": "weather", "input": {"place": "Rome"}}
LOOP = (user_message("weather?"), assistant(PARIS), result("call_1", "sun"))

RENDERED: list[tuple[str, Request, Capabilities, dict[str, Any], set[str]]] = [
    (
        "case-1-leading-systems-become-blocks",
        ask(Message("system", (Text("one", Cache("1h")),)), Message("developer", (Text("two"),)), *HELLO),
        ANY_MODEL,
        {"system": [{"type": "text", "text": "one", "cache_control": {"type": "ephemeral", "ttl": "1h"}}, {"type": "text", "text": "two"}]},
        set(),
    ),
    (
        "case-1-system-in-the-middle-is-hoisted",
        ask(*HELLO, system_message("late"), user_message("go on")),
        ANY_MODEL,
        {
            "system": "late",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}, {"type": "text", "text": "go on"}]}],
        },
        {"messages[1]"},
    ),
    (
        "case-1-system-in-the-middle-stays-where-supported",
        ask(*HELLO, system_message("late"), user_message("go on")),
        Capabilities(system_anywhere=True),
        {
            "messages": [
                {"role": "user", "content": "hello"},
                {"role": "system", "content": "late"},
                {"role": "user", "content": "go on"},
            ]
        },
        set(),
    ),
    (
        "case-3-same-roles-merge-results-first",
        ask(user_message("weather?"), assistant(PARIS), user_message("quick"), result("call_1", "sun")),
        ANY_MODEL,
        {
            "messages": [
                {"role": "user", "content": "weather?"},
                {"role": "assistant", "content": [USE_PARIS]},
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "sun"}, {"type": "text", "text": "quick"}],
                },
            ]
        },
        set(),
    ),
    (
        "case-4-assistant-first-is-accepted",
        ask(assistant(Text("Welcome.")), *HELLO),
        ANY_MODEL,
        {"messages": [{"role": "assistant", "content": "Welcome."}, {"role": "user", "content": "hello"}]},
        set(),
    ),
    (
        "case-5-empty-text-beside-a-call-goes",
        ask(user_message("weather?"), assistant(Text(""), PARIS), result("call_1", "sun")),
        ANY_MODEL,
        {
            "messages": [
                {"role": "user", "content": "weather?"},
                {"role": "assistant", "content": [USE_PARIS]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "sun"}]},
            ]
        },
        set(),
    ),
    (
        "case-5-white-space-only-text-goes",
        ask(user(Text(" \n"), Text("real"))),
        ANY_MODEL,
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "real"}]}]},
        {"messages[0].content[0]"},
    ),
    (
        "case-5-empty-message-goes",
        ask(*HELLO, assistant(Text("")), user_message("again")),
        ANY_MODEL,
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}, {"type": "text", "text": "again"}]}]},
        {"messages[1]"},
    ),
    (
        "case-6-prefill-is-trimmed",
        ask(*HELLO, assistant(Text("Once upon  "))),
        ANY_MODEL,
        {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "Once upon"}]},
        {"messages[1]"},
    ),
    (
        "case-7-names-go",
        ask(Message("user", (Text("hi"),), name="bob")),
        ANY_MODEL,
        {"messages": [{"role": "user", "content": "hi"}]},
        {"messages[0].name"},
    ),
    (
        "case-8-one-text-part-is-a-string",
        ask(Message("user", (Text("hi"),), form="list")),
        ANY_MODEL,
        {"messages": [{"role": "user", "content": "hi"}]},
        set(),
    ),
    (
        "case-10-parallel-results-in-call-order",
        ask(user_message("weather?"), assistant(PARIS, ROME), result("call_2", "rain"), result("call_1", "sun")),
        ANY_MODEL,
        {
            "messages": [
                {"role": "user", "content": "weather?"},
                {"role": "assistant", "content": [USE_PARIS, USE_ROME]},
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "call_1", "content": "sun"},
                        {"type": "tool_result", "tool_use_id": "call_2", "content": "rain"},
                    ],
                },
            ]
        },
        set(),
    ),
    (
        "case-12-foreign-ids-are-mapped",
        ask(user_message("w"), assistant(ToolCall("functions.f:0", "f", "{}")), result("functions.f:0", "x")),
        ANY_MODEL,
        {
            "messages": [
                {"role": "user", "content": "w"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "hex_" + b"functions.f:0".hex(), "name": "f", "input": {}}],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "hex_" + b"functions.f:0".hex(), "content": "x"}],
                },
            ]
        },
        set(),
    ),
    (
        "case-13-14-result-with-image-and-error",
        ask(
            user_message("w"),
            assistant(PARIS),
            Message("tool", (ToolResult("call_1", (Text("see"), Media("image", "image/png", data=PNG)), is_error=True),)),
        ),
        ANY_MODEL,
        {
            "messages": [
                {"role": "user", "content": "w"},
                {"role": "assistant", "content": [USE_PARIS]},
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "call_1",
                            "content": [
                                {"type": "text", "text": "see"},
                                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                            ],
                            "is_error": True,
                        }
                    ],
                },
            ]
        },
        set(),
    ),
    (
        "case-15-no-arguments-is-an-empty-object",
        ask(user_message("w"), assistant(ToolCall("call_1", "f", "")), result("call_1", "x")),
        ANY_MODEL,
        {
            "messages": [
                {"role": "user", "content": "w"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "call_1", "name": "f", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "x"}]},
            ]
        },
        set(),
    ),
    (
        "case-16-17-schema-and-empty-description",
        ask(tools=(Tool("a", ""), Tool("b", parameters={}), Tool("c", parameters={"properties": {}}))),
        ANY_MODEL,
        {
            "tools": [
                {"name": "a", "input_schema": {"type": "object", "properties": {}}},
                {"name": "b", "input_schema": {"type": "object", "properties": {}}},
                {"name": "c", "input_schema": {"type": "object", "properties": {}}},
            ]
        },
        set(),
    ),
    ("case-18-auto", ask(tools=(WEATHER,), tool_choice=ToolChoice("auto")), ANY_MODEL, {"tool_choice": {"type": "auto"}}, set()),
    ("case-18-none", ask(tools=(WEATHER,), tool_choice=ToolChoice("none")), ANY_MODEL, {"tool_choice": {"type": "none"}}, set()),
    ("case-18-required", ask(tools=(WEATHER,), tool_choice=ToolChoice("required")), ANY_MODEL, {"tool_choice": {"type": "any"}}, set()),
    (
        "case-18-one-function",
        ask(tools=(WEATHER,), tool_choice=ToolChoice("tool", ("weather",))),
        ANY_MODEL,
        {"tool_choice": {"type": "tool", "name": "weather"}},
        set(),
    ),
    (
        "case-18-allowed-tools",
        ask(tools=(WEATHER, Tool("b")), tool_choice=ToolChoice("allowed", ("b",))),
        ANY_MODEL,
        {"tool_choice": {"type": "auto"}, "tools": [{"name": "b", "input_schema": {"type": "object", "properties": {}}}]},
        {"tool_choice"},
    ),
    (
        "case-19-one-call-at-a-time",
        ask(tools=(WEATHER,), parallel_tools=False),
        ANY_MODEL,
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        set(),
    ),
    (
        "case-20-forced-tool-turns-thinking-off",
        ask(tools=(WEATHER,), tool_choice=ToolChoice("required"), reasoning=Reasoning("high"), max_tokens=64000),
        think(),
        {"tool_choice": {"type": "any"}, "thinking": None},
        {"reasoning", "reasoning.effort"},
    ),
    (
        "case-21-web-search-has-a-counterpart",
        ask(tools=(HostedTool("web_search_preview", {"type": "web_search_preview"}, OPENAI),)),
        ANY_MODEL,
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools[0]"},
    ),
    (
        "case-22-strict-where-enforced",
        ask(tools=(Tool("a", parameters={"type": "object"}, strict=True),)),
        ANY_MODEL,
        {"tools": [{"name": "a", "input_schema": {"type": "object"}, "strict": True}]},
        set(),
    ),
    (
        "case-22-strict-elsewhere-is-reported",
        ask(tools=(Tool("a", parameters={"type": "object"}, strict=True),)),
        Capabilities(structured_output="tool"),
        {"tools": [{"name": "a", "input_schema": {"type": "object"}}]},
        {"tools[0].strict"},
    ),
    ("case-30-31-a-number-is-sent", ask(max_tokens=50), ANY_MODEL, {"max_tokens": 50}, set()),
    ("case-31-absent-takes-the-card", ask(max_tokens=None), Capabilities(max_output=64000), {"max_tokens": 64000}, {"max_tokens"}),
    (
        "case-31-default-output-first",
        ask(max_tokens=None),
        Capabilities(max_output=64000, default_output=8000),
        {"max_tokens": 8000},
        {"max_tokens"},
    ),
    ("case-31-above-the-most", ask(max_tokens=99000), Capabilities(max_output=64000), {"max_tokens": 64000}, {"max_tokens"}),
    (
        "case-32-budget-fits-max-tokens",
        ask(max_tokens=4000, reasoning=Reasoning(budget=9000)),
        think(),
        {"thinking": {"type": "enabled", "budget_tokens": 3000}},
        {"reasoning.budget"},
    ),
    ("case-32-no-room-to-think", ask(max_tokens=900, reasoning=Reasoning(budget=9000)), think(), {"thinking": None}, {"reasoning"}),
    ("case-33-zeros-are-values", ask(temperature=0, top_p=0), ANY_MODEL, {"temperature": 0, "top_p": 0}, set()),
    ("case-34-temperature-is-clamped", ask(temperature=1.5), ANY_MODEL, {"temperature": 1}, {"temperature"}),
    (
        "case-34-not-both",
        ask(temperature=0.5, top_p=0.5),
        Capabilities(temperature_and_top_p=False),
        {"temperature": 0.5, "top_p": None},
        {"top_p"},
    ),
    (
        "case-34-no-sampling",
        ask(temperature=0.5, top_k=3),
        Capabilities(sampling=False),
        {"temperature": None, "top_k": None},
        {"temperature", "top_k"},
    ),
    ("case-35-stops", ask(stop=("a", " ", "b")), ANY_MODEL, {"stop_sequences": ["a", "b"]}, {"stop"}),
    ("case-35-too-many-stops", ask(stop=("a", "b", "c")), Capabilities(stop_max=2), {"stop_sequences": ["a", "b"]}, {"stop"}),
    ("case-36-one-answer", ask(n=1), ANY_MODEL, {"n": None}, set()),
    (
        "case-37-38-no-counterpart",
        ask(seed=0, logit_bias={"1": 1}, presence_penalty=0.5, frequency_penalty=0.0, logprobs=True, top_logprobs=2, top_k=5),
        ANY_MODEL,
        {"top_k": 5, "seed": None},
        {"seed", "logit_bias", "presence_penalty", "logprobs", "top_logprobs"},
    ),
    (
        "case-39-user-tier-metadata",
        ask(user="u1", service_tier="default", metadata={"a": "b"}),
        ANY_MODEL,
        {"metadata": {"user_id": "u1"}, "service_tier": "standard_only"},
        {"metadata"},
    ),
    ("case-39-unknown-tier", ask(service_tier="flex"), ANY_MODEL, {"service_tier": None}, {"service_tier"}),
    ("case-40-unknown-fields", ask(extra={"store": True}), ANY_MODEL, {"store": None}, {"store"}),
    (
        "case-41-data-url",
        ask(user(Text("see"), Media("image", url="data:IMAGE/JPG;charset=x;BASE64,/9j/"))),
        ANY_MODEL,
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "see"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/"}},
                    ],
                }
            ]
        },
        set(),
    ),
    (
        "case-42-43-https-image",
        ask(user(Media("image", url="https://example.com/a.png", detail="high"))),
        ANY_MODEL,
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}]}]},
        {"messages[0].content[0].detail"},
    ),
    (
        "case-44-pdf-and-text-file",
        ask(user(Media("document", "application/pdf", data="JVBE", name="a.pdf"), Media("document", "text/csv", data="YSxi"))),
        ANY_MODEL,
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "document",
                            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                            "title": "a.pdf",
                        },
                        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}},
                    ],
                }
            ]
        },
        set(),
    ),
    (
        "case-72-signed-thoughts-return-each-with-its-own",
        ask(
            user_message("w"),
            assistant(Thinking("a", "s1"), Thinking("", None, "secret"), Thinking("b", "s2"), PARIS),
            result("call_1", "sun"),
        ),
        ANY_MODEL,
        {
            "messages": [
                {"role": "user", "content": "w"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "a", "signature": "s1"},
                        {"type": "redacted_thinking", "data": "secret"},
                        {"type": "thinking", "thinking": "b", "signature": "s2"},
                        USE_PARIS,
                    ],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "sun"}]},
            ]
        },
        set(),
    ),
    (
        "case-73-lost-thoughts-turn-thinking-off",
        ask(*LOOP, reasoning=Reasoning(budget=2000), max_tokens=8000),
        think(),
        {"thinking": None},
        {"reasoning"},
    ),
    (
        "case-73-unsigned-thoughts-go",
        ask(*HELLO, assistant(Thinking("hm"), Text("yes")), user_message("sure?")),
        ANY_MODEL,
        {
            "messages": [
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": [{"type": "text", "text": "yes"}]},
                {"role": "user", "content": "sure?"},
            ]
        },
        {"messages[1].content[0]"},
    ),
    (
        "case-74-75-foreign-signatures-and-blocks-go",
        ask(*HELLO, assistant(Text("yes", signature="g"), Opaque({"type": "reasoning"}, "openai_responses")), user_message("sure?")),
        ANY_MODEL,
        {
            "messages": [
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": [{"type": "text", "text": "yes"}]},
                {"role": "user", "content": "sure?"},
            ]
        },
        {"messages[1].content[0].signature", "messages[1].content[1]"},
    ),
    (
        "case-76-effort-becomes-a-budget",
        ask(reasoning=Reasoning("low"), max_tokens=64000),
        think(),
        {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        {"reasoning.effort"},
    ),
    (
        "case-76-effort-adaptive",
        ask(reasoning=Reasoning("xhigh")),
        Capabilities(reasoning="adaptive"),
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}},
        set(),
    ),
    (
        "case-76-minimal-and-budget-become-words",
        ask(reasoning=Reasoning(budget=5000)),
        Capabilities(reasoning="effort"),
        {"output_config": {"effort": "medium"}, "thinking": None},
        {"reasoning.budget"},
    ),
    (
        "case-76-none-on-a-model-that-always-thinks",
        ask(reasoning=Reasoning("none")),
        Capabilities(reasoning="adaptive", reasoning_required=True),
        {"output_config": {"effort": "low"}},
        {"reasoning"},
    ),
    (
        "case-76-none",
        ask(reasoning=Reasoning("none")),
        Capabilities(reasoning="adaptive"),
        {"thinking": {"type": "disabled"}},
        set(),
    ),
    ("case-76-no-thinking-model", ask(reasoning=Reasoning("high")), ANY_MODEL, {"thinking": None, "output_config": None}, {"reasoning"}),
    (
        "case-78-native-schema",
        ask(response_format=ResponseFormat("json_schema", {"type": "object"}, "x", strict=True)),
        ANY_MODEL,
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        set(),
    ),
    (
        "case-78-schema-as-a-forced-tool",
        ask(response_format=ResponseFormat("json_schema", {"type": "object"}, "x", "Say it so.")),
        Capabilities(structured_output="tool"),
        {
            "tools": [{"name": STRUCTURED_TOOL, "description": "Say it so.", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "tool", "name": STRUCTURED_TOOL},
        },
        {"response_format"},
    ),
    ("case-82-any-json", ask(response_format=ResponseFormat("json_object")), ANY_MODEL, {"output_config": None}, {"response_format"}),
]


@pytest.mark.parametrize(("request_", "capabilities", "expected", "noted"), [row[1:] for row in RENDERED], ids=[row[0] for row in RENDERED])
def test_rendered(request_: Request, capabilities: Capabilities, expected: dict[str, Any], noted: set[str]) -> None:
    rendered = DIALECT.render_request(request_, capabilities)
    payload = decode(encode(rendered.payload))
    assert rendered.path == "/v1/messages"
    assert {key: payload.get(key) for key in expected} == expected
    assert {note.field for note in rendered.notes} == noted


REFUSED: list[tuple[str, Request, Capabilities, str]] = [
    ("case-2-only-system", ask(system_message("be kind")), ANY_MODEL, "messages"),
    ("case-6-prefill-refused", ask(*HELLO, assistant(Text("Once"))), Capabilities(prefill=False), "messages[1]"),
    ("case-11-missing-result", ask(user_message("w"), assistant(PARIS, ROME), result("call_1", "sun")), ANY_MODEL, "messages[2]"),
    ("case-11-no-result-at-all", ask(user_message("w"), assistant(PARIS)), ANY_MODEL, "messages[1]"),
    ("case-11-orphan", ask(user_message("w"), result("call_9", "sun")), ANY_MODEL, "messages[1]"),
    ("case-11-answered-twice", ask(*LOOP, result("call_1", "rain")), ANY_MODEL, "messages[3]"),
    (
        "case-15-broken-arguments",
        ask(user_message("w"), assistant(ToolCall("call_1", "f", '{"a":')), result("call_1", "x")),
        ANY_MODEL,
        "messages[1].content[0]",
    ),
    (
        "case-15-arguments-no-object",
        ask(user_message("w"), assistant(ToolCall("call_1", "f", "[1]")), result("call_1", "x")),
        ANY_MODEL,
        "messages[1].content[0]",
    ),
    (
        "case-9-lone-surrogate",
        ask(user_message("w"), assistant(ToolCall("call_1", "f", '{"a":"\ud800"}')), result("call_1", "x")),
        ANY_MODEL,
        "messages[1].content[0]",
    ),
    ("case-17-name-with-dots", ask(tools=(Tool("a.b"),)), ANY_MODEL, "tools[0].name"),
    ("case-18-required-without-tools", ask(tool_choice=ToolChoice("required")), ANY_MODEL, "tool_choice"),
    ("case-21-no-counterpart", ask(tools=(HostedTool("mcp", {"type": "mcp"}, OPENAI),)), ANY_MODEL, "tools[0]"),
    ("case-36-many-answers", ask(n=2), ANY_MODEL, "n"),
    (
        "case-20-always-thinking-and-forced",
        ask(tools=(WEATHER,), tool_choice=ToolChoice("required"), reasoning=Reasoning("high")),
        Capabilities(reasoning="adaptive", reasoning_required=True),
        "reasoning",
    ),
    ("case-42-odd-scheme", ask(user(Media("image", url="file:///etc/passwd"))), ANY_MODEL, "messages[0].content[0]"),
    ("case-44-foreign-file-id", ask(user(Media("document", file_id="file-1"))), ANY_MODEL, "messages[0].content[0]"),
    ("case-45-audio", ask(user(Media("audio", "audio/wav", data="AAAA"))), ANY_MODEL, "messages[0].content[0]"),
    ("case-46-blind-model", ask(user(Media("image", "image/png", data=PNG))), Capabilities(vision=False), "messages[0].content[0]"),
    (
        "case-79-schema-by-tool-beside-tools",
        ask(tools=(WEATHER,), response_format=ResponseFormat("json_schema", {"type": "object"})),
        Capabilities(structured_output="tool"),
        "response_format",
    ),
]


@pytest.mark.parametrize(("request_", "capabilities", "param"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(request_: Request, capabilities: Capabilities, param: str) -> None:
    with pytest.raises(Unsupported) as refusal:
        DIALECT.render_request(request_, capabilities)
    assert refusal.value.param == param


def message(stop_reason: str | None, *content: dict[str, Any], **more: Any) -> bytes:
    usage = {"input_tokens": 3, "output_tokens": 2}
    wire = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": list(content), "usage": usage}
    return encode(wire | {"stop_reason": stop_reason, "stop_sequence": None} | more)


TEXT = {"type": "text", "text": "hi"}

FINISHES: list[tuple[str, bytes, Finish | None]] = [
    ("case-28-end-turn", message("end_turn", TEXT), Finish.STOP),
    ("case-28-calls", message("tool_use", USE_PARIS), Finish.TOOL_CALLS),
    ("case-28-calls-although-ended", message("end_turn", USE_PARIS), Finish.TOOL_CALLS),
    ("case-28-29-truncated-call", message("max_tokens", USE_PARIS), Finish.LENGTH),
    ("case-28-stop-sequence", message("stop_sequence", TEXT, stop_sequence="x"), Finish.STOP),
    ("case-28-window-full", message("model_context_window_exceeded", TEXT), Finish.LENGTH),
    ("case-28-pause", message("pause_turn", TEXT), Finish.PAUSE),
    ("case-28-refusal", message("refusal"), Finish.CONTENT_FILTER),
    ("case-28-unknown-word", message("brand_new", TEXT), Finish.STOP),
    ("case-28-not-known-yet", message(None, TEXT), None),
]


@pytest.mark.parametrize(("body", "finish"), [row[1:] for row in FINISHES], ids=[row[0] for row in FINISHES])
def test_finish(body: bytes, finish: Finish | None) -> None:
    response = DIALECT.parse_response(body)
    assert response.finish is finish
    assert response.choices[0].native_finish == decode(body)["stop_reason"]


START = {"type": "message_start", "message": decode(message(None)) | {"usage": {"input_tokens": 9, "output_tokens": 1}}}
OPEN_CALL = {"type": "content_block_start", "index": 0, "content_block": USE_PARIS | {"input": {}}}


def piece(words: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": words}}


def ending(reason: str, output: int = 5) -> list[dict[str, Any]]:
    end = {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": output}}
    return [{"type": "content_block_stop", "index": 0}, end, {"type": "message_stop"}]


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), encode(event)) for event in events)


def read(data: bytes) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    return decoder.feed(data) + decoder.close()


ARGUMENTS: list[tuple[str, list[dict[str, Any]], str, str]] = [
    ("case-25-empty-input-then-fragments", [piece(""), piece('{"a"'), piece(": 1}")], "tool_use", '{"a": 1}'),
    ("case-25-no-fragments-at-all", [], "tool_use", "{}"),
    ("case-29-cut-fragments-stay-as-they-are", [piece('{"a": ')], "max_tokens", '{"a": '),
]


@pytest.mark.parametrize(("pieces", "reason", "arguments"), [row[1:] for row in ARGUMENTS], ids=[row[0] for row in ARGUMENTS])
def test_streamed_arguments(pieces: list[dict[str, Any]], reason: str, arguments: str) -> None:
    events = read(sse(START, OPEN_CALL, *pieces, *ending(reason)))
    answer = fold(events, DIALECT.name)
    assert [call.arguments for call in answer.tool_calls] == [arguments]
    assert answer.finish is (Finish.TOOL_CALLS if reason == "tool_use" else Finish.LENGTH)
    assert "".join(event.text for event in events if isinstance(event, Delta)) == arguments


def written(*events: StreamEvent) -> list[dict[str, Any]]:
    encoder = DIALECT.stream_encoder(StreamContext("claude", "msg_own", 0))
    data = b"".join([encoder.render_event(event) for event in events]) + encoder.close()
    return [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith("data: ")]


def outline(events: list[dict[str, Any]]) -> list[str]:
    words = []
    for event in events:
        kind = event["type"].removeprefix("content_block_")
        detail = (event.get("delta") or {}).get("type") or (event.get("content_block") or {}).get("type") or ""
        words.append(f"{kind} {event['index']} {detail}".strip() if "index" in event else kind)
    return words


CALL_A, CALL_B = ToolCall("call_1", "f"), ToolCall("call_2", "g")
DONE = Finished(Finish.TOOL_CALLS, "tool_calls")

WRITTEN: list[tuple[str, list[StreamEvent], list[str]]] = [
    (
        "case-71-one-block-at-a-time",
        [
            Start("chatcmpl-1", "gpt"),
            BlockStart(0, Thinking()),
            Delta(0, "hm"),
            Signature(0, "s"),
            BlockStart(1, Text("")),
            Delta(1, "hi"),
            BlockStart(2, CALL_A),
            Delta(2, "{}"),
            DONE,
        ],
        [
            "message_start",
            "start 0 thinking",
            "delta 0 thinking_delta",
            "delta 0 signature_delta",
            "stop 0",
            "start 1 text",
            "delta 1 text_delta",
            "stop 1",
            "start 2 tool_use",
            "delta 2 input_json_delta",
            "stop 2",
            "message_delta",
            "message_stop",
        ],
    ),
    (
        "case-23-24-interleaved-calls-wait",
        [
            Start(),
            BlockStart(0, CALL_A),
            BlockStart(1, CALL_B),
            Delta(0, '{"a":'),
            Delta(1, '{"b":'),
            Delta(0, "1}"),
            Delta(1, "2}"),
            BlockStop(1),
            BlockStop(0),
            DONE,
        ],
        [
            "message_start",
            "start 0 tool_use",
            "delta 0 input_json_delta",
            "delta 0 input_json_delta",
            "stop 0",
            "start 1 tool_use",
            "delta 1 input_json_delta",
            "delta 1 input_json_delta",
            "stop 1",
            "message_delta",
            "message_stop",
        ],
    ),
    (
        "case-27-text-goes-on-after-a-call",
        [Start(), BlockStart(0, Text("")), Delta(0, "a"), BlockStart(1, CALL_A), BlockStop(1), Delta(0, "b"), DONE],
        [
            "message_start",
            "start 0 text",
            "delta 0 text_delta",
            "stop 0",
            "start 1 tool_use",
            "stop 1",
            "start 2 text",
            "delta 2 text_delta",
            "stop 2",
            "message_delta",
            "message_stop",
        ],
    ),
    (
        "case-26-whole-calls-in-one-event",
        [Start(), BlockStart(0, ToolCall("a", "f", "{}")), BlockStop(0), BlockStart(1, ToolCall("b", "f", "{}")), BlockStop(1), DONE],
        [
            "message_start",
            "start 0 tool_use",
            "delta 0 input_json_delta",
            "stop 0",
            "start 1 tool_use",
            "delta 1 input_json_delta",
            "stop 1",
            "message_delta",
            "message_stop",
        ],
    ),
    (
        "case-5-61-an-empty-text-opens-no-block",
        [Start(), BlockStart(0, Text("")), Delta(0, ""), Finished(Finish.STOP, "stop")],
        ["message_start", "message_delta", "message_stop"],
    ),
    (
        "case-63-ping",
        [Start(), Ping(), BlockStart(0, Text("hi")), Finished(Finish.STOP)],
        ["message_start", "ping", "start 0 text", "delta 0 text_delta", "stop 0", "message_delta", "message_stop"],
    ),
    (
        "case-64-65-failure-ends-everything",
        [Start(), BlockStart(0, Text("hi")), Failed(ProviderError(ErrorKind.SERVER, "upstream closed")), Delta(0, "more")],
        ["message_start", "start 0 text", "delta 0 text_delta", "error"],
    ),
    (
        "case-28-64-an-error-finish-is-a-failure",
        [Start(), BlockStart(0, Text("hi")), Finished(Finish.ERROR, "MALFORMED_FUNCTION_CALL")],
        ["message_start", "start 0 text", "delta 0 text_delta", "error"],
    ),
    (
        "case-21-40-foreign-blocks-and-events-are-left-out",
        [
            Start(),
            BlockStart(0, Opaque({"type": "x"}, OPENAI)),
            Delta(0, "y"),
            BlockStop(0),
            OpaqueEvent({"type": "z"}, OPENAI),
            Finished(Finish.STOP),
        ],
        ["message_start", "message_delta", "message_stop"],
    ),
]


@pytest.mark.parametrize(("events", "expected"), [row[1:] for row in WRITTEN], ids=[row[0] for row in WRITTEN])
def test_written_stream(events: list[StreamEvent], expected: list[str]) -> None:
    assert outline(written(*events)) == expected


def case_24_25_arguments_arrive_once_and_whole() -> None:
    events = written(Start(), BlockStart(0, CALL_A), Delta(0, '{"a":'), Delta(0, "1}"), DONE)
    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert starts == [{"type": "tool_use", "id": "call_1", "name": "f", "input": {}}]
    answer = fold(read(sse(*events)), DIALECT.name)
    assert answer.tool_calls[0].arguments == '{"a":1}'


def case_48_usage_excludes_the_cache() -> None:
    usage = {
        "input_tokens": 5,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
    }
    found = DIALECT.parse_response(message("end_turn", TEXT, usage=usage)).usage
    assert found is not None
    assert (found.input_uncached, found.cache_read, found.cache_write_5m, found.cache_write_1h) == (5, 100, 20, 10)
    assert (found.output_text, found.output_reasoning, found.fees) == (5, 4, {"web_search": 2})
    assert found.input_total == 135


def case_48_a_write_without_its_split_counts_as_five_minutes() -> None:
    found = DIALECT.parse_response(message("end_turn", TEXT, usage={"input_tokens": 1, "cache_creation_input_tokens": 7})).usage
    assert found is not None and found.cache_write_5m == 7 and found.output_total == 0


def case_47_49_51_usage_of_any_origin_is_written_in_this_wires_sense() -> None:
    usage = Usage(input_uncached=10, cache_read=40, input_audio=2, output_text=5, output_reasoning=7)
    wire = decode(DIALECT.render_response(Response(id="x", model="m", choices=(Choice(0, (Text("a"),), Finish.STOP),), usage=usage)))
    assert wire["usage"]["input_tokens"] == 12
    assert wire["usage"]["cache_read_input_tokens"] == 40
    assert wire["usage"]["output_tokens"] == 12


def case_53_output_is_cumulative() -> None:
    more = {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 3}}
    stream = sse(START, OPEN_CALL, piece("{}"), more, *ending("tool_use", output=5))
    events = read(stream)
    seen = [event.usage.output_total for event in events if isinstance(event, UsageSeen)]
    assert seen == [1, 3, 5]
    usage = fold(events).usage
    assert usage is not None and (usage.input_uncached, usage.output_total) == (9, 5)


def case_55_71_usage_comes_in_the_last_delta() -> None:
    usage = Usage(input_uncached=7, output_text=3)
    events = written(Start("x", "gpt"), BlockStart(0, Text("hi")), Finished(Finish.STOP, "stop"), UsageSeen(usage, "priority"))
    assert events[0]["message"]["usage"]["input_tokens"] == 0
    assert events[-2]["usage"]["input_tokens"] == 7 and events[-2]["usage"]["output_tokens"] == 3
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}


def case_56_65_a_cut_stream_is_not_complete() -> None:
    decoder = DIALECT.stream_decoder()
    events = decoder.feed(sse(START, OPEN_CALL, piece('{"a":')))
    with pytest.raises(Truncated):
        decoder.close()
    assert not decoder.complete
    answer = fold(events, DIALECT.name)
    assert answer.finish is None and answer.usage is not None and answer.usage.input_uncached == 9


def case_61_71_ids_in_this_wires_form() -> None:
    assert written(Start("chatcmpl-9", "gpt"))[0]["message"]["id"] == "msg_own"
    assert written(Start("msg_theirs", "claude"))[0]["message"]["id"] == "msg_theirs"
    assert decode(DIALECT.render_response(Response(id="chatcmpl-9")))["id"] == "msg_chatcmpl-9"


def case_62_frames_of_any_shape() -> None:
    plain = sse(START, OPEN_CALL, piece('{"a":1}'), *ending("tool_use"))
    odd = b"\xef\xbb\xbf: hello\r\n\r\n" + plain.replace(b"data: ", b"data:").replace(b"\n", b"\r\n").rstrip()
    assert read(odd) == read(plain)


def case_64_error_inside_a_stream() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    decoder = DIALECT.stream_decoder()
    events = decoder.feed(sse(START, error, {"type": "message_stop"}))
    assert isinstance(events[-1], Failed) and events[-1].error.kind is ErrorKind.OVERLOADED and events[-1].error.transient
    assert decoder.complete and decoder.close() == []


def case_64_a_plain_error_where_a_stream_was_announced() -> None:
    decoder = DIALECT.stream_decoder()
    decoder.feed(encode({"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}))
    (event,) = decoder.close()
    assert isinstance(event, Failed) and event.error.kind is ErrorKind.RATE_LIMIT


def case_63_69_pings_and_starts_carry_no_meaning() -> None:
    events = read(sse(START, {"type": "ping"}, {"type": "brand_new", "x": 1}, OPEN_CALL, *ending("tool_use")))
    assert [type(event) for event in events[:4]] == [Start, UsageSeen, Ping, OpaqueEvent]


def case_9_code_points_split_over_fragments() -> None:
    whole = sse(
        START,
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "🎲é"}},
        *ending("end_turn"),
    )
    decoder = DIALECT.stream_decoder()
    events = [event for byte in whole for event in decoder.feed(bytes([byte]))] + decoder.close()
    assert fold(events).text == "🎲é"


def case_28_refusal_with_its_words() -> None:
    details = {"type": "refusal", "category": None, "explanation": "No."}
    answer = DIALECT.parse_response(message("refusal", stop_details=details))
    assert answer.choices[0].content == (Refusal("No."),) and answer.text == ""
    again = decode(DIALECT.render_response(Response(id="x", choices=(Choice(0, (Refusal("No."),), Finish.STOP, "stop"),))))
    assert again["stop_reason"] == "refusal" and again["stop_details"] == details and again["content"] == []
    events = written(Start(), BlockStart(0, Refusal("")), Delta(0, "No."), Finished(Finish.STOP, "stop"))
    assert events[-2]["delta"]["stop_details"] == details


def case_29_truncated_arguments_of_a_whole_answer() -> None:
    answer = Response(id="x", choices=(Choice(0, (ToolCall("a", "f", '{"a":'),), Finish.LENGTH, "length"),))
    wire = decode(DIALECT.render_response(answer))
    assert wire["content"][0]["input"] == {"INVALID_JSON": '{"a":'} and wire["stop_reason"] == "max_tokens"


def case_28_an_error_finish_is_no_answer() -> None:
    with pytest.raises(ProviderError, match="MALFORMED"):
        DIALECT.render_response(Response(choices=(Choice(0, (), Finish.ERROR, "MALFORMED_FUNCTION_CALL"),)))


def case_72_streamed_thoughts_keep_their_signatures() -> None:
    block = {"type": "thinking", "thinking": "", "signature": ""}
    stream = sse(
        START,
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s1"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "zz"}},
        {"type": "content_block_stop", "index": 1},
        *ending("end_turn")[1:],
    )
    assert fold(read(stream)).choices[0].content == (Thinking("hm", "s1"), Thinking("", None, "zz"))


def case_77_thoughts_never_become_text() -> None:
    answer = DIALECT.parse_response(message("end_turn", {"type": "thinking", "thinking": "hm", "signature": "s"}, TEXT))
    assert answer.text == "hi"
    wire = decode(DIALECT.render_response(Response(id="x", choices=(Choice(0, (Thinking("hm"), Text("hi")), Finish.STOP),))))
    assert wire["content"] == [{"type": "thinking", "thinking": "hm", "signature": ""}, TEXT]


def case_78_a_forced_tool_is_unwrapped() -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": STRUCTURED_TOOL, "input": {"a": 1}}
    answer = DIALECT.parse_response(message("tool_use", call))
    assert (answer.text, answer.finish, answer.tool_calls) == ('{"a":1}', Finish.STOP, ())
    opened = {"type": "content_block_start", "index": 0, "content_block": call | {"input": {}}}
    streamed = fold(read(sse(START, opened, piece('{"a":'), piece("1}"), *ending("tool_use"))), DIALECT.name)
    assert (streamed.text, streamed.finish, streamed.tool_calls) == ('{"a":1}', Finish.STOP, ())


def case_1_cache_breakpoints_above_the_limit() -> None:
    texts = tuple(Text(f"t{number}", Cache()) for number in range(6))
    rendered = DIALECT.render_request(ask(user(*texts)), ANY_MODEL)
    marked = ["cache_control" in block for block in rendered.payload["messages"][0]["content"]]
    assert marked == [False, False, True, True, True, True]
    assert [note.field for note in rendered.notes] == ["cache_control"]


def case_40_own_fields_go_back_to_this_wire_only() -> None:
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}], "container": "c1", "mcp_servers": []}
    request = DIALECT.parse_request(encode(body), "")
    assert request.extra == {"container": "c1", "mcp_servers": []}
    assert decode(encode(DIALECT.render_request(request, ANY_MODEL).payload)) == body


def case_15_malformed_requests_name_the_place() -> None:
    for body, param in (
        ({"messages": []}, "model"),
        ({"model": "m", "messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"model": "m", "messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"model": "m", "messages": [{"role": "user"}]}, "messages[0].content"),
        ({"model": "m", "messages": [], "max_tokens": "many"}, "max_tokens"),
        ({"model": "m", "messages": [], "tools": [{}]}, "tools[0].name"),
    ):
        with pytest.raises(WireError) as error:
            DIALECT.parse_request(encode(body), "")
        assert error.value.param == param


FUNCTIONS = [value for name, value in sorted(globals().items()) if name.startswith("case_")]


@pytest.mark.parametrize("check", FUNCTIONS, ids=[check.__name__.replace("_", "-") for check in FUNCTIONS])
def test_case(check: Any) -> None:
    check()


def _numbers(identifier: str) -> set[int]:
    found = re.match(r"case((?:[-_]\d+)+)", identifier)
    assert found is not None, identifier
    return {int(number) for number in re.findall(r"\d+", found[1])}


CASES: frozenset[int] = frozenset(
    number
    for identifier in [row[0] for table in (RENDERED, REFUSED, FINISHES, ARGUMENTS, WRITTEN) for row in table]
    + [check.__name__ for check in FUNCTIONS]
    for number in _numbers(identifier)
)
"""Translation cases shown here, taken from the ids."""
