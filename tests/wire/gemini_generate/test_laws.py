"""Laws of the Gemini dialect over generated values, and hostile input."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.dialects.base import StreamContext
from headgate.dialects.gemini_generate import DIALECT
from headgate.dialects.gemini_generate.names import NAME
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.content import Block, Media, Text, Thinking, ToolCall, ToolResult
from headgate.domain.events import Finished, StreamEvent
from headgate.domain.fold import fold
from headgate.domain.request import Message, Reasoning, Request, ResponseFormat, Tool, ToolChoice
from headgate.domain.response import Choice, Finish, Response
from headgate.errors import ProviderError, Unsupported, WireError
from headgate.wire.json import Json, JsonObject, decode, encode

PATH = "/v1beta/models/m:generateContent"
words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
names = st.from_regex(r"[a-z_][a-z0-9_]{0,10}", fullmatch=True)
numbers = st.integers(-5, 5) | st.floats(-10, 10)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(names, json_values, max_size=3)
arguments = st.one_of(st.just(""), objects.map(lambda value: encode(value).decode()))
signatures = st.none() | words
texts = st.builds(Text, words, signature=signatures)
media = st.one_of(
    st.builds(lambda data: Media("image", "image/png", data=data), words),
    st.builds(lambda uri: Media("document", "application/pdf", url=f"https://e.org/{uri}"), names),
    st.builds(lambda uri: Media("audio", "audio/wav", file_id=f"gs://b/{uri}"), names),
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns as this wire has them: calls are answered in the next turn, by id."""
    messages: list[Message] = [Message("system", (draw(texts),))] if draw(st.booleans()) else []
    for number in range(draw(st.integers(1, 3))):
        blocks: list[Block] = draw(st.lists(texts | media, min_size=1, max_size=2))
        messages.append(Message("user", tuple(blocks)))
        said: list[Block] = draw(st.lists(texts | st.builds(Thinking, words, signatures), max_size=2))
        calls = [
            ToolCall(f"c{number}_{i}", name, draw(arguments), signature=draw(signatures))
            for i, name in enumerate(draw(st.lists(names, max_size=2)))
        ]
        if said or calls:
            messages.append(Message("assistant", (*said, *calls)))
        if calls:
            messages.append(Message("user", tuple(ToolResult(c.id, (Text(draw(names)),), c.name) for c in calls)))
    return tuple(messages)


optional_numbers = st.none() | numbers
requests = st.builds(
    Request,
    model=names,
    messages=conversations(),
    tools=st.lists(st.builds(Tool, names, st.none() | words, st.none() | objects), max_size=2).map(tuple),
    tool_choice=st.none()
    | st.sampled_from([ToolChoice("auto"), ToolChoice("none"), ToolChoice("tool", ("a",)), ToolChoice("allowed", ("a", "b"))]),
    max_tokens=st.none() | st.integers(0, 99),
    temperature=optional_numbers,
    top_p=optional_numbers,
    top_k=st.none() | st.integers(0, 99),
    seed=st.none() | st.integers(0, 99),
    stop=st.lists(words, max_size=3).map(tuple),
    n=st.none() | st.integers(0, 4),
    logprobs=st.none() | st.booleans(),
    response_format=st.none() | st.builds(lambda schema: ResponseFormat("json_schema", schema), objects),
    reasoning=st.none() | st.builds(Reasoning, st.sampled_from([None, "low", "high"]), visible=st.none() | st.booleans()),
    stream=st.sampled_from([None, True]),
    dialect=st.just(NAME),
)


@given(requests)
def test_a_request_comes_back_from_its_wire(request_: Request) -> None:
    rendered = DIALECT.render_request(request_, ANY_MODEL)
    assert rendered.notes == ()
    assert DIALECT.parse_request(encode(rendered.payload), rendered.path) == request_


@given(requests)
def test_rendering_is_the_same_bytes_each_time_and_changes_nothing(request_: Request) -> None:
    before = msgspec.json.encode(request_)
    foreign = msgspec.structs.replace(request_, dialect="openai_chat")
    hears = Capabilities(audio=True)
    first = encode(DIALECT.render_request(foreign, hears).payload)
    assert encode(DIALECT.render_request(foreign, hears).payload) == first
    assert msgspec.json.encode(request_) == before


answer_blocks = st.lists(
    texts | st.builds(Thinking, words, signatures) | st.builds(ToolCall, names, names, arguments, signature=signatures), max_size=4
)
responses = st.builds(
    Response,
    id=names,
    model=names,
    choices=st.lists(answer_blocks, min_size=1, max_size=2).map(
        lambda found: tuple(Choice(i, tuple(blocks), *_end(blocks)) for i, blocks in enumerate(found))
    ),
    dialect=st.just(NAME),
)


def _end(blocks: list[Block]) -> tuple[Finish, str]:
    return (Finish.TOOL_CALLS if any(isinstance(block, ToolCall) for block in blocks) else Finish.STOP), "STOP"


@given(responses)
def test_an_answer_comes_back_from_its_wire(response: Response) -> None:
    assert DIALECT.parse_response(DIALECT.render_response(response)) == response


def events_of(data: bytes) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    return decoder.feed(data) + decoder.close()


def _continues(block: Block, last: Block | None) -> bool:
    """Whether a stream would say both as one block."""
    return type(last) is type(block) and isinstance(last, Text | Thinking) and last.signature is None


def joined(choices: tuple[Choice, ...]) -> list[tuple[object, ...]]:
    """What a stream can tell of an answer: neighbouring texts without a signature are one, arguments are values."""
    found: list[tuple[object, ...]] = []
    for choice in choices:
        blocks: list[Block] = []
        for block in choice.content:
            last = blocks[-1] if blocks else None
            if _continues(block, last) and isinstance(block, Text | Thinking) and isinstance(last, Text | Thinking):
                blocks[-1] = msgspec.structs.replace(block, text=last.text + block.text)
            elif isinstance(block, ToolCall):
                blocks.append(msgspec.structs.replace(block, arguments=encode(decode(block.arguments or "{}")).decode()))
            else:
                blocks.append(block)
        found.append((tuple(blocks), choice.finish, choice.native_finish))
    return found


@given(responses)
def test_a_streamed_answer_folds_to_the_whole_one(response: Response) -> None:
    whole = decode(DIALECT.render_response(response))
    data = b"data: " + encode(whole) + b"\r\n\r\n"
    assert joined(fold(events_of(data), NAME).choices) == joined(response.choices)


@given(responses)
def test_encoded_events_decode_to_the_same_answer(response: Response) -> None:
    events = events_of(b"data: " + DIALECT.render_response(response) + b"\r\n\r\n")
    encoder = DIALECT.stream_encoder(StreamContext("m", "i", 0))
    wire = b"".join(map(encoder.render_event, events)) + encoder.close()
    assert joined(fold(events_of(wire), NAME).choices) == joined(response.choices)


@given(responses, st.lists(st.integers(0, 400), max_size=5))
def test_any_split_gives_the_same_events(response: Response, cuts: list[int]) -> None:
    data = b"[" + DIALECT.render_response(response) + b"]"
    decoder = DIALECT.stream_decoder()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    events = [event for start, end in pairwise(edges) for event in decoder.feed(data[start:end])]
    assert events + decoder.close() == events_of(data)


@given(responses, st.integers(0, 2000))
def test_a_cut_stream_never_looks_complete(response: Response, cut: int) -> None:
    chunks = [decode(DIALECT.render_response(response))]
    data = b"".join(b"data: " + encode(chunk) + b"\r\n\r\n" for chunk in chunks)[:cut]
    decoder = DIALECT.stream_decoder()
    with contextlib.suppress(WireError):
        events = decoder.feed(data)
        events += decoder.close()
        assert sum(isinstance(event, Finished) for event in events) == len(response.choices)


FULL: JsonObject = {
    "systemInstruction": {"role": "user", "parts": [{"text": "s"}]},
    "contents": [
        {"role": "user", "parts": [{"text": "a"}, {"inline_data": {"mime_type": "image/png", "data": "AA"}}]},
        {"role": "model", "parts": [{"text": "t", "thought": True}, {"functionCall": {"id": "1", "name": "f", "args": {"x": [1]}}}]},
        {
            "role": "function",
            "parts": [{"functionResponse": {"name": "f", "response": {"result": "r"}, "parts": [{"fileData": {"fileUri": "u"}}]}}],
        },
    ],
    "tools": [
        {"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {"x": {"type": "ARRAY"}}}}]},
        {"googleSearch": {}},
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "generationConfig": {
        "temperature": 1,
        "stopSequences": ["x"],
        "responseMimeType": "application/json",
        "responseSchema": {"type": "OBJECT"},
        "thinkingConfig": {"thinkingLevel": "LOW", "thinkingBudget": 1, "includeThoughts": True},
    },
}
ANSWER: JsonObject = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "a", "thoughtSignature": "s"},
                    {"functionCall": {"name": "f", "partialArgs": [{"jsonPath": "$.a[0]", "stringValue": "x"}]}},
                ],
            },
            "finishReason": "STOP",
            "index": 0,
            "logprobsResult": {"chosenCandidates": [{"token": "a"}], "topCandidates": [{"candidates": [{"token": "b"}]}]},
        }
    ],
    "promptFeedback": {"blockReason": "SAFETY"},
    "usageMetadata": {"promptTokenCount": 1, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}]},
    "modelVersion": "m",
    "responseId": "r",
    "createTime": "2026-01-01T00:00:00Z",
}
ERROR: JsonObject = {
    "error": {
        "code": 429,
        "status": "RESOURCE_EXHAUSTED",
        "message": "m",
        "details": [{"reason": "API_KEY_INVALID"}, {"retryDelay": "1s"}, {"violations": [{"quotaId": "PerDay", "quotaValue": "0"}]}],
    }
}


@st.composite
def mutated(draw: st.DrawFn, value: Json) -> Json:
    """`value` with a few places replaced, removed, or given an unknown key."""
    spoiled = decode(encode(value))
    for _ in range(draw(st.integers(1, 3))):
        node = spoiled
        while isinstance(node, dict | list) and node:
            key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            inner = node[key]
            if not isinstance(inner, dict | list) or not inner or draw(st.integers(0, 3)) == 0:
                _spoil(draw, node, key)
                break
            node = inner
    return spoiled


def _spoil(draw: st.DrawFn, node: Json, key: Json) -> None:
    how = draw(st.integers(0, 2))
    if how == 0:
        node[key] = draw(json_values)
    elif how == 1:
        del node[key]
    elif isinstance(node, dict):
        node[draw(names)] = draw(json_values)


@settings(max_examples=300)
@given(mutated(FULL))
def test_mutated_requests_raise_nothing_but_wire_errors_and_come_back_equal(wire: Json) -> None:
    try:
        request = DIALECT.parse_request(encode(wire), PATH)
    except WireError as error:
        assert error.param
        return
    try:
        assert decode(encode(DIALECT.render_request(request, ANY_MODEL).payload)) == wire
        DIALECT.render_request(msgspec.structs.replace(request, dialect="openai_chat"), ANY_MODEL)
    except Unsupported as error:
        assert error.param


def _stream(data: bytes) -> object:
    return events_of(b"data: " + data + b"\n\n")


def _array(data: bytes) -> object:
    return events_of(b"[" + data + b"]")


@settings(max_examples=300)
@given(mutated(ANSWER), st.sampled_from([DIALECT.parse_response, _stream, _array]))
def test_mutated_answers_raise_nothing_but_wire_and_provider_errors(wire: Json, read: Callable[[bytes], object]) -> None:
    with contextlib.suppress(WireError, ProviderError):
        found = read(encode(wire))
        if isinstance(found, Response):
            DIALECT.render_response(found)
            DIALECT.render_response(msgspec.structs.replace(found, dialect=""))


@settings(max_examples=200)
@given(mutated(ERROR), st.integers(200, 599))
def test_parse_error_never_raises(wire: Json, status: int) -> None:
    error = DIALECT.parse_error(status, {"retry-after": "x"}, encode(wire))
    assert error.message
    assert DIALECT.render_error(error).status >= 400


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    assert DIALECT.parse_error(500, {}, data).transient
    for read in (DIALECT.parse_response, lambda body: DIALECT.parse_request(body, PATH), events_of):
        with contextlib.suppress(WireError):
            read(data)


def test_deep_nesting_is_refused() -> None:
    for depth in (100, 900, 5000):
        schema = b'{"type":"OBJECT","items":' * depth + b"{}" + b"}" * depth
        args = b'{"a":' * depth + b"{}" + b"}" * depth
        for body in (
            b'{"contents":[{"parts":[{"text":"a"}]}],"tools":[{"functionDeclarations":[{"name":"f","parameters":' + schema + b"}]}]}",
            b'{"contents":[{"parts":[{"functionCall":{"name":"f","args":' + args + b"}}]}]}",
        ):
            with contextlib.suppress(WireError):
                DIALECT.parse_request(body, PATH)
