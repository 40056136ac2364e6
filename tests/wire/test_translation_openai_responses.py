"""The translation cases that concern the Responses wire, as source or as target. Ids begin with the case's number."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest

from headgate.dialects import anthropic_messages, openai_chat
from headgate.dialects.base import StreamContext
from headgate.dialects.openai_responses import DIALECT
from headgate.dialects.openai_responses.bindings import bound_to_account, without_bindings
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
from headgate.wire.json import Json, JsonObject, decode, encode

HI = user_message("hi")
HI_WIRE = {"role": "user", "content": "hi"}
THINKER = Capabilities(reasoning="effort")
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
CALL = ToolCall("c1", "look", '{"q":1}')
CALL_WIRE = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"q":1}'}
IMAGE = "iVBORw0KGgo="


def ask(*messages: Message, dialect: str = "openai_chat", **fields: Json) -> Request:
    """A request of another dialect."""
    return Request(model="gpt-5", messages=messages or (HI,), dialect=dialect, **fields)


def turn(*blocks: Block) -> Message:
    return Message("assistant", blocks)


def result(call_id: str, *blocks: Block, error: bool | None = None) -> Message:
    return Message("tool", (ToolResult(call_id, blocks, is_error=error),))


def answered(call_id: str, output: Json) -> JsonObject:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def function(name: str, **fields: Json) -> JsonObject:
    return {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}, "strict": False, **fields}


Sent = tuple[str, Request, Capabilities, JsonObject, set[str]]
"""(id, request, capabilities, keys of the payload, fields of the notes)."""

SENT: list[Sent] = [
    (
        "case-1-system-turns-keep-their-place",
        ask(system_message("a"), Message("developer", (Text("b"),)), HI, turn(Text("yes")), system_message("late"), HI),
        ANY_MODEL,
        {
            "input": [
                {"role": "system", "content": "a"},
                {"role": "developer", "content": "b"},
                HI_WIRE,
                {"role": "assistant", "content": "yes"},
                {"role": "system", "content": "late"},
                HI_WIRE,
            ]
        },
        set(),
    ),
    ("case-2-only-system", ask(system_message("a")), ANY_MODEL, {"input": [{"role": "system", "content": "a"}]}, set()),
    ("case-3-same-role-stays-apart", ask(HI, HI), ANY_MODEL, {"input": [HI_WIRE, HI_WIRE]}, set()),
    (
        "case-4-assistant-first",
        ask(turn(Text("welcome")), HI),
        ANY_MODEL,
        {"input": [{"role": "assistant", "content": "welcome"}, HI_WIRE]},
        set(),
    ),
    (
        "case-5-empty-text-beside-a-call",
        ask(HI, turn(Text(""), CALL), result("c1", Text("r"))),
        ANY_MODEL,
        {"input": [HI_WIRE, CALL_WIRE, answered("c1", "r")]},
        set(),
    ),
    (
        "case-6-prefill-passed",
        ask(HI, turn(Text("Sure,"))),
        ANY_MODEL,
        {"input": [HI_WIRE, {"role": "assistant", "content": "Sure,"}]},
        set(),
    ),
    ("case-7-name", ask(Message("user", (Text("hi"),), name="ann")), ANY_MODEL, {"input": [HI_WIRE]}, {"messages[0].name"}),
    ("case-8-one-text-part", ask(Message("user", (Text("hi"),), form="list")), ANY_MODEL, {"input": [HI_WIRE]}, set()),
    ("case-9-unicode", ask(user_message("a\0b😀")), ANY_MODEL, {"input": [{"role": "user", "content": "a\0b😀"}]}, set()),
    (
        "case-10-parallel-calls-results-in-any-order",
        ask(HI, turn(CALL, ToolCall("c2", "find", "{}")), result("c2", Text("two")), result("c1", Text("one"))),
        ANY_MODEL,
        {
            "input": [
                HI_WIRE,
                CALL_WIRE,
                {"type": "function_call", "call_id": "c2", "name": "find", "arguments": "{}"},
                answered("c2", "two"),
                answered("c1", "one"),
            ]
        },
        set(),
    ),
    (
        "case-13-result-with-a-picture",
        ask(HI, turn(CALL), result("c1", Text("see"), Media("image", "image/png", IMAGE)), dialect="anthropic_messages"),
        ANY_MODEL,
        {
            "input": [
                HI_WIRE,
                CALL_WIRE,
                answered(
                    "c1",
                    [
                        {"type": "input_text", "text": "see"},
                        {"type": "input_image", "image_url": f"data:image/png;base64,{IMAGE}", "detail": "auto"},
                    ],
                ),
            ]
        },
        set(),
    ),
    (
        "case-14-failed-tool",
        ask(HI, turn(CALL), result("c1", Text("r"), error=True), dialect="anthropic_messages"),
        ANY_MODEL,
        {"input": [HI_WIRE, CALL_WIRE, answered("c1", "r")]},
        {"messages[2].c1.is_error"},
    ),
    (
        "case-15-no-arguments",
        ask(HI, turn(ToolCall("c1", "look", "")), result("c1", Text("r"))),
        ANY_MODEL,
        {"input": [HI_WIRE, {**CALL_WIRE, "arguments": "{}"}, answered("c1", "r")]},
        set(),
    ),
    (
        "case-16-no-parameters",
        ask(tools=(Tool("f"), Tool("g", parameters={}))),
        ANY_MODEL,
        {"tools": [function("f"), function("g")]},
        set(),
    ),
    ("case-17-empty-description", ask(tools=(Tool("f", ""),)), ANY_MODEL, {"tools": [function("f")]}, set()),
    ("case-18-none", ask(tools=(Tool("f"),), tool_choice=ToolChoice("none")), ANY_MODEL, {"tool_choice": "none"}, set()),
    (
        "case-18-one",
        ask(tools=(Tool("f"),), tool_choice=ToolChoice("tool", ("f",))),
        ANY_MODEL,
        {"tool_choice": {"type": "function", "name": "f"}},
        set(),
    ),
    (
        "case-18-allowed",
        ask(tools=(Tool("f"),), tool_choice=ToolChoice("allowed", ("f",), required=True)),
        ANY_MODEL,
        {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}},
        set(),
    ),
    ("case-19-not-parallel", ask(tools=(Tool("f"),), parallel_tools=False), ANY_MODEL, {"parallel_tool_calls": False}, set()),
    (
        "case-21-web-search",
        ask(tools=(HostedTool("web_search_20250305", {"type": "web_search_20250305"}, "anthropic_messages"),)),
        ANY_MODEL,
        {"tools": [{"type": "web_search"}]},
        {"tools[0]"},
    ),
    ("case-22-strict", ask(tools=(Tool("f", strict=True),)), ANY_MODEL, {"tools": [function("f", strict=True)]}, set()),
    (
        "case-27-text-between-calls",
        ask(HI, turn(Text("a"), CALL, Text("b")), result("c1", Text("r"))),
        ANY_MODEL,
        {
            "input": [
                HI_WIRE,
                {"role": "assistant", "content": "a"},
                CALL_WIRE,
                {"role": "assistant", "content": "b"},
                answered("c1", "r"),
            ]
        },
        set(),
    ),
    ("case-30-max-tokens", ask(max_tokens=5), ANY_MODEL, {"max_output_tokens": 5}, set()),
    ("case-33-zeros", ask(temperature=0, top_p=0), ANY_MODEL, {"temperature": 0, "top_p": 0}, set()),
    ("case-34-clamped", ask(temperature=2), Capabilities(temperature_max=1), {"temperature": 1}, {"temperature"}),
    ("case-35-stop", ask(stop=("END",)), ANY_MODEL, {}, {"stop"}),
    (
        "case-37-absent-fields",
        ask(seed=0, logit_bias={"5": 1}, presence_penalty=0.5, frequency_penalty=0),
        ANY_MODEL,
        {},
        {"seed", "logit_bias", "presence_penalty"},
    ),
    (
        "case-38-logprobs",
        ask(logprobs=True, top_logprobs=3),
        ANY_MODEL,
        {"include": ["message.output_text.logprobs"], "top_logprobs": 3},
        set(),
    ),
    ("case-39-user-and-tier", ask(user="u", service_tier="standard"), ANY_MODEL, {"user": "u", "service_tier": "default"}, set()),
    ("case-39-nothing-is-stored-unasked", ask(), ANY_MODEL, {"store": False}, set()),
    ("case-40-unknown-keys", ask(extra={"x_new": 1}), ANY_MODEL, {"input": [HI_WIRE]}, {"x_new"}),
    (
        "case-41-data-url",
        ask(Message("user", (Media("image", "image/png", IMAGE, detail="low"),))),
        ANY_MODEL,
        {
            "input": [
                {
                    "role": "user",
                    "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{IMAGE}", "detail": "low"}],
                }
            ]
        },
        set(),
    ),
    (
        "case-42-image-by-address",
        ask(Message("user", (Media("image", url="https://a/b.png"),))),
        ANY_MODEL,
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://a/b.png", "detail": "auto"}]}]},
        set(),
    ),
    (
        "case-44-documents",
        ask(Message("user", (Media("document", "application/pdf", "JVBERi0="), Media("document", url="https://a/b.pdf")))),
        ANY_MODEL,
        {
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERi0=", "filename": "document.pdf"},
                        {"type": "input_file", "file_url": "https://a/b.pdf"},
                    ],
                }
            ]
        },
        set(),
    ),
    (
        "case-73-thoughts-of-another-wire",
        ask(HI, turn(Thinking("hm", "sig"), Text("yes")), dialect="anthropic_messages"),
        ANY_MODEL,
        {"input": [HI_WIRE, {"role": "assistant", "content": "yes"}]},
        {"messages[1].content[0]"},
    ),
    (
        "case-76-effort-and-summary",
        ask(reasoning=Reasoning(budget=2048, visible=True), dialect="anthropic_messages"),
        THINKER,
        {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]},
        {"reasoning.budget"},
    ),
    ("case-76-no-thinking-model", ask(reasoning=Reasoning("high", visible=True)), ANY_MODEL, {}, {"reasoning", "reasoning.visible"}),
    (
        "case-78-schema",
        ask(response_format=ResponseFormat("json_schema", SCHEMA, strict=True)),
        ANY_MODEL,
        {"text": {"format": {"type": "json_schema", "name": "response", "schema": SCHEMA, "strict": True}}},
        set(),
    ),
    (
        "case-79-schema-and-tools",
        ask(response_format=ResponseFormat("json_object"), tools=(Tool("f"),)),
        ANY_MODEL,
        {"text": {"format": {"type": "json_object"}}, "tools": [function("f")]},
        set(),
    ),
    (
        "case-112-breakpoints",
        ask(Message("user", (Text("a", Cache("1h")), Text("b"))), dialect="anthropic_messages"),
        ANY_MODEL,
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]}]},
        {"messages[0].content[0].cache_control"},
    ),
]


@pytest.mark.parametrize(("request_", "capabilities", "payload", "notes"), [pytest.param(*row[1:], id=row[0]) for row in SENT])
def test_sent(request_: Request, capabilities: Capabilities, payload: JsonObject, notes: set[str]) -> None:
    rendered = DIALECT.render_request(request_, capabilities)
    sent = decode(encode(rendered.payload))
    assert rendered.path == "/responses"
    assert {key: sent.get(key) for key in payload} == payload
    assert {note.field for note in rendered.notes} == notes
    assert sent.keys() <= {"model", "input", "store", "tools", *payload}


REFUSED: list[tuple[str, Request, Capabilities, str]] = [
    ("case-11-missing-result", ask(HI, turn(CALL)), ANY_MODEL, "messages[1]"),
    ("case-11-orphan-result", ask(HI, result("c9", Text("r"))), ANY_MODEL, "messages[1]"),
    ("case-17-name", ask(tools=(Tool("a.b"),)), ANY_MODEL, "tools[0].name"),
    ("case-21-hosted", ask(tools=(HostedTool("bash_20250124", {}, "anthropic_messages"),)), ANY_MODEL, "tools[0]"),
    ("case-36-several-answers", ask(n=2), ANY_MODEL, "n"),
    ("case-44-foreign-file", ask(Message("user", (Media("document", file_id="file-1"),))), ANY_MODEL, "messages[0].content[0]"),
    ("case-45-audio", ask(Message("user", (Media("audio", "audio/wav", "aGk="),))), ANY_MODEL, "messages[0].content[0]"),
    ("case-45-video", ask(Message("user", (Media("video", "video/mp4", "aGk="),))), ANY_MODEL, "messages[0].content[0]"),
]


@pytest.mark.parametrize(("request_", "capabilities", "param"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
def test_refused(request_: Request, capabilities: Capabilities, param: str) -> None:
    with pytest.raises(Unsupported) as caught:
        DIALECT.render_request(request_, capabilities)
    assert caught.value.param == param


def test_case_12_long_call_ids_are_replaced_alike_in_call_and_result() -> None:
    name = "c" * 65
    sent = DIALECT.render_request(ask(HI, turn(ToolCall(name, "f", "{}")), result(name, Text("r"))), ANY_MODEL).payload["input"]
    assert sent[1]["call_id"] == sent[2]["call_id"] and len(sent[1]["call_id"]) <= 64


def read(**fields: Json) -> Request:
    return DIALECT.parse_request(encode({"model": "gpt-5", "input": "hi", **fields}), "/responses")


READ: list[tuple[str, Request, Json, Json]] = [
    ("case-1-instructions", read(instructions="be kind"), lambda r: [m.role for m in r.messages], ["system", "user"]),
    (
        "case-10-items-of-one-turn-become-one-turn",
        read(input=[HI_WIRE, {"role": "assistant", "content": "a"}, CALL_WIRE, {**CALL_WIRE, "call_id": "c2"}, answered("c1", "r")]),
        lambda r: [(m.role, len(m.content)) for m in r.messages],
        [("user", 1), ("assistant", 3), ("tool", 1)],
    ),
    ("case-16-flat-function", read(tools=[function("f", description="d")]), lambda r: r.tools[0].description, "d"),
    ("case-30-limit", read(max_output_tokens=0), lambda r: r.max_tokens, 0),
    ("case-38-logprobs", read(include=["message.output_text.logprobs"]), lambda r: r.logprobs, True),
    ("case-76-summary", read(reasoning={"effort": "low", "summary": "auto"}), lambda r: r.reasoning, Reasoning("low", visible=True)),
    (
        "case-78-format",
        read(text={"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}, "verbosity": "low"}),
        lambda r: (r.response_format, r.extra),
        (ResponseFormat("json_schema", SCHEMA, "n"), {"text": {"verbosity": "low"}}),
    ),
    (
        "case-112-breakpoint",
        read(
            input=[
                {"role": "user", "content": [{"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}]},
            ]
        ),
        lambda r: r.messages[0].content,
        (Text("a", Cache()),),
    ),
]


@pytest.mark.parametrize(("request_", "look", "expected"), [pytest.param(*row[1:], id=row[0]) for row in READ])
def test_read(request_: Request, look: Callable[[Request], Json], expected: Json) -> None:
    assert look(request_) == expected


MALFORMED = {
    "case-15-arguments-object": ({"input": [{**CALL_WIRE, "arguments": {}}]}, "input[0].arguments"),
    "role": ({"input": [{"role": "critic", "content": "x"}]}, "input[0].role"),
    "content": ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
    "item": ({"input": ["x"]}, "input[0]"),
    "part": ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
    "input": ({"input": 5}, "input"),
    "tool": ({"tools": [{"type": "function"}]}, "tools[0].name"),
    "limit": ({"max_output_tokens": "5"}, "max_output_tokens"),
}


@pytest.mark.parametrize(("fields", "param"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_requests_name_the_field(fields: JsonObject, param: str) -> None:
    with pytest.raises(WireError) as caught:
        read(**fields)
    assert caught.value.param == param


def translated(**fields: Json) -> JsonObject:
    """A request of this wire as the chat wire gets it, nothing lost."""
    rendered = openai_chat.DIALECT.render_request(read(**fields), ANY_MODEL)
    assert rendered.notes == ()
    return decode(encode(rendered.payload))


def test_case_10_a_tool_loop_reaches_the_chat_wire_in_its_order() -> None:
    said = {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Looking.", "annotations": [], "logprobs": []}],
    }
    call = {**CALL_WIRE, "id": "fc_1", "status": "completed"}
    sent = translated(instructions="kind", input=[HI_WIRE, said, call, answered("c1", "r")], include=["reasoning.encrypted_content"])
    assert sent["messages"] == [
        {"role": "system", "content": "kind"},
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": "Looking.",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"q":1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
    ]


def test_case_5_a_turn_of_nothing_but_items_of_this_wire_leaves_no_empty_message() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    rendered = openai_chat.DIALECT.render_request(
        read(input=[HI_WIRE, search, {"type": "additional_tools", "role": "developer", "tools": []}, HI_WIRE]), ANY_MODEL
    )
    assert rendered.payload["messages"] == [{"role": "user", "content": "hi"}, {"role": "user", "content": "hi"}]
    assert {note.field for note in rendered.notes} == {"messages[1].content[0]", "messages[2].content[0]"}


def test_case_39_only_a_wish_to_store_is_reported() -> None:
    assert translated(store=False)
    rendered = openai_chat.DIALECT.render_request(read(store=True), ANY_MODEL)
    assert [note.field for note in rendered.notes] == ["store"]


def test_case_72_signed_thoughts_survive_a_round_through_this_wire() -> None:
    """A client of this surface talks to another wire: signature and secret come back where they were."""
    thoughts = (Thinking("hm", "sig"), Thinking(redacted="secret"))
    answer = Response(id="msg_1", model="m", choices=(Choice(0, (*thoughts, Text("a"), CALL), Finish.TOOL_CALLS),), dialect="x")
    output = decode(DIALECT.render_response(answer))["output"]
    request = read(input=[HI_WIRE, *output, answered("c1", "r")])
    assert request.messages[1].content[:2] == thoughts
    sent = anthropic_messages.DIALECT.render_request(request, ANY_MODEL)
    assert sent.payload["messages"][1]["content"][:2] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "secret"},
    ]
    assert {note.field for note in sent.notes} == {"max_tokens"}


def test_case_74_signatures_of_calls_and_texts_survive_a_round_through_this_wire() -> None:
    blocks = (Text("a", signature="s1"), msgspec.structs.replace(CALL, signature="s2"))
    answer = Response(id="x", model="m", choices=(Choice(0, blocks, Finish.TOOL_CALLS),), dialect="gemini_generate")
    whole = decode(DIALECT.render_response(answer))["output"]
    events = [Start("x", "m"), *[BlockStart(n, block) for n, block in enumerate(blocks)], Finished(Finish.TOOL_CALLS)]
    assert written(*events)[-1]["response"]["output"] == whole
    request = read(input=[HI_WIRE, *whole, answered("c1", "r")])
    assert [block.signature for block in request.messages[1].content if isinstance(block, Text | ToolCall)] == ["s1", "s2"]


def test_case_75_what_one_account_keeps_goes_to_no_other() -> None:
    secret = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    request = read(input=[HI_WIRE, secret, HI_WIRE], previous_response_id="resp_1")
    assert bound_to_account(request) == ("previous_response_id", "input[1].encrypted_content")
    assert DIALECT.render_request(request, ANY_MODEL).payload["input"][1] == secret
    elsewhere, notes = without_bindings(request)
    assert [note.field for note in notes] == ["previous_response_id", "input[1]"]
    assert DIALECT.render_request(elsewhere, ANY_MODEL).payload == {"model": "gpt-5", "input": [HI_WIRE, HI_WIRE]}
    with pytest.raises(Unsupported) as caught:
        openai_chat.DIALECT.render_request(request, ANY_MODEL)
    assert caught.value.param == "previous_response_id"
    sent = openai_chat.DIALECT.render_request(elsewhere, ANY_MODEL)
    assert sent.notes == ()


# Answers


def parsed(*output: JsonObject, **fields: Json) -> Response:
    body = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": output, **fields}
    return DIALECT.parse_response(encode(body))


FINISHES: list[tuple[str, JsonObject, Finish | None, str | None]] = [
    ("completed", {"status": "completed"}, Finish.STOP, "completed"),
    ("length", {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, Finish.LENGTH, "max_output_tokens"),
    ("filter", {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, Finish.CONTENT_FILTER, "content_filter"),
    ("no-reason", {"status": "incomplete"}, Finish.LENGTH, "incomplete"),
    ("unknown", {"status": "novelty"}, Finish.STOP, "novelty"),
    ("running", {"status": "in_progress"}, None, "in_progress"),
    ("missing", {"status": None}, None, None),
]


@pytest.mark.parametrize(("fields", "finish", "native"), [pytest.param(*row[1:], id=row[0]) for row in FINISHES])
def test_section_4_finish(fields: JsonObject, finish: Finish | None, native: str | None) -> None:
    choice = parsed(**fields).choices[0]
    assert (choice.finish, choice.native_finish) == (finish, native)


def test_case_28_a_completed_answer_with_calls_asks_for_tools_and_a_cut_one_does_not() -> None:
    assert parsed(CALL_WIRE).finish is Finish.TOOL_CALLS
    assert parsed(CALL_WIRE, status="incomplete", incomplete_details={"reason": "max_output_tokens"}).finish is Finish.LENGTH


def test_case_29_cut_arguments_are_delivered_as_they_are() -> None:
    answer = parsed({**CALL_WIRE, "arguments": '{"q":'}, status="incomplete")
    assert answer.tool_calls[0].arguments == '{"q":'


def test_case_47_usage_is_disjoint() -> None:
    usage = parsed(
        usage={
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
            "output_tokens": 50,
            "output_tokens_details": {"reasoning_tokens": 30},
            "total_tokens": 150,
            "cost_in_usd_ticks": 7,
            "num_sources_used": 2,
        },
        tool_usage={"web_search": {"num_requests": 3}},
    ).usage
    assert usage is not None
    assert (usage.input_uncached, usage.cache_read, usage.cache_write_5m, usage.output_text, usage.output_reasoning) == (30, 60, 10, 20, 30)
    assert usage.fees == {"search_source": 2, "web_search": 3}
    assert usage.native is not None and usage.native["cost_in_usd_ticks"] == 7


def test_case_48_usage_of_another_wire_is_summed() -> None:
    usage = Usage(input_uncached=1, cache_read=2, cache_write_5m=3, cache_write_1h=4, output_text=5, output_reasoning=6)
    wire = decode(DIALECT.render_response(Response(id="x", model="m", choices=(Choice(),), usage=usage, dialect="anthropic_messages")))
    assert wire["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 7},
        "output_tokens": 11,
        "output_tokens_details": {"reasoning_tokens": 6},
        "total_tokens": 21,
    }


def test_case_84_a_refusal_is_a_part_of_its_own() -> None:
    answer = Response(id="x", model="m", choices=(Choice(0, (Refusal("no"),), Finish.STOP),), dialect="openai_chat")
    (item,) = decode(DIALECT.render_response(answer))["output"]
    assert item["content"] == [{"type": "refusal", "refusal": "no"}]
    assert parsed(item).choices[0].content[0] == Refusal(
        "no", {"item": [{"type": "message", "id": item["id"], "status": "completed", "n": 1}]}
    )


def test_an_error_in_a_success_raises() -> None:
    with pytest.raises(ProviderError) as caught:
        parsed(CALL_WIRE, status="failed", error={"code": "rate_limit_exceeded", "message": "slow down"})
    assert caught.value.kind is ErrorKind.RATE_LIMIT
    with pytest.raises(ProviderError):
        DIALECT.render_response(Response(choices=(Choice(0, (), Finish.ERROR),), dialect="openai_chat"))


def test_unknown_items_are_kept() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    answer = parsed(search)
    assert answer.choices[0].content == (Opaque(search, DIALECT.name),)
    assert decode(DIALECT.render_response(answer))["output"] == [search]


def test_a_generated_picture_is_media() -> None:
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": IMAGE, "output_format": "png"}
    answer = parsed(item)
    (block,) = answer.choices[0].content
    assert isinstance(block, Media) and (block.mime, block.data) == ("image/png", IMAGE)
    assert decode(DIALECT.render_response(answer))["output"] == [item]
    assert decode(openai_chat.DIALECT.render_response(answer))["choices"][0]["message"]["images"]


# Streams


def written(*events: StreamEvent) -> list[JsonObject]:
    encoder = DIALECT.stream_encoder(StreamContext("m", "chatcmpl-1", 5))
    data = b"".join([encoder.render_event(event) for event in events]) + encoder.close()
    return [json.loads(line[6:]) for line in data.decode().split("\n") if line.startswith("data: ")]


def test_case_70_the_surface() -> None:
    found = written(
        Start("chatcmpl-1", "m", 5),
        BlockStart(0, Text("")),
        Delta(0, "a"),
        Ping(),
        BlockStart(10, CALL),
        BlockStop(0),
        BlockStop(10),
        Finished(Finish.LENGTH),
        UsageSeen(Usage(input_uncached=1, output_text=2)),
    )
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert [event["type"] for event in found] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    last = found[-1]["response"]
    assert (last["id"], last["status"], last["incomplete_details"]) == ("resp_chatcmpl-1", "incomplete", {"reason": "max_output_tokens"})
    assert last["usage"]["total_tokens"] == 3
    assert [item["id"] for item in last["output"]] == ["msg_chatcmpl-1_0", "fc_chatcmpl-1_1"]
    assert [item["status"] for item in last["output"]] == ["completed", "incomplete"]
    assert {event["response"]["id"] for event in found if "response" in event} == {"resp_chatcmpl-1"}


def test_items_that_are_passed_on_are_not_changed() -> None:
    raw = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    block = Opaque(raw, DIALECT.name)
    found = written(Start("x", "m"), BlockStart(0, block), Finished(Finish.LENGTH))
    assert found[-1]["response"]["output"] == [raw]
    DIALECT.render_response(Response(id="x", model="m", choices=(Choice(0, (block,), Finish.LENGTH),)))
    assert raw["status"] == "completed"


@pytest.mark.parametrize(
    ("finish", "kind", "details"),
    [
        (Finish.STOP, "response.completed", None),
        (Finish.TOOL_CALLS, "response.completed", None),
        (Finish.CONTENT_FILTER, "response.incomplete", {"reason": "content_filter"}),
        (Finish.PAUSE, "response.incomplete", {"reason": "max_output_tokens"}),
    ],
)
def test_case_70_one_terminal_event_says_how_it_ended(finish: Finish, kind: str, details: Json) -> None:
    last = written(Start("x", "m"), BlockStart(0, Text("a")), Finished(finish))[-1]
    assert (last["type"], last["response"]["incomplete_details"]) == (kind, details)


def test_case_70_usage_stands_in_a_failed_answer_too() -> None:
    error = Failed(ProviderError(ErrorKind.OVERLOADED, "busy"))
    found = written(Start("x", "m"), BlockStart(0, Text("a")), UsageSeen(Usage(input_uncached=4)), error, error, Finished(Finish.STOP))
    assert [event["type"] for event in found].count("response.failed") == 1 and found[-1]["type"] == "response.failed"
    last = found[-1]["response"]
    assert (last["status"], last["error"]["code"], last["usage"]["input_tokens"]) == ("failed", "server_error", 4)
    assert written(Start("x", "m"), Finished(Finish.ERROR, "network_error"))[-1]["type"] == "response.failed"


def test_case_25_a_call_without_arguments_has_an_empty_object_once() -> None:
    found = written(Start("x", "m"), BlockStart(0, ToolCall("c", "f")), BlockStop(0), Finished(Finish.TOOL_CALLS))
    assert [event["delta"] for event in found if event["type"] == "response.function_call_arguments.delta"] == ["{}"]
    assert found[-1]["response"]["output"][0]["arguments"] == "{}"
    cut = written(Start("x", "m"), BlockStart(0, ToolCall("c", "f")), BlockStop(0), Finished(Finish.LENGTH))
    assert cut[-1]["response"]["output"][0]["arguments"] == ""


def test_case_24_every_delta_names_its_item() -> None:
    found = written(Start("x", "m"), BlockStart(0, ToolCall("c", "f")), Delta(0, "{"), Delta(0, "}"), Finished(Finish.STOP))
    deltas = [event for event in found if event["type"].endswith(".delta")]
    assert {(event["item_id"], event["output_index"]) for event in deltas} == {("fc_x_0", 0)}


def sse(*events: JsonObject) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), encode(event)) for event in events)


def decoded(data: bytes) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    return decoder.feed(data) + decoder.close()


BEGUN: tuple[JsonObject, ...] = (
    {"type": "response.created", "response": {"id": "resp_1", "model": "m", "created_at": 1, "output": []}},
    {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": {"type": "message", "id": "msg_1", "role": "assistant", "content": []},
    },
    {"type": "response.output_text.delta", "output_index": 0, "item_id": "msg_1", "content_index": 0, "delta": "half"},
)


def test_case_65_a_cut_stream_is_no_answer() -> None:
    with pytest.raises(Truncated):
        decoded(sse(*BEGUN))
    with pytest.raises(Truncated):
        decoded(sse(*BEGUN) + b"data: [DONE]\n\n")


FAILURES: dict[str, tuple[JsonObject, ErrorKind]] = {
    "flat": ({"type": "error", "code": "rate_limit_exceeded", "message": "m", "param": None}, ErrorKind.RATE_LIMIT),
    "nested": ({"type": "error", "error": {"type": "insufficient_quota", "code": None, "message": "m"}}, ErrorKind.QUOTA),
    "failed": ({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "m"}}}, ErrorKind.SERVER),
}


@pytest.mark.parametrize(("event", "kind"), FAILURES.values(), ids=FAILURES)
def test_case_64_an_error_inside_the_stream_ends_it(event: JsonObject, kind: ErrorKind) -> None:
    last = decoded(sse(*BEGUN, event, {"type": "response.completed", "response": {"output": []}}))[-1]
    assert isinstance(last, Failed)
    assert (last.error.kind, last.error.message) == (kind, "m")


def test_case_64_a_plain_error_under_the_stream_type_is_read() -> None:
    (last,) = decoded(b'{"error": {"code": "invalid_api_key", "message": "m"}}')
    assert isinstance(last, Failed) and last.error.kind is ErrorKind.AUTH


def test_what_deltas_left_out_follows_from_the_done_item() -> None:
    done = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "half and half"}]}
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
    end = {"type": "response.completed", "response": {"status": "completed", "output": [done, call]}}
    answer = fold(decoded(sse(*BEGUN, {"type": "response.output_item.done", "output_index": 0, "item": done}, end)))
    assert (answer.text, answer.tool_calls[0].arguments, answer.finish) == ("half and half", "{}", Finish.TOOL_CALLS)


def test_reasoning_text_and_summaries_are_thoughts() -> None:
    def thought(kind: str, **place: int) -> JsonObject:
        return {"type": f"response.{kind}.delta", "output_index": 0, "item_id": "rs_1", "delta": kind[-1], **place}

    item = {"type": "reasoning", "id": "rs_1", "summary": []}
    added = {"type": "response.output_item.added", "output_index": 0, "item": item}
    end = {"type": "response.completed", "response": {"status": "completed", "output": []}}
    first, second = thought("reasoning_summary_text", summary_index=0), thought("reasoning_summary_text", summary_index=1)
    (block,) = fold(decoded(sse(added, first, second, end))).choices[0].content
    assert isinstance(block, Thinking) and block.text == "t\n\nt"
    (block,) = fold(decoded(sse(added, thought("reasoning_text", content_index=0), end))).choices[0].content
    assert isinstance(block, Thinking) and block.text == "t"


def test_case_85_errors_have_the_envelope_of_the_provider() -> None:
    rendered = DIALECT.render_error(ProviderError(ErrorKind.UNSUPPORTED, "no", param="prompt"))
    assert rendered.status == 400
    assert decode(rendered.body) == {
        "error": {"message": "no", "type": "invalid_request_error", "param": "prompt", "code": "unsupported_parameter"}
    }
    assert DIALECT.parse_error(429, {"retry-after": "2"}, b'{"error":{"code":"insufficient_quota","message":"m"}}').kind is ErrorKind.QUOTA


def test_frozen_values_are_not_changed_by_writing() -> None:
    body = {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}], "text": {"verbosity": "low"}}
    request = DIALECT.parse_request(encode(body), "")
    before = msgspec.json.encode(request)
    payload = DIALECT.render_request(request, ANY_MODEL).payload
    payload["text"] = {}
    assert msgspec.json.encode(request) == before


CASES = frozenset(
    {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 24, 25, 27, 28, 29, 30, 33, 34, 35, 36, 37, 38, 39, 40}
    | {41, 42, 44, 45, 47, 48, 64, 65, 70, 72, 73, 74, 75, 76, 78, 79, 84, 85, 112}
)
"""The cases shown here."""
