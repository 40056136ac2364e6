"""The translation cases that concern the Converse wire, as source or as target. Ids begin with the case's number."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable

import msgspec
import pytest

from headgate.dialects import bedrock_anthropic
from headgate.dialects.base import RenderedRequest, StreamContext
from headgate.dialects.bedrock_converse import DIALECT
from headgate.dialects.bedrock_converse.errors import render_error
from headgate.dialects.bedrock_converse.ids import original_id, wire_id
from headgate.dialects.bedrock_converse.words import STRUCTURED_TOOL
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.content import Block, Cache, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.domain.events import BlockStart, BlockStop, Delta, Failed, Finished, Ping, Start, StreamEvent, UsageSeen
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
from headgate.wire.eventstream import FrameDecoder, encode_frame
from headgate.wire.json import Json, JsonObject, decode, encode

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
HI = user_message("hi")
HI_WIRE = {"role": "user", "content": [{"text": "hi"}]}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
EMPTY = {"type": "object", "properties": {}}
IMAGE = b64encode(b"\x89PNG\r\n\x1a\n...").decode()
CALL = ToolCall("c1", "look", '{"q":1}')
CALL_WIRE = {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"q": 1}}}
POINT = {"cachePoint": {"type": "default"}}


def ask(*messages: Message, dialect: str = "openai_chat", model: str = CLAUDE, **fields: Json) -> Request:
    """A request of another dialect."""
    return Request(model=model, messages=messages or (HI,), dialect=dialect, **fields)


def turn(*blocks: Block) -> Message:
    return Message("assistant", blocks)


def user(*blocks: Block) -> Message:
    return Message("user", blocks)


def result(call_id: str, *blocks: Block, error: bool | None = None) -> Message:
    return Message("tool", (ToolResult(call_id, blocks, is_error=error),))


def answered(call_id: str, *content: JsonObject, **more: Json) -> JsonObject:
    return {"toolResult": {"toolUseId": call_id, "content": list(content), **more}}


def said(role: str, *content: JsonObject) -> JsonObject:
    return {"role": role, "content": list(content)}


def spec(name: str = "look", schema: JsonObject = EMPTY, **more: Json) -> JsonObject:
    return {"toolSpec": {"name": name, "inputSchema": {"json": schema}, **more}}


def tools(*specs: JsonObject, **more: Json) -> JsonObject:
    return {"toolConfig": {"tools": list(specs), **more}}


def document(name: str, **source: str) -> JsonObject:
    return {"document": {"format": "pdf", "name": name, "source": source}}


LOOK = Tool("look")
BUDGET = Capabilities(reasoning="budget")
ADAPTIVE = Capabilities(reasoning="adaptive")
EFFORT = Capabilities(reasoning="effort")
TALKED: JsonObject = {"messages": [HI_WIRE]}

Sent = tuple[str, Request, Capabilities, JsonObject, set[str]]
"""(id, request, capabilities, the payload, fields of the notes)."""

SENT: list[Sent] = [
    (
        "case-1-leading-system",
        ask(system_message("a"), Message("developer", (Text("b"),)), HI),
        ANY_MODEL,
        {**TALKED, "system": [{"text": "a"}, {"text": "b"}]},
        set(),
    ),
    (
        "case-1-mid-conversation-system",
        ask(HI, turn(Text("yes")), system_message("late"), HI),
        ANY_MODEL,
        {"system": [{"text": "late"}], "messages": [HI_WIRE, said("assistant", {"text": "yes"}), HI_WIRE]},
        {"messages[2]"},
    ),
    (
        "case-1-a-system-message-stays-where-the-model-takes-it",
        ask(HI, turn(Text("yes")), system_message("late"), HI),
        Capabilities(system_anywhere=True),
        {"messages": [HI_WIRE, said("assistant", {"text": "yes"}), said("system", {"text": "late"}), HI_WIRE]},
        set(),
    ),
    (
        "case-3-same-role-merged-results-first",
        ask(HI, turn(Text("x")), turn(CALL), user_message("and"), result("c1", Text("r"))),
        ANY_MODEL,
        {
            "messages": [
                HI_WIRE,
                said("assistant", {"text": "x"}, CALL_WIRE),
                said("user", answered("c1", {"text": "r"}), {"text": "and"}),
            ]
        },
        set(),
    ),
    (
        "case-4-assistant-first-is-taken-as-recorded",
        ask(turn(Text("welcome")), HI),
        ANY_MODEL,
        {"messages": [said("assistant", {"text": "welcome"}), HI_WIRE]},
        set(),
    ),
    (
        "case-5-empty-content",
        ask(HI, turn(Text(""), CALL), result("c1", Text("r")), user_message(""), user(Text(" "), Text("b"))),
        ANY_MODEL,
        {
            "messages": [
                HI_WIRE,
                said("assistant", CALL_WIRE),
                said("user", answered("c1", {"text": "r"}), {"text": "b"}),
            ]
        },
        {"messages[3]", "messages[4].content[0]"},
    ),
    (
        "case-6-prefill",
        ask(HI, turn(Text("Sure, "))),
        ANY_MODEL,
        {"messages": [HI_WIRE, said("assistant", {"text": "Sure,"})]},
        {"messages[1]"},
    ),
    ("case-7-name", ask(Message("user", (Text("hi"),), name="ann")), ANY_MODEL, TALKED, {"messages[0].name"}),
    ("case-8-one-text-part", ask(Message("user", (Text("hi"),), form="list")), ANY_MODEL, TALKED, set()),
    ("case-9-unicode", ask(user_message("a\0b😀")), ANY_MODEL, {"messages": [said("user", {"text": "a\0b😀"})]}, set()),
    (
        "case-10-results-in-call-order",
        ask(HI, turn(CALL, ToolCall("c2", "find", "{}")), result("c2", Text("two")), result("c1", Text("one"))),
        ANY_MODEL,
        {
            "messages": [
                HI_WIRE,
                said("assistant", CALL_WIRE, {"toolUse": {"toolUseId": "c2", "name": "find", "input": {}}}),
                said("user", answered("c1", {"text": "one"}), answered("c2", {"text": "two"})),
            ]
        },
        set(),
    ),
    (
        "case-12-foreign-id",
        ask(HI, turn(ToolCall("call|1.é", "look")), result("call|1.é", Text("r"))),
        ANY_MODEL,
        {
            "messages": [
                HI_WIRE,
                said("assistant", {"toolUse": {"toolUseId": "hgx-Y2FsbHwxLsOp", "name": "look", "input": {}}}),
                said("user", answered("hgx-Y2FsbHwxLsOp", {"text": "r"})),
            ]
        },
        set(),
    ),
    (
        "case-13-14-result-with-image-that-failed",
        ask(HI, turn(CALL), result("c1", Text("not json"), Media("image", "image/png", data=IMAGE), error=True)),
        ANY_MODEL,
        {
            "messages": [
                HI_WIRE,
                said("assistant", CALL_WIRE),
                said(
                    "user",
                    answered("c1", {"text": "not json"}, {"image": {"format": "png", "source": {"bytes": IMAGE}}}, status="error"),
                ),
            ]
        },
        set(),
    ),
    ("case-16-tool-without-parameters", ask(tools=(LOOK,)), ANY_MODEL, {**TALKED, **tools(spec())}, set()),
    ("case-16-empty-parameters", ask(tools=(Tool("look", "", {}),)), ANY_MODEL, {**TALKED, **tools(spec())}, set()),
    (
        "case-18-auto",
        ask(tools=(LOOK,), tool_choice=ToolChoice("auto")),
        ANY_MODEL,
        {**TALKED, **tools(spec(), toolChoice={"auto": {}})},
        set(),
    ),
    (
        "case-18-required",
        ask(tools=(LOOK,), tool_choice=ToolChoice("required")),
        ANY_MODEL,
        {**TALKED, **tools(spec(), toolChoice={"any": {}})},
        set(),
    ),
    (
        "case-18-one-tool",
        ask(tools=(LOOK,), tool_choice=ToolChoice("tool", ("look",))),
        ANY_MODEL,
        {**TALKED, **tools(spec(), toolChoice={"tool": {"name": "look"}})},
        set(),
    ),
    ("case-18-none-leaves-the-tools-out", ask(tools=(LOOK,), tool_choice=ToolChoice("none")), ANY_MODEL, TALKED, {"tools", "tool_choice"}),
    (
        "case-18-none-in-a-talk-with-calls",
        ask(HI, turn(CALL), result("c1", Text("r")), tools=(LOOK,), tool_choice=ToolChoice("none")),
        ANY_MODEL,
        {"messages": [HI_WIRE, said("assistant", CALL_WIRE), said("user", answered("c1", {"text": "r"}))], **tools(spec())},
        {"tool_choice"},
    ),
    (
        "case-18-allowed",
        ask(tools=(LOOK, Tool("find")), tool_choice=ToolChoice("allowed", ("find",), required=True)),
        ANY_MODEL,
        {**TALKED, **tools(spec("find"), toolChoice={"tool": {"name": "find"}})},
        {"tool_choice"},
    ),
    ("case-19-one-call-at-a-time", ask(tools=(LOOK,), parallel_tools=False), ANY_MODEL, {**TALKED, **tools(spec())}, {"parallel_tools"}),
    (
        "case-20-forced-tool-and-thinking",
        ask(tools=(LOOK,), tool_choice=ToolChoice("required"), reasoning=Reasoning("low")),
        BUDGET,
        {**TALKED, **tools(spec(), toolChoice={"any": {}})},
        {"reasoning.effort", "reasoning"},
    ),
    (
        "case-21-hosted-tool-of-nova",
        ask(model="us.amazon.nova-2-lite-v1:0", tools=(HostedTool("web_search_20250305", {}, "anthropic_messages"),)),
        ANY_MODEL,
        {**TALKED, **tools({"systemTool": {"name": "nova_grounding"}})},
        {"tools[0]"},
    ),
    ("case-22-strict", ask(tools=(Tool("look", strict=True),)), ANY_MODEL, {**TALKED, **tools(spec(strict=True))}, set()),
    (
        "case-22-strict-elsewhere",
        ask(tools=(Tool("look", strict=True),)),
        Capabilities(structured_output="none"),
        {**TALKED, **tools(spec())},
        {"tools[0].strict"},
    ),
    ("case-31-no-limit-is-no-limit", ask(), Capabilities(max_output=100), TALKED, set()),
    (
        "case-31-limit-above-the-model",
        ask(max_tokens=500),
        Capabilities(max_output=100),
        {**TALKED, "inferenceConfig": {"maxTokens": 100}},
        {"max_tokens"},
    ),
    (
        "case-32-budget-above-the-limit",
        ask(max_tokens=4000, reasoning=Reasoning(budget=9000)),
        BUDGET,
        {
            **TALKED,
            "inferenceConfig": {"maxTokens": 4000},
            "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 3000}},
        },
        {"reasoning.budget"},
    ),
    (
        "case-33-zeros",
        ask(temperature=0, top_p=0, top_k=0),
        ANY_MODEL,
        {**TALKED, "inferenceConfig": {"temperature": 0, "topP": 0}, "additionalModelRequestFields": {"top_k": 0}},
        set(),
    ),
    ("case-34-clamped", ask(temperature=1.7), ANY_MODEL, {**TALKED, "inferenceConfig": {"temperature": 1}}, {"temperature"}),
    ("case-35-stop", ask(stop=("a", " ")), ANY_MODEL, {**TALKED, "inferenceConfig": {"stopSequences": ["a"]}}, {"stop"}),
    (
        "case-37-what-the-wire-has-not",
        ask(model="meta.llama3", seed=0, logit_bias={"1": 2}, presence_penalty=0.5, frequency_penalty=0, top_k=3),
        ANY_MODEL,
        TALKED,
        {"seed", "logit_bias", "presence_penalty", "top_k"},
    ),
    (
        "case-37-top-k-of-nova",
        ask(model="amazon.nova-lite-v1:0", top_k=3),
        ANY_MODEL,
        {**TALKED, "additionalModelRequestFields": {"inferenceConfig": {"topK": 3}}},
        set(),
    ),
    ("case-38-log-probabilities", ask(logprobs=True, top_logprobs=2), ANY_MODEL, TALKED, {"logprobs", "top_logprobs"}),
    (
        "case-39-who-asks-and-how-urgent",
        ask(user="u", metadata={"team": "blue", "bad": "a|b"}, service_tier="flex"),
        ANY_MODEL,
        {**TALKED, "requestMetadata": {"team": "blue"}, "serviceTier": {"type": "flex"}},
        {"user", "metadata.bad"},
    ),
    ("case-39-tier-of-another-wire", ask(service_tier="auto"), ANY_MODEL, TALKED, {"service_tier"}),
    ("case-40-keys-of-another-wire", ask(extra={"store": True}), ANY_MODEL, TALKED, {"store"}),
    (
        "case-41-data-url-of-a-jpg",
        ask(user(Media("image", url="data:Image/JPG;charset=x;base64,AAAA"), Media("image", url="data:image/png,%41"))),
        ANY_MODEL,
        {
            "messages": [
                said(
                    "user",
                    {"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}},
                    {"image": {"format": "png", "source": {"bytes": "QQ=="}}},
                )
            ]
        },
        set(),
    ),
    (
        "case-41-image-without-a-type",
        ask(user(Media("image", data=IMAGE))),
        ANY_MODEL,
        {"messages": [said("user", {"image": {"format": "png", "source": {"bytes": IMAGE}}})]},
        set(),
    ),
    (
        "case-42-a-place-in-s3",
        ask(user(Media("image", "image/webp", url="s3://bucket/key"))),
        ANY_MODEL,
        {"messages": [said("user", {"image": {"format": "webp", "source": {"s3Location": {"uri": "s3://bucket/key"}}}})]},
        set(),
    ),
    (
        "case-43-detail",
        ask(user(Media("image", "image/png", data=IMAGE, detail="high"))),
        ANY_MODEL,
        {"messages": [said("user", {"image": {"format": "png", "source": {"bytes": IMAGE}}})]},
        {"messages[0].content[0].detail"},
    ),
    (
        "case-44-117-document-names",
        ask(
            user(
                Media("document", "application/pdf", data="AA==", name="Plan  2.pdf"),
                Media("document", "application/pdf", data="AA=="),
                Media("document", data="AA==", name="document"),
                Media("document", "application/pdf", data="AA==", name="fine (1) [a]-b_c"),
            )
        ),
        ANY_MODEL,
        {
            "messages": [
                said(
                    "user",
                    document("Plan 2-pdf", bytes="AA=="),
                    document("document", bytes="AA=="),
                    document("document (2)", bytes="AA=="),
                    document("fine (1) [a]-b_c", bytes="AA=="),
                )
            ]
        },
        {"messages[0].content[0].name", "messages[0].content[2].name"},
    ),
    (
        "case-44-document-of-text",
        ask(user(Media("document", text="words", name="n"))),
        ANY_MODEL,
        {"messages": [said("user", {"document": {"format": "txt", "name": "n", "source": {"text": "words"}}})]},
        set(),
    ),
    (
        "case-45-audio-and-video",
        ask(user(Media("audio", "audio/mpeg", data="AAAA"), Media("video", "video/mp4", data="AAAA"))),
        Capabilities(audio=True),
        {
            "messages": [
                said(
                    "user",
                    {"audio": {"format": "mp3", "source": {"bytes": "AAAA"}}},
                    {"video": {"format": "mp4", "source": {"bytes": "AAAA"}}},
                )
            ]
        },
        set(),
    ),
    (
        "case-72-thoughts-with-their-signatures",
        ask(HI, turn(Thinking("a", "s1"), Thinking(redacted="Eu8="), Thinking("b", "s2"), CALL), result("c1", Text("r"))),
        ANY_MODEL,
        {
            "messages": [
                HI_WIRE,
                said(
                    "assistant",
                    {"reasoningContent": {"reasoningText": {"text": "a", "signature": "s1"}}},
                    {"reasoningContent": {"redactedContent": "RXU4PQ=="}},
                    {"reasoningContent": {"reasoningText": {"text": "b", "signature": "s2"}}},
                    CALL_WIRE,
                ),
                said("user", answered("c1", {"text": "r"})),
            ]
        },
        set(),
    ),
    (
        "case-73-unsigned-thoughts",
        ask(HI, turn(Thinking("a"), Text("b")), HI),
        ANY_MODEL,
        {"messages": [HI_WIRE, said("assistant", {"text": "b"}), HI_WIRE]},
        {"messages[1].content[0]"},
    ),
    (
        "case-73-thoughts-lost-on-the-way",
        ask(HI, turn(CALL), result("c1", Text("r")), reasoning=Reasoning(budget=2048)),
        BUDGET,
        {"messages": [HI_WIRE, said("assistant", CALL_WIRE), said("user", answered("c1", {"text": "r"}))]},
        {"reasoning"},
    ),
    (
        "case-76-budget",
        ask(reasoning=Reasoning("low")),
        BUDGET,
        {**TALKED, "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2048}}},
        {"reasoning.effort"},
    ),
    (
        "case-76-adaptive",
        ask(reasoning=Reasoning("xhigh", visible=True)),
        ADAPTIVE,
        {
            **TALKED,
            "additionalModelRequestFields": {"thinking": {"type": "adaptive", "display": "summarized"}},
            "outputConfig": {"effort": "xhigh"},
        },
        set(),
    ),
    ("case-76-effort", ask(reasoning=Reasoning("minimal")), EFFORT, {**TALKED, "outputConfig": {"effort": "low"}}, {"reasoning.effort"}),
    (
        "case-76-nova",
        ask(model="us.amazon.nova-2-lite-v1:0", reasoning=Reasoning("max")),
        EFFORT,
        {**TALKED, "additionalModelRequestFields": {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}},
        {"reasoning.effort"},
    ),
    (
        "case-76-openai",
        ask(model="openai.gpt-oss-120b-1:0", reasoning=Reasoning(budget=3000)),
        EFFORT,
        {**TALKED, "additionalModelRequestFields": {"reasoning_effort": "medium"}},
        {"reasoning.budget"},
    ),
    (
        "case-76-none",
        ask(reasoning=Reasoning("none")),
        ADAPTIVE,
        {**TALKED, "additionalModelRequestFields": {"thinking": {"type": "disabled"}}},
        set(),
    ),
    (
        "case-76-none-where-the-model-always-thinks",
        ask(reasoning=Reasoning("none")),
        Capabilities(reasoning="effort", reasoning_required=True),
        {**TALKED, "outputConfig": {"effort": "low"}},
        {"reasoning"},
    ),
    ("case-76-no-thinking-model", ask(reasoning=Reasoning("high")), ANY_MODEL, TALKED, {"reasoning"}),
    (
        "case-78-schema",
        ask(response_format=ResponseFormat("json_schema", {"type": "object"}, "n", "d")),
        ANY_MODEL,
        {
            **TALKED,
            "outputConfig": {
                "textFormat": {
                    "type": "json_schema",
                    "structure": {"jsonSchema": {"schema": '{"type":"object"}', "name": "n", "description": "d"}},
                }
            },
        },
        set(),
    ),
    (
        "case-78-forced-tool",
        ask(response_format=ResponseFormat("json_schema", SCHEMA, "n")),
        Capabilities(structured_output="tool"),
        {
            **TALKED,
            **tools(
                spec(STRUCTURED_TOOL, SCHEMA, description="Give the answer in this form."), toolChoice={"tool": {"name": STRUCTURED_TOOL}}
            ),
        },
        {"response_format"},
    ),
    ("case-82-any-json", ask(response_format=ResponseFormat("json_object")), ANY_MODEL, TALKED, {"response_format"}),
    (
        "case-112-cache-points-after-what-they-cover",
        ask(
            Message("system", (Text("s", Cache("1h")),)),
            user(Text("a", Cache()), Text("b")),
            tools=(Tool("look", cache=Cache("5m")),),
        ),
        ANY_MODEL,
        {
            "system": [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
            "messages": [said("user", {"text": "a"}, POINT, {"text": "b"})],
            **tools(spec(), {"cachePoint": {"type": "default", "ttl": "5m"}}),
        },
        set(),
    ),
    (
        "case-112-above-the-limit-the-last-ones-stay",
        ask(user(*[Text(f"t{number}", Cache()) for number in range(3)])),
        Capabilities(cache_breakpoints=1),
        {"messages": [said("user", {"text": "t0"}, {"text": "t1"}, {"text": "t2"}, POINT)]},
        {"cache_control"},
    ),
]


@pytest.mark.parametrize(("request_", "able", "payload", "notes"), [row[1:] for row in SENT], ids=[row[0] for row in SENT])
def test_sent(request_: Request, able: Capabilities, payload: JsonObject, notes: set[str]) -> None:
    rendered = DIALECT.render_request(request_, able)
    assert decode(encode(rendered.payload)) == payload
    assert {note.field for note in rendered.notes} == notes


REFUSED: list[tuple[str, Request, Capabilities, str]] = [
    ("case-2-only-system", ask(system_message("s")), ANY_MODEL, "messages"),
    ("case-6-no-prefill", ask(HI, turn(Text("x"))), Capabilities(prefill=False), "messages[1]"),
    ("case-11-missing-result", ask(HI, turn(CALL), user_message("x")), ANY_MODEL, "messages[2]"),
    ("case-11-missing-result-at-the-end", ask(HI, turn(CALL)), ANY_MODEL, "messages[1]"),
    ("case-11-orphan-result", ask(HI, result("c9", Text("r"))), ANY_MODEL, "messages[1]"),
    ("case-11-answered-twice", ask(HI, turn(CALL), result("c1"), result("c1")), ANY_MODEL, "messages[3]"),
    ("case-15-invalid-arguments", ask(HI, turn(ToolCall("c1", "look", "{oops")), result("c1")), ANY_MODEL, "messages[1].content[0]"),
    ("case-17-tool-name", ask(tools=(Tool("a.b"),)), ANY_MODEL, "tools[0].name"),
    ("case-18-call-without-tools", ask(tool_choice=ToolChoice("required")), ANY_MODEL, "tool_choice"),
    ("case-21-hosted-tool", ask(tools=(HostedTool("web_search", {}, "openai_chat"),)), ANY_MODEL, "tools[0]"),
    (
        "case-20-always-thinks",
        ask(tools=(LOOK,), tool_choice=ToolChoice("required"), reasoning=Reasoning("low")),
        Capabilities(reasoning="adaptive", reasoning_required=True),
        "reasoning",
    ),
    ("case-36-several-answers", ask(n=2), ANY_MODEL, "n"),
    ("case-41-image-type", ask(user(Media("image", "image/tiff", data="AAAA"))), ANY_MODEL, "messages[0].content[0]"),
    ("case-41-image-of-no-type-at-all", ask(user(Media("image", data="AAAA"))), ANY_MODEL, "messages[0].content[0]"),
    ("case-42-url", ask(user(Media("image", url="https://example.com/a.png"))), ANY_MODEL, "messages[0].content[0]"),
    ("case-44-file-id", ask(user(Media("document", file_id="file-1"))), ANY_MODEL, "messages[0].content[0]"),
    ("case-45-audio", ask(user(Media("audio", "audio/mpeg", data="AAAA"))), ANY_MODEL, "messages[0].content[0]"),
    (
        "case-79-schema-beside-tools",
        ask(tools=(LOOK,), response_format=ResponseFormat("json_schema", SCHEMA)),
        Capabilities(structured_output="tool"),
        "response_format",
    ),
]


@pytest.mark.parametrize(("request_", "able", "param"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(request_: Request, able: Capabilities, param: str) -> None:
    with pytest.raises(Unsupported) as refusal:
        DIALECT.render_request(request_, able)
    assert refusal.value.param == param


FINISHES: list[tuple[str, str, Finish, bool]] = [
    ("case-28-a-call-ends-as-one", "end_turn", Finish.TOOL_CALLS, True),
    ("case-28-tool-use", "tool_use", Finish.TOOL_CALLS, True),
    ("case-28-29-a-cut-call-is-cut", "max_tokens", Finish.LENGTH, True),
    ("case-28-window", "model_context_window_exceeded", Finish.LENGTH, False),
    ("case-28-stop-sequence", "stop_sequence", Finish.STOP, False),
    ("case-28-guardrail", "guardrail_intervened", Finish.CONTENT_FILTER, False),
    ("case-28-filtered", "content_filtered", Finish.CONTENT_FILTER, False),
    ("case-28-malformed-output", "malformed_model_output", Finish.ERROR, False),
    ("case-28-malformed-call", "malformed_tool_use", Finish.ERROR, True),
    ("case-28-unknown", "brand_new", Finish.STOP, False),
]


def answer(*content: JsonObject, stop: str = "end_turn", **more: Json) -> bytes:
    return encode({"output": {"message": said("assistant", *content)}, "stopReason": stop, **more})


def stream(*events: tuple[str, JsonObject]) -> bytes:
    return b"".join(encode_frame({":message-type": "event", ":event-type": kind}, encode(wire)) for kind, wire in events)


def started(index: int = 0) -> tuple[str, JsonObject]:
    return "contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": f"c{index}", "name": "look"}}}


def piece(words: str, index: int = 0) -> tuple[str, JsonObject]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": {"toolUse": {"input": words}}}


def words(said_: str, index: int = 0) -> tuple[str, JsonObject]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": {"text": said_}}


def over(index: int = 0) -> tuple[str, JsonObject]:
    return "contentBlockStop", {"contentBlockIndex": index}


def ending(stop: str = "end_turn", **usage: Json) -> tuple[tuple[str, JsonObject], ...]:
    counts = usage or {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}
    return ("messageStop", {"stopReason": stop}), ("metadata", {"usage": counts, "metrics": {"latencyMs": 1}})


BEGIN = ("messageStart", {"role": "assistant"})


def read(data: bytes) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    return decoder.feed(data) + decoder.close()


def written(*events: StreamEvent, close: bool = True) -> list[tuple[str, JsonObject]]:
    encoder = DIALECT.stream_encoder(StreamContext("m", "id", 0))
    data = b"".join(encoder.render_event(event) for event in events) + (encoder.close() if close else b"")
    return [(frame.text(":event-type") or frame.text(":exception-type"), decode(frame.payload)) for frame in FrameDecoder().feed(data)]


@pytest.mark.parametrize(("native", "finish", "called"), [row[1:] for row in FINISHES], ids=[row[0] for row in FINISHES])
def test_finish(native: str, finish: Finish, called: bool) -> None:
    whole = DIALECT.parse_response(answer(*([CALL_WIRE] if called else [{"text": "a"}]), stop=native))
    first = (started(), piece('{"q":1}')) if called else (words("a"),)
    streamed = fold(read(stream(BEGIN, *first, over(), *ending(native))))
    for response in (whole, streamed):
        assert (response.finish, response.choices[0].native_finish) == (finish, native)
    assert decode(DIALECT.render_response(whole))["stopReason"] == native


def case_12_ids_come_back() -> None:
    for identifier in ("call_1", "toolu_01-A", "call|1.é", "", "x" * 45, "hgx-", "hgx-Y2FsbHwxLsOp"):
        assert original_id(wire_id(identifier)) == identifier
    assert wire_id("x" * 65) == "hgx-" + b64encode(b"x" * 65).decode() or wire_id("x" * 65).startswith("hgd-")
    response = Response(choices=(Choice(0, (ToolCall("call|1.é", "look", "{}"),), Finish.TOOL_CALLS),), dialect="openai_chat")
    sent = decode(DIALECT.render_response(response))["output"]["message"]
    body = {"messages": [HI_WIRE, sent, said("user", answered(sent["content"][0]["toolUse"]["toolUseId"], {"text": "r"}))]}
    back = DIALECT.parse_request(encode(body), "/model/m/converse")
    assert [getattr(m.content[0], "id", getattr(m.content[0], "call_id", "")) for m in back.messages[1:]] == ["call|1.é", "call|1.é"]
    assert decode(encode(DIALECT.render_request(back, ANY_MODEL).payload)) == body


def case_13_results_as_json_are_read() -> None:
    body = {
        "messages": [
            HI_WIRE,
            said("assistant", CALL_WIRE),
            said("user", answered("c1", {"json": {"a": 1}}, {"text": "b"}, status="success")),
        ]
    }
    found = DIALECT.parse_request(encode(body), "/model/m/converse").messages[2].content[0]
    assert isinstance(found, ToolResult) and found.content == (Text('{"a":1}'), Text("b")) and found.is_error is False


def case_23_24_25_calls_of_a_stream() -> None:
    events = read(
        stream(
            BEGIN,
            words("I look."),
            over(),
            started(1),
            piece("", 1),
            piece('{"q"', 1),
            piece(":1}", 1),
            over(1),
            started(2),
            over(2),
            *ending("tool_use"),
        )
    )
    heads = [event.head for event in events if isinstance(event, BlockStart)]
    assert heads == [Text(""), ToolCall("c1", "look"), ToolCall("c2", "look")]
    assert [call.arguments for call in fold(events).tool_calls] == ['{"q":1}', "{}"]


def case_25_a_call_without_arguments_is_written_once() -> None:
    wires = written(Start(), BlockStart(0, ToolCall("c0", "look")), BlockStop(0), Finished(Finish.TOOL_CALLS))
    assert wires[1:4] == [started(), piece("{}"), over()]
    wires = written(Start(), BlockStart(0, ToolCall("c0", "look", "{}")), BlockStop(0), Finished(Finish.TOOL_CALLS))
    assert wires[1:4] == [started(), piece("{}"), over()]


def case_26_27_order_and_several_calls() -> None:
    events = [
        Start("x", "m"),
        BlockStart(0, Text("")),
        BlockStart(1, ToolCall("a", "look")),
        Delta(0, "be"),
        Delta(1, '{"q":'),
        Delta(0, "fore"),
        BlockStart(2, ToolCall("b", "look", "{}")),
        Delta(1, "1}"),
        BlockStop(1),
        BlockStop(2),
        Finished(Finish.TOOL_CALLS),
    ]
    response = fold(read(encoded(events)))
    assert sorted(response.text) == sorted("before")
    assert [(call.id, call.arguments) for call in response.tool_calls] == [("a", '{"q":1}'), ("b", "{}")]


def encoded(events: list[StreamEvent]) -> bytes:
    encoder = DIALECT.stream_encoder(StreamContext("m", "id", 0))
    return b"".join(encoder.render_event(event) for event in events) + encoder.close()


def case_29_a_cut_call_is_not_repaired() -> None:
    response = Response(choices=(Choice(0, (ToolCall("a", "look", '{"q":'),), Finish.LENGTH),))
    wire = decode(DIALECT.render_response(response))
    assert wire["output"]["message"]["content"][0]["toolUse"]["input"] == {"INVALID_JSON": '{"q":'} and wire["stopReason"] == "max_tokens"
    streamed = fold(read(stream(BEGIN, started(), piece('{"q":'), *ending("max_tokens"))))
    assert streamed.tool_calls[0].arguments == '{"q":' and streamed.finish is Finish.LENGTH


def case_48_50_counts_are_disjoint() -> None:
    counts = {
        "inputTokens": 10,
        "outputTokens": 4,
        "totalTokens": 7451,
        "cacheReadInputTokens": 86,
        "cacheWriteInputTokens": 7351,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 7000}, {"ttl": "5m", "inputTokens": 351}],
        "serverToolUsage": {"webSearch": 2},
    }
    usage = DIALECT.parse_response(answer({"text": "a"}, usage=counts)).usage
    assert usage is not None and usage.native == counts and usage.fees == {"webSearch": 2}
    assert (usage.input_uncached, usage.cache_read, usage.cache_write_1h, usage.cache_write_5m, usage.output_text) == (10, 86, 7000, 351, 4)
    assert usage.total == counts["totalTokens"]
    assert fold(read(stream(BEGIN, words("a"), over(), *ending(**counts)))).usage == usage


def case_50_without_the_split_a_write_is_of_five_minutes() -> None:
    usage = DIALECT.parse_response(answer({"text": "a"}, usage={"inputTokens": 1, "outputTokens": 2, "cacheWriteInputTokens": 5})).usage
    assert usage is not None and (usage.cache_write_5m, usage.cache_write_1h) == (5, 0)


def case_50_counts_of_another_provider() -> None:
    usage = Usage(input_uncached=1, cache_read=2, cache_write_5m=3, cache_write_1h=4, input_image=5, output_text=6, output_reasoning=7)
    wire = decode(DIALECT.render_response(Response(usage=usage)))["usage"]
    assert wire == {
        "inputTokens": 6,
        "outputTokens": 13,
        "totalTokens": 28,
        "cacheReadInputTokens": 2,
        "cacheWriteInputTokens": 7,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 4}, {"ttl": "5m", "inputTokens": 3}],
    }
    assert written(Start(), UsageSeen(usage), Finished(Finish.STOP))[-1][1]["usage"] == wire


def case_50_odd_counts_are_never_negative() -> None:
    usage = DIALECT.parse_response(
        answer({"text": "a"}, usage={"inputTokens": -1, "outputTokens": None, "cacheDetails": [None, {"ttl": "1h"}]})
    ).usage
    assert usage is not None and usage.total == 0


def case_56_65_a_stream_without_its_usage() -> None:
    data = stream(BEGIN, words("a"), over(), ending()[0])
    decoder = DIALECT.stream_decoder()
    events = decoder.feed(data)
    assert not decoder.complete and not any(isinstance(event, Finished) for event in events)
    events += decoder.close()
    assert decoder.complete and fold(events).finish is Finish.STOP and fold(events).usage is None


def case_61_63_how_a_stream_begins() -> None:
    wires = written(Start("x", "m"), Ping(), Start("x", "m"), BlockStart(0, Text("")), Delta(0, "a"), BlockStop(0), Finished(Finish.STOP))
    assert [kind for kind, _ in wires] == ["messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"]
    assert wires[0][1] == {"role": "assistant"}


def case_64_87_117_exceptions_inside_a_stream() -> None:
    for name, kind in (
        ("throttlingException", ErrorKind.RATE_LIMIT),
        ("modelStreamErrorException", ErrorKind.SERVER),
        ("internalServerException", ErrorKind.SERVER),
        ("validationException", ErrorKind.BAD_REQUEST),
        ("serviceUnavailableException", ErrorKind.OVERLOADED),
        ("modelTimeoutException", ErrorKind.TIMEOUT),
        ("brandNewException", ErrorKind.SERVER),
    ):
        frame = encode_frame({":message-type": "exception", ":exception-type": name}, encode({"message": "no"}))
        events = read(stream(BEGIN, words("a")) + frame + stream(words("b")))
        assert isinstance(events[-1], Failed) and (events[-1].error.kind, events[-1].error.message) == (kind, "no")
    head = {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "gone"}
    assert isinstance(failed := read(encode_frame(head))[-1], Failed) and failed.error.message == "gone"


def case_64_overloaded_model_behind_bedrock() -> None:
    body = encode({"message": "no", "originalStatusCode": 503, "originalMessage": "busy"})
    frame = encode_frame({":message-type": "exception", ":exception-type": "modelStreamErrorException"}, body)
    assert isinstance(failed := read(frame)[-1], Failed) and failed.error.kind is ErrorKind.OVERLOADED


def case_64_nothing_follows_a_failure() -> None:
    wires = written(
        Start(), BlockStart(0, Text("a")), Failed(ProviderError(ErrorKind.RATE_LIMIT, "slow")), Delta(0, "b"), Finished(Finish.STOP)
    )
    assert wires[-1] == ("throttlingException", {"message": "slow"}) and len(wires) == 3
    assert written(Start(), Finished(Finish.ERROR, "SAFETY_BUG"))[-1][0] == "internalServerException"
    assert written(Start(), Finished(Finish.ERROR, "malformed_tool_use"))[-2] == ("messageStop", {"stopReason": "malformed_tool_use"})


def case_65_a_cut_is_an_error() -> None:
    data = stream(BEGIN, words("a"), over())
    for cut in (len(data), len(data) - 3):
        with pytest.raises(Truncated):
            read(data[:cut])
    assert [kind for kind, _ in written(Start(), BlockStart(0, Text("a")), close=False)] == ["messageStart", "contentBlockDelta"]


def case_77_thoughts_stay_out_of_the_text() -> None:
    reasoning = {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm"}}}
    signed = {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "s"}}}
    streamed = fold(
        read(stream(BEGIN, ("contentBlockDelta", reasoning), ("contentBlockDelta", signed), over(), words("a", 1), over(1), *ending()))
    )
    whole = DIALECT.parse_response(answer({"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}, {"text": "a"}))
    assert streamed.choices[0].content == whole.choices[0].content == (Thinking("hm", "s"), Text("a"))
    assert whole.text == "a"


def case_78_a_forced_tool_is_unwrapped() -> None:
    call = {"toolUse": {"toolUseId": "c0", "name": STRUCTURED_TOOL, "input": {"a": 1}}}
    first = ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "c0", "name": STRUCTURED_TOOL}}})
    streamed = fold(read(stream(BEGIN, first, piece('{"a":'), piece("1}"), over(), *ending("tool_use"))))
    for response in (DIALECT.parse_response(answer(call, stop="tool_use")), streamed):
        assert (response.text, response.finish, response.tool_calls) == ('{"a":1}', Finish.STOP, ())


def case_84_a_refusal_is_text_that_was_filtered() -> None:
    wire = decode(DIALECT.render_response(Response(choices=(Choice(0, (Refusal("no"),), Finish.STOP),))))
    assert wire["output"]["message"]["content"] == [{"text": "no"}] and wire["stopReason"] == "content_filtered"
    wires = written(Start(), BlockStart(0, Refusal("")), Delta(0, "no"), Finished(Finish.STOP))
    assert wires[1] == words("no") and wires[-2][1] == {"stopReason": "content_filtered"}


def case_45_a_picture_in_an_answer() -> None:
    for mime, data, word in (("image/jpg", "AAAA", "jpeg"), (None, IMAGE, "png"), (None, "AAAA", None)):
        picture = Media("image", mime, data=data)
        wire = decode(DIALECT.render_response(Response(choices=(Choice(0, (picture,), Finish.STOP),))))["output"]["message"]["content"]
        assert wire == ([{"image": {"format": word, "source": {"bytes": data}}}] if word else [])
        again = fold(read(encoded([Start(), BlockStart(0, picture), BlockStop(0), Finished(Finish.STOP)])))
        assert [block.data for choice in again.choices for block in choice.content if isinstance(block, Media)] == ([data] if word else [])


ERRORS = [
    (400, "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/", ErrorKind.BAD_REQUEST),
    (400, "ServiceQuotaExceededException", ErrorKind.QUOTA),
    (403, "AccessDeniedException", ErrorKind.PERMISSION),
    (403, "UnrecognizedClientException:http://x/", ErrorKind.AUTH),
    (403, "ExpiredTokenException", ErrorKind.AUTH),
    (403, "InvalidSignatureException", ErrorKind.AUTH),
    (404, "ResourceNotFoundException", ErrorKind.NOT_FOUND),
    (408, "ModelTimeoutException", ErrorKind.TIMEOUT),
    (424, "ModelErrorException", ErrorKind.SERVER),
    (429, "ThrottlingException", ErrorKind.RATE_LIMIT),
    (429, "ModelNotReadyException", ErrorKind.OVERLOADED),
    (500, "InternalServerException", ErrorKind.SERVER),
    (503, "ServiceUnavailableException", ErrorKind.OVERLOADED),
    (418, "", ErrorKind.BAD_REQUEST),
    (429, "", ErrorKind.RATE_LIMIT),
    (599, "New", ErrorKind.SERVER),
]


def case_85_87_89_errors_by_name_and_status() -> None:
    for status, name, kind in ERRORS:
        error = DIALECT.parse_error(status, {"x-amzn-errortype": name, "retry-after": "3", "x-amzn-requestid": "r"}, b'{"message":"no"}')
        assert (error.kind, error.message, error.retry_after, error.request_id) == (kind, "no", 3, "r")
        if name:
            body = encode({"__type": f"com.amazon.coral#{name}", "Message": "no"})
            assert DIALECT.parse_error(status, {}, body).kind is kind


def case_85_93_errors_towards_a_client() -> None:
    for error, status, name in (
        (ProviderError(ErrorKind.AUTH, "bad key", status=401), 502, "InternalServerException"),
        (ProviderError(ErrorKind.RATE_LIMIT, "slow", retry_after=1.2), 429, "ThrottlingException"),
        (Unsupported("no", param="n", hint="try"), 400, "ValidationException"),
        (WireError("bad", fault="remote"), 400, "ValidationException"),
    ):
        rendered = render_error(error)
        assert rendered.status == status and dict(rendered.headers)["x-amzn-errortype"] == name
        assert decode(rendered.body)["message"]


def case_93_a_200_with_an_error_raises() -> None:
    for body in ({"message": "no"}, {"__type": "ThrottlingException", "message": "no"}):
        with pytest.raises(ProviderError) as caught:
            DIALECT.parse_response(encode(body))
        assert caught.value.message == "no"
    with pytest.raises(WireError):
        DIALECT.parse_response(b"{}")


def case_40_own_keys_come_back_to_this_wire_only() -> None:
    body = {
        "messages": [HI_WIRE],
        "guardrailConfig": {"guardrailIdentifier": "g"},
        "performanceConfig": {"latency": "optimized"},
        "additionalModelRequestFields": {"anthropic_beta": ["x"]},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
        "inferenceConfig": {},
        "system": [],
        "new": None,
    }
    request = DIALECT.parse_request(encode(body), "/model/m/converse")
    assert DIALECT.render_request(request, ANY_MODEL).payload == body
    noted = DIALECT.render_request(msgspec.structs.replace(request, dialect="openai_chat"), ANY_MODEL).notes
    assert {note.field for note in noted} == set(body) - {"messages"}


def case_40_a_stored_prompt_stays_with_bedrock() -> None:
    body = {"promptVariables": {"a": {"text": "b"}}}
    request = DIALECT.parse_request(encode(body), "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aprompt%2FABCDE12345/converse")
    assert DIALECT.render_request(request, ANY_MODEL).payload == body
    with pytest.raises(Unsupported) as refusal:
        bedrock_anthropic.DIALECT.render_request(request, ANY_MODEL)
    assert refusal.value.param == "messages" and request.bound == ("messages", "promptVariables")
    with pytest.raises(Unsupported):
        DIALECT.render_request(ask(bound=("previous_response_id",)), ANY_MODEL)


def case_15_malformed_requests_name_the_place() -> None:
    for body, param in (
        ({"messages": "x"}, "messages"),
        ({"messages": [said("tool")]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x"}]}, "messages[0].content"),
        ({"messages": [said("user", {"text": 1})]}, "messages[0].content[0].text"),
        ({"messages": [said("user", {"toolResult": {"content": []}})]}, "messages[0].content[0].toolResult.toolUseId"),
        ({"messages": [], "inferenceConfig": {"maxTokens": "many"}}, "inferenceConfig.maxTokens"),
        ({"messages": [], "toolConfig": {"tools": [{"toolSpec": {}}]}}, "toolConfig.tools[0].toolSpec.name"),
    ):
        with pytest.raises(WireError) as error:
            DIALECT.parse_request(encode(body), "/model/m/converse")
        assert error.value.param == param


def case_114_117_model_ids_in_the_path() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab12"
    for model, quoted in (
        ("us.amazon.nova-micro-v1:0", "us.amazon.nova-micro-v1%3A0"),
        (arn, "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fab12"),
    ):
        for stream_, operation in ((None, "converse"), (True, "converse-stream")):
            rendered = DIALECT.render_request(ask(model=model, stream=stream_), ANY_MODEL)
            assert rendered.path == f"/model/{quoted}/{operation}"
            for path in (rendered.path, f"/model/{model}/{operation}"):
                back = DIALECT.parse_request(encode(rendered.payload), path)
                assert (back.model, back.stream) == (model, stream_)
    with pytest.raises(WireError, match="names no model"):
        DIALECT.parse_request(b"{}", "/converse")


def case_21_what_bedrock_ran_itself_asks_nobody() -> None:
    call = {"toolUse": {"toolUseId": "i", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}}
    response = DIALECT.parse_response(answer(call, {"text": "a"}))
    assert response.tool_calls == () and response.finish is Finish.STOP and isinstance(response.choices[0].content[0], Opaque)


def case_112_cache_points_are_read() -> None:
    body = {
        "system": [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        "messages": [said("user", {"text": "a"}, POINT, POINT)],
        **tools(spec(), POINT),
    }
    request = DIALECT.parse_request(encode(body), "/model/m/converse")
    assert request.messages[0].content == (Text("s", Cache("1h")),)
    assert request.messages[1].content == (Text("a", Cache()), Opaque(POINT, "bedrock_converse"))
    assert isinstance(request.tools[0], Tool) and request.tools[0].cache == Cache()
    assert decode(encode(DIALECT.render_request(request, ANY_MODEL).payload)) == body


def case_113_betas_of_claude_behind_invoke_model() -> None:
    body = {"anthropic_version": "bedrock-2023-05-31", "anthropic_beta": ["a"], "max_tokens": 1, "messages": []}
    request = bedrock_anthropic.DIALECT.parse_request(encode(body), "/model/m/invoke")
    rendered: RenderedRequest = bedrock_anthropic.DIALECT.render_request(request, ANY_MODEL)
    assert decode(encode(rendered.payload)) == body and rendered.path == "/model/m/invoke"
    more = bedrock_anthropic.with_betas(rendered, ["b", "a", "b"])
    assert more.payload["anthropic_beta"] == ["a", "b"] and rendered.payload["anthropic_beta"] == ["a"]
    assert bedrock_anthropic.betas_of((("anthropic-beta", "a, b"), ("Anthropic-Beta", "c"), ("x", "d"))) == ["a", "b", "c"]


FUNCTIONS: list[Callable[[], None]] = [value for name, value in sorted(globals().items()) if name.startswith("case_")]


@pytest.mark.parametrize("check", FUNCTIONS, ids=[check.__name__.replace("_", "-") for check in FUNCTIONS])
def test_case(check: Callable[[], None]) -> None:
    check()


def _numbers(identifier: str) -> set[int]:
    found = re.match(r"case((?:[-_]\d+)+)", identifier)
    assert found is not None, identifier
    return {int(number) for number in re.findall(r"\d+", found[1])}


CASES: frozenset[int] = frozenset(
    number
    for identifier in [row[0] for row in SENT]
    + [row[0] for row in REFUSED]
    + [row[0] for row in FINISHES]
    + [check.__name__ for check in FUNCTIONS]
    for number in _numbers(identifier)
)
"""Translation cases shown here, taken from the ids."""
