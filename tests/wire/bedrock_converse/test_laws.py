"""Laws of the Converse dialect, and hostile input."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.dialects.base import StreamContext
from headgate.dialects.bedrock_converse import DIALECT
from headgate.dialects.bedrock_converse.ids import original_id, was_encoded, wire_id
from headgate.dialects.bedrock_converse.words import FINISH, NAME, finish_of, has_calls
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.content import Block, Cache, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.domain.events import Annotate, BlockStart, BlockStop, Delta, Failed, Finished, Ping, Signature, Start, StreamEvent, UsageSeen
from headgate.domain.fold import fold
from headgate.domain.request import HostedTool, Message, Reasoning, Request, ResponseFormat, Tool, ToolChoice
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, ProviderError, Truncated, Unsupported, WireError
from headgate.wire.eventstream import FrameDecoder, encode_frame
from headgate.wire.json import decode, encode, encode_text

replace = msgspec.structs.replace

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names = st.text("abcXYZ019_-", min_size=1, max_size=12)
objects = st.dictionaries(words, st.one_of(st.integers(-1000, 1000), words, st.booleans(), st.none()), max_size=3)
caches = st.sampled_from([None, None, Cache(), Cache("1h")])
CITATION = {"location": {"web": {"url": "https://example.com"}}, "title": "t"}


def contents(*kinds: st.SearchStrategy[Block]) -> st.SearchStrategy[tuple[Block, ...]]:
    return st.lists(st.one_of(*kinds), min_size=1, max_size=3).map(tuple)


plain = st.builds(Text, words, caches)
texts = st.builds(
    Text, words, caches, st.none(), st.sampled_from([None, {"citations": [CITATION]}, {"guardContent": {"qualifiers": ["query"]}}])
)
calls = st.builds(ToolCall, names, names, objects.map(encode_text), caches)
thoughts = st.one_of(
    st.builds(Thinking, words, words), st.builds(Thinking, words), words.map(lambda w: Thinking(redacted=encode_text(w.encode().hex())))
)
media = st.one_of(
    st.builds(lambda data, cache: Media("image", "image/png", data=data, cache=cache), names, caches),
    st.builds(lambda uri: Media("video", "video/mp4", url=f"s3://{uri}"), names),
    st.builds(lambda said, name: Media("document", "text/plain", text=said, name=name), words, names),
    st.builds(lambda data: Media("document", "application/pdf", data=data, name="d", extra={"citations": {"enabled": True}}), names),
)
opaque = st.builds(lambda name: Opaque({"toolUse": {"toolUseId": name, "name": name, "input": {}, "type": "server_tool_use"}}, NAME), names)
results = st.builds(
    ToolResult,
    names,
    contents(st.builds(Text, words), media.map(lambda m: replace(m, cache=None))),
    st.none(),
    st.sampled_from([None, True, False]),
    caches,
)


def talks() -> st.SearchStrategy[tuple[Message, ...]]:
    turn = st.one_of(
        st.builds(Message, st.just("user"), contents(texts, media, results)),
        st.builds(Message, st.just("assistant"), contents(texts, calls, thoughts, opaque)),
        st.builds(lambda content: Message("system", content, form="inline"), contents(plain)),
    )
    system = st.lists(st.builds(Message, st.just("system"), contents(plain)), max_size=1)
    return st.builds(lambda first, rest: tuple(first + rest), system, st.lists(turn, min_size=1, max_size=4))


schemas = objects.map(lambda properties: {"type": "object", "properties": properties})
tools = st.one_of(
    st.builds(Tool, names, st.none() | words, schemas, st.sampled_from([None, True, False]), caches),
    st.just(HostedTool("nova_grounding", {"systemTool": {"name": "nova_grounding"}}, NAME)),
)
choices = st.one_of(st.sampled_from([ToolChoice("auto"), ToolChoice("required")]), names.map(lambda name: ToolChoice("tool", (name,))))
reasonings = st.one_of(
    st.just((None, ())),
    st.builds(lambda n, form: (Reasoning(None, n, "enabled"), form), st.integers(1024, 9000), st.sampled_from([(), ("reasoning_config",)])),
    st.builds(lambda word: (Reasoning(word, None, "enabled"), ("reasoningConfig",)), st.sampled_from(["low", "high"])),
    st.builds(
        lambda word, shown: (Reasoning(word, None, "adaptive", shown), ()), st.sampled_from(["low", "max"]), st.sampled_from([None, True])
    ),
    st.just((Reasoning("high"), ())),
    st.just((Reasoning("high"), ("reasoning_effort",))),
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    reasoning, form = draw(reasonings)
    top_k = draw(st.none() | st.integers(0, 50))
    return Request(
        model=draw(words.filter(lambda word: "?" not in word)),
        messages=draw(talks()),
        tools=tuple(draw(st.lists(tools, max_size=2))),
        tool_choice=draw(st.none() | choices),
        max_tokens=draw(st.none() | st.integers(0, 9999)),
        temperature=draw(st.none() | st.sampled_from([0, 0.5, 1])),
        top_p=draw(st.none() | st.just(0.9)),
        top_k=top_k,
        stop=tuple(draw(st.lists(words, max_size=2))),
        response_format=draw(st.none() | schemas.map(lambda schema: ResponseFormat("json_schema", schema, "n"))),
        reasoning=reasoning,
        metadata=draw(st.none() | st.just({"team": "blue"})),
        service_tier=draw(st.sampled_from([None, "priority", "flex"])),
        stream=draw(st.sampled_from([None, True])),
        dialect=NAME,
        extra=draw(
            st.sampled_from([None, {"guardrailConfig": {"guardrailIdentifier": "g"}}, {"performanceConfig": {"latency": "optimized"}}])
        ),
        form=form if top_k is None or draw(st.booleans()) else (*form, "topK"),
    )


usages = st.builds(
    Usage,
    input_uncached=st.integers(0, 5000),
    cache_read=st.integers(0, 5000),
    cache_write_5m=st.integers(0, 5000),
    cache_write_1h=st.integers(0, 5000),
    output_text=st.integers(0, 5000),
)


def responses() -> st.SearchStrategy[Response]:
    said = st.builds(Text, words, st.none(), st.none(), st.sampled_from([None, {"citations": [CITATION]}]))
    content = contents(said, st.builds(ToolCall, names, names, objects.map(encode_text)), thoughts, opaque)
    choice = st.builds(
        lambda blocks, word, extra: Choice(0, blocks, finish_of(word, calls=has_calls(blocks)), word, extra=extra),
        content,
        st.sampled_from(sorted(FINISH)),
        st.sampled_from([{"metrics": {"latencyMs": 5}}, {"metrics": {"latencyMs": 0}, "trace": {"guardrail": {}}}]),
    )
    return st.builds(
        Response, choices=st.tuples(choice), usage=usages, service_tier=st.sampled_from([None, "priority"]), dialect=st.just(NAME)
    )


@given(requests())
@settings(deadline=None)
def test_reading_what_was_written_gives_the_same_request(request_: Request) -> None:
    rendered = DIALECT.render_request(request_, ANY_MODEL)
    assert rendered.notes == ()
    assert DIALECT.parse_request(encode(rendered.payload), rendered.path) == request_


@given(responses())
@settings(deadline=None)
def test_reading_what_was_written_gives_the_same_answer(response: Response) -> None:
    assert without_native(DIALECT.parse_response(DIALECT.render_response(response))) == response


def without_native(response: Response) -> Response:
    assert response.usage is not None
    return replace(response, usage=replace(response.usage, native=None))


def events_of(response: Response) -> list[StreamEvent]:
    """An answer as the events of a stream, each growing string in two pieces."""
    choice = response.choices[0]
    events: list[StreamEvent] = [Start()]
    for number, block in enumerate(choice.content):
        events += block_events(number, block)
    assert response.usage is not None
    return [*events, Finished(choice.finish, choice.native_finish, extra=choice.extra), UsageSeen(response.usage, response.service_tier)]


def block_events(number: int, block: Any) -> list[StreamEvent]:
    if isinstance(block, Opaque) or (isinstance(block, Thinking) and block.redacted is not None):
        return [BlockStart(number, block), BlockStop(number)]
    said = block.arguments if isinstance(block, ToolCall) else block.text
    head = replace(block, arguments="") if isinstance(block, ToolCall) else type(block)("")
    half = len(said) // 2
    events: list[StreamEvent] = [BlockStart(number, head), Delta(number, said[:half]), Delta(number, said[half:])]
    if isinstance(block, Thinking) and block.signature is not None:
        events.append(Signature(number, block.signature))
    if isinstance(block, Text):
        events += [Annotate(number, "citations", citation) for citation in (block.extra or {}).get("citations", ())]
    return [*events, BlockStop(number)]


def encoded(events: list[StreamEvent]) -> bytes:
    encoder = DIALECT.stream_encoder(StreamContext("fallback", "id", 0))
    return b"".join([encoder.render_event(event) for event in events]) + encoder.close()


def decoded(data: bytes) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    return decoder.feed(data) + decoder.close()


@given(responses())
@settings(deadline=None)
def test_a_written_stream_folds_to_the_same_answer_as_the_whole(response: Response) -> None:
    assert without_native(fold(decoded(encoded(events_of(response))), NAME)) == response


@given(responses(), st.lists(st.integers(1, 5000), max_size=6))
@settings(deadline=None)
def test_a_split_anywhere_gives_the_same_events(response: Response, cuts: list[int]) -> None:
    data = encoded(events_of(response))
    edges = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    decoder = DIALECT.stream_decoder()
    assert [event for start, end in pairwise(edges) for event in decoder.feed(data[start:end])] + decoder.close() == decoded(data)
    assert decoder.complete


@given(responses(), st.integers(0, 5000))
@settings(deadline=None)
def test_a_stream_is_complete_only_with_its_last_words(response: Response, cut: int) -> None:
    """A cut between `messageStop` and `metadata` loses the usage only; anywhere else it is an error."""
    data = encoded(events_of(response))
    frames = FrameDecoder().feed(data)
    last = len(encode_frame(frames[-1].headers, frames[-1].payload))
    decoder = DIALECT.stream_decoder()
    events = decoder.feed(data[: cut % len(data)])
    assert not decoder.complete
    if cut % len(data) == len(data) - last:
        assert isinstance((events + decoder.close())[-1], Finished) and decoder.complete
    else:
        with pytest.raises(Truncated):
            decoder.close()


@st.composite
def interleaved(draw: st.DrawFn) -> list[StreamEvent]:
    """Events of up to four blocks in any order that keeps each block's own, boundaries perhaps missing, as other wires send them."""
    heads = draw(st.lists(st.sampled_from(["text", "thinking", "call", "refusal"]), min_size=1, max_size=4))
    made = {
        "text": lambda n: Text(""),
        "thinking": lambda n: Thinking(),
        "call": lambda n: ToolCall(f"c.{n}", f"f{n}"),
        "refusal": lambda n: Refusal(""),
    }
    lanes: list[list[StreamEvent]] = []
    for number, kind in enumerate(heads):
        pieces = ['{"a":', f"{number}}}"] if kind == "call" else draw(st.lists(words, max_size=3))
        lane: list[StreamEvent] = [BlockStart(number, made[kind](number)), *[Delta(number, piece) for piece in pieces]]
        lanes.append(lane + ([BlockStop(number)] if draw(st.booleans()) else []))
    events: list[StreamEvent] = [Start("x", "m"), Ping()]
    while any(lanes):
        lane = draw(st.sampled_from([lane for lane in lanes if lane]))
        events.append(lane.pop(0))
    return [*events, Finished(Finish.TOOL_CALLS if "call" in heads else Finish.STOP)]


@given(interleaved())
@settings(deadline=None)
def test_blocks_are_well_nested_and_nothing_is_lost(events: list[StreamEvent]) -> None:
    data = encoded(events)
    current, following = None, 0
    kinds = []
    for frame in FrameDecoder().feed(data):
        kind, wire = frame.text(":event-type"), decode(frame.payload)
        kinds.append(kind)
        if kind.startswith("contentBlock"):
            current = following if current is None else current
            assert wire["contentBlockIndex"] == current
            if kind == "contentBlockStop":
                current, following = None, following + 1
    assert kinds[0] == "messageStart" and kinds[-2:] == ["messageStop", "metadata"] and current is None
    before, after = fold(events), fold(decoded(data))
    said = "".join(block.text for block in before.choices[0].content if isinstance(block, Text | Refusal))
    assert sorted(after.text) == sorted(said)
    assert {call.id: call.arguments for call in after.tool_calls} == {call.id: call.arguments for call in before.tool_calls}


@given(interleaved(), st.sampled_from(list(ErrorKind)), st.integers(1, 20))
@settings(deadline=None)
def test_nothing_follows_a_failure(events: list[StreamEvent], kind: ErrorKind, place: int) -> None:
    place = place % len(events)
    data = encoded([*events[:place], Failed(ProviderError(kind, "no")), *events[place:]])
    frames = FrameDecoder().feed(data)
    assert frames[-1].text(":message-type") == "exception"
    assert sum(frame.text(":message-type") == "exception" for frame in frames) == 1
    found = decoded(data)[-1]
    assert isinstance(found, Failed) and found.error.message == "no"


@given(st.text(max_size=90))
def test_call_ids_fit_and_come_back(identifier: str) -> None:
    made = wire_id(identifier)
    assert 1 <= len(made) <= 64 and set(made) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert original_id(made) == identifier or made.startswith("hgd-")
    assert wire_id(original_id(made)) == made and was_encoded(made) == (original_id(made) != made)


@given(st.lists(st.text("ab.é-", max_size=4).map(lambda word: f"hgx-{word}") | st.text(max_size=5), unique=True, max_size=8))
def test_different_call_ids_stay_different(identifiers: list[str]) -> None:
    assert len({wire_id(identifier) for identifier in identifiers}) == len(identifiers)


SEEDS: list[Any] = [
    {
        "system": [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": "a"},
                    {"image": {"format": "png", "source": {"bytes": "AA=="}}},
                    {"document": {"format": "pdf", "name": "n", "source": {"s3Location": {"uri": "s3://b/k"}}, "context": "c"}},
                    {"guardContent": {"text": {"text": "g", "qualifiers": ["query"]}}},
                    {"cachePoint": {"type": "default"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}},
                    {"reasoningContent": {"redactedContent": "AA=="}},
                    {"toolUse": {"toolUseId": "i", "name": "n", "input": {"a": 1}}},
                    {"citationsContent": {"content": [{"text": "c"}], "citations": [CITATION]}},
                ],
            },
            {
                "role": "user",
                "content": [{"toolResult": {"toolUseId": "i", "content": [{"text": "r"}, {"json": {"a": 1}}], "status": "error"}}],
            },
            {"role": "system", "content": [{"text": "late"}]},
        ],
        "inferenceConfig": {"maxTokens": 5, "temperature": 0, "topP": 0.5, "stopSequences": ["x"]},
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": "n", "description": "d", "inputSchema": {"json": {"type": "object"}}}},
                {"systemTool": {"name": "x"}},
            ],
            "toolChoice": {"tool": {"name": "n"}},
        },
        "additionalModelRequestFields": {
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "top_k": 3,
            "inferenceConfig": {"topK": 2},
        },
        "outputConfig": {
            "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "n", "schema": '{"type": "object"}'}}},
            "effort": "low",
        },
        "requestMetadata": {"a": "b"},
        "serviceTier": {"type": "flex"},
        "performanceConfig": {"latency": "optimized"},
    },
    {
        "output": {"message": {"role": "assistant", "content": [{"text": "a"}, {"toolUse": {"toolUseId": "i", "name": "n", "input": {}}}]}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 1, "outputTokens": 2, "cacheDetails": [{"ttl": "1h", "inputTokens": 3}], "serverToolUsage": {"x": 1}},
        "metrics": {"latencyMs": 3},
        "serviceTier": {"type": "default"},
        "additionalModelResponseFields": {"delta": {"stop_sequence": "x"}},
    },
]
JUNK = ["null", "true", "0", "-1", "1.5", '""', '"auto"', "[]", "{}", "[null]", "[[]]", '{"type":null}', '{"text":1}', '{"new":{}}', "[{}]"]


@st.composite
def mutated(draw: st.DrawFn, seed: Any) -> Any:
    """A seed with some places replaced by junk or removed."""
    value = json.loads(json.dumps(seed))
    for _ in range(draw(st.integers(1, 3))):
        spot, key = value, draw(st.sampled_from(sorted(value)))
        while isinstance(spot[key], dict | list) and spot[key] and draw(st.integers(0, 4)):
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
@settings(deadline=None, max_examples=500)
def test_malformed_requests_raise_only_wire_errors(body: Any) -> None:
    try:
        request = DIALECT.parse_request(encode(body), "/model/m/converse")
    except WireError as error:
        assert error.fault == "remote"
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
    assert decode(DIALECT.render_response(response)) == body


STREAM: list[tuple[str, Any]] = [
    ("messageStart", {"role": "assistant", "p": "abc"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "a"}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"citation": CITATION}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "i", "name": "n"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"a":1}'}}}),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    ("contentBlockStart", {"contentBlockIndex": 2, "start": {"image": {"format": "png"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"image": {"source": {"bytes": "AA=="}}}}),
    ("contentBlockStop", {"contentBlockIndex": 2}),
    ("contentBlockDelta", {"contentBlockIndex": 3, "delta": {"reasoningContent": {"redactedContent": "AA=="}}}),
    ("contentBlockDelta", {"contentBlockIndex": 3, "delta": {"reasoningContent": {"redactedContent": "AQ=="}}}),
    ("contentBlockStop", {"contentBlockIndex": 3}),
    ("contentBlockDelta", {"contentBlockIndex": 4, "delta": {"reasoningContent": {"text": "t"}}}),
    ("contentBlockStart", {"contentBlockIndex": 5, "start": {"toolResult": {"toolUseId": "i", "type": "t"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 5, "delta": {"toolResult": [{"json": {}}]}}),
    ("messageStop", {"stopReason": "tool_use", "additionalModelResponseFields": {"stop_sequence": "x"}}),
    ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2}, "metrics": {"latencyMs": 1}, "serviceTier": {"type": "flex"}}),
]


def stream(events: list[tuple[str, Any]]) -> bytes:
    return b"".join(encode_frame({":message-type": "event", ":event-type": kind}, encode(wire)) for kind, wire in events)


def test_a_stream_with_every_kind_of_block() -> None:
    response = fold(decoded(stream(STREAM)), NAME)
    assert response.choices[0].content == (
        Text("a", extra={"citations": [CITATION]}),
        ToolCall("i", "n", '{"a":1}'),
        Media("image", "image/png", data="AA=="),
        Thinking(redacted="\0\1"),
        Thinking("t"),
        Opaque({"toolResult": {"toolUseId": "i", "type": "t", "content": [{"json": {}}]}}, NAME),
    )
    assert response.choices[0].stop_sequence == "x" and response.service_tier == "flex"
    again = fold(decoded(encoded(decoded(stream(STREAM)))), NAME)
    assert again.choices == response.choices


@given(st.integers(0, len(STREAM) - 1).flatmap(lambda place: st.tuples(st.just(place), mutated(STREAM[place][1]))))
@settings(deadline=None, max_examples=500)
def test_malformed_streams_raise_only_wire_errors(change: tuple[int, Any]) -> None:
    place, junk = change
    events = [(kind, junk if number == place else wire) for number, (kind, wire) in enumerate(STREAM)]
    try:
        fold(decoded(stream(events)))
    except WireError as error:
        assert error.fault == "remote"


@given(st.integers(100, 599), st.one_of(st.binary(max_size=60), st.sampled_from(JUNK).map(str.encode)), st.text(max_size=20))
@settings(deadline=None)
def test_reading_an_error_never_raises(status: int, body: bytes, kind: str) -> None:
    error = DIALECT.parse_error(status, {"retry-after": "soon", "x-amzn-errortype": kind}, body)
    assert error.status == status and error.message
    rendered = DIALECT.render_error(error)
    assert decode(rendered.body)["message"] and rendered.status != 401 and dict(rendered.headers)["x-amzn-errortype"]


@given(talks())
@settings(deadline=None)
def test_talks_of_no_wire_are_written_or_refused(talk: tuple[Message, ...]) -> None:
    try:
        payload = DIALECT.render_request(Request(model="m", messages=talk, max_tokens=10), ANY_MODEL).payload
    except Unsupported as refusal:
        assert refusal.param is not None and refusal.param.startswith("messages")
        return
    turns = decode(encode(payload))["messages"]
    assert turns and all(turn["content"] for turn in turns)
    assert all(one["role"] != other["role"] for one, other in pairwise(turns))
