"""Laws of Ollama's chat dialect over generated values, and hostile input."""

from __future__ import annotations

import contextlib
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.dialects.base import StreamContext
from headgate.dialects.ollama_chat import DIALECT
from headgate.dialects.ollama_chat.words import NAME
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.content import Block, Media, Text, Thinking, ToolCall, ToolResult
from headgate.domain.events import Failed, Finished, StreamEvent
from headgate.domain.fold import fold
from headgate.domain.request import HostedTool, Message, Reasoning, Request, ResponseFormat, Tool
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage
from headgate.errors import HeadgateError, ProviderError, Truncated, Unsupported, WireError
from headgate.wire.json import Json, JsonObject, decode, encode, encode_text

replace = msgspec.structs.replace
words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
names = st.from_regex(r"[a-z_][a-z0-9_]{0,10}", fullmatch=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(names, json_values, max_size=3)
arguments = objects.map(encode_text)
images = st.builds(lambda data: Media("image", "image/png", data="iVBOR" + data), names)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns as this wire has them: images before the text, thoughts before it, calls after; results by id."""
    messages: list[Message] = [Message("system", (Text(draw(words)),))] if draw(st.booleans()) else []
    for number in range(draw(st.integers(1, 3))):
        messages.append(Message("user", (*draw(st.lists(images, max_size=2)), Text(draw(words)))))
        said: list[Block] = [*draw(st.lists(st.builds(Thinking, words), max_size=1)), *draw(st.lists(st.builds(Text, words), max_size=1))]
        calls = [ToolCall(f"c{number}_{i}", name, draw(arguments)) for i, name in enumerate(draw(st.lists(names, max_size=2)))]
        messages.append(Message("assistant", (*said, *calls)))
        messages += [Message("tool", (ToolResult(call.id, (Text(draw(words)),), call.name),)) for call in calls]
    return tuple(messages)


numbers = st.none() | st.integers(-5, 5) | st.floats(-10, 10)
counts = st.none() | st.integers(0, 99)
requests = st.builds(
    Request,
    model=names,
    messages=conversations(),
    tools=st.lists(
        st.builds(Tool, names, st.none() | words, st.none() | objects)
        | st.builds(lambda kind: HostedTool("x" + kind, {"type": "x" + kind}, NAME), names),
        max_size=2,
    ).map(tuple),
    max_tokens=counts,
    temperature=numbers,
    top_p=numbers,
    top_k=counts,
    seed=counts,
    stop=st.lists(words, max_size=3).map(tuple),
    presence_penalty=numbers,
    frequency_penalty=numbers,
    logprobs=st.none() | st.booleans(),
    top_logprobs=counts,
    response_format=st.none() | st.just(ResponseFormat("json_object")) | st.builds(lambda s: ResponseFormat("json_schema", s), objects),
    reasoning=st.sampled_from([None, Reasoning(mode="enabled"), Reasoning(mode="disabled"), Reasoning(effort="high")]),
    stream=st.booleans(),
    extra=st.sampled_from([None, {"keep_alive": 0}, {"options": {"min_p": 0.0, "num_ctx": 4096}}, {"x_new": [], "truncate": True}]),
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
    foreign = replace(request_, dialect="openai_chat", tools=tuple(tool for tool in request_.tools if isinstance(tool, Tool)))
    first = encode(DIALECT.render_request(foreign, ANY_MODEL).payload)
    assert encode(DIALECT.render_request(foreign, ANY_MODEL).payload) == first
    assert b"x_new" not in first and b"min_p" not in first
    assert msgspec.json.encode(request_) == before


spellings: dict[str, st.SearchStrategy[Json]] = {
    "messages": st.sampled_from(
        [
            None,
            [],
            [{"role": "USER", "content": "a", "x": 1}],
            [{"role": "user", "content": "", "images": [], "thinking": ""}, {"role": "assistant", "content": None, "tool_calls": []}],
            [
                {
                    "role": "assistant",
                    "tool_calls": [{"function": {"name": "f"}}, {"function": {"name": "f", "arguments": None, "index": 1}}],
                }
            ],
            [{"role": "assistant", "tool_calls": [{"id": "", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}],
            [{"role": "tool", "content": "r"}, {"role": "tool", "content": "", "tool_name": "f", "tool_call_id": "", "images": ["AA"]}],
            [{"role": "tool", "tool_name": None, "tool_calls": None, "thinking": None, "images": None}],
        ]
    ),
    "tools": st.sampled_from(
        [None, [], [{"function": {"name": "f", "description": None}}], [{"type": "function", "function": {"name": "f"}, "items": 1}]]
    ),
    "format": st.sampled_from([None, "", "json", {}, {"type": "object"}, 1]),
    "options": st.sampled_from(
        [
            None,
            {},
            {"stop": []},
            {"stop": "a"},
            {"stop": ["a"]},
            {"num_predict": -1},
            {"num_predict": 0, "seed": 1.5, "top_k": 2.0, "num_gpu": None},
        ]
    ),
    "stream": st.sampled_from([None, True, False]),
    "think": st.sampled_from([None, True, False, "", "low", "max", 3]),
    "keep_alive": st.sampled_from([None, "5m", -1, 0]),
    "logprobs": st.sampled_from([None, True, 1]),
    "top_logprobs": st.sampled_from([None, 0, 2, "2"]),
    "shift": st.sampled_from([None, False]),
    "x_unknown": st.none() | objects,
}


@given(st.fixed_dictionaries({"model": names}, optional=spellings))
def test_any_spelling_of_a_request_is_written_back(body: JsonObject) -> None:
    request = DIALECT.parse_request(encode(body), "/api/chat")
    rendered = DIALECT.render_request(request, ANY_MODEL)
    assert decode(encode(rendered.payload)) == body
    assert rendered.notes == ()
    assert request.stream is (body.get("stream") is not False)


calls = st.builds(ToolCall, names, names, arguments)
contents = st.tuples(
    st.lists(st.builds(Thinking, words), max_size=1), st.lists(st.builds(Text, words), max_size=1), st.lists(calls, max_size=3)
).map(lambda parts: tuple(block for part in parts for block in part))


@st.composite
def answers(draw: st.DrawFn) -> Response:
    """Answers as this wire has them."""
    content = draw(contents)
    called = any(isinstance(block, ToolCall) for block in content)
    finish = draw(st.sampled_from([Finish.TOOL_CALLS if called else Finish.STOP, Finish.LENGTH, Finish.CONTENT_FILTER, Finish.ERROR]))
    native = {Finish.TOOL_CALLS: "stop"}.get(finish, finish.value)
    prompt, cached, said = draw(st.tuples(st.integers(1, 99), st.integers(0, 9), st.integers(0, 99)))
    cached = min(cached, prompt)
    metrics = {"prompt_eval_count": prompt, "prompt_eval_cached_count": cached, "eval_count": said, "total_duration": 5_000_000_000}
    usage = Usage(input_uncached=prompt - cached, cache_read=cached, output_text=said, native=metrics)
    logprobs = draw(st.sampled_from([None, {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]}]))
    return Response(
        model=draw(names),
        choices=(Choice(0, content, finish, native, logprobs=logprobs),),
        usage=usage,
        created=1_780_000_000,
        dialect=NAME,
        extra={"created_at": "2026-05-28T20:26:40.123456789Z"},
    )


@given(answers())
def test_an_answer_comes_back_from_its_wire(response: Response) -> None:
    assert DIALECT.parse_response(DIALECT.render_response(response)) == response


def events_of(data: bytes) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    return decoder.feed(data) + decoder.close()


@given(answers())
def test_a_streamed_answer_folds_to_the_whole_one(response: Response) -> None:
    data = DIALECT.render_response(response) + b"\n"
    assert fold(events_of(data), NAME) == response


def essence(response: Response) -> Response:
    """An answer without what is written by the server that happens to answer."""
    assert response.usage is not None
    return replace(response, usage=replace(response.usage, native=None), extra=None)


@given(answers())
def test_encoded_events_decode_to_the_same_answer(response: Response) -> None:
    events = events_of(DIALECT.render_response(response) + b"\n")
    encoder = DIALECT.stream_encoder(StreamContext("m", "i", 0))
    wire = b"".join(map(encoder.render_event, events)) + encoder.close()
    again = fold(events_of(wire), NAME)
    assert [replace(call, extra=None) for call in again.tool_calls] == list(response.tool_calls)
    bare = replace(again, choices=(replace(again.choices[0], content=tuple(map(without_index, again.choices[0].content))),))
    assert essence(bare) == essence(response)
    lines = [decode(line) for line in wire.splitlines()]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]


def without_index(block: Block) -> Block:
    return replace(block, extra=None) if isinstance(block, ToolCall) else block


@given(answers(), st.lists(st.integers(0, 600), max_size=5))
def test_any_split_gives_the_same_events(response: Response, cuts: list[int]) -> None:
    encoder = DIALECT.stream_encoder(StreamContext("m", "i", 0))
    data = b"".join(map(encoder.render_event, events_of(DIALECT.render_response(response)))) + encoder.close()
    decoder = DIALECT.stream_decoder()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    events = [event for start, end in pairwise(edges) for event in decoder.feed(data[start:end])]
    assert events + decoder.close() == events_of(data)


@given(answers(), st.integers(0, 2000))
def test_a_cut_stream_never_looks_complete(response: Response, cut: int) -> None:
    encoder = DIALECT.stream_encoder(StreamContext("m", "i", 0))
    data = b"".join(map(encoder.render_event, events_of(DIALECT.render_response(response)))) + encoder.close()
    decoder = DIALECT.stream_decoder()
    events = decoder.feed(data[:cut])
    if cut >= len(data) - 1:
        assert isinstance((events + decoder.close())[-1], Finished)
    else:
        assert not decoder.complete and not any(isinstance(event, Finished) for event in events)
        with pytest.raises(Truncated):
            decoder.close()


FULL: JsonObject = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a", "images": ["iVBORAA"]},
        {
            "role": "assistant",
            "content": "",
            "thinking": "t",
            "tool_calls": [{"id": "c", "function": {"index": 0, "name": "f", "arguments": {"x": [1]}}}],
        },
        {"role": "tool", "content": "r", "tool_name": "f", "tool_call_id": "c"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "format": {"type": "object"},
    "options": {"num_ctx": 4096, "num_predict": 1, "temperature": 0, "stop": ["a"], "seed": 1},
    "think": "low",
    "stream": False,
    "logprobs": True,
    "top_logprobs": 1,
}
ANSWER: JsonObject = {
    "model": "m",
    "created_at": "2026-01-01T00:00:00Z",
    "message": {
        "role": "assistant",
        "content": "a",
        "thinking": "t",
        "images": ["AA"],
        "tool_calls": [{"function": {"name": "f", "arguments": {}}}],
    },
    "logprobs": [{"token": "a", "logprob": -1, "top_logprobs": [{"token": "b", "logprob": -2}]}],
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 1,
    "eval_count": 2,
}
ERROR: JsonObject = {"error": "words", "code": "c", "type": "t", "status": 400, "signin_url": "https://example.org"}


@st.composite
def mutated(draw: st.DrawFn, value: JsonObject) -> Json:
    """`value` with a few places replaced, removed, or given an unknown key."""
    spoiled = decode(encode(value))
    for _ in range(draw(st.integers(1, 3))):
        node = spoiled
        while isinstance(node, dict | list) and node:
            key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            if draw(st.booleans()) and isinstance(node[key], dict | list):
                node = node[key]
                continue
            node[key] = draw(json_values | st.just({"x": 1}))
            break
    return spoiled


@given(mutated(FULL))
def test_hostile_requests_are_read_or_refused_and_what_is_read_is_written_back(body: Json) -> None:
    try:
        request = DIALECT.parse_request(encode(body), "")
    except WireError as error:
        assert error.param
        return
    with contextlib.suppress(ProviderError):  # a mutated context may be tiny
        assert decode(encode(DIALECT.render_request(request, ANY_MODEL).payload)) == body
    with contextlib.suppress(Unsupported):
        DIALECT.render_request(replace(request, dialect="elsewhere"), ANY_MODEL)


@given(mutated(ANSWER))
def test_hostile_answers_are_read_or_refused_and_what_is_read_is_written_back(body: Json) -> None:
    data = encode(body)
    try:
        response = DIALECT.parse_response(data)
    except (WireError, ProviderError):
        return
    assert decode(DIALECT.render_response(response)) == body
    DIALECT.render_response(replace(response, dialect="elsewhere"))
    with contextlib.suppress(HeadgateError):
        encoder = DIALECT.stream_encoder(StreamContext("m", "i", 0))
        assert all(decode(line) for event in events_of(data) for line in encoder.render_event(event).splitlines())


@given(mutated(ERROR), st.integers(300, 599))
def test_hostile_errors_are_classified(body: Json, status: int) -> None:
    error = DIALECT.parse_error(status, {}, encode(body))
    assert error.message and error.status == status
    events = DIALECT.stream_decoder().feed(encode({**body, "error": "e"}) + b"\n")
    assert isinstance(events[0], Failed)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_error_or_an_answer(data: bytes) -> None:
    for read in (DIALECT.parse_response, lambda body: DIALECT.parse_request(body, ""), events_of):
        with contextlib.suppress(HeadgateError):
            read(data)
    assert DIALECT.parse_error(500, {}, data).message


def test_lone_surrogates_and_nul_are_kept_valid() -> None:
    body = b'{"model":"m","message":{"role":"assistant","content":"a\\u0000\\ud83d","tool_calls":[]},"done":true}'
    assert DIALECT.parse_response(body).text == "a\0\ufffd"
    assert fold(events_of(body)).text == "a\0\ufffd"
    request = DIALECT.parse_request(b'{"model":"m","messages":[{"role":"user","content":"\\ude00\\u0000"}]}', "")
    assert DIALECT.render_request(request, ANY_MODEL).payload["messages"][0]["content"] == "\ufffd\0"
