"""Laws of the Responses dialect, what the official types say of it, and hostile input."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response as OfficialResponse
from openai.types.responses import ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParams
from pydantic import TypeAdapter

from headgate.dialects.base import StreamContext
from headgate.dialects.openai_responses import DIALECT
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.content import Opaque, Refusal, Text, Thinking, ToolCall
from headgate.domain.events import (
    Annotate,
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
from headgate.domain.request import Reasoning, Request
from headgate.domain.response import Finish, Response
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, ProviderError, Truncated, Unsupported, WireError
from headgate.testing import samples
from headgate.wire.json import decode, encode

_spec = importlib.util.spec_from_file_location("strategies_or", Path(__file__).parents[1] / "strategies_openai_responses.py")
assert _spec is not None and _spec.loader is not None
strategies = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(strategies)

REQUEST = TypeAdapter(ResponseCreateParams)
EVENT = TypeAdapter(ResponseStreamEvent)


@given(strategies.requests)
@settings(deadline=None, max_examples=300)
def test_a_request_goes_back_as_it_came(body: Any) -> None:
    request = DIALECT.parse_request(encode(body), "/responses")
    rendered = DIALECT.render_request(request, ANY_MODEL)
    assert rendered.notes == ()
    assert decode(encode(rendered.payload)) == body
    assert DIALECT.parse_request(encode(rendered.payload), rendered.path) == request


@given(strategies.answers)
@settings(deadline=None, max_examples=300)
def test_an_answer_goes_back_as_it_came(body: Any) -> None:
    response = DIALECT.parse_response(encode(body))
    assert decode(DIALECT.render_response(response)) == body


def core(response: Response) -> Any:
    """What any wire says of an answer."""
    choice = response.choices[0]
    said: list[Any] = []
    for block in choice.content:
        if isinstance(block, Text | Refusal):
            said.append((type(block).__name__, block.text))
        elif isinstance(block, ToolCall):
            said.append((block.id, block.name, block.arguments))
        elif isinstance(block, Thinking):
            said.append((block.text, block.signature, block.redacted))
    usage = response.usage
    counts = None if usage is None else (usage.input_total, usage.cache_read, usage.output_total, usage.output_reasoning)
    return said, choice.finish, counts, response.model, response.created, response.service_tier


@given(strategies.foreign_answers())
@settings(deadline=None)
def test_reading_what_was_written_of_another_wire_gives_the_same_answer(response: Response) -> None:
    wire = DIALECT.render_response(response)
    assert core(DIALECT.parse_response(wire)) == core(response)
    OfficialResponse.model_validate(decode(wire))


def events_of(response: Response) -> list[StreamEvent]:
    """An answer as the events of a stream, each growing string in two pieces."""
    choice = response.choices[0]
    events: list[StreamEvent] = [Start(response.id, response.model, response.created)]
    for number, block in enumerate(choice.content):
        events += block_events(number, block)
    assert response.usage is not None
    return [*events, Finished(choice.finish, choice.native_finish), UsageSeen(response.usage, response.service_tier)]


def block_events(number: int, block: Any) -> list[StreamEvent]:
    if isinstance(block, Thinking) and block.redacted is not None:
        return [BlockStart(number, block), BlockStop(number)]
    words = block.arguments if isinstance(block, ToolCall) else block.text
    head = replace(block, arguments="") if isinstance(block, ToolCall) else type(block)("")
    half = len(words) // 2
    events: list[StreamEvent] = [BlockStart(number, head), Delta(number, words[:half]), Delta(number, words[half:])]
    if isinstance(block, Thinking) and block.signature is not None:
        events.append(Signature(number, block.signature))
    return [*events, BlockStop(number)]


def encoded(events: list[StreamEvent]) -> bytes:
    encoder = DIALECT.stream_encoder(StreamContext("fallback", "resp_fallback", 7))
    return b"".join([encoder.render_event(event) for event in events]) + encoder.close()


def decoded(data: bytes) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    return decoder.feed(data) + decoder.close()


def wires(data: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in data.decode().split("\n") if line.startswith("data: ")]


TERMINAL = ("response.completed", "response.incomplete", "response.failed")


def assert_well_formed(data: bytes) -> list[Any]:
    """Numbers count up, there is one terminal event, ids are stable, and the terminal output equals what was streamed."""
    found = wires(data)
    for wire in found:
        EVENT.validate_python(wire)
    assert [wire["sequence_number"] for wire in found] == list(range(len(found)))
    assert [wire["type"] for wire in found[:2]] == ["response.created", "response.in_progress"]
    assert [wire["type"] in TERMINAL for wire in found].count(True) == 1 and found[-1]["type"] in TERMINAL
    assert len({wire["response"]["id"] for wire in found if "response" in wire}) == 1
    ids: dict[int, str] = {}
    for wire in found:
        if "output_index" in wire:
            name = wire.get("item_id") or wire["item"].get("id")
            assert ids.setdefault(wire["output_index"], name) == name
    output = found[-1]["response"]["output"]
    assert sorted(ids) == list(range(len(output)))
    if found[-1]["type"] != "response.failed":
        done = {wire["output_index"]: wire["item"] for wire in found if wire["type"] == "response.output_item.done"}
        assert [done[index] for index in sorted(done)] == output
    for index, item in enumerate(output):
        for place, part in enumerate(item["content"] if item["type"] == "message" else ()):
            assert part.get("text", part.get("refusal")) == grown(found, index, place)
    return found


def grown(found: list[Any], index: int, place: int) -> str:
    kinds = ("response.output_text.delta", "response.refusal.delta")
    return "".join(w["delta"] for w in found if w["type"] in kinds and (w["output_index"], w["content_index"]) == (index, place))


@given(strategies.foreign_answers())
@settings(deadline=None)
def test_a_written_stream_is_well_formed_and_folds_to_the_same_answer_as_the_whole(response: Response) -> None:
    data = encoded(events_of(response))
    found = assert_well_formed(data)
    streamed = fold(decoded(data), DIALECT.name)
    assert core(streamed) == core(response)
    assert core(DIALECT.parse_response(encode(found[-1]["response"]))) == core(response)
    whole = decode(DIALECT.render_response(response))
    assert found[-1]["response"] == whole


@st.composite
def interleaved(draw: st.DrawFn) -> list[StreamEvent]:
    """Events of up to four blocks in any order that keeps each block's own, boundaries perhaps missing, as other wires send them."""
    heads = draw(st.lists(st.sampled_from(["text", "thinking", "call", "refusal"]), min_size=1, max_size=4))
    made = {
        "text": lambda n: Text(""),
        "thinking": lambda n: Thinking(),
        "call": lambda n: ToolCall(f"c{n}", f"f{n}"),
        "refusal": lambda n: Refusal(""),
    }
    lanes: list[list[StreamEvent]] = []
    for number, kind in enumerate(heads):
        pieces = ['{"a":', f"{number}}}"] if kind == "call" else draw(st.lists(strategies.words, max_size=3))
        lane: list[StreamEvent] = [BlockStart(number, made[kind](number)), *[Delta(number, piece) for piece in pieces]]
        lanes.append(lane + ([BlockStop(number)] if draw(st.booleans()) else []))
    events: list[StreamEvent] = [Start("x", "m")]
    while any(lanes):
        lane = draw(st.sampled_from([lane for lane in lanes if lane]))
        events.append(lane.pop(0))
        if draw(st.integers(0, 9)) == 0:
            events.append(Ping())
    return [*events, Finished(Finish.TOOL_CALLS if "call" in heads else Finish.STOP)]


@given(interleaved())
@settings(deadline=None)
def test_any_interleaving_is_written_well_formed_and_loses_nothing(events: list[StreamEvent]) -> None:
    data = encoded(events)
    assert_well_formed(data)
    before, after = fold(events), fold(decoded(data))
    assert sorted(after.text) == sorted(before.text)
    assert {call.id: call.arguments for call in after.tool_calls} == {call.id: call.arguments for call in before.tool_calls}
    assert after.finish is before.finish
    for kind in (Thinking, Refusal):
        assert sorted(joined(after, kind)) == sorted(joined(before, kind))


def joined(response: Response, kind: type) -> str:
    return "".join(getattr(block, "text", "") for block in response.choices[0].content if isinstance(block, kind))


@given(interleaved())
@settings(deadline=None, max_examples=50)
def test_the_official_client_reads_what_is_written(events: list[StreamEvent]) -> None:
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=[], text_format=omit)
    last: Any = None
    for wire in wires(encoded(events)):
        for last in state.handle_event(EVENT.validate_python(wire)):
            assert last.type
    assert last.type == "response.completed"
    before = fold(events)
    assert sorted(last.response.output_text) == sorted(before.text)
    assert {item.call_id: decode(item.arguments) for item in last.response.output if item.type == "function_call"} == {
        call.id: decode(call.arguments) for call in before.tool_calls
    }


@given(interleaved(), st.integers(0, 12))
@settings(deadline=None)
def test_an_error_ends_the_stream_in_a_failed_answer(events: list[StreamEvent], place: int) -> None:
    usage = UsageSeen(Usage(input_uncached=3))
    error = ProviderError(ErrorKind.CONTEXT_LENGTH, "too long", param="input")
    found = assert_well_formed(encoded([*events[:-1][:place], usage, Failed(error), *events]))
    last = found[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"] == {
        "code": "invalid_prompt",
        "message": "too long",
        "param": "input",
        "type": "context_length_exceeded",
    }
    assert last["response"]["usage"]["input_tokens"] == 3
    end = decoded(encoded([Failed(error)]))[-1]
    assert isinstance(end, Failed) and end.error.kind is ErrorKind.CONTEXT_LENGTH and end.error.message == "too long"


def test_an_unfinished_answer_gets_no_terminator() -> None:
    data = encoded([Start("x", "m"), BlockStart(0, Text("")), Delta(0, "half")])
    assert data and not any(wire["type"] in TERMINAL for wire in wires(data))
    with pytest.raises(Truncated):
        decoded(data)


def test_unread_events_of_this_wire_keep_their_place() -> None:
    action = {"type": "search", "query": "q"}
    item = {"id": "ws_1", "type": "web_search_call", "status": "in_progress", "action": action}
    events = [
        Start("resp_1", "m"),
        BlockStart(0, Text("so")),
        BlockStop(0),
        OpaqueEvent({"type": "response.output_item.added", "output_index": 9, "sequence_number": 44, "item": item}, DIALECT.name),
        OpaqueEvent(
            {"type": "response.web_search_call.searching", "output_index": 9, "sequence_number": 45, "item_id": "ws_1"}, DIALECT.name
        ),
        OpaqueEvent({"type": "elsewhere"}, "openai_chat"),
        BlockStart(1, Opaque({**item, "status": "completed"}, DIALECT.name)),
        BlockStop(1),
        Finished(Finish.STOP),
    ]
    found = assert_well_formed(encoded(list(events)))
    searching = next(wire for wire in found if wire["type"] == "response.web_search_call.searching")
    assert searching["output_index"] == 1
    assert [wire["type"] for wire in found].count("response.output_item.added") == 2
    assert [entry["type"] for entry in found[-1]["response"]["output"]] == ["message", "web_search_call"]


def test_annotations_and_log_probabilities_are_told() -> None:
    link = {"type": "url_citation", "start_index": 0, "end_index": 1, "title": "t", "url": "u"}
    entry = {"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []}
    events = [
        Start("x", "m"),
        BlockStart(0, Text("")),
        Delta(0, "a"),
        Annotate(-1, "logprobs", {"content": [entry]}),
        Annotate(0, "annotations", link),
        Finished(Finish.STOP),
    ]
    found = assert_well_formed(encoded(list(events)))
    (part,) = found[-1]["response"]["output"][0]["content"]
    assert part == {"type": "output_text", "text": "a", "annotations": [link], "logprobs": [entry]}
    again = fold(decoded(encoded(list(events))))
    assert again.choices[0].logprobs == {"content": [entry]}
    OfficialResponse.model_validate(found[-1]["response"])


THINKER = Capabilities(reasoning="effort")


@pytest.mark.parametrize("name", sorted(samples.REQUESTS))
def test_the_official_types_accept_a_request_of_another_wire(name: str) -> None:
    request = replace(samples.REQUESTS[name], dialect="openai_chat", logprobs=True, top_logprobs=2)
    rendered = DIALECT.render_request(replace(request, reasoning=Reasoning("low", visible=True)), THINKER)
    payload = decode(encode(rendered.payload))
    REQUEST.validate_python(payload, strict=False)
    assert payload["store"] is False
    assert payload["include"] == ["reasoning.encrypted_content", "message.output_text.logprobs"]


SEEDS: list[dict[str, Any]] = [
    {
        "model": "m",
        "instructions": "i",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "u", "detail": "low"}]},
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "e"},
            {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "t", "annotations": []}]},
            {"type": "function_call", "id": "f", "call_id": "c", "name": "n", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "r"}]},
            {"type": "item_reference", "id": "x"},
        ],
        "tools": [{"type": "function", "name": "n", "parameters": {}, "strict": True}, {"type": "web_search"}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "n"}]},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "previous_response_id": "p",
        "max_output_tokens": 5,
    },
    {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "output": [
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "e"},
            {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "t", "annotations": [{}]}]},
            {"type": "function_call", "id": "f", "call_id": "c", "name": "n", "arguments": "{}"},
            {"type": "web_search_call", "id": "w"},
        ],
        "usage": {"input_tokens": 1, "input_tokens_details": {"cached_tokens": 1}, "output_tokens": 2, "total_tokens": 3},
        "tool_usage": {"web_search": {"num_requests": 2}},
    },
]
JUNK = ["null", "true", "0", "-1", "1.5", '""', '"auto"', "[]", "{}", "[null]", "[[]]", '{"type":null}', '{"type":"text"}', "[{}]"]


@st.composite
def mutated(draw: st.DrawFn, seed: Any) -> Any:
    """A seed with some places replaced by junk or removed."""
    value = json.loads(json.dumps(seed))
    for _ in range(draw(st.integers(1, 3))):
        spot, key = value, draw(st.sampled_from(sorted(value)))
        while isinstance(spot[key], dict | list) and spot[key] and draw(st.integers(0, 3)):
            spot = spot[key]
            key = draw(st.sampled_from(sorted(spot))) if isinstance(spot, dict) else draw(st.integers(0, len(spot) - 1))
        if isinstance(spot, dict) and draw(st.booleans()):
            del spot[key]
        else:
            spot[key] = json.loads(draw(st.sampled_from(JUNK)))
        if not value:
            break
    return value


@given(mutated(SEEDS[0]))
@settings(deadline=None, max_examples=400)
def test_malformed_requests_raise_only_wire_errors_and_others_go_back_equal(body: Any) -> None:
    try:
        request = DIALECT.parse_request(encode(body), "")
    except WireError as error:
        assert error.fault == "remote" and error.param
        return
    assert decode(encode(DIALECT.render_request(request, ANY_MODEL).payload)) == body
    try:
        DIALECT.render_request(replace(request, dialect="openai_chat"), ANY_MODEL)
    except Unsupported as refusal:
        assert refusal.param


@given(mutated(SEEDS[1]))
@settings(deadline=None, max_examples=400)
def test_malformed_answers_raise_only_wire_or_provider_errors(body: Any) -> None:
    try:
        response = DIALECT.parse_response(encode(body))
    except (WireError, ProviderError):
        return
    usage = response.usage
    assert usage is None or min(usage.input_total, usage.output_total, *usage.fees.values(), 0) == 0
    assert DIALECT.render_response(response)


STREAM: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "resp_1", "model": "m", "created_at": 1, "output": []}},
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "r", "summary": []}},
    {"type": "response.reasoning_summary_text.delta", "output_index": 0, "item_id": "r", "summary_index": 0, "delta": "t"},
    {"type": "response.output_item.added", "output_index": 1, "item": {"type": "message", "id": "m", "role": "assistant", "content": []}},
    {
        "type": "response.content_part.added",
        "output_index": 1,
        "item_id": "m",
        "content_index": 0,
        "part": {"type": "output_text", "text": ""},
    },
    {"type": "response.output_text.delta", "output_index": 1, "item_id": "m", "content_index": 0, "delta": "a", "logprobs": []},
    {
        "type": "response.output_text.annotation.added",
        "output_index": 1,
        "item_id": "m",
        "content_index": 0,
        "annotation_index": 0,
        "annotation": {"type": "x"},
    },
    {
        "type": "response.output_item.done",
        "output_index": 1,
        "item": {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "ab"}]},
    },
    {
        "type": "response.output_item.added",
        "output_index": 2,
        "item": {"type": "function_call", "call_id": "c", "name": "n", "arguments": ""},
    },
    {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{}"},
    {"type": "response.completed", "response": {"status": "completed", "output": [], "usage": {"input_tokens": 1, "output_tokens": 2}}},
]


def test_the_seed_stream_is_read() -> None:
    answer = fold(decoded(b"".join(b"data: %b\n\n" % encode(event) for event in STREAM)))
    assert (answer.text, answer.tool_calls[0].arguments, answer.finish) == ("ab", "{}", Finish.TOOL_CALLS)


@given(st.integers(0, len(STREAM) - 1).flatmap(lambda place: st.tuples(st.just(place), mutated(STREAM[place]))))
@settings(deadline=None, max_examples=400)
def test_malformed_streams_raise_only_wire_errors(change: tuple[int, Any]) -> None:
    place, junk = change
    events = [junk if number == place else event for number, event in enumerate(STREAM)]
    try:
        read = decoded(b"".join(b"data: %b\n\n" % encode(event) for event in events))
    except WireError as error:
        assert error.fault == "remote"
        return
    fold(read)


@given(
    st.integers(100, 599),
    st.one_of(st.binary(max_size=60), st.sampled_from(JUNK).map(str.encode), mutated({"error": {"type": "x"}}).map(encode)),
)
@settings(deadline=None)
def test_reading_an_error_never_raises(status: int, body: bytes) -> None:
    error = DIALECT.parse_error(status, {"retry-after": "soon"}, body)
    assert error.status == status and error.message


def test_surrogate_halves_are_joined_over_events() -> None:
    def delta(text: str) -> bytes:
        event = {"type": "response.output_text.delta", "output_index": 0, "item_id": "m", "content_index": 0, "delta": text}
        return b"data: " + json.dumps(event).encode() + b"\n\n"

    end = b"data: " + encode({"type": "response.completed", "response": {"status": "completed", "output": []}}) + b"\n\n"
    assert fold(decoded(delta("a\ud83d") + delta("\ude00b") + end)).text == "a\U0001f600b"
    assert fold(decoded(delta("a\ud83d") + end)).text == "a\ufffd"


def test_a_request_of_nowhere_keeps_encrypted_thoughts_of_this_wire() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gAAA"}
    body = {"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": [item]}
    answer = DIALECT.parse_response(encode(body))
    turn = replace(samples.PLAIN.messages[0], role="assistant", content=answer.choices[0].content)
    request = Request(model="m", messages=(*samples.PLAIN.messages, turn))
    assert item in DIALECT.render_request(request, ANY_MODEL).payload["input"]
    foreign = DIALECT.render_request(replace(request, dialect="anthropic_messages"), ANY_MODEL)
    assert item not in foreign.payload["input"] and foreign.notes
