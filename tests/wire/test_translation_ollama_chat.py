"""The numbered translation cases that Ollama's chat wire takes part in, as source or as target. Ids begin with the case's number."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import pytest

from headgate.dialects import openai_chat
from headgate.dialects.base import StreamContext
from headgate.dialects.ollama_chat import DIALECT
from headgate.dialects.ollama_chat.context import prompt_floor, review
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.content import Block, Cache, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult, text_of
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
from headgate.domain.request import HostedTool, Message, Reasoning, Request, ResponseFormat, Tool, ToolChoice, system_message, user_message
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, ProviderError, Truncated, Unsupported, WireError
from headgate.wire.json import Json, JsonObject, decode, encode

HI = user_message("hi")
HI_WIRE = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
LOOK = Tool("look", "Looks.", SCHEMA)
FIND = Tool("find", None, None)
LOOK_WIRE = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA}}
CALL = ToolCall("c1", "look", '{"q":1}')
CALL_WIRE = {"id": "c1", "function": {"name": "look", "arguments": {"q": 1}}}
PIXEL = "iVBORw0KGgo="
LEVELS = Capabilities(reasoning="level")
SWITCH = Capabilities(reasoning="adaptive")
CONTEXT = StreamContext("m", "id-1", 1_780_000_000)


def ask(*messages: Message, dialect: str = "openai_chat", **fields: Json) -> Request:
    """A request of another dialect."""
    return Request(model="m", messages=messages or (HI,), dialect=dialect, **fields)


def user(*blocks: Block) -> Message:
    return Message("user", blocks)


def turn(*blocks: Block) -> Message:
    return Message("assistant", blocks)


def result(call_id: str, *blocks: Block, error: bool | None = None) -> Message:
    return Message("tool", (ToolResult(call_id, blocks, is_error=error),))


def answered(words: str, call_id: str = "c1", name: str = "look") -> JsonObject:
    return {"role": "tool", "content": words, "tool_name": name, "tool_call_id": call_id}


def said(content: str, **keys: Json) -> JsonObject:
    return {"role": "assistant", "content": content, **keys}


Sent = tuple[str, Request, Capabilities, JsonObject, set[str]]
"""(id, request, capabilities, keys of the payload (None: absent), fields of the notes)."""

SENT: list[Sent] = [
    (
        "case-1-system-keeps-its-place",
        ask(system_message("a"), Message("developer", (Text("b"),)), HI, turn(Text("x")), system_message("c"), HI),
        ANY_MODEL,
        {
            "messages": [
                {"role": "system", "content": "a"},
                {"role": "system", "content": "b"},
                HI_WIRE,
                said("x"),
                {"role": "system", "content": "c"},
                HI_WIRE,
            ]
        },
        set(),
    ),
    ("case-2-only-system", ask(system_message("a")), ANY_MODEL, {"messages": [{"role": "system", "content": "a"}]}, set()),
    ("case-3-4-roles-as-they-come", ask(turn(Text("a")), HI, HI), ANY_MODEL, {"messages": [said("a"), HI_WIRE, HI_WIRE]}, set()),
    (
        "case-5-empty-content",
        ask(HI, turn(Text(""), CALL), result("c1", Text("r")), user_message("")),
        ANY_MODEL,
        {"messages": [HI_WIRE, said("", tool_calls=[CALL_WIRE]), answered("r")]},
        set(),
    ),
    ("case-6-prefill", ask(HI, turn(Text("Sure,"))), ANY_MODEL, {"messages": [HI_WIRE, said("Sure,")]}, set()),
    ("case-7-name", ask(Message("user", (Text("hi"),), name="ann")), ANY_MODEL, {"messages": [HI_WIRE]}, {"messages[0].name"}),
    ("case-8-one-text-part", ask(Message("user", (Text("hi"),), form="list")), ANY_MODEL, {"messages": [HI_WIRE]}, set()),
    ("case-9-unicode", ask(user_message("a\0b😀")), ANY_MODEL, {"messages": [{"role": "user", "content": "a\0b😀"}]}, set()),
    (
        "case-10-results-in-call-order",
        ask(HI, turn(CALL, ToolCall("c2", "find", "{}")), result("c2", Text("two")), user(ToolResult("c1", (Text("one"),)), Text("so?"))),
        ANY_MODEL,
        {
            "messages": [
                HI_WIRE,
                said("", tool_calls=[CALL_WIRE, {"id": "c2", "function": {"name": "find", "arguments": {}}}]),
                answered("one"),
                answered("two", "c2", "find"),
                {"role": "user", "content": "so?"},
            ]
        },
        set(),
    ),
    (
        "case-13-result-with-image-and-text",
        ask(HI, turn(CALL), result("c1", Text('{"a"'), Text(":1}"), Media("image", "image/png", data=PIXEL))),
        ANY_MODEL,
        {"messages": [HI_WIRE, said("", tool_calls=[CALL_WIRE]), {**answered('{"a":1}'), "images": [PIXEL]}]},
        set(),
    ),
    (
        "case-14-failed-tool",
        ask(HI, turn(CALL), result("c1", Text("boom"), error=True)),
        ANY_MODEL,
        {"messages": [HI_WIRE, said("", tool_calls=[CALL_WIRE]), answered("boom")]},
        {"messages[2].content[0].is_error"},
    ),
    (
        "case-15-no-arguments",
        ask(HI, turn(ToolCall("c1", "look")), result("c1", Text("r"))),
        ANY_MODEL,
        {"messages": [HI_WIRE, said("", tool_calls=[{"id": "c1", "function": {"name": "look", "arguments": {}}}]), answered("r")]},
        set(),
    ),
    (
        "case-16-17-tool-without-parameters-or-description",
        ask(tools=(Tool("find", ""), Tool("look", "Looks.", SCHEMA))),
        ANY_MODEL,
        {"tools": [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}, LOOK_WIRE]},
        set(),
    ),
    ("case-18-auto", ask(tools=(LOOK,), tool_choice=ToolChoice("auto")), ANY_MODEL, {"tools": [LOOK_WIRE]}, set()),
    (
        "case-18-none-leaves-the-tools-out",
        ask(tools=(LOOK,), tool_choice=ToolChoice("none")),
        ANY_MODEL,
        {"tools": None},
        {"tool_choice", "tools[0]"},
    ),
    ("case-18-required", ask(tools=(LOOK,), tool_choice=ToolChoice("required")), ANY_MODEL, {"tools": [LOOK_WIRE]}, {"tool_choice"}),
    (
        "case-18-one-tool",
        ask(tools=(FIND, LOOK), tool_choice=ToolChoice("tool", ("look",))),
        ANY_MODEL,
        {"tools": [LOOK_WIRE]},
        {"tool_choice", "tools[0]"},
    ),
    (
        "case-18-allowed",
        ask(tools=(FIND, LOOK), tool_choice=ToolChoice("allowed", ("look",))),
        ANY_MODEL,
        {"tools": [LOOK_WIRE]},
        {"tool_choice", "tools[0]"},
    ),
    ("case-19-parallel", ask(tools=(LOOK,), parallel_tools=False), ANY_MODEL, {"tools": [LOOK_WIRE]}, {"parallel_tool_calls"}),
    (
        "case-22-strict",
        ask(tools=(msgspec.structs.replace(LOOK, strict=True),)),
        ANY_MODEL,
        {"tools": [LOOK_WIRE]},
        {"tools[0].strict"},
    ),
    ("case-30-max-tokens", ask(max_tokens=7), ANY_MODEL, {"options": {"num_predict": 7}}, set()),
    (
        "case-33-35-37-falsy-values-and-stops",
        ask(max_tokens=0, temperature=0.0, top_p=0, top_k=0, seed=0, presence_penalty=0, frequency_penalty=0.0, stop=("a", " ")),
        ANY_MODEL,
        {
            "options": {
                "num_predict": 0,
                "temperature": 0.0,
                "top_p": 0,
                "top_k": 0,
                "seed": 0,
                "presence_penalty": 0,
                "frequency_penalty": 0.0,
                "stop": ["a", " "],
            }
        },
        set(),
    ),
    (
        "case-34-sampling-of-a-model-that-takes-less",
        ask(temperature=3.0, top_p=0.5, max_tokens=1),
        Capabilities(temperature_max=2.0, temperature_and_top_p=False),
        {"options": {"num_predict": 1, "temperature": 2.0}},
        {"temperature", "top_p"},
    ),
    (
        "case-34-no-sampling",
        ask(temperature=1.0, seed=1),
        Capabilities(sampling=False, seed=False),
        {"options": None},
        {"temperature", "seed"},
    ),
    ("case-36-one-choice", ask(n=1), ANY_MODEL, {"n": None}, set()),
    ("case-37-logit-bias", ask(logit_bias={"5": 1}), ANY_MODEL, {"logit_bias": None}, {"logit_bias"}),
    ("case-38-logprobs", ask(logprobs=True, top_logprobs=0), ANY_MODEL, {"logprobs": True, "top_logprobs": 0}, set()),
    (
        "case-39-40-fields-of-elsewhere",
        ask(user="u", metadata={"a": "b"}, service_tier="flex", extra={"store": True}),
        ANY_MODEL,
        {"user": None, "store": None},
        {"user", "metadata", "service_tier", "store"},
    ),
    (
        "case-41-43-image",
        ask(user(Text("what?"), Media("image", "image/png", data=PIXEL, detail="low"), Text("well?", Cache()))),
        ANY_MODEL,
        {"messages": [{"role": "user", "content": "what?"}, {"role": "user", "content": "well?", "images": [PIXEL]}]},
        {"messages[0].content[1].detail", "messages[0].content[2].cache_control"},
    ),
    (
        "case-44-text-document",
        ask(user(Media("document", "text/plain", text="words"))),
        ANY_MODEL,
        {"messages": [{"role": "user", "content": "words"}]},
        {"messages[0].content[0]"},
    ),
    (
        "case-72-73-75-thoughts-return-without-what-only-their-maker-reads",
        ask(HI, turn(Thinking("hm", "sig"), Thinking(redacted="xx"), Text("x"), Refusal("no"), Opaque({}, "openai_chat")), HI),
        ANY_MODEL,
        {"messages": [HI_WIRE, said("xno", thinking="hm"), HI_WIRE]},
        {"messages[1].content[0].signature", "messages[1].content[1]", "messages[1].content[4]"},
    ),
    ("case-76-no-thinking-model", ask(reasoning=Reasoning(effort="high")), ANY_MODEL, {"think": None}, {"reasoning"}),
    ("case-76-none-for-one", ask(reasoning=Reasoning(effort="none")), ANY_MODEL, {"think": None}, set()),
    ("case-76-off", ask(reasoning=Reasoning(effort="none")), SWITCH, {"think": False}, set()),
    ("case-76-budget-zero", ask(reasoning=Reasoning(budget=0)), LEVELS, {"think": False}, set()),
    (
        "case-76-always-thinking",
        ask(reasoning=Reasoning(mode="disabled")),
        Capabilities(reasoning="level", reasoning_required=True),
        {"think": "low"},
        {"reasoning"},
    ),
    ("case-76-level", ask(reasoning=Reasoning(effort="medium")), LEVELS, {"think": "medium"}, set()),
    ("case-76-nearest-level", ask(reasoning=Reasoning(effort="xhigh")), LEVELS, {"think": "high"}, {"reasoning.effort"}),
    ("case-76-budget-level", ask(reasoning=Reasoning(budget=5000)), LEVELS, {"think": "medium"}, {"reasoning.budget"}),
    ("case-76-dynamic", ask(reasoning=Reasoning(budget=-1)), LEVELS, {"think": True}, set()),
    ("case-76-switch", ask(reasoning=Reasoning(mode="enabled", visible=True)), SWITCH, {"think": True}, set()),
    (
        "case-76-word-for-a-switch",
        ask(reasoning=Reasoning(effort="low", visible=False)),
        SWITCH,
        {"think": True},
        {"reasoning", "reasoning.visible"},
    ),
    (
        "case-78-schema",
        ask(response_format=ResponseFormat("json_schema", SCHEMA, "name", "About.", True)),
        ANY_MODEL,
        {"format": SCHEMA},
        {"response_format.description"},
    ),
    ("case-78-object", ask(response_format=ResponseFormat("json_object")), ANY_MODEL, {"format": "json"}, set()),
    ("case-78-text", ask(response_format=ResponseFormat("text")), ANY_MODEL, {"format": None}, set()),
    (
        "case-78-model-without-schemas",
        ask(response_format=ResponseFormat("json_schema", SCHEMA)),
        Capabilities(structured_output="json_object"),
        {"format": "json"},
        {"response_format"},
    ),
    (
        "case-78-model-without-structure",
        ask(response_format=ResponseFormat("json_object")),
        Capabilities(structured_output="none"),
        {"format": None},
        {"response_format"},
    ),
    ("case-115-short-prompts-take-the-default", ask(max_tokens=100), ANY_MODEL, {"options": {"num_predict": 100}}, set()),
    (
        "case-115-the-context-is-asked-for",
        ask(user_message("word " * 3000), max_tokens=100),
        ANY_MODEL,
        {"options": {"num_predict": 100, "num_ctx": 8192}, "truncate": False, "shift": False},
        set(),
    ),
    (
        "case-115-at-most-the-models-context",
        ask(user_message("word " * 3000)),
        Capabilities(context=6000, default_output=2000),
        {"options": {"num_ctx": 6000}},
        set(),
    ),
    ("case-115-streams-are-the-default", ask(), ANY_MODEL, {"stream": False}, set()),
    ("case-115-stream", ask(stream=True), ANY_MODEL, {"stream": True}, set()),
]


@pytest.mark.parametrize(("request_", "capabilities", "wire", "noted"), [case[1:] for case in SENT], ids=[case[0] for case in SENT])
def test_what_is_sent(request_: Request, capabilities: Capabilities, wire: JsonObject, noted: set[str]) -> None:
    rendered = DIALECT.render_request(request_, capabilities)
    assert rendered.path == "/api/chat"
    assert {key: rendered.payload.get(key) for key in wire} == wire
    assert {note.field for note in rendered.notes} == noted


REFUSED: list[tuple[str, Request, Capabilities, str]] = [
    ("case-5-nothing-to-say-would-load-the-model", ask(user_message("")), ANY_MODEL, "messages"),
    ("case-11-missing-result", ask(HI, turn(CALL)), ANY_MODEL, "messages[1]"),
    ("case-11-orphan-result", ask(HI, result("c9", Text("r"))), ANY_MODEL, "messages[1]"),
    (
        "case-15-broken-arguments",
        ask(HI, turn(ToolCall("c1", "look", '{"q":')), result("c1", Text("r"))),
        ANY_MODEL,
        "messages[1].content[0].arguments",
    ),
    ("case-21-hosted-tool", ask(tools=(HostedTool("web_search", {}, "openai_chat"),)), ANY_MODEL, "tools[0]"),
    ("case-21-no-tools", ask(tools=(LOOK,)), Capabilities(tools=False), "tools"),
    ("case-35-too-many-stops", ask(stop=("a", "b")), Capabilities(stop_max=1), "stop"),
    ("case-36-two-choices", ask(n=2), ANY_MODEL, "n"),
    ("case-36-no-choice", ask(n=0), ANY_MODEL, "n"),
    ("case-41-blind-model", ask(user(Media("image", data=PIXEL))), Capabilities(vision=False), "messages[0].content[0]"),
    ("case-42-image-by-address", ask(user(Media("image", url="https://example.org/a.png"))), ANY_MODEL, "messages[0].content[0]"),
    ("case-44-pdf", ask(user(Media("document", "application/pdf", data="JVBERi0="))), ANY_MODEL, "messages[0].content[0]"),
    ("case-44-file-of-elsewhere", ask(user(Media("image", file_id="file-1"))), ANY_MODEL, "messages[0].content[0]"),
    ("case-45-audio", ask(user(Media("audio", "audio/wav", data="AA=="))), Capabilities(audio=True), "messages[0].content[0]"),
    ("case-75-bound-to-another-provider", ask(bound=("previous_response_id",)), ANY_MODEL, "previous_response_id"),
]


@pytest.mark.parametrize(("request_", "capabilities", "param"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_refused(request_: Request, capabilities: Capabilities, param: str) -> None:
    with pytest.raises(Unsupported) as refusal:
        DIALECT.render_request(request_, capabilities)
    assert refusal.value.param == param


def body(message: JsonObject | None = None, **keys: Json) -> JsonObject:
    """A whole answer, or the last line of a stream."""
    head = {"model": "m", "created_at": "2026-05-28T20:26:40.5Z", "message": said("a") if message is None else message}
    return {**head, "done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2, **keys}


def lines(*items: JsonObject) -> bytes:
    return b"".join(encode(item) + b"\n" for item in items)


def piece(message: JsonObject, **keys: Json) -> JsonObject:
    return {"model": "m", "created_at": "2026-05-28T20:26:40.5Z", "message": message, "done": False, **keys}


def read(data: bytes) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    return decoder.feed(data) + decoder.close()


def written(*events: StreamEvent) -> list[JsonObject]:
    encoder = DIALECT.stream_encoder(CONTEXT)
    data = b"".join(map(encoder.render_event, events)) + encoder.close()
    return [decode(line) for line in data.splitlines()]


TOOL_CALLS = [{"function": {"name": "look", "arguments": {"q": 1}}}, {"function": {"name": "look", "arguments": {}}}]
FINISHES = [
    ("case-28-stop", {"done_reason": "stop"}, (), Finish.STOP),
    ("case-28-calls", {"done_reason": "stop"}, TOOL_CALLS, Finish.TOOL_CALLS),
    ("case-28-calls-cut", {"done_reason": "length"}, TOOL_CALLS, Finish.LENGTH),
    ("case-28-load", {"done_reason": "load"}, (), Finish.ERROR),
    ("case-28-unload", {"done_reason": "unload"}, (), Finish.ERROR),
    ("case-28-unknown", {"done_reason": "novel"}, (), Finish.STOP),
]


@pytest.mark.parametrize(("keys", "calls", "finish"), [case[1:] for case in FINISHES], ids=[case[0] for case in FINISHES])
def test_how_an_answer_ends(keys: JsonObject, calls: list[Json], finish: Finish) -> None:
    raw = body(said("", tool_calls=calls) if calls else said(""), **keys)
    for answer in (DIALECT.parse_response(encode(raw)), fold(read(lines(raw)), DIALECT.name)):
        assert (answer.finish, answer.choices[0].native_finish) == (finish, keys["done_reason"])


def case_12_26_made_up_ids_are_stable_unique_and_stay_here() -> None:
    raw = encode(body(said("", tool_calls=TOOL_CALLS)))
    first, second = (DIALECT.parse_response(raw).tool_calls for _ in range(2))
    assert first == second and first[0].id != first[1].id
    other = DIALECT.parse_response(encode(body(said("", tool_calls=TOOL_CALLS), created_at="2026-05-28T20:26:41Z"))).tool_calls
    assert not {call.id for call in other} & {call.id for call in first}
    assert [call.id for call in fold(read(raw)).tool_calls] == [call.id for call in first]
    talk = ask(HI, turn(*first), result(first[1].id, Text("two")), result(first[0].id, Text("one")), dialect="anthropic_messages")
    messages = DIALECT.render_request(talk, ANY_MODEL).payload["messages"]
    assert messages[1]["tool_calls"] == TOOL_CALLS
    assert messages[2:] == [{"role": "tool", "content": words, "tool_name": "look"} for words in ("one", "two")]


def case_26_results_without_an_id_find_their_call() -> None:
    asked = [{"function": {"name": name, "arguments": {}}} for name in ("look", "find", "look")]
    results = [{"role": "tool", "content": "f", "tool_name": "find"}, *({"role": "tool", "content": str(n)} for n in range(2))]
    request = DIALECT.parse_request(encode({"model": "m", "messages": [HI_WIRE, said("", tool_calls=asked), *results]}), "")
    calls = [block.id for block in request.messages[1].content if isinstance(block, ToolCall)]
    found = [block.call_id for message in request.messages[2:] for block in message.content if isinstance(block, ToolResult)]
    assert found == [calls[1], calls[0], calls[2]]
    there = openai_chat.DIALECT.render_request(request, ANY_MODEL).payload["messages"]
    assert [message["tool_call_id"] for message in there[2:]] == found


def case_13_27_text_and_calls_keep_their_order_in_a_stream() -> None:
    data = lines(
        piece(said("one ")),
        piece(said("two")),
        piece(said("", tool_calls=[{"id": "c1", "function": {"index": 0, "name": "look", "arguments": {"q": 1}}}])),
        piece(said("three")),
        body(said("")),
    )
    answer = fold(read(data))
    assert [type(block) for block in answer.choices[0].content] == [Text, ToolCall, Text]
    assert (answer.text, answer.tool_calls[0].id, answer.tool_calls[0].arguments) == ("one twothree", "c1", '{"q":1}')


def case_24_25_29_calls_are_written_whole() -> None:
    events: list[StreamEvent] = [
        Start("x", "m"),
        BlockStart(0, ToolCall("c1", "look")),
        Delta(0, '{"q":'),
        Delta(0, "1}"),
        BlockStop(0),
        BlockStart(1, ToolCall("c2", "find")),
        BlockStop(1),
        BlockStart(2, ToolCall("c3", "look")),
        Delta(2, '{"q'),
    ]
    for finish, word in ((Finish.LENGTH, "length"), (Finish.TOOL_CALLS, "error")):
        out = written(*events, Finished(finish))
        calls = [call for line in out for call in line["message"].get("tool_calls", ())]
        assert [(call["id"], call["function"]["index"], call["function"]["arguments"]) for call in calls] == [
            ("c1", 0, {"q": 1}),
            ("c2", 1, {}),
        ]
        assert (out[-1]["done"], out[-1]["done_reason"]) == (True, word)
    whole = Response(choices=(Choice(0, (ToolCall("c3", "look", '{"q'),), Finish.LENGTH),))
    assert decode(DIALECT.render_response(whole))["message"] == said("")


def case_36_only_the_first_choice_has_a_place() -> None:
    out = written(BlockStart(0, Text("a"), 1), BlockStart(0, Text("b"), 0), Finished(Finish.LENGTH, choice=1), Finished(Finish.STOP))
    assert [line["message"]["content"] for line in out] == ["b", ""] and out[-1]["done_reason"] == "stop"


def case_38_logprobs_both_ways() -> None:
    entry = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.0}]}
    whole = DIALECT.parse_response(encode(body(logprobs=[entry])))
    assert whole.choices[0].logprobs == {"content": [entry]}
    streamed = fold(read(lines(piece(said("a"), logprobs=[entry]), piece(said("b"), logprobs=[entry]), body(said("")))))
    assert streamed.choices[0].logprobs == {"content": [entry, entry]}
    foreign = msgspec.structs.replace(whole, dialect="openai_chat")
    assert decode(DIALECT.render_response(foreign))["logprobs"] == [entry]


def case_40_own_fields_go_back_to_this_wire_only() -> None:
    options = {"num_ctx": 4096, "min_p": 0.05, "repeat_penalty": 1.1, "num_predict": -1}
    raw = {"model": "m", "messages": [HI_WIRE], "options": options, "keep_alive": "5m", "shift": True, "x_new": {}}
    request = DIALECT.parse_request(encode(raw), "")
    assert DIALECT.render_request(request, ANY_MODEL).payload == raw
    assert request.max_tokens is None, "minus one is no limit"
    noted = {note.field for note in openai_chat.DIALECT.render_request(request, ANY_MODEL).notes}
    assert noted >= {"options", "keep_alive", "shift", "x_new"}


def case_41_images_of_this_wire_have_a_media_type_elsewhere() -> None:
    request = DIALECT.parse_request(encode({"model": "m", "messages": [{**HI_WIRE, "images": [PIXEL]}]}), "")
    content = openai_chat.DIALECT.render_request(request, ANY_MODEL).payload["messages"][0]["content"]
    assert content[0]["image_url"]["url"] == f"data:image/png;base64,{PIXEL}"


def case_52_a_prompt_that_was_cached_is_estimated() -> None:
    raw = body()
    del raw["prompt_eval_count"]
    for answer in (DIALECT.parse_response(encode(raw)), fold(read(lines(raw)))):
        assert answer.usage == Usage(input_uncached=0, output_text=2, source="estimated", native={"eval_count": 2})
    counted = DIALECT.parse_response(encode(body(prompt_eval_cached_count=2, total_duration=5))).usage
    assert counted is not None and counted.source == "provider"
    assert (counted.input_uncached, counted.cache_read, counted.output_total) == (1, 2, 2)
    assert counted.native == {"prompt_eval_count": 3, "prompt_eval_cached_count": 2, "eval_count": 2, "total_duration": 5}


def case_52_an_answer_without_counts_has_no_usage() -> None:
    raw = {"model": "m", "message": said("a"), "done": True, "total_duration": 5}
    answer = DIALECT.parse_response(encode(raw))
    assert answer.usage is None and answer.extra == {"total_duration": 5}
    assert decode(DIALECT.render_response(answer)) == raw


def case_55_counts_come_in_the_last_line_whatever_was_asked() -> None:
    usage = Usage(input_uncached=5, cache_read=2, output_text=3, output_reasoning=4)
    encoder = DIALECT.stream_encoder(msgspec.structs.replace(CONTEXT, include_usage=False))
    data = b"".join(map(encoder.render_event, (Finished(Finish.STOP), UsageSeen(usage)))) + encoder.close()
    last = decode(data)
    assert (last["prompt_eval_count"], last["prompt_eval_cached_count"], last["eval_count"]) == (7, 2, 7)


def case_61_63_every_line_says_who_and_when() -> None:
    out = written(
        Ping(), Start("x", "other", 1_780_000_001), BlockStart(0, Text("")), Delta(0, "a"), Ping(), BlockStop(0), Finished(Finish.STOP)
    )
    assert [line["message"]["content"] for line in out] == ["a", ""]
    assert {(line["model"], line["created_at"], line["message"]["role"]) for line in out} == {
        ("other", "2026-05-28T20:26:41Z", "assistant")
    }


def case_62_line_ends_and_a_missing_last_one() -> None:
    whole = read(lines(piece(said("é")), body(said(""))))
    for data in (
        lines(piece(said("é")), body(said(""))).replace(b"\n", b"\r\n"),
        b"\n \n" + lines(piece(said("é")), body(said(""))).rstrip(),
        b"\xef\xbb\xbf" + lines(piece(said("é")), body(said(""))),
    ):
        assert read(data) == whole


def case_62_a_line_nobody_knows_goes_on() -> None:
    events = read(lines(piece(said("a")), {"x_novelty": 1}, body(said(""))))
    unknown = [event for event in events if isinstance(event, OpaqueEvent)]
    assert unknown == [OpaqueEvent({"x_novelty": 1}, "ollama_chat")]
    assert written(*unknown)[0] == {"x_novelty": 1}


def case_64_93_errors_inside_a_stream() -> None:
    events = DIALECT.stream_decoder().feed(lines(piece(said("a")), {"error": "an error was encountered while running the model"}, body()))
    assert isinstance(events[-1], Failed)
    assert (events[-1].error.kind, events[-1].error.transient, events[-1].error.status) == (ErrorKind.SERVER, True, None)
    out = written(BlockStart(0, Text("a")), Failed(ProviderError(ErrorKind.CONTENT_FILTER, "no")), Delta(0, "b"), Finished(Finish.STOP))
    assert out[1:] == [{"error": "no", "code": "content_filter"}]
    again = DIALECT.stream_decoder().feed(lines(out[1]))
    assert isinstance(again[0], Failed) and again[0].error.kind is ErrorKind.CONTENT_FILTER
    with pytest.raises(ProviderError):
        DIALECT.parse_response(lines(out[1]))


def case_65_a_stream_without_its_last_line_is_cut() -> None:
    for data in (b"", lines(piece(said("a"))), lines(piece(said("a"))) + b'{"model":'):
        decoder = DIALECT.stream_decoder()
        decoder.feed(data)
        assert not decoder.complete
        with pytest.raises(Truncated):
            decoder.close()
    with pytest.raises(WireError):
        DIALECT.stream_decoder().feed(b"<html>\n")


def case_73_77_thoughts_have_a_field_of_their_own() -> None:
    data = lines(piece(said("", thinking="let ")), piece(said("", thinking="me")), piece(said("{}")), body(said("")))
    answer = fold(read(data))
    assert answer.choices[0].content == (Thinking("let me"), Text("{}"))
    out = written(
        BlockStart(0, Thinking()), Delta(0, "hm"), Signature(0, "s"), BlockStop(0), BlockStart(1, Text("a")), Finished(Finish.STOP)
    )
    assert [line["message"] for line in out] == [said("", thinking="hm"), said("a"), said("")]


def case_76_the_switch_and_the_levels_are_read() -> None:
    wishes = {True: Reasoning(mode="enabled"), False: Reasoning(mode="disabled"), "high": Reasoning(effort="high")}
    for value, wish in wishes.items():
        assert DIALECT.parse_request(encode({"model": "m", "messages": [HI_WIRE], "think": value}), "").reasoning == wish


def case_78_84_structure_and_refusals() -> None:
    request = DIALECT.parse_request(encode({"model": "m", "messages": [HI_WIRE], "format": SCHEMA}), "")
    assert request.response_format == ResponseFormat("json_schema", SCHEMA)
    there = openai_chat.DIALECT.render_request(request, ANY_MODEL).payload["response_format"]
    assert there["json_schema"]["schema"] == SCHEMA
    refused = Response(choices=(Choice(0, (Refusal("no"),), Finish.STOP),))
    assert decode(DIALECT.render_response(refused))["message"] == said("no")


ERRORS = [
    (400, ErrorKind.BAD_REQUEST),
    (401, ErrorKind.AUTH),
    (403, ErrorKind.PERMISSION),
    (404, ErrorKind.NOT_FOUND),
    (429, ErrorKind.RATE_LIMIT),
    (499, ErrorKind.CANCELLED),
    (500, ErrorKind.SERVER),
    (502, ErrorKind.SERVER),
    (503, ErrorKind.OVERLOADED),
]


def case_85_89_errors_by_status() -> None:
    for status, kind in ERRORS:
        error = DIALECT.parse_error(status, {"retry-after": "3"}, b'{"error":"model \'x\' not found"}')
        assert (error.kind, error.message, error.status, error.retry_after) == (kind, "model 'x' not found", status, 3.0)
    assert DIALECT.parse_error(401, {}, b'{"error":"unauthorized","signin_url":"https://ollama.com/connect"}').hint == "ollama signin"


def case_88_the_runners_own_words_are_read() -> None:
    inner = {"error": {"code": 400, "message": "too long", "type": "exceed_context_size_error", "n_prompt_tokens": 8889, "n_ctx": 4096}}
    error = DIALECT.parse_error(400, {}, encode({"error": encode(inner).decode()}))
    assert (error.kind, error.message, error.code) == (ErrorKind.CONTEXT_LENGTH, "too long", "exceed_context_size_error")
    quoted = DIALECT.parse_error(400, {}, b'{"error":"exceed_context_size_error"}')
    assert quoted.kind is ErrorKind.BAD_REQUEST, "words of a message decide nothing"


def case_85_93_errors_are_written_in_this_envelope() -> None:
    for kind in ErrorKind:
        rendered = DIALECT.render_error(ProviderError(kind, "words", retry_after=1.2))
        assert set(decode(rendered.body)) == {"error", "code"} and decode(rendered.body)["error"] == "words"
        assert ("retry-after", "2") in rendered.headers
        assert rendered.status != 401
    assert DIALECT.render_error(ProviderError(ErrorKind.AUTH, "words", fault="client")).status == 401
    assert DIALECT.render_error(ProviderError(ErrorKind.NOT_FOUND, "words")).status == 404


def case_115_a_prompt_that_cannot_fit_is_refused() -> None:
    long = user_message("word " * 900)
    for request, capabilities in (
        (ask(long), Capabilities(context=800)),
        (ask(long, max_tokens=200), Capabilities(context=1000)),
        (DIALECT.parse_request(own_body(long, num_ctx=512), ""), ANY_MODEL),
    ):
        with pytest.raises(ProviderError) as refusal:
            DIALECT.render_request(request, capabilities)
        error = refusal.value
        assert (error.kind, error.code, error.fault, error.sent) == (ErrorKind.CONTEXT_LENGTH, "context_length_exceeded", "client", False)
        assert "900" in error.message and not error.transient
    for request, capabilities in (
        (ask(long, max_tokens=100), Capabilities(context=1000)),
        (DIALECT.parse_request(own_body(long, num_ctx=2048, num_predict=2000), ""), ANY_MODEL),
        (DIALECT.parse_request(own_body(long, truncate=True, num_ctx=512), ""), ANY_MODEL),
    ):
        DIALECT.render_request(request, capabilities)


def own_body(message: Message, truncate: bool | None = None, **options: int) -> bytes:
    """A request of this wire that chooses its context."""
    raw: JsonObject = {"model": "m", "messages": [{"role": "user", "content": text_of(message.content)}], "options": options}
    return encode(raw if truncate is None else {**raw, "truncate": truncate})


def case_115_a_cut_prompt_is_noticed() -> None:
    request = ask(user_message("word " * 5000))
    assert prompt_floor(request.messages) == 5000
    cut, whole = (DIALECT.parse_response(encode(body(prompt_eval_count=count))) for count in (2048, 5001))
    (note,) = review(request, cut)
    assert note is not None and note.action == "dropped" and "2048" in note.reason and "5000" in note.reason
    assert review(request, whole) == ()
    assert review(request, msgspec.structs.replace(cut, usage=None)) == ()


def case_115_a_request_streams_unless_it_says_otherwise() -> None:
    for keys, stream in (({}, True), ({"stream": None}, True), ({"stream": True}, True), ({"stream": False}, False)):
        request = DIALECT.parse_request(encode({"model": "m", "messages": [HI_WIRE], **keys}), "/api/chat")
        assert request.stream is stream
        whole = DIALECT.render_request(msgspec.structs.replace(request, stream=None), ANY_MODEL)
        assert whole.payload["stream"] is False


def case_15_malformed_requests_name_the_place() -> None:
    for raw, param in (
        ({"messages": []}, "model"),
        ({"model": 1}, "model"),
        ({"model": "m", "messages": {}}, "messages"),
        ({"model": "m", "messages": [{"role": "robot", "content": ""}]}, "messages[0].role"),
        ({"model": "m", "messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content"),
        ({"model": "m", "messages": [said("", tool_calls=[{}])]}, "messages[0].tool_calls[0].function"),
        ({"model": "m", "messages": [said("", tool_calls=[{"function": {}}])]}, "messages[0].tool_calls[0].function.name"),
        (
            {"model": "m", "messages": [said("", tool_calls=[{"function": {"name": "f", "arguments": []}}])]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"model": "m", "options": {"seed": "x"}}, "options.seed"),
        ({"model": "m", "options": {"stop": [1]}}, "options.stop"),
        ({"model": "m", "tools": [{"type": "function"}]}, "tools[0].function"),
        ({"model": "m", "stream": "yes"}, "stream"),
    ):
        with pytest.raises(WireError) as error:
            DIALECT.parse_request(encode(raw), "")
        assert error.value.param == param


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
    for identifier in [case[0] for table in (SENT, REFUSED, FINISHES) for case in table] + [check.__name__ for check in FUNCTIONS]
    for number in _numbers(identifier)
)
"""Translation cases shown here, taken from the ids."""
