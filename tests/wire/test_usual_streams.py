"""The typed readers of usual stream events beside the readers of any key, the prepared frames of writers beside whole renderings, and the
quick tap beside the general one: the same for every stream, recorded, made up or broken."""

from __future__ import annotations

import importlib
import json
import os
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.dialects import anthropic_messages, bedrock_converse, gemini_generate, ollama_chat, openai_chat, openai_responses
from headgate.dialects.base import ChatDialect, FoldTap, StreamContext, StreamTap
from headgate.dialects.openai_chat.tap import Tap
from headgate.dialects.tap import tap_of
from headgate.domain.content import Text, Thinking, ToolCall
from headgate.domain.events import BlockStart, BlockStop, Delta, Failed, Finished, Start, StreamEvent, UsageSeen
from headgate.domain.response import Finish, Response
from headgate.domain.usage import Usage
from headgate.errors import HeadgateError
from headgate.wire.eventstream import FrameDecoder, encode_frame
from headgate.wire.json import Json, decode, encode

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).parents[2].parent / "shared" / "corpus"))
recorded = pytest.mark.skipif(not (CORPUS / "manifest.jsonl").is_file(), reason=f"no recorded traffic at {CORPUS}")

DIALECTS = {
    module.DIALECT.name: module.DIALECT
    for module in (openai_chat, anthropic_messages, gemini_generate, ollama_chat, openai_responses, bedrock_converse)
}
SURFACES = {
    "openai_chat": ("chat.completions", 130),
    "openai_responses": ("responses", 130),
    "anthropic_messages": ("messages", 120),
    "gemini_generate": ("streamGenerateContent", 50),
    "bedrock_converse": ("converse-stream", 30),
    "ollama_chat": ("api.chat", 1),
}
"""By dialect: the recorded surface, and how many streams of it there are at least."""
every_dialect = pytest.mark.parametrize("name", sorted(DIALECTS))
CONTEXT = StreamContext("a-model", "answer-1", 1)
_EVENT_END = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)")

SPOKEN: list[StreamEvent] = [
    Start("a", "m", 1),
    BlockStart(0, Thinking()),
    *[Delta(0, word) for word in ("I ", "wonder\n", "\u00e9")],
    BlockStop(0),
    BlockStart(1, Text("")),
    *[Delta(1, word) for word in ("It", ' "is"', "\u2028 \U0001f600", "", "\0\x7f", " so.")],
    BlockStop(1),
    BlockStart(2, ToolCall("c1", "look")),
    *[Delta(2, piece) for piece in ('{"a', '":"', 'b"}')],
    BlockStop(2),
    UsageSeen(Usage(input_uncached=9, output_text=99)),
    Finished(Finish.TOOL_CALLS),
]


@cache
def streams(name: str) -> tuple[bytes, ...]:
    """The recorded streams of a dialect as bytes."""
    rows = [json.loads(line) for line in (CORPUS / "manifest.jsonl").read_text().splitlines()]
    files = [row["file"] for row in rows if row["surface"] == SURFACES[name][0] and row["stream"]]
    return tuple(data for file in files if (data := body_of(json.loads((CORPUS / file).read_text())["response"])))


def body_of(reply: Json) -> bytes:
    """The bytes of a recorded stream, b"" where they were not kept."""
    if "sse_raw" in reply:
        return reply["sse_raw"].encode()
    if "raw_b64" in reply:
        return b64decode(reply["raw_b64"])
    if "eventstream" in reply:
        return b"".join(encode_frame(event["headers"], encode(event["payload"])) for event in reply["eventstream"])
    return b"".join(encode(line) + b"\n" for line in reply.get("ndjson", ()))


def reads(data: bytes) -> list[bytes]:
    """The bytes as a quick network brings them: a read per event."""
    return [piece for piece in _EVENT_END.split(data) if piece]


def plain(event: StreamEvent) -> Json:
    return ("failed", event.error.kind, event.error.message) if isinstance(event, Failed) else event


def heard(dialect: ChatDialect, pieces: Sequence[bytes]) -> list[Json]:
    """All events, and the error that ended them."""
    decoder = dialect.stream_decoder()
    found: list[Json] = []
    try:
        for piece in pieces:
            found += [plain(event) for event in decoder.feed(piece)]
        found += [plain(event) for event in decoder.close()]
    except HeadgateError as error:
        found.append((type(error), error.message))
    return found


def by_keys(name: str, pieces: Sequence[bytes]) -> list[Json]:
    """As `heard`, every event being read key by key."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module(f"headgate.dialects.{name}.stream"), "read_usual", lambda data: None)
        return heard(DIALECTS[name], pieces)


def hits(name: str, pieces: Sequence[bytes]) -> int:
    """How many events the typed reader took."""
    module = importlib.import_module(f"headgate.dialects.{name}.stream")
    found = []
    usual: Callable[[bytes], object] = module.read_usual
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "read_usual", lambda data: found.append(usual(data)) or found[-1])
        heard(DIALECTS[name], pieces)
    return sum(item is not None for item in found)


@recorded
@every_dialect
def test_recorded_streams_say_the_same_by_both_readers(name: str) -> None:
    taken = 0
    for data in streams(name):
        pieces = reads(data)
        assert heard(DIALECTS[name], pieces) == by_keys(name, pieces)
        taken += hits(name, pieces)
    assert len(streams(name)) >= SURFACES[name][1]
    assert taken >= len(streams(name)) // 2


def written(dialect: ChatDialect, events: Sequence[StreamEvent] = SPOKEN) -> list[bytes]:
    """Events on a wire, one by one."""
    encoder = dialect.stream_encoder(CONTEXT)
    data = b"".join([*[encoder.render_event(event) for event in events], encoder.close()])
    if dialect.name == "bedrock_converse":
        return [encode_frame(frame.headers, frame.payload) for frame in FrameDecoder().feed(data)]
    return data.splitlines(keepends=True) if dialect.name == "ollama_chat" else reads(data)


@every_dialect
def test_usual_text_is_read_by_the_typed_reader(name: str) -> None:
    assert hits(name, written(DIALECTS[name])) >= 4


def places(value: Json, path: tuple[Json, ...] = ()) -> Iterator[tuple[Json, ...]]:
    """The path of every value inside a value."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def changed(value: Json, path: tuple[Json, ...], new: Json) -> Json:
    """A copy with another value at a path, or with one more key there where `new` is a pair."""
    if not path:
        return new if not isinstance(new, tuple) else {**value, new[0]: new[1]} if isinstance(value, dict) else new[1]
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


def payload_of(name: str, piece: bytes) -> bytes:
    """The JSON in a piece of a stream."""
    if name == "bedrock_converse":
        return FrameDecoder().feed(piece)[0].payload
    return piece[piece.find(b"{") :].strip()


def with_payload(name: str, piece: bytes, payload: bytes) -> bytes:
    """A piece of a stream with other JSON in it."""
    if name == "bedrock_converse":
        return encode_frame(FrameDecoder().feed(piece)[0].headers, payload)
    return piece.replace(payload_of(name, piece), payload)


ODD = st.sampled_from(
    [None, True, 0, 1, -1, 1.0, "", "x", "stop", "\u00e9", [], {}, [0], {"a": 1}]
    + [
        (key, value)
        for key in ("error", "usage", "x", "finish_reason", "logprobs", "text", "thought", "done")
        for value in (None, {}, {"a": 1}, "x", [])
    ]
)


@every_dialect
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_events_that_are_nearly_usual_say_the_same_by_both_readers(name: str, data: st.DataObject) -> None:
    pieces = written(DIALECTS[name])
    at = data.draw(st.sampled_from([index for index, piece in enumerate(pieces) if b"{" in piece]), label="event")
    value = decode(payload_of(name, pieces[at]))
    path = data.draw(st.sampled_from(list(places(value))), label="place")
    new = data.draw(ODD, label="new value")
    odd = changed(value, path, new)
    pieces[at] = with_payload(name, pieces[at], encode(odd))
    assert heard(DIALECTS[name], pieces) == by_keys(name, pieces)


BROKEN = [b'"\xff"', b'"\\ud83d"', b'"\\ude00"', b"7", b"null", b'"a" "b"', b'"' + b"[" * 5000 + b'"', b"[" * 5000, b'"\\ud83d\\ude00"']


@every_dialect
@pytest.mark.parametrize("words", BROKEN, ids=range(len(BROKEN)))
def test_broken_text_is_refused_or_mended_by_both_readers_alike(name: str, words: bytes) -> None:
    pieces = written(DIALECTS[name])
    at = next(index for index, piece in enumerate(pieces) if b'" so."' in piece)
    pieces[at] = with_payload(name, pieces[at], payload_of(name, pieces[at]).replace(b'" so."', words))
    assert heard(DIALECTS[name], pieces) == by_keys(name, pieces)


class Forgetful(dict[int, Json]):
    """Keeps nothing."""

    def __setitem__(self, key: int, value: Json) -> None:
        """Forget it."""


EVENTS = st.lists(
    st.one_of(
        st.builds(Delta, st.sampled_from([0, 1, 2]), st.text(max_size=4), st.sampled_from([0, 0, 0, 1])),
        st.just(Finished(Finish.STOP)),
        st.just(Finished(Finish.ERROR)),
        st.just(UsageSeen(Usage(output_text=1))),
        st.just(Start("b", "other", 2)),
    ),
    max_size=12,
)


@every_dialect
@settings(max_examples=100, deadline=None)
@given(more=EVENTS)
def test_prepared_frames_are_written_as_whole_renderings(name: str, more: list[StreamEvent]) -> None:
    monkeypatch = pytest.MonkeyPatch()
    begun = [Start("a", "m", 1), BlockStart(0, Text("")), BlockStart(1, Thinking()), BlockStart(2, ToolCall("c1", "look"))]
    results = []
    for forget in (False, True):
        encoder = DIALECTS[name].stream_encoder(CONTEXT)
        if forget:
            monkeypatch.setattr(encoder, "_frames", Forgetful())
        out: list[Json] = []
        try:
            out += [encoder.render_event(event) for event in (*begun, *more)]
            out.append(encoder.close())
        except HeadgateError as error:
            out.append(error.message)
        results.append(out)
    assert results[0] == results[1]


# Taps


def account(response: Response) -> Json:
    """What a receipt is made of."""
    texts = [
        (type(block), getattr(block, "text", None) or getattr(block, "arguments", "")) for c in response.choices for block in c.content
    ]
    return response.model, response.usage, response.service_tier, response.finish, texts


def overheard(tap: StreamTap, pieces: Sequence[bytes]) -> list[Json]:
    """How a tap stands after every read, and at the end."""
    found: list[Json] = []
    try:
        for piece in pieces:
            tap.feed(piece)
            found.append(tap.complete)
        tap.close()
    except HeadgateError as error:
        found.append((type(error), error.message))
    return [*found, tap.complete, None if tap.error is None else plain(tap.error), account(tap.response())]


def grouped(pieces: Sequence[bytes], size: int) -> list[bytes]:
    """As a busy network brings them: a read for several events."""
    return [b"".join(pieces[at : at + size]) for at in range(0, len(pieces), size)]


def general(dialect: ChatDialect) -> FoldTap:
    return FoldTap(dialect.stream_decoder(), dialect.name)


CHAT = DIALECTS["openai_chat"]


@recorded
def test_the_quick_tap_hears_the_same_in_recorded_streams_and_in_cut_ones() -> None:
    assert isinstance(tap_of(CHAT), Tap)
    for data in streams("openai_chat"):
        pieces = reads(data)
        for heard_pieces in (
            pieces,
            [data],
            pieces[:-1],
            pieces[: len(pieces) // 2],
            [*pieces[:3], data[:5]],
            reads(data[:-30]),
            grouped(pieces, 3),
        ):
            assert overheard(tap_of(CHAT), heard_pieces) == overheard(general(CHAT), heard_pieces)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_the_quick_tap_hears_the_same_in_odd_streams(data: st.DataObject) -> None:
    pieces = written(CHAT)
    at = data.draw(st.sampled_from([index for index, piece in enumerate(pieces) if b"{" in piece]), label="event")
    value = decode(payload_of("openai_chat", pieces[at]))
    path = data.draw(st.sampled_from(list(places(value))), label="place")
    new = data.draw(ODD, label="new value")
    odd = changed(value, path, new)
    pieces[at] = with_payload("openai_chat", pieces[at], encode(odd))
    expected = overheard(general(CHAT), pieces)
    assert overheard(tap_of(CHAT), pieces) == expected
    size = data.draw(st.integers(2, 5), label="events in a read")
    if not any(isinstance(item, tuple) and isinstance(item[0], type) for item in expected):
        assert overheard(tap_of(CHAT), grouped(pieces, size))[-3:] == expected[-3:]


def test_another_decoder_is_heard_by_the_general_tap() -> None:
    assert type(CHAT.stream_tap(DIALECTS["anthropic_messages"].stream_decoder(), "x")) is FoldTap
