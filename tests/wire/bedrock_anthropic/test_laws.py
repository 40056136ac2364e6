"""Claude behind InvokeModel: the Messages wire survives AWS's framing, and AWS's failures are understood."""

from __future__ import annotations

from base64 import b64encode
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.dialects import anthropic_messages
from headgate.dialects.base import StreamContext
from headgate.dialects.bedrock_anthropic import DIALECT
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.content import Opaque, Text
from headgate.domain.events import BlockStart, Delta, Failed, Finished, Ping, Start, StreamEvent
from headgate.domain.fold import fold
from headgate.domain.request import Request, user_message
from headgate.domain.response import Choice, Finish, Response
from headgate.errors import ErrorKind, ProviderError, Truncated, WireError
from headgate.testing import essence, samples
from headgate.wire.eventstream import FrameDecoder, encode_frame
from headgate.wire.json import Json, decode, encode

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
BODY = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
NATIVE = anthropic_messages.DIALECT


def encoded(events: list[StreamEvent], *, close: bool = True) -> bytes:
    encoder = DIALECT.stream_encoder(StreamContext("m", "msg_1", 0))
    return b"".join(encoder.render_event(event) for event in events) + (encoder.close() if close else b"")


def decoded(data: bytes) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    return decoder.feed(data) + decoder.close()


def chunk(wire: Json) -> bytes:
    return encode_frame({":message-type": "event", ":event-type": "chunk"}, encode({"bytes": b64encode(encode(wire)).decode(), "p": "abc"}))


@pytest.mark.parametrize("name", sorted(samples.REQUESTS))
@pytest.mark.parametrize("stream", [None, True])
def test_a_request_is_anthropics_in_another_envelope(name: str, stream: bool | None) -> None:
    request = samples.REQUESTS[name]
    changed = Request(**{field: getattr(request, field) for field in request.__struct_fields__} | {"model": CLAUDE, "stream": stream})
    rendered, native = DIALECT.render_request(changed, ANY_MODEL), NATIVE.render_request(changed, ANY_MODEL)
    body = decode(encode(rendered.payload))
    assert body.pop("anthropic_version") == "bedrock-2023-05-31"
    assert body == {key: value for key, value in decode(encode(native.payload)).items() if key not in ("model", "stream")}
    assert rendered.notes == native.notes
    quoted = CLAUDE.replace(":", "%3A")
    assert rendered.path == f"/model/{quoted}/{'invoke-with-response-stream' if stream else 'invoke'}"
    back = DIALECT.parse_request(encode(rendered.payload), rendered.path)
    assert (back.model, back.stream) == (CLAUDE, stream)
    assert essence.conversation(back) == essence.conversation(request)


@pytest.mark.parametrize("version", ["bedrock-2023-05-31", "bedrock-2030-01-01", None])
def test_a_version_comes_back_as_it_came(version: str | None) -> None:
    body = {**BODY, "anthropic_version": version}
    if version is None:
        del body["anthropic_version"]
    request = DIALECT.parse_request(encode(body), "/model/m/invoke")
    assert decode(encode(DIALECT.render_request(request, ANY_MODEL).payload)) == body
    assert "anthropic_version" not in NATIVE.render_request(request, ANY_MODEL).payload


@pytest.mark.parametrize("key", ["model", "stream"])
def test_what_the_path_says_may_not_stand_in_the_body(key: str) -> None:
    with pytest.raises(WireError) as caught:
        DIALECT.parse_request(encode({**BODY, key: True}), "/model/m/invoke")
    assert caught.value.param == key


def test_a_path_of_another_operation_is_refused() -> None:
    with pytest.raises(WireError, match="/model/MODEL/invoke-with-response-stream"):
        DIALECT.parse_request(encode(BODY), "/model/m/converse")


@pytest.mark.parametrize("name", sorted(samples.ANSWERS))
def test_whole_and_streamed_answers_keep_their_meaning(name: str) -> None:
    answer = samples.ANSWERS[name]
    assert DIALECT.render_response(answer) == NATIVE.render_response(answer)
    assert essence.answer(fold(decoded(encoded(samples.events_of(answer))))) == essence.answer(answer)


@given(st.lists(st.integers(1, 5000), max_size=8))
@settings(deadline=None)
def test_a_split_anywhere_gives_the_same_events(cuts: list[int]) -> None:
    data = encoded(list(samples.EVENTS))
    edges = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    decoder = DIALECT.stream_decoder()
    assert [event for start, end in pairwise(edges) for event in decoder.feed(data[start:end])] + decoder.close() == decoded(data)
    assert decoder.complete


@given(st.integers(0, 5000))
@settings(deadline=None)
def test_a_cut_stream_is_an_error(cut: int) -> None:
    data = encoded(list(samples.EVENTS))
    with pytest.raises(Truncated):
        decoded(data[: cut % len(data)])


def test_an_exception_ends_the_stream() -> None:
    whole = encoded(list(samples.EVENTS))
    frame = encode_frame({":message-type": "exception", ":exception-type": "throttlingException"}, b'{"message":"slow"}')
    decoder = DIALECT.stream_decoder()
    events = decoder.feed(frame + whole) + decoder.close()
    assert decoder.complete and len(events) == 1 and isinstance(events[0], Failed)
    assert (events[0].error.kind, events[0].error.message) == (ErrorKind.RATE_LIMIT, "slow")


def test_an_error_event_inside_a_chunk_ends_the_stream() -> None:
    events = decoded(chunk({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}))
    assert isinstance(events[0], Failed) and events[0].error.kind is ErrorKind.OVERLOADED


def test_failures_are_written_as_exceptions_and_nothing_follows() -> None:
    events = [Start(), BlockStart(0, Text("a")), Failed(ProviderError(ErrorKind.OVERLOADED, "busy")), Delta(0, "b"), Finished(Finish.STOP)]
    frames = FrameDecoder().feed(encoded(events))
    assert frames[-1].text(":exception-type") == "serviceUnavailableException" and decode(frames[-1].payload) == {"message": "busy"}
    frames = FrameDecoder().feed(encoded([Start(), Finished(Finish.ERROR, "broken"), Finished(Finish.STOP)]))
    assert [frame.text(":message-type") for frame in frames] == ["event", "exception"]


def test_signs_of_life_before_the_start_say_nothing() -> None:
    assert encoded([Ping()], close=False) == b""


@pytest.mark.parametrize("payload", [b"{}", b'{"bytes":1}', b'{"bytes":"!"}', b"[]", b"x"])
def test_malformed_chunks_raise_wire_errors(payload: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decoded(encode_frame({":message-type": "event", ":event-type": "chunk"}, payload))
    assert caught.value.fault == "remote"


def test_frames_of_other_kinds_are_passed_over() -> None:
    data = encode_frame({":message-type": "event", ":event-type": "new"}, b"{}") + encoded(list(samples.EVENTS))
    assert decoded(data) == decoded(encoded(list(samples.EVENTS)))


@pytest.mark.parametrize(
    ("body", "message"),
    [({"message": "no"}, "no"), ({"type": "error", "error": {"type": "api_error", "message": "oh"}}, "oh")],
)
def test_a_200_with_an_error_raises(body: Json, message: str) -> None:
    with pytest.raises(ProviderError) as caught:
        DIALECT.parse_response(encode(body))
    assert caught.value.message == message


def test_an_answer_without_usage_stays_without() -> None:
    wire = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": "end_turn",
        "stop_sequence": None,
    }
    assert decode(DIALECT.render_response(DIALECT.parse_response(encode(wire)))) == wire
    assert "usage" in decode(DIALECT.render_response(Response(choices=(Choice(0, (Text("a"),), Finish.STOP),))))


def test_a_request_read_here_goes_to_anthropic_as_it_is() -> None:
    block = {"type": "container_upload", "file_id": "f"}
    body = {**BODY, "messages": [{"role": "user", "content": [block]}], "thinking": {"type": "enabled", "budget_tokens": 2000}}
    request = DIALECT.parse_request(encode(body), "/model/m/invoke")
    assert request.messages[0].content == (Opaque(block, NATIVE.name),)
    native = decode(encode(NATIVE.render_request(request, ANY_MODEL).payload))
    assert native == {"model": "m", **{key: value for key, value in body.items() if key != "anthropic_version"}}
    assert DIALECT.render_request(Request(model="m", messages=(user_message("hi"),), max_tokens=5), ANY_MODEL).payload == BODY
