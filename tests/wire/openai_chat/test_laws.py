"""Laws of the chat completions dialect, and hostile input."""

from __future__ import annotations

import copy
import importlib.util
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from headgate.dialects.base import StreamContext
from headgate.dialects.openai_chat import DIALECT
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.content import Block, Refusal, Text, Thinking, ToolCall
from headgate.domain.events import BlockStart, BlockStop, Delta, Finished, Ping, Signature, Start, StreamEvent, UsageSeen
from headgate.domain.fold import fold
from headgate.domain.request import Request
from headgate.domain.response import Response
from headgate.errors import ErrorKind, HeadgateError, ProviderError, Unsupported, WireError
from headgate.wire.json import decode, encode

_spec = importlib.util.spec_from_file_location("strategies_oc", Path(__file__).parents[1] / "strategies_openai_chat.py")
assert _spec is not None and _spec.loader is not None
strategies = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(strategies)

replace = msgspec.structs.replace
CONTEXT = StreamContext("gpt-x", "chatcmpl-1", 1700000000)


@given(strategies.requests())
def test_reading_what_was_written_gives_the_same_request(request_: Request) -> None:
    rendered = DIALECT.render_request(request_, ANY_MODEL)
    assert rendered.notes == ()
    assert DIALECT.parse_request(encode(rendered.payload), rendered.path) == request_


@given(strategies.requests())
def test_any_request_of_another_wire_is_written_without_its_keys_or_refused(request_: Request) -> None:
    foreign = replace(request_, dialect="elsewhere")
    try:
        rendered = DIALECT.render_request(foreign, Capabilities(audio=True, reasoning="effort"))
    except Unsupported as error:
        assert error.param
        return
    text = json.dumps(rendered.payload)
    assert '"x_' not in text and "cache_control" not in text and "thought_signature" not in text
    again = DIALECT.parse_request(encode(rendered.payload), rendered.path)
    assert [m.role for m in again.messages if m.role == "tool"] == [m.role for m in request_.messages if m.role == "tool"]


@given(strategies.responses())
def test_reading_what_was_written_gives_the_same_answer(response: Response) -> None:
    body = DIALECT.render_response(response)
    assert comparable(DIALECT.parse_response(body)) == comparable(response)
    ChatCompletion.model_validate_json(body)


def comparable(response: Response) -> Response:
    """An answer without its origin, its spelling, and the provider's own copy of its counts."""
    usage = None if response.usage is None else replace(response.usage, native=None)
    choices = tuple(replace(choice, form=()) for choice in response.choices)
    return replace(response, usage=usage, choices=choices, dialect="", extra=None, form=())


def events_of(response: Response, cut: random.Random) -> list[StreamEvent]:
    """An answer as the events of a stream of another wire: one block after the other, each string in two pieces."""
    events: list[StreamEvent] = [Start(response.id, response.model, response.created), Ping()]
    for choice in response.choices:
        for number, block in enumerate(choice.content):
            events += _block_events(number, block, choice.index, cut)
        events.append(Finished(choice.finish, choice.native_finish, choice.index, choice.stop_sequence))
    assert response.usage is not None
    return [*events, UsageSeen(response.usage, response.service_tier)]


def _block_events(number: int, block: Block, choice: int, cut: random.Random) -> list[StreamEvent]:
    whole = block.arguments if isinstance(block, ToolCall) else block.text if isinstance(block, Text | Thinking | Refusal) else ""
    heads: dict[type, Block] = {Text: Text(""), Refusal: Refusal(""), Thinking: Thinking()}
    head = replace(block, arguments="") if isinstance(block, ToolCall) else heads[type(block)]
    if isinstance(block, Thinking) and block.redacted is not None:
        return [BlockStart(number, block, choice), BlockStop(number, choice)]
    at = cut.randint(0, len(whole))
    events: list[StreamEvent] = [BlockStart(number, head, choice), Delta(number, whole[:at], choice), Delta(number, whole[at:], choice)]
    if isinstance(block, Thinking) and block.signature is not None:
        events.append(Signature(number, block.signature, choice))
    return [*events, BlockStop(number, choice)]


@given(strategies.responses(), st.randoms(use_true_random=False))
def test_a_streamed_answer_folds_to_the_answer_unstreamed(response: Response, cut: random.Random) -> None:
    encoder, decoder = DIALECT.stream_encoder(CONTEXT), DIALECT.stream_decoder()
    data = b"".join(map(encoder.render_event, events_of(response, cut))) + encoder.close()
    events = decoder.feed(data) + decoder.close()
    assert comparable(fold(events)) == comparable(DIALECT.parse_response(DIALECT.render_response(response))) == comparable(response)
    for line in data.split(b"\n\n"):
        if line.startswith(b"data: {"):
            ChatCompletionChunk.model_validate_json(line.removeprefix(b"data: "))


BODY: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": "data:a/b;base64,A"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}}]},
        {"role": "assistant", "content": None, "reasoning_details": [{"type": "reasoning.text", "text": "h"}], "refusal": None,
         "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
        {"role": "assistant", "content": "x", "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}],
         "function_call": {"name": "f", "arguments": ""}},
        {"role": "function", "name": "f", "content": "r"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}, "strict": True}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "functions": [{"name": "f"}],
    "function_call": {"name": "f"},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
    "stop": ["a"],
    "max_tokens": 1,
    "temperature": 0.5,
    "logprobs": True,
    "reasoning": {"effort": "low"},
    "stream_options": {"include_usage": True},
}  # fmt: skip
ANSWER: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "logprobs": None,
         "message": {**BODY["messages"][4], "content": [{"type": "text", "text": "t"}],
                     "extra_content": {"google": {"thought_signature": "s"}}}}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}},
}  # fmt: skip
CHUNK: dict[str, Any] = {
    "id": "c",
    "choices": [
        {"index": 0, "finish_reason": "stop", "logprobs": {"content": []},
         "delta": {"content": "x", "reasoning": "r", "refusal": "n", "function_call": {"name": "f", "arguments": "{}"},
                   "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}],
                   "tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}}
    ],
    "usage": {"prompt_tokens": 1},
    "x_groq": {"usage": {"prompt_tokens": 1}},
}  # fmt: skip

junk = st.sampled_from(
    [None, True, 0, -1, 1.5, 10**30, "", "x", "auto", [], [None], {}, {"type": "text"}, [{}], [[]], {"url": 7}, {"": ""}],
).map(copy.deepcopy)


@st.composite
def mutated(draw: st.DrawFn, start: dict[str, Any]) -> Any:
    """`start` with a few places replaced by junk, removed, or given a further key."""
    value: Any = json.loads(json.dumps(start))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(list(places(value))))
        home = value
        for step in path[:-1]:
            home = home[step]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "remove":
                del home[path[-1]]
            case "add" if isinstance(home, dict):
                home[draw(st.sampled_from(["index", "type", "content", "name", "reasoning", "zz"]))] = draw(junk)
            case _:
                home[path[-1]] = draw(junk)
        if not value:
            break
    return value


def places(value: Any, path: tuple[Any, ...] = ()) -> Any:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from places(inner, (*path, step))


@settings(max_examples=400)
@given(mutated(BODY))
def test_no_request_escapes_but_by_a_named_error_and_what_is_read_goes_back_equal(body: Any) -> None:
    try:
        request = DIALECT.parse_request(encode(body), "/chat/completions")
    except WireError as error:
        assert error.param and error.fault == "remote"
        return
    assert decode(encode(DIALECT.render_request(request, ANY_MODEL).payload)) == decode(encode(body))
    try:
        DIALECT.render_request(replace(request, dialect="elsewhere"), ANY_MODEL)
    except Unsupported as error:
        assert error.param


@settings(max_examples=400)
@given(mutated(ANSWER))
def test_no_answer_escapes_but_by_an_error_of_the_tree(body: Any) -> None:
    try:
        response = DIALECT.parse_response(encode(body))
    except HeadgateError as error:
        assert isinstance(error, WireError | ProviderError)
        return
    again = DIALECT.parse_response(DIALECT.render_response(response))
    assert replace(again, form=()) == replace(response, form=())
    DIALECT.render_response(replace(response, dialect="elsewhere"))


@settings(max_examples=400)
@given(st.lists(mutated(CHUNK), min_size=1, max_size=4), st.integers(1, 50))
def test_no_stream_escapes_but_by_a_wire_error(parts: list[Any], size: int) -> None:
    data = b"".join(b"data: " + encode(part) + b"\n\n" for part in parts) + b"data: [DONE]\n\n"
    decoder, whole = DIALECT.stream_decoder(), DIALECT.stream_decoder()
    try:
        events = whole.feed(data) + whole.close()
    except WireError:
        return
    assert [event for at in range(0, len(data), size) for event in decoder.feed(data[at : at + size])] + decoder.close() == events
    usage = fold(events).usage
    assert usage is None or min(usage.input_total, usage.output_total, usage.input_uncached, usage.output_text) >= 0
    encoder = DIALECT.stream_encoder(CONTEXT)
    assert all(line.startswith(b"data: ") for line in chunks(b"".join(map(encoder.render_event, events)) + encoder.close()))


def chunks(data: bytes) -> list[bytes]:
    return data.split(b"\n\n")[:-1]


@given(
    st.integers(100, 599),
    st.binary(max_size=40) | mutated({"error": {"message": "m", "type": "t", "code": "c", "param": None}}).map(encode),
)
def test_no_error_body_breaks_the_classifier(status: int, body: bytes) -> None:
    error = DIALECT.parse_error(status, {"retry-after": "NaN", "retry-after-ms": "-5"}, body)
    assert error.message and error.retry_after is None
    assert json.loads(DIALECT.render_error(error).body)["error"]["message"] == error.message


@given(st.binary(max_size=60))
@example(b'{"error":1}')
def test_bytes_that_are_nothing_of_ours_are_a_wire_error(body: bytes) -> None:
    """But for an answer that holds an error: that is the provider's."""
    with pytest.raises(WireError):
        DIALECT.parse_request(body, "")
    with pytest.raises((WireError, ProviderError)):
        DIALECT.parse_response(body)


CLASSES: list[tuple[int, dict[str, Any], ErrorKind]] = [
    (429, {"code": "insufficient_quota", "type": "insufficient_quota"}, ErrorKind.QUOTA),
    (429, {"code": "rate_limit_exceeded", "type": "tokens"}, ErrorKind.RATE_LIMIT),
    (400, {"code": "context_length_exceeded", "type": "invalid_request_error"}, ErrorKind.CONTEXT_LENGTH),
    (400, {"code": "content_filter"}, ErrorKind.CONTENT_FILTER),
    (400, {"code": "invalid_api_key"}, ErrorKind.AUTH),
    (401, {"type": "invalid_request_error"}, ErrorKind.AUTH),
    (403, {}, ErrorKind.PERMISSION),
    (404, {"code": "model_not_found"}, ErrorKind.NOT_FOUND),
    (408, {}, ErrorKind.TIMEOUT),
    (422, {}, ErrorKind.BAD_REQUEST),
    (498, {}, ErrorKind.OVERLOADED),
    (500, {"type": "server_error"}, ErrorKind.SERVER),
    (503, {}, ErrorKind.OVERLOADED),
    (504, {}, ErrorKind.TIMEOUT),
    (418, {"message": "rate_limit_exceeded insufficient_quota"}, ErrorKind.BAD_REQUEST),
    (599, {}, ErrorKind.SERVER),
]


@pytest.mark.parametrize(("status", "error", "kind"), CLASSES)
def test_case_86_to_88_errors_are_classified_by_tables_never_by_text(status: int, error: dict[str, Any], kind: ErrorKind) -> None:
    found = DIALECT.parse_error(
        status, {"x-request-id": "r", "retry-after": "7"}, json.dumps({"error": {"message": "m", **error}}).encode()
    )
    assert (found.kind, found.status, found.request_id, found.retry_after) == (kind, status, "r", 7.0)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":"why"}',
        b'{"message":"why"}',
        b'{"detail":"why"}',
        b'[{"error":{"message":"why"}}]',
        b'{"object":"error","message":"why","code":400}',
    ],
)
def test_every_envelope_gives_its_message(body: bytes) -> None:
    assert DIALECT.parse_error(400, {}, body).message == "why"


def test_a_page_instead_of_json_is_shown_in_part() -> None:
    error = DIALECT.parse_error(502, {}, b"<html>" + b"x" * 10_000)
    assert error.message.startswith("HTTP 502: <html>") and len(error.message) < 400 and len(error.body) == 4096


STATUSES: list[tuple[ErrorKind, int]] = [
    (ErrorKind.AUTH, 502),
    (ErrorKind.PERMISSION, 403),
    (ErrorKind.QUOTA, 503),
    (ErrorKind.RATE_LIMIT, 429),
    (ErrorKind.TIMEOUT, 504),
    (ErrorKind.CONNECTION, 503),
    (ErrorKind.SERVER, 503),
    (ErrorKind.OVERLOADED, 503),
    (ErrorKind.BAD_REQUEST, 400),
    (ErrorKind.CONTEXT_LENGTH, 400),
    (ErrorKind.CONTENT_FILTER, 400),
    (ErrorKind.NOT_FOUND, 404),
    (ErrorKind.UNSUPPORTED, 400),
    (ErrorKind.CANCELLED, 499),
    (ErrorKind.UNKNOWN, 502),
]


@pytest.mark.parametrize(("kind", "status"), STATUSES)
def test_case_85_and_93_an_upstream_error_in_this_surface_s_envelope(kind: ErrorKind, status: int) -> None:
    error = ProviderError(kind, "why", status=401, param="p", retry_after=1.2)
    rendered = DIALECT.render_error(error)
    body = json.loads(rendered.body)["error"]
    assert rendered.status == status and set(body) == {"message", "type", "param", "code"}
    assert (body["message"], body["param"]) == ("why", "p")
    headers = dict(rendered.headers)
    assert headers["retry-after"] == "2" and headers["x-should-retry"] == ("true" if error.transient else "false")


def test_every_kind_has_an_envelope() -> None:
    assert {kind for kind, _ in STATUSES} == set(ErrorKind)
    assert DIALECT.render_error(ProviderError(ErrorKind.AUTH, "your key", fault="client")).status == 401


def test_an_error_object_in_a_success_is_raised() -> None:
    with pytest.raises(ProviderError) as caught:
        DIALECT.parse_response(b'{"error":{"message":"busy","code":429},"choices":[]}')
    assert caught.value.kind is ErrorKind.RATE_LIMIT
