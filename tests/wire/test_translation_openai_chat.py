"""Translation cases 1–77 where the chat completions wire is source or target. Each row's id names the cases it shows."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from headgate.dialects.base import RenderedRequest, StreamContext
from headgate.dialects.openai_chat import DIALECT
from headgate.dialects.openai_chat.think_tags import ThinkTags, split_events
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
from headgate.wire.json import encode

PNG = "iVBORw0KGgo="
CONTEXT = StreamContext("gpt-x", "chatcmpl-1", 1700000000)


def foreign(*messages: Message, **fields: Any) -> Request:
    return Request(model="m", messages=messages or (user_message("hi"),), **{"dialect": "anthropic_messages", **fields})


def rendered(*messages: Message, can: Capabilities = ANY_MODEL, **fields: Any) -> RenderedRequest:
    return DIALECT.render_request(foreign(*messages, **fields), can)


def notes(found: RenderedRequest) -> dict[str, str]:
    return {note.field: note.action for note in found.notes}


def parse(**body: Any) -> Request:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **body}
    return DIALECT.parse_request(json.dumps(body).encode(), "/chat/completions")


def chunks(data: bytes) -> list[Any]:
    lines = [line.removeprefix(b"data: ") for line in data.split(b"\n\n") if line]
    return [line.decode() if line.startswith((b":", b"[")) else json.loads(line) for line in lines]


def encoded(*events: StreamEvent, context: StreamContext = CONTEXT) -> list[Any]:
    encoder = DIALECT.stream_encoder(context)
    return chunks(b"".join(map(encoder.render_event, events)) + encoder.close())


def decoded(*parts: Any, done: bool = True) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    data = b"".join(b"data: " + (part if isinstance(part, bytes) else json.dumps(part).encode()) + b"\n\n" for part in parts)
    return decoder.feed(data + (b"data: [DONE]\n\n" if done else b"")) + decoder.close()


def chunk(delta: dict[str, Any], finish: str | None = None, **further: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "created": 1, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **further}


def deltas(found: list[Any]) -> list[Any]:
    return [item["choices"][0]["delta"] for item in found if isinstance(item, dict) and item["choices"]]


def finishes(found: list[Any]) -> list[Any]:
    words = [item["choices"][0]["finish_reason"] for item in found if isinstance(item, dict) and item["choices"]]
    return [word for word in words if word]


def answer(*content: Block, finish: Finish | None = Finish.STOP, native: str | None = "end_turn", **fields: Any) -> Any:
    response = Response(id="msg_1", model="m", choices=(Choice(0, content, finish, native),), dialect="anthropic_messages", **fields)
    return json.loads(DIALECT.render_response(response))


CALL = ToolCall("toolu_1", "weather", '{"city":"Paris"}')
RESULT = ToolResult("toolu_1", (Text("sunny"),))
STREAM_START = Start("msg_1", "claude", 7)


def test_case_1_system_and_developer_messages_keep_their_place() -> None:
    found = rendered(system_message("a"), user_message("b"), Message("developer", (Text("c"),)), user_message("d"))
    assert [m["role"] for m in found.payload["messages"]] == ["system", "user", "developer", "user"]
    assert found.notes == ()
    assert (
        parse(messages=found.payload["messages"]).messages
        == foreign(system_message("a"), user_message("b"), Message("developer", (Text("c"),)), user_message("d")).messages
    )


def test_case_2_only_system_messages_are_sent_as_they_are() -> None:
    assert rendered(system_message("a")).payload["messages"] == [{"role": "system", "content": "a"}]


def test_case_3_tool_results_leave_the_user_message_before_its_text() -> None:
    found = rendered(
        user_message("?"),
        Message("assistant", (CALL,)),
        Message("user", (Text("and?"), RESULT)),
        user_message("more"),
    )
    roles = [m["role"] for m in found.payload["messages"]]
    assert roles == ["user", "assistant", "tool", "user", "user"]
    assert found.payload["messages"][2] == {"role": "tool", "tool_call_id": "toolu_1", "content": "sunny"}


def test_case_4_and_6_an_assistant_message_may_stand_first_and_last() -> None:
    found = rendered(Message("assistant", (Text("I am"),)), user_message("?"), Message("assistant", (Text("The answer is "),)))
    assert [m["content"] for m in found.payload["messages"]] == ["I am", "?", "The answer is "]


def test_case_5_empty_text_beside_a_call_is_dropped_and_the_call_kept() -> None:
    found = rendered(Message("assistant", (Text(""), CALL)), Message("tool", (RESULT,)))
    assert found.payload["messages"][0]["content"] is None
    assert found.payload["messages"][0]["tool_calls"][0]["id"] == "toolu_1"
    null = parse(
        messages=[
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            }
        ]
    )
    assert null.messages[0].content == (ToolCall("a", "f", "{}"),)
    assert parse(messages=[{"role": "assistant", "content": ""}]).messages[0].content == (Text(""),)


def test_case_7_names_are_kept() -> None:
    assert rendered(Message("user", (Text("hi"),), "anna")).payload["messages"][0]["name"] == "anna"
    assert parse(messages=[{"role": "user", "content": "hi", "name": "anna"}]).messages[0].name == "anna"


def test_case_8_one_text_part_and_a_string_mean_the_same_and_keep_their_spelling() -> None:
    plain, listed = ({"role": "user", "content": c} for c in ("hi", [{"type": "text", "text": "hi"}]))
    one, other = parse(messages=[plain]), parse(messages=[listed])
    assert one.messages[0].content == other.messages[0].content
    for request, shape in ((one, plain), (other, listed)):
        assert DIALECT.render_request(request, ANY_MODEL).payload["messages"] == [shape]
    assert encode(rendered(user_message("hi")).payload) == encode(rendered(user_message("hi")).payload)


def test_case_9_an_emoji_cut_between_two_chunks_is_joined_and_a_lone_half_replaced() -> None:
    first, second = (json.dumps(chunk({"content": "X"})).replace("X", half).encode() for half in ("a\\ud83d", "\\ude00b"))
    assert fold(decoded(first, second, chunk({}, "stop"))).text == "a\U0001f600b"
    lone = fold(decoded(first, chunk({}, "stop"))).text
    assert lone == "a\ufffd" and lone.encode()
    body = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"nul \\u0000, half \\ud83d"},"finish_reason":"stop"}]}'
    assert DIALECT.parse_response(body).text == "nul \0, half \ufffd"


def test_case_10_results_of_parallel_calls_are_messages_of_their_own() -> None:
    calls = tuple(ToolCall(f"id{i}", "f", "{}") for i in range(3))
    results = tuple(ToolResult(f"id{i}", (Text(str(i)),)) for i in (2, 0, 1))
    found = rendered(user_message("?"), Message("assistant", calls), Message("user", results))
    assert [m.get("tool_call_id") for m in found.payload["messages"]] == [None, None, "id2", "id0", "id1"]


@pytest.mark.parametrize("messages", [(Message("assistant", (CALL,)),), (Message("user", (RESULT,)),)], ids=["missing", "orphan"])
def test_case_11_a_missing_result_or_an_orphan_is_refused(messages: tuple[Message, ...]) -> None:
    with pytest.raises(Unsupported) as caught:
        rendered(*messages)
    assert caught.value.param == "messages[0]"


def test_case_12_a_call_id_too_long_for_this_wire_is_replaced_in_both_places() -> None:
    long = "toolu_" + "x" * 60
    found = rendered(Message("assistant", (ToolCall(long, "f", "{}"),)), Message("user", (ToolResult(long, (Text("r"),)),)))
    call, result = found.payload["messages"]
    assert call["tool_calls"][0]["id"] == result["tool_call_id"]
    assert len(result["tool_call_id"]) <= 40


def test_case_13_pictures_in_a_result_move_to_the_user_message_after_it() -> None:
    result = ToolResult("toolu_1", (Text("see"), Media("image", "image/png", PNG)))
    found = rendered(Message("assistant", (CALL,)), Message("user", (result,)))
    _, tool, user = found.payload["messages"]
    assert tool["content"] == "see"
    assert user == {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]}
    assert notes(found) == {"messages[1].toolu_1.content": "approximated"}
    texts = rendered(Message("assistant", (CALL,)), Message("user", (ToolResult("toolu_1", (Text("a"), Text("b"))),)))
    assert texts.payload["messages"][1]["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    empty = rendered(Message("assistant", (CALL,)), Message("user", (ToolResult("toolu_1"),)))
    assert empty.payload["messages"][1]["content"] == ""


def test_case_14_the_mark_of_a_failed_tool_is_reported() -> None:
    found = rendered(Message("assistant", (CALL,)), Message("user", (ToolResult("toolu_1", (Text("no"),), is_error=True),)))
    assert notes(found) == {"messages[1].toolu_1.is_error": "dropped"}


def test_case_15_empty_arguments_become_an_object_and_invalid_ones_stay_text() -> None:
    found = rendered(Message("assistant", (ToolCall("a", "f", ""),)), Message("tool", (ToolResult("a", (Text("r"),)),)))
    assert found.payload["messages"][0]["tool_calls"][0]["function"]["arguments"] == "{}"
    broken = [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{oops"}}],
        }
    ]
    request = parse(messages=broken)
    assert request.messages[0].content == (ToolCall("a", "f", "{oops"),)
    assert DIALECT.render_request(request, ANY_MODEL).payload["messages"] == broken


@pytest.mark.parametrize("parameters", [None, {}])
def test_case_16_a_tool_without_parameters_gets_an_empty_object_schema(parameters: Any) -> None:
    found = rendered(tools=(Tool("f", parameters=parameters),))
    assert found.payload["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}


def test_case_17_an_empty_description_is_left_out_and_a_bad_name_refused() -> None:
    assert "description" not in rendered(tools=(Tool("f", ""),)).payload["tools"][0]["function"]
    for name in ("a.b", "x" * 65, ""):
        with pytest.raises(Unsupported) as caught:
            rendered(tools=(Tool(name),))
        assert caught.value.param == "tools[0].name"


CHOICES: list[tuple[Any, ToolChoice]] = [
    ("auto", ToolChoice("auto")),
    ("none", ToolChoice("none")),
    ("required", ToolChoice("required")),
    ({"type": "function", "function": {"name": "f"}}, ToolChoice("tool", ("f",))),
    (
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}},
        ToolChoice("allowed", ("f",), True),
    ),
]


@pytest.mark.parametrize(("wire", "choice"), CHOICES)
def test_case_18_tool_choice_in_both_directions(wire: Any, choice: ToolChoice) -> None:
    assert parse(tool_choice=wire).tool_choice == choice
    assert rendered(tools=(Tool("f"),), tool_choice=choice).payload["tool_choice"] == wire
    found = rendered(tool_choice=choice)
    assert "tool_choice" not in found.payload and notes(found) == {"tool_choice": "dropped"}


def test_case_19_parallel_tool_calls() -> None:
    assert parse(parallel_tool_calls=False).parallel_tools is False
    assert rendered(tools=(Tool("f"),), parallel_tools=False).payload["parallel_tool_calls"] is False
    assert notes(rendered(parallel_tools=False)) == {"parallel_tools": "dropped"}


def test_case_20_a_forced_tool_with_thinking_is_fine_here() -> None:
    can = Capabilities(reasoning="effort")
    found = rendered(tools=(Tool("f"),), tool_choice=ToolChoice("tool", ("f",)), reasoning=Reasoning(effort="high"), can=can)
    assert found.payload["reasoning_effort"] == "high" and found.payload["tool_choice"]["function"] == {"name": "f"}


def test_case_21_hosted_tools_have_an_equivalent_or_are_refused() -> None:
    search = rendered(tools=(HostedTool("web_search_20250305", {"type": "web_search_20250305"}, "anthropic_messages"),))
    assert search.payload["web_search_options"] == {} and "tools" not in search.payload
    assert notes(search) == {"tools[0]": "approximated"}
    with pytest.raises(Unsupported) as caught:
        rendered(tools=(HostedTool("code_execution", {}, "anthropic_messages"),))
    assert caught.value.param == "tools[0]"
    raw = {"type": "custom", "custom": {"name": "x"}}
    own = parse(tools=[raw])
    assert own.tools == (HostedTool("custom", raw, "openai_chat"),)
    assert DIALECT.render_request(own, ANY_MODEL).payload["tools"] == [raw]


def test_case_22_strict_tools() -> None:
    wire = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}, "strict": True}}
    assert parse(tools=[wire]).tools[0] == Tool("f", parameters={"type": "object", "properties": {}}, strict=True)
    assert rendered(tools=(Tool("f", strict=True),)).payload["tools"] == [wire]


INTERLEAVED: tuple[StreamEvent, ...] = (
    STREAM_START,
    BlockStart(0, Text("")),
    Delta(0, "Let me see."),
    BlockStop(0),
    BlockStart(1, ToolCall("t1", "first")),
    BlockStart(2, ToolCall("t2", "second")),
    Delta(1, '{"a"'),
    Delta(2, '{"b":2}'),
    Delta(1, ":1}"),
    BlockStop(1),
    BlockStop(2),
    BlockStart(3, ToolCall("t3", "third")),
    BlockStop(3),
    Finished(Finish.STOP, "end_turn"),
)


def test_case_23_and_24_call_indices_are_dense_and_heads_sent_once() -> None:
    pieces = [call for delta in deltas(encoded(*INTERLEAVED)) for call in delta.get("tool_calls", ())]
    assert [piece["index"] for piece in pieces] == [0, 1, 0, 1, 0, 2, 2]
    heads = [piece for piece in pieces if "id" in piece]
    assert [(h["index"], h["id"], h["type"], h["function"]["name"]) for h in heads] == [
        (0, "t1", "function", "first"),
        (1, "t2", "function", "second"),
        (2, "t3", "function", "third"),
    ]
    assert all(set(piece) == {"index", "function"} and set(piece["function"]) == {"arguments"} for piece in pieces if "id" not in piece)


def test_case_25_fragments_join_to_json_and_no_arguments_to_an_empty_object() -> None:
    grown: dict[int, str] = {}
    for delta in deltas(encoded(*INTERLEAVED)):
        for piece in delta.get("tool_calls", ()):
            grown[piece["index"]] = grown.get(piece["index"], "") + piece["function"]["arguments"]
    assert {index: json.loads(text) for index, text in grown.items()} == {0: {"a": 1}, 1: {"b": 2}, 2: {}}
    assert answer(ToolCall("t", "f", ""))["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_case_26_whole_calls_in_one_chunk_and_calls_that_share_an_index() -> None:
    def whole(index: int, name: str, **head: Any) -> dict[str, Any]:
        return {"index": index, "type": "function", "function": {"name": name, "arguments": '{"x":1}'}, **head}

    shared = fold(decoded(chunk({"tool_calls": [whole(0, "a", id="1"), whole(0, "b", id="2")]}), chunk({}, "tool_calls")))
    assert shared.tool_calls == (ToolCall("1", "a", '{"x":1}'), ToolCall("2", "b", '{"x":1}'))
    nameless = fold(decoded(chunk({"tool_calls": [whole(0, "a"), whole(1, "b")]}), chunk({}, "stop")))
    assert [call.id for call in nameless.tool_calls] == ["call_0", "call_1"]
    pieces = deltas(encoded(STREAM_START, BlockStart(0, ToolCall("g1", "f", '{"x":1}')), Finished(Finish.STOP, "STOP")))
    assert [p["tool_calls"] for p in pieces if "tool_calls" in p] == [[{**whole(0, "f", id="g1")}]]


def test_case_27_the_order_of_text_and_calls_is_kept_beside_the_message() -> None:
    message = answer(Text("one "), ToolCall("t", "f", "{}"), Text("two"))["choices"][0]["message"]
    assert message["content"] == "one two"
    assert message["blocks"] == [{"type": "text", "text": "one "}, {"type": "tool_call", "id": "t"}, {"type": "text", "text": "two"}]
    assert "blocks" not in answer(Text("one"), ToolCall("t", "f", "{}"))["choices"][0]["message"]
    late = rendered(Message("assistant", (CALL, Text("after"))), Message("tool", (RESULT,)))
    assert notes(late) == {"messages[0].content": "approximated"}


def test_case_28_tool_calls_is_the_finish_once_even_after_a_stop() -> None:
    assert finishes(encoded(*INTERLEAVED)) == ["tool_calls"]
    twice = encoded(STREAM_START, BlockStart(0, Text("x")), Finished(Finish.STOP, "stop"), Finished(Finish.STOP, "stop"))
    assert finishes(twice) == ["stop"]
    assert answer(CALL)["choices"][0]["finish_reason"] == "tool_calls"
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    assert fold(decoded(chunk({"tool_calls": [call]}), chunk({}, "stop"))).finish is Finish.TOOL_CALLS


def test_case_28_and_29_a_cut_call_is_delivered_as_it_is_with_length() -> None:
    cut = encoded(STREAM_START, BlockStart(0, ToolCall("t", "f")), Delta(0, '{"a'), Finished(Finish.LENGTH, "max_tokens"))
    assert finishes(cut) == ["length"]
    assert "".join(d["tool_calls"][0]["function"]["arguments"] for d in deltas(cut) if "tool_calls" in d) == '{"a'
    bare = encoded(STREAM_START, BlockStart(0, ToolCall("t", "f")), Finished(Finish.LENGTH, "max_tokens"))
    assert "".join(d["tool_calls"][0]["function"]["arguments"] for d in deltas(bare) if "tool_calls" in d) == ""
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"a'}}
    read = fold(decoded(chunk({"tool_calls": [call]}), chunk({}, "length")))
    assert (read.finish, read.tool_calls[0].arguments) == (Finish.LENGTH, '{"a')


FINISHES: list[tuple[str, Finish]] = [
    ("stop", Finish.STOP),
    ("eos", Finish.STOP),
    ("length", Finish.LENGTH),
    ("tool_calls", Finish.TOOL_CALLS),
    ("function_call", Finish.TOOL_CALLS),
    ("content_filter", Finish.CONTENT_FILTER),
    ("error", Finish.ERROR),
    ("network_error", Finish.ERROR),
    ("never_heard_of", Finish.STOP),
]


@pytest.mark.parametrize(("word", "finish"), FINISHES)
def test_finish_table_as_source(word: str, finish: Finish) -> None:
    read = fold(decoded(chunk({"content": "x"}), chunk({}, word)))
    assert (read.finish, read.choices[0].native_finish) == (finish, word)
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": word}]}
    whole = DIALECT.parse_response(json.dumps(body).encode())
    assert (whole.finish, whole.choices[0].native_finish) == (finish, word)
    assert json.loads(DIALECT.render_response(whole))["choices"][0]["finish_reason"] == word


@pytest.mark.parametrize(
    ("finish", "native", "word"),
    [
        (Finish.STOP, "end_turn", "stop"),
        (Finish.LENGTH, "model_context_window_exceeded", "length"),
        (Finish.CONTENT_FILTER, "SAFETY", "content_filter"),
        (Finish.PAUSE, "pause_turn", "length"),
        (Finish.ERROR, "MALFORMED_FUNCTION_CALL", "error"),
        (None, None, None),
    ],
)
def test_finish_table_as_target(finish: Finish | None, native: str | None, word: str | None) -> None:
    choice = answer(Text("x"), finish=finish, native=native)["choices"][0]
    assert choice["finish_reason"] == word
    assert choice.get("native_finish_reason") == native
    if finish is Finish.PAUSE:
        back = DIALECT.parse_response(DIALECT.render_response(Response(choices=(Choice(0, (Text("x"),), finish, native),))))
        assert back.finish is Finish.PAUSE


def test_case_30_which_of_the_two_limits_is_written() -> None:
    assert rendered(max_tokens=5).payload["max_completion_tokens"] == 5
    assert rendered(max_tokens=5, can=Capabilities(max_tokens_field="max_tokens")).payload["max_tokens"] == 5
    for field in ("max_tokens", "max_completion_tokens"):
        request = parse(**{field: 5})
        assert request.max_tokens == 5
        assert DIALECT.render_request(request, ANY_MODEL).payload[field] == 5
    both = parse(max_tokens=5, max_completion_tokens=9)
    assert both.max_tokens == 9 and both.extra == {"max_tokens": 5}
    payload = DIALECT.render_request(both, ANY_MODEL).payload
    assert (payload["max_tokens"], payload["max_completion_tokens"]) == (5, 9)


def test_case_31_no_limit_is_invented() -> None:
    payload = rendered().payload
    assert "max_tokens" not in payload and "max_completion_tokens" not in payload


@pytest.mark.parametrize(
    ("wish", "effort", "reported"),
    [
        (Reasoning(effort="low"), "low", False),
        (Reasoning(effort="max"), "xhigh", True),
        (Reasoning(budget=0), "none", False),
        (Reasoning(budget=1024), "minimal", True),
        (Reasoning(budget=2000), "low", True),
        (Reasoning(budget=16384), "medium", True),
        (Reasoning(budget=60000), "high", True),
        (Reasoning(budget=-1), None, True),
        (Reasoning(mode="disabled"), "none", False),
        (Reasoning(mode="adaptive"), None, True),
        (Reasoning(effort="low", visible=True), "low", True),
    ],
)
def test_case_32_and_76_any_wish_about_thinking_becomes_an_effort(wish: Reasoning, effort: str | None, reported: bool) -> None:
    found = rendered(reasoning=wish, can=Capabilities(reasoning="effort"))
    assert found.payload.get("reasoning_effort") == effort
    assert bool(found.notes) is reported


def test_case_76_models_that_never_or_always_think() -> None:
    assert notes(rendered(reasoning=Reasoning(effort="high"))) == {"reasoning": "dropped"}
    assert rendered(reasoning=Reasoning(effort="none")).notes == ()
    always = rendered(reasoning=Reasoning(effort="none"), can=Capabilities(reasoning="effort", reasoning_required=True))
    assert always.payload["reasoning_effort"] == "low" and notes(always) == {"reasoning": "approximated"}
    assert parse(reasoning_effort="minimal").reasoning == Reasoning(effort="minimal")
    assert parse(reasoning={"max_tokens": 2000, "exclude": True}).reasoning == Reasoning(budget=2000, visible=False)


def test_case_33_zero_is_a_value() -> None:
    zeros = {"temperature": 0, "top_p": 0, "seed": 0, "n": 0, "presence_penalty": 0, "frequency_penalty": 0, "top_logprobs": 0}
    request = parse(**zeros)
    assert {key: getattr(request, key) for key in zeros} == zeros
    payload = rendered(**zeros).payload
    assert {key: payload[key] for key in zeros} == zeros


def test_case_34_sampling_limits_of_the_model() -> None:
    clamped = rendered(temperature=1.7, can=Capabilities(temperature_max=1.0))
    assert clamped.payload["temperature"] == 1.0 and notes(clamped) == {"temperature": "approximated"}
    none = rendered(temperature=1.0, top_p=0.5, can=Capabilities(sampling=False))
    assert "temperature" not in none.payload and notes(none) == {"temperature": "dropped", "top_p": "dropped"}
    one = rendered(temperature=1.0, top_p=0.5, can=Capabilities(temperature_and_top_p=False))
    assert one.payload["temperature"] == 1.0 and notes(one) == {"top_p": "dropped"}


def test_case_35_stop_as_string_or_list_and_never_cut_silently() -> None:
    for wire in ("END", ["END"], ["a", "b"], []):
        request = parse(stop=wire)
        assert request.stop == ((wire,) if isinstance(wire, str) else tuple(wire))
        assert DIALECT.render_request(request, ANY_MODEL).payload["stop"] == wire
    assert rendered(stop=("END",)).payload["stop"] == ["END"]
    with pytest.raises(Unsupported) as caught:
        rendered(stop=("a", "b", "c", "d", "e"), can=Capabilities(stop_max=4))
    assert caught.value.param == "stop"


def test_case_36_several_choices() -> None:
    assert rendered(n=3).payload["n"] == 3
    with pytest.raises(Unsupported) as caught:
        rendered(n=2, can=Capabilities(choices=False))
    assert caught.value.param == "n"
    two = {"id": "c", "choices": [{"index": i, "delta": {"content": "ab"[i]}, "finish_reason": "stop"} for i in (1, 0)]}
    assert [(c.index, c.text) for c in fold(decoded(two)).choices] == [(0, "a"), (1, "b")]
    events = (STREAM_START, BlockStart(0, Text("x"), 1), Finished(Finish.STOP, choice=1), BlockStart(0, Text("y")), Finished(Finish.STOP))
    assert [item["choices"][0]["index"] for item in encoded(*events)[:-1]] == [0, 1, 1, 1, 0, 0]


def test_case_37_parameters_by_capability() -> None:
    fields: dict[str, Any] = {"seed": 1, "presence_penalty": 0.5, "frequency_penalty": 0.5, "logit_bias": {"1": 2}, "top_k": 4}
    able = rendered(**fields)
    assert able.payload["seed"] == 1 and able.payload["logit_bias"] == {"1": 2}
    assert notes(able) == {"top_k": "dropped"}
    unable = rendered(**fields, can=Capabilities(seed=False, penalties=False))
    assert set(notes(unable)) == {"seed", "presence_penalty", "frequency_penalty", "top_k"}
    own = parse(top_k=4, min_p=0.1)
    assert own.top_k == 4 and own.extra == {"min_p": 0.1}
    assert DIALECT.render_request(own, ANY_MODEL).payload["top_k"] == 4


def test_case_38_log_probabilities_whole_and_streamed() -> None:
    piece = {"content": [{"token": "x", "logprob": -0.1}], "refusal": None}
    events = decoded(
        {**chunk({"content": "x"}), "choices": [{"index": 0, "delta": {"content": "x"}, "logprobs": piece}]}, chunk({}, "stop")
    )
    assert fold(events).choices[0].logprobs == piece
    written = [item["choices"][0]["logprobs"] for item in encoded(*events) if isinstance(item, dict) and item["choices"]]
    assert piece in written
    assert notes(rendered(logprobs=True, top_logprobs=2, can=Capabilities(logprobs=False))) == {
        "logprobs": "dropped",
        "top_logprobs": "dropped",
    }
    count = parse(logprobs=1)
    assert count.logprobs is None and count.extra == {"logprobs": 1}


def test_case_39_user_metadata_and_tier() -> None:
    request = parse(user="u", metadata={"k": "v"}, service_tier="flex", store=True, safety_identifier="s", prompt_cache_key="p")
    assert (request.user, request.metadata, request.service_tier) == ("u", {"k": "v"}, "flex")
    assert request.extra == {"store": True, "safety_identifier": "s", "prompt_cache_key": "p"}
    found = rendered(user="u", metadata={"k": "v"}, service_tier="standard_only")
    assert (found.payload["user"], found.payload["service_tier"]) == ("u", "default")
    assert notes(found) == {"metadata": "dropped"}
    assert notes(rendered(service_tier="batch_plus")) == {"service_tier": "dropped"}
    assert answer(Text("x"), service_tier="priority")["service_tier"] == "priority"


def test_case_40_unknown_keys_go_back_to_their_own_wire_only() -> None:
    own = parse(frob=[1, {"x": None}], temperature=None)
    assert own.extra == {"frob": [1, {"x": None}], "temperature": None}
    payload = DIALECT.render_request(own, ANY_MODEL).payload
    assert payload["frob"] == [1, {"x": None}] and payload["temperature"] is None
    found = rendered(
        Message("user", (Text("a", extra={"citations": []}), Opaque({"type": "odd"}, "anthropic_messages")), extra={"k": 1}),
        extra={"container": 1},
    )
    assert set(notes(found)) == {"container", "messages[0].content[0].citations", "messages[0].content[1]", "messages[0].k"}
    assert set(notes(found).values()) == {"dropped"}


DATA_URLS = [
    (f"data:image/png;base64,{PNG}", "image/png", PNG),
    (f"data:IMAGE/PNG;base64,{PNG}", "image/png", PNG),
    (f"DATA:image/jpeg;name=a.jpg;BASE64,{PNG}", "image/jpeg", PNG),
    ("data:text/plain,a%20b", "text/plain", "YSBi"),
]


@pytest.mark.parametrize(("url", "mime", "data"), DATA_URLS)
def test_case_41_data_urls_are_understood_and_keep_their_spelling(url: str, mime: str, data: str) -> None:
    wire = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    request = parse(messages=wire)
    (block,) = request.messages[0].content
    assert isinstance(block, Media) and (block.mime, block.data) == (mime, data)
    assert DIALECT.render_request(request, ANY_MODEL).payload["messages"] == wire


def part_of(block: Block, can: Capabilities = ANY_MODEL) -> Any:
    return rendered(Message("user", (block,)), can=can).payload["messages"][0]["content"][0]


def test_case_41_to_43_pictures_of_another_wire() -> None:
    assert part_of(Media("image", "image/png", PNG))["image_url"] == {"url": f"data:image/png;base64,{PNG}"}
    assert part_of(Media("image", None, PNG))["image_url"] == {"url": f"data:image/png;base64,{PNG}"}
    assert part_of(Media("image", url="https://x/y.png", detail="low"))["image_url"] == {"url": "https://x/y.png", "detail": "low"}
    with pytest.raises(Unsupported, match="media type"):
        part_of(Media("image", None, "AAAA"))
    with pytest.raises(Unsupported) as caught:
        part_of(Media("image", url="https://x/y.png"), Capabilities(vision=False))
    assert caught.value.param == "messages[0].content[0]"
    short = parse(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": "https://x/y.png"}]}])
    assert short.messages[0].content == (Media("image", url="https://x/y.png", form="short"),)


def test_case_44_documents() -> None:
    pdf = part_of(Media("document", "application/pdf", "JVBERi0="))
    assert pdf == {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "document.pdf"}}
    assert part_of(Media("document", text="notes")) == {"type": "text", "text": "notes"}
    for block in (Media("document", file_id="file_1"), Media("document", url="https://x/y.pdf")):
        with pytest.raises(Unsupported):
            part_of(block)
    wire = [
        {
            "role": "user",
            "content": [
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "file", "file": {"file_data": "JVBERi0=", "filename": "a"}},
            ],
        }
    ]
    request = parse(messages=wire)
    assert request.messages[0].content == (
        Media("document", file_id="file-1"),
        Media("document", "application/pdf", "JVBERi0=", name="a", form="bare"),
    )
    assert DIALECT.render_request(request, ANY_MODEL).payload["messages"] == wire


def test_case_45_audio() -> None:
    hears = Capabilities(audio=True)
    assert part_of(Media("audio", "audio/mpeg", "AAA"), hears) == {"type": "input_audio", "input_audio": {"data": "AAA", "format": "mp3"}}
    for block, can in (
        (Media("audio", "audio/ogg", "AAA"), hears),
        (Media("audio", "audio/wav", "AAA"), ANY_MODEL),
        (Media("video", url="u"), hears),
    ):
        with pytest.raises(Unsupported):
            part_of(block, can)
    wire = [
        {
            "role": "user",
            "content": [{"type": "input_audio", "input_audio": {"data": "AAA", "format": word}} for word in ("wav", "mp3", "mpeg", "flac")],
        }
    ]
    request = parse(messages=wire, modalities=["text", "audio"], audio={"voice": "alloy"})
    assert [b.mime for b in request.messages[0].content if isinstance(b, Media)] == ["audio/wav", "audio/mpeg", "audio/mpeg", "audio/flac"]
    assert DIALECT.render_request(request, ANY_MODEL).payload["messages"] == wire


def test_a_part_of_unknown_kind_is_kept_for_its_own_wire() -> None:
    wire = [{"role": "user", "content": [{"type": "hologram", "hologram": {"size": 1 << 40}}]}]
    request = parse(messages=wire)
    assert isinstance(request.messages[0].content[0], Opaque)
    assert DIALECT.render_request(request, ANY_MODEL).payload["messages"] == wire


def usage_of(**fields: Any) -> Usage:
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}], "usage": fields}
    usage = DIALECT.parse_response(json.dumps(body).encode()).usage
    assert usage is not None
    return usage


def test_case_47_buckets_are_disjoint() -> None:
    usage = usage_of(
        prompt_tokens=100,
        completion_tokens=50,
        total_tokens=150,
        prompt_tokens_details={"cached_tokens": 40, "audio_tokens": 10, "cache_write_tokens": 5},
        completion_tokens_details={"reasoning_tokens": 30, "audio_tokens": 5},
    )
    assert (usage.input_uncached, usage.cache_read, usage.input_audio, usage.cache_write_5m) == (45, 40, 10, 5)
    assert (usage.output_text, usage.output_reasoning, usage.output_audio) == (15, 30, 5)
    assert (usage.input_total, usage.output_total) == (100, 50)


def test_case_48_and_49_totals_towards_the_client_are_the_sums() -> None:
    usage = Usage(input_uncached=10, cache_read=100, cache_write_5m=20, cache_write_1h=5, output_text=7, output_reasoning=3)
    wire = answer(Text("x"), usage=usage)["usage"]
    assert (wire["prompt_tokens"], wire["completion_tokens"], wire["total_tokens"]) == (135, 10, 145)
    assert wire["prompt_tokens_details"]["cached_tokens"] == 100
    assert wire["completion_tokens_details"]["reasoning_tokens"] == 3


def test_case_47_counts_are_never_negative_whatever_is_sent() -> None:
    usage = usage_of(
        prompt_tokens=5,
        completion_tokens=-3,
        prompt_tokens_details={"cached_tokens": 9, "audio_tokens": "many"},
        completion_tokens_details=7,
    )
    assert (usage.input_total, usage.cache_read, usage.input_uncached, usage.output_total) == (5, 5, 0, 0)


def test_case_51_reasoning_outside_the_completion_is_found_in_the_total() -> None:
    usage = usage_of(prompt_tokens=12, completion_tokens=2, total_tokens=354, completion_tokens_details={"reasoning_tokens": 340})
    assert (usage.output_text, usage.output_reasoning, usage.total) == (2, 340, 354)
    assert (
        usage_of(prompt_tokens=9, completion_tokens=248, total_tokens=632, prompt_tokens_details={"audio_tokens": 375}).input_audio == 375
    )


def test_case_52_usage_in_other_places() -> None:
    counts = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    for last in (
        chunk({}, "stop", x_groq={"usage": counts}),
        chunk({}, "stop", usage=counts),
        {**chunk({}, "stop"), "choices": [{"delta": {}, "finish_reason": "stop", "usage": counts}]},
    ):
        usage = fold(decoded(chunk({"content": "x"}), last)).usage
        assert usage is not None and (usage.input_total, usage.output_total, usage.source) == (3, 4, "provider")
    assert usage_of(prompt_tokens=9, completion_tokens=1, cached_tokens=4).cache_read == 4
    assert usage_of(prompt_tokens=9, completion_tokens=1, prompt_cache_hit_tokens=4).cache_read == 4
    assert fold(decoded(chunk({"content": "x"}, "stop"))).usage is None


def test_case_53_and_54_the_last_usage_wins() -> None:
    seen = (UsageSeen(Usage(input_uncached=5, output_text=1)), UsageSeen(Usage(input_uncached=5, output_text=9), "flex"))
    last = encoded(STREAM_START, *seen, BlockStart(0, Text("x")), Finished(Finish.STOP))[-2]
    assert (last["usage"]["completion_tokens"], last["service_tier"], last["choices"]) == (9, "flex", [])
    counts = [{"prompt_tokens": 3, "completion_tokens": i} for i in (1, 5)]
    usage = fold(decoded(*(chunk({"content": "x"}, usage=c) for c in counts), chunk({}, "stop"))).usage
    assert usage is not None and usage.output_total == 5


def test_case_55_usage_is_asked_for_and_shown_only_when_wanted() -> None:
    assert rendered(stream=True).payload["stream_options"] == {"include_usage": True}
    assert "stream_options" not in rendered().payload
    assert parse(stream=True, stream_options={"include_usage": True}).stream_usage is True
    assert "stream_options" not in DIALECT.render_request(parse(stream=True), ANY_MODEL).payload
    events = (STREAM_START, BlockStart(0, Text("x")), UsageSeen(Usage(output_text=1)), Finished(Finish.STOP))
    with_usage = encoded(*events)
    assert [item["usage"] for item in with_usage[:-2]] == [None] * (len(with_usage) - 2)
    without = encoded(*events, context=StreamContext("m", "i", 1, include_usage=False))
    assert all("usage" not in item for item in without[:-1]) and without[-1] == "[DONE]"


def test_case_56_and_64_and_65_a_cut_answer_never_looks_complete() -> None:
    with pytest.raises(Truncated):
        decoded(chunk({"content": "x"}), done=False)
    with pytest.raises(Truncated):
        decoded(chunk({"content": "x"}), chunk({}, "stop"), done=False)
    cut = encoded(STREAM_START, BlockStart(0, Text("")), Delta(0, "half"))
    assert finishes(cut) == [] and "[DONE]" not in cut
    error = ProviderError(ErrorKind.SERVER, "gone", code="upstream_incomplete")
    failed = encoded(STREAM_START, BlockStart(0, Text("")), Failed(error), Finished(Finish.STOP))
    assert failed[-1]["error"]["message"] == "gone" and failed[-1]["error"]["type"] == "server_error"
    assert finishes(failed[:-1]) == []


def test_case_57_the_tier_as_served_is_read() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    assert (
        fold(decoded(chunk({"content": "x"}, "stop"), {"id": "c", "choices": [], "usage": usage, "service_tier": "flex"})).service_tier
        == "flex"
    )


def test_fees_and_native_counts_are_kept_for_the_receipt() -> None:
    usage = usage_of(prompt_tokens=1, completion_tokens=1, num_sources_used=3, cost_in_usd_ticks=17)
    assert usage.fees == {"search_source": 3}
    assert usage.native is not None and usage.native["cost_in_usd_ticks"] == 17


def test_case_61_the_first_chunk_has_the_role_once_and_all_share_their_head() -> None:
    found = encoded(*INTERLEAVED)
    assert found[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert sum("role" in delta for delta in deltas(found)) == 1
    assert {(item["id"], item["created"], item["model"], item["object"]) for item in found[:-1]} == {
        ("msg_1", 7, "claude", "chat.completion.chunk")
    }
    unnamed = encoded(BlockStart(0, Text("x")), Finished(Finish.STOP))
    assert (unnamed[0]["id"], unnamed[0]["created"], unnamed[0]["model"]) == ("chatcmpl-1", 1700000000, "gpt-x")


def test_case_62_framing() -> None:
    text = json.dumps(chunk({"content": "x"})).encode()
    data = (
        b"\xef\xbb\xbf: hello\r\ndata:"
        + text
        + b"\r\n\r\nevent: message\rdata: "
        + json.dumps(chunk({}, "stop")).encode()
        + b"\r\r"
        + b"data: [DONE] "
    )
    decoder = DIALECT.stream_decoder()
    events = [event for i in range(len(data)) for event in decoder.feed(data[i : i + 1])] + decoder.close()
    assert fold(events).text == "x" and decoder.complete


def test_case_63_a_sign_of_life_is_a_comment() -> None:
    assert DIALECT.stream_encoder(CONTEXT).render_event(Ping()) == b": ping\n\n"


STREAM_ERRORS: dict[str, tuple[bytes, ErrorKind]] = {
    "object": (b'data: {"error":{"message":"m","type":"server_error"}}\n\n', ErrorKind.SERVER),
    "groq-event": (
        b'event: error\ndata: {"error":{"message":"m","type":"invalid_request_error","code":"tool_use_failed","status_code":400}}\n\n',
        ErrorKind.BAD_REQUEST,
    ),
    "groq-field": (b'data: {"id":"c","choices":[],"x_groq":{"id":"r","error":"over capacity"}}\n\n', ErrorKind.UNKNOWN),
    "status-as-code": (b'data: {"id":"c","choices":[],"error":{"code":429,"message":"slow down"}}\n\n', ErrorKind.RATE_LIMIT),
    "plain-json": (b'{"error":{"message":"m","code":"invalid_api_key"}}', ErrorKind.AUTH),
    "text": (b'event: error\ndata: {"message":"m"}\n\n', ErrorKind.UNKNOWN),
}


@pytest.mark.parametrize("name", STREAM_ERRORS)
def test_case_64_errors_inside_a_stream(name: str) -> None:
    data, kind = STREAM_ERRORS[name]
    decoder = DIALECT.stream_decoder()
    events = decoder.feed(data) + decoder.close()
    assert isinstance(events[-1], Failed) and events[-1].error.kind is kind
    assert decoder.complete and decoder.feed(b'data: {"id":"c","choices":[{"delta":{"content":"late"}}]}\n\n') == []


def test_case_67_the_decoder_is_bounded() -> None:
    decoder = DIALECT.stream_decoder()
    with pytest.raises(WireError):
        decoder.feed(b"data: " + b"x" * (2 << 20))


def test_case_69_a_role_alone_says_nothing() -> None:
    events = decoded(chunk({"role": "assistant", "content": ""}), chunk({}, "stop"))
    assert [type(event) for event in events] == [Start, Finished]


def test_case_71_blocks_are_closed_before_the_finish() -> None:
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    events = decoded(chunk({"reasoning_content": "hm"}), chunk({"content": "x"}), chunk({"tool_calls": [call]}), chunk({}, "tool_calls"))
    starts = [event.block for event in events if isinstance(event, BlockStart)]
    stops = [event.block for event in events if isinstance(event, BlockStop)]
    assert starts == stops == [0, 1, 10]
    assert isinstance(events[-1], Finished)


SIGNED = (Thinking("first", "s1"), Thinking(redacted="xyz"), Thinking("second", "s2"))


def test_case_72_and_73_signed_thoughts_go_out_and_come_back() -> None:
    message = answer(*SIGNED, Text("done"))["choices"][0]["message"]
    assert message["reasoning_content"] == "firstsecond"
    assert message["thinking_blocks"] == [
        {"type": "thinking", "thinking": "first", "signature": "s1"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "thinking", "thinking": "second", "signature": "s2"},
    ]
    assert parse(messages=[{"role": "user", "content": "?"}, message]).messages[1].content == (*SIGNED, Text("done"))


def test_case_72_and_73_signed_thoughts_streamed() -> None:
    events: list[StreamEvent] = [STREAM_START]
    for number, block in enumerate(SIGNED):
        if block.redacted is not None:
            events += [BlockStart(number, block), BlockStop(number)]
            continue
        events += [BlockStart(number, Thinking()), Delta(number, block.text[:2]), Delta(number, block.text[2:])]
        events += [Signature(number, block.signature or ""), BlockStop(number)]
    events += [BlockStart(3, Text("")), Delta(3, "done"), BlockStop(3), Finished(Finish.STOP, "end_turn")]
    encoder, decoder = DIALECT.stream_encoder(CONTEXT), DIALECT.stream_decoder()
    data = b"".join(map(encoder.render_event, events)) + encoder.close()
    assert fold(decoder.feed(data) + decoder.close()).choices[0].content == (*SIGNED, Text("done"))


def test_case_73_thoughts_are_read_in_every_spelling_and_not_sent_unasked() -> None:
    detail = [
        {"type": "reasoning.text", "text": "hm", "signature": "s", "format": "f", "index": 0},
        {"type": "reasoning.encrypted", "data": "e"},
    ]
    spellings: list[tuple[dict[str, Any], tuple[Thinking, ...]]] = [
        ({"reasoning_content": "hm"}, (Thinking("hm"),)),
        ({"reasoning": "hm"}, (Thinking("hm"),)),
        ({"reasoning": "hm", "reasoning_content": "hm"}, (Thinking("hm"),)),
        (
            {"reasoning": "hm", "reasoning_details": detail},
            (Thinking("hm", "s", extra={"format": "f", "index": 0}), Thinking(redacted="e")),
        ),
    ]
    for keys, blocks in spellings:
        wire = [{"role": "assistant", "content": "x", **keys}]
        request = parse(messages=wire)
        assert request.messages[0].content == (*blocks, Text("x"))
        assert DIALECT.render_request(request, ANY_MODEL).payload["messages"] == wire
    found = rendered(Message("assistant", (Thinking("hm", "s"), Text("x"))))
    assert found.payload["messages"] == [{"role": "assistant", "content": "x"}]
    assert notes(found) == {"messages[0].thinking": "dropped"}


def test_case_74_thought_signatures_travel_with_their_call_and_text() -> None:
    call = ToolCall("g", "f", "{}", signature="sig")
    message = answer(Text("x", signature="t"), call)["choices"][0]["message"]
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "sig"}}
    assert message["extra_content"] == {"google": {"thought_signature": "t"}}
    back = parse(messages=[{"role": "assistant", "content": None, "tool_calls": message["tool_calls"]}])
    assert back.messages[0].content == (call,)
    events = (STREAM_START, BlockStart(0, ToolCall("g", "f", "{}", signature="sig")), Finished(Finish.STOP))
    encoder, decoder = DIALECT.stream_encoder(CONTEXT), DIALECT.stream_decoder()
    data = b"".join(map(encoder.render_event, events)) + encoder.close()
    assert fold(decoder.feed(data) + decoder.close()).tool_calls == (call,)
    lost = rendered(Message("assistant", (call,)), Message("tool", (ToolResult("g", (Text("r"),)),)))
    assert notes(lost) == {"messages[0].content[0].signature": "dropped"}


def test_case_75_an_encrypted_thought_of_another_provider_is_reported_not_sent() -> None:
    found = rendered(Message("assistant", (Thinking(redacted="enc"), Text("x"))))
    assert "enc" not in json.dumps(found.payload) and notes(found) == {"messages[0].thinking": "dropped"}


def test_case_77_reasoning_never_enters_the_text() -> None:
    events = decoded(chunk({"reasoning": "secret", "content": ""}), chunk({"content": '{"a":1}'}), chunk({}, "stop"))
    assert fold(events).text == '{"a":1}'
    assert answer(Thinking("secret"), Text("x"))["choices"][0]["message"]["content"] == "x"
    both = fold(decoded(chunk({"reasoning": "hm", "reasoning_content": "hm"}), chunk({}, "stop")))
    assert both.choices[0].content == (Thinking("hm"),)


TAGGED = [
    "<think>a < b</think>\n\nyes",
    "  <think>\nhm</think>no",
    "plain <think>kept</think>",
    "<think>open end",
    "<thin",
    "</think>x",
    "<think></think>y",
]


@pytest.mark.parametrize("text", TAGGED)
def test_case_77_think_tags_are_split_alike_at_every_cut(text: str) -> None:
    expected = re.fullmatch(r"\s*<think>(.*?)(?:</think>\s*(.*))?", text, re.DOTALL)
    thought, rest = (expected[1], expected[2] or "") if expected else ("", text)
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            tags = ThinkTags()
            pieces = tags.feed(text[:first]) + tags.feed(text[first:second]) + tags.feed(text[second:]) + tags.close()
            assert "".join(t for kind, t in pieces if kind == "thinking") == thought
            assert "".join(t for kind, t in pieces if kind == "text") == rest


def test_case_77_think_tags_as_events() -> None:
    plain = decoded(*(chunk({"content": piece}) for piece in ("<th", "ink>hm</th", "ink>\nyes")), chunk({}, "stop"))
    assert fold(plain).choices[0].content == (Text("<think>hm</think>\nyes"),)
    assert fold(split_events(plain)).choices[0].content == (Thinking("hm"), Text("yes"))
    started = decoded(chunk({"content": "hm</think>yes"}), chunk({}, "stop"))
    assert fold(split_events(started, opened=True)).choices[0].content == (Thinking("hm"), Text("yes"))


def test_refusals_both_ways() -> None:
    message = answer(Refusal("no"))["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "no")
    assert fold(decoded(chunk({"refusal": "n"}), chunk({"refusal": "o"}), chunk({}, "stop"))).choices[0].content == (Refusal("no"),)
    assert parse(messages=[{"role": "assistant", "content": None, "refusal": "no"}]).messages[0].content == (Refusal("no"),)


def test_structured_output_both_ways() -> None:
    wire = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}
    assert parse(response_format=wire).response_format == ResponseFormat("json_schema", {"type": "object"}, "n", None, True)
    assert rendered(response_format=ResponseFormat("json_schema", {"type": "object"})).payload["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": {"type": "object"}},
    }
    loose = rendered(response_format=ResponseFormat("json_schema", {}), can=Capabilities(structured_output="json_object"))
    assert loose.payload["response_format"] == {"type": "json_object"} and notes(loose) == {"response_format": "approximated"}
    assert notes(rendered(response_format=ResponseFormat("json_object"), can=Capabilities(structured_output="none"))) == {
        "response_format": "dropped"
    }


def test_functions_the_older_spelling_round_trips_and_gives_calls() -> None:
    body: dict[str, Any] = {
        "functions": [{"name": "f", "description": "d", "parameters": {}}],
        "function_call": {"name": "f"},
        "messages": [
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "r"},
        ],
    }
    request = parse(**body)
    assert request.tools == (Tool("f", "d", {}),) and request.tool_choice == ToolChoice("tool", ("f",))
    call, result = request.messages[1].content[0], request.messages[2].content[0]
    assert isinstance(call, ToolCall) and isinstance(result, ToolResult) and call.id == result.call_id
    assert DIALECT.render_request(request, ANY_MODEL).payload == {"model": "m", **body}
    streamed = decoded(
        chunk({"function_call": {"name": "f", "arguments": ""}}), chunk({"function_call": {"arguments": "{}"}}), chunk({}, "function_call")
    )
    message = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    whole = DIALECT.parse_response(json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "function_call"}]}).encode())
    assert fold(streamed).choices[0].content == whole.choices[0].content
    assert json.loads(DIALECT.render_response(whole))["choices"][0]["message"]["function_call"] == message["function_call"]


def test_cache_breakpoints_of_another_wire_are_reported() -> None:
    found = rendered(Message("user", (Text("a", Cache("1h")),)), tools=(Tool("f", cache=Cache()),))
    assert set(notes(found)) == {"messages[0].content[0].cache_control", "tools[0].cache_control"}
    marked = [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}]
    request = parse(messages=marked)
    assert request.messages[0].content == (Text("a", Cache("1h")),)
    assert DIALECT.render_request(request, ANY_MODEL).payload["messages"] == marked


def test_an_unknown_chunk_is_kept() -> None:
    raw = {"object": "novelty", "x": 1}
    events = decoded(raw, chunk({"content": "x"}, "stop"))
    assert events[0] == OpaqueEvent(raw, "openai_chat")
    assert raw in encoded(*events)


def numbers(name: str) -> set[int]:
    """Case numbers in a test's name: "case_3_and_9", or "case_3_to_5"."""
    found = re.search(r"case_(\d+(?:_(?:and|to)_\d+)*)", name)
    if found is None:
        return set()
    first, *rest = (int(number) for number in re.findall(r"\d+", found[1]))
    return set(range(first, rest[-1] + 1)) if "_to_" in found[1] else {first, *rest}


CASES: frozenset[int] = frozenset(number for name in list(globals()) if name.startswith("test_") for number in numbers(name))
"""Numbers of the translation cases shown here, taken from the names of the tests."""


def test_which_cases_are_covered() -> None:
    elsewhere = {46, 50, 58, 59, 60, 66, 68, 70}
    """Uploads, Bedrock, the gateway's own cache, other operations, sockets and headers, the Responses surface."""
    assert frozenset(range(1, 78)) - elsewhere == CASES
