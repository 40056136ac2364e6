"""Laws of the Messages dialect, and hostile input."""

from __future__ import annotations

import importlib.util
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from anthropic import types
from anthropic.lib.streaming._messages import accumulate_event
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.dialects.anthropic_messages import DIALECT
from headgate.dialects.base import StreamContext
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.content import Opaque, Refusal, Text, Thinking, ToolCall
from headgate.domain.events import Annotate, BlockStart, BlockStop, Delta, Finished, Signature, Start, StreamEvent, UsageSeen
from headgate.domain.fold import fold
from headgate.domain.request import Message, Request
from headgate.domain.response import Finish, Response
from headgate.errors import ProviderError, Unsupported, WireError
from headgate.wire.json import decode, encode

_spec = importlib.util.spec_from_file_location("strategies_am", Path(__file__).parents[1] / "strategies_anthropic_messages.py")
assert _spec is not None and _spec.loader is not None
strategies = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(strategies)

replace = msgspec.structs.replace


@given(strategies.requests())
@settings(deadline=None)
def test_reading_what_was_written_gives_the_same_request(request_: Request) -> None:
    rendered = DIALECT.render_request(request_, ANY_MODEL)
    assert rendered.notes == ()
    assert DIALECT.parse_request(encode(rendered.payload), rendered.path) == request_


@given(strategies.responses())
@settings(deadline=None)
def test_reading_what_was_written_gives_the_same_answer(response: Response) -> None:
    again = DIALECT.parse_response(DIALECT.render_response(response))
    assert again.usage is not None and response.usage is not None
    assert replace(again, usage=None) == replace(response, usage=None)
    assert replace(again.usage, native=None) == response.usage


def events_of(response: Response) -> list[StreamEvent]:
    """An answer as the events of a stream, each growing string in two pieces."""
    choice = response.choices[0]
    events: list[StreamEvent] = [Start(response.id, response.model)]
    for number, block in enumerate(choice.content):
        events += block_events(number, block)
    assert response.usage is not None
    return [*events, Finished(choice.finish, choice.native_finish), UsageSeen(response.usage, response.service_tier)]


def block_events(number: int, block: Any) -> list[StreamEvent]:
    if isinstance(block, Opaque) or (isinstance(block, Thinking) and block.redacted is not None):
        return [BlockStart(number, block), BlockStop(number)]
    words = block.arguments if isinstance(block, ToolCall) else block.text
    head = replace(block, arguments="") if isinstance(block, ToolCall) else type(block)("")
    half = len(words) // 2
    events: list[StreamEvent] = [BlockStart(number, head), Delta(number, words[:half]), Delta(number, words[half:])]
    if isinstance(block, Thinking) and block.signature is not None:
        events.append(Signature(number, block.signature))
    if isinstance(block, Text):
        events += [Annotate(number, "citations", citation) for citation in (block.extra or {}).get("citations", ())]
    return [*events, BlockStop(number)]


def uncached(response: Response) -> Response:
    """Answers carry no cache breakpoints in a stream."""
    choice = response.choices[0]
    blocks = tuple(replace(block, cache=None) if isinstance(block, Text | ToolCall) else block for block in choice.content)
    return replace(response, choices=(replace(choice, content=blocks),))


def encoded(events: list[StreamEvent]) -> bytes:
    encoder = DIALECT.stream_encoder(StreamContext("fallback", "msg_fallback", 0))
    return b"".join([encoder.render_event(event) for event in events]) + encoder.close()


def decoded(data: bytes) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    return decoder.feed(data) + decoder.close()


@given(strategies.responses())
@settings(deadline=None)
def test_a_written_stream_folds_to_the_same_answer_as_the_whole(response: Response) -> None:
    response = uncached(response)
    streamed = fold(decoded(encoded(events_of(response))), DIALECT.name)
    whole = DIALECT.parse_response(DIALECT.render_response(response))
    assert streamed.usage is not None and whole.usage is not None
    assert replace(streamed, usage=None) == replace(whole, usage=None)
    assert replace(streamed.usage, native=None) == replace(whole.usage, native=None)


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
    return [*events, Finished(Finish.TOOL_CALLS if "call" in heads else Finish.STOP)]


def joined(response: Response, kind: type) -> list[str]:
    return sorted(getattr(block, "text", "") for block in response.choices[0].content if isinstance(block, kind))


@given(interleaved())
@settings(deadline=None)
def test_any_interleaving_is_written_well_formed_and_loses_nothing(events: list[StreamEvent]) -> None:
    data = encoded(events)
    wires = [json.loads(line[6:]) for line in data.decode().split("\n") if line.startswith("data: ")]
    current, following = None, 0
    for wire in wires:
        if wire["type"] == "content_block_start":
            assert current is None and wire["index"] == following
            current = following
        elif wire["type"] == "content_block_delta":
            assert wire["index"] == current
        elif wire["type"] == "content_block_stop":
            assert wire["index"] == current
            current, following = None, following + 1
    assert current is None and [wire["type"] for wire in wires[-2:]] == ["message_delta", "message_stop"]
    before, after = fold(events), fold(decoded(data))
    assert sorted(after.text) == sorted(before.text)
    assert {call.id: call.arguments for call in after.tool_calls} == {call.id: call.arguments for call in before.tool_calls}
    for kind in (Thinking, Refusal):
        assert sorted("".join(joined(after, kind))) == sorted("".join(joined(before, kind)))


@given(interleaved())
@settings(deadline=None, max_examples=50)
def test_the_official_client_reads_what_is_written(events: list[StreamEvent]) -> None:
    snapshot: Any = None
    buffers: dict[int, Any] = {}
    for line in encoded(events).decode().split("\n"):
        if line.startswith("data: "):
            wire = json.loads(line[6:])
            kinds = {
                "message_start": types.RawMessageStartEvent,
                "content_block_start": types.RawContentBlockStartEvent,
                "content_block_delta": types.RawContentBlockDeltaEvent,
                "content_block_stop": types.RawContentBlockStopEvent,
                "message_delta": types.RawMessageDeltaEvent,
                "message_stop": types.RawMessageStopEvent,
            }
            event = kinds[wire["type"]].model_validate(wire)
            snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    before = fold(events)
    assert {block.id: block.input for block in snapshot.content if block.type == "tool_use"} == {
        call.id: decode(call.arguments) for call in before.tool_calls
    }
    assert sorted("".join(block.text for block in snapshot.content if block.type == "text")) == sorted(before.text)


@given(strategies.responses())
@settings(deadline=None, max_examples=50)
def test_the_official_types_accept_a_whole_answer(response: Response) -> None:
    types.Message.model_validate(decode(DIALECT.render_response(replace(response, dialect="openai_chat"))))


SEEDS = [
    {
        "model": "m",
        "max_tokens": 5,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image", "source": {"type": "url", "url": "u"}}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "redacted_thinking", "data": "d"},
                    {"type": "tool_use", "id": "i", "name": "n", "input": {"a": 1}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "i", "content": [{"type": "text", "text": "r"}]}]},
        ],
        "tools": [{"name": "n", "description": "d", "input_schema": {"type": "object"}}, {"type": "bash_20250124", "name": "bash"}],
        "tool_choice": {"type": "tool", "name": "n", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
        "output_format": {"type": "json_schema", "schema": {}},
        "metadata": {"user_id": "u"},
        "stop_sequences": ["x"],
        "temperature": 0.5,
    },
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "a", "citations": [{"type": "x"}]}, {"type": "tool_use", "id": "i", "name": "n", "input": {}}],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "stop_details": {"type": "refusal", "explanation": "no"},
        "usage": {
            "input_tokens": 1,
            "output_tokens": 2,
            "cache_creation": {"ephemeral_1h_input_tokens": 1},
            "server_tool_use": {"web_search_requests": 1},
            "iterations": [{"type": "compaction", "input_tokens": 3}],
        },
    },
]

JUNK = [
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    '""',
    '"auto"',
    "[]",
    "{}",
    "[null]",
    "[[]]",
    '{"type":null}',
    '{"type":"text"}',
    '{"type":"new"}',
    "[{}]",
]


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
def test_malformed_requests_raise_only_wire_errors(body: Any) -> None:
    try:
        request = DIALECT.parse_request(encode(body), "")
    except WireError as error:
        assert error.fault == "remote"
        return
    assert decode(encode(DIALECT.render_request(request, ANY_MODEL).payload)) == body or lenient(body)
    try:
        DIALECT.render_request(replace(request, dialect="openai_chat"), ANY_MODEL)
    except Unsupported as refusal:
        assert refusal.param


def lenient(body: Any) -> bool:
    """Bodies the provider refuses and reading repairs: a tool without its schema."""
    return any(isinstance(tool, dict) and "input_schema" not in tool for tool in body.get("tools") or ())


@given(mutated(SEEDS[1]))
@settings(deadline=None, max_examples=300)
def test_malformed_answers_raise_only_wire_or_provider_errors(body: Any) -> None:
    try:
        response = DIALECT.parse_response(encode(body))
    except (WireError, ProviderError):
        return
    usage = response.usage
    assert usage is None or min(usage.input_total, usage.output_total, *usage.fees.values(), 0) == 0
    assert DIALECT.render_response(response)


STREAM = [
    {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "server_tool_use", "id": "i", "name": "n", "input": {}}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a":1}'}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]


@given(st.integers(0, len(STREAM) - 1).flatmap(lambda place: st.tuples(st.just(place), mutated(STREAM[place]))))
@settings(deadline=None, max_examples=300)
def test_malformed_streams_raise_only_wire_errors(change: tuple[int, Any]) -> None:
    place, junk = change
    events = [junk if number == place else event for number, event in enumerate(STREAM)]
    try:
        decoded(b"".join(b"data: %b\n\n" % encode(event) for event in events))
    except WireError as error:
        assert error.fault == "remote"


@given(
    st.integers(100, 599),
    st.one_of(st.binary(max_size=60), st.sampled_from(JUNK).map(str.encode), mutated({"error": {"type": "x"}}).map(encode)),
)
@settings(deadline=None)
def test_reading_an_error_never_raises(status: int, body: bytes) -> None:
    error = DIALECT.parse_error(status, {"retry-after": "soon"}, body)
    assert error.status == status and error.message
    rendered = DIALECT.render_error(error)
    assert decode(rendered.body)["type"] == "error" and rendered.status != 401


@given(strategies.messages())
@settings(deadline=None)
def test_talks_of_no_wire_are_written_or_refused(talk: tuple[Message, ...]) -> None:
    request = Request(model="m", messages=talk, max_tokens=10)
    try:
        payload = DIALECT.render_request(request, ANY_MODEL).payload
    except Unsupported as refusal:
        assert refusal.param is not None and refusal.param.startswith("messages")
        return
    turns = decode(encode(payload))["messages"]
    assert turns and all(turn["content"] for turn in turns)
    assert all(one["role"] != other["role"] for one, other in pairwise(turns))
