from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.errors import TooLarge, WireError
from headgate.wire.sse import SseDecoder, SseEvent, sse_event

CASES = {
    "simple": (b"data: a\n\ndata: b\n\n", [("message", b"a"), ("message", b"b")]),
    "crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", [("message", b"a"), ("message", b"b")]),
    "cr": (b"data: a\r\rdata: b\r\r", [("message", b"a"), ("message", b"b")]),
    "mixed line ends": (b"data: a\r\n\rdata: b\n\r\n", [("message", b"a"), ("message", b"b")]),
    "no space": (b"data:a\n\n", [("message", b"a")]),
    "two spaces": (b"data:  a\n\n", [("message", b" a")]),
    "no colon": (b"data\n\n", [("message", b"")]),
    "empty data": (b"data:\n\n", [("message", b"")]),
    "multi-line": (b"data: a\ndata: b\ndata\n\n", [("message", b"a\nb\n")]),
    "named": (b"event: ping\ndata: {}\n\n", [("ping", b"{}")]),
    "name after data": (b"data: {}\nevent: ping\n\n", [("ping", b"{}")]),
    "name does not last": (b"event: x\ndata: 1\n\ndata: 2\n\n", [("x", b"1"), ("message", b"2")]),
    "name without data": (b"event: x\n\ndata: 2\n\n", [("message", b"2")]),
    "comments": (b": keep-alive\n\n:\ndata: a\n: x\n\n", [("message", b"a")]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [("message", b"a")]),
    "second mark is a name": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [("message", b"b")]),
    "retry": (b"retry: 10\ndata: a\n\n", [("message", b"a")]),
    "unicode line ends are data": ("data: a\u2028b\u0085c\n\n".encode(), [("message", "a\u2028b\u0085c".encode())]),
    "invalid UTF-8 passes": (b"data: \xff\xfe\n\n", [("message", b"\xff\xfe")]),
    "only blank lines": (b"\n\r\n\r", []),
    "case matters": (b"Data: a\n\n", []),
}


def events_of(*parts: bytes) -> list[SseEvent]:
    decoder = SseDecoder()
    return [event for part in parts for event in decoder.feed(part)]


@pytest.mark.parametrize("name", CASES)
def test_decodes_whole_and_at_every_split(name: str) -> None:
    stream, expected = CASES[name]
    whole = events_of(stream)
    assert [(event.event, event.data) for event in whole] == expected
    assert events_of(*(bytes([byte]) for byte in stream)) == whole
    for cut in range(len(stream) + 1):
        assert events_of(stream[:cut], stream[cut:]) == whole


PIECES = st.sampled_from(
    [
        b"data: x",
        b"data:",
        b"data: ",
        b"event: e",
        b"id: 7",
        b"id",
        b": c",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        "é\u2028".encode(),
        b"\xef\xbb\xbf",
        b":",
    ]
)


@settings(max_examples=400)
@given(st.lists(PIECES, max_size=40).map(b"".join), st.lists(st.integers(0, 400), max_size=12))
def test_any_split_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    ends = [*sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    parts = [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    whole, split = SseDecoder(), SseDecoder()
    expected = whole.feed(stream) + whole.close()
    assert [event for part in parts for event in split.feed(part)] + split.close() == expected
    assert split.unknown == whole.unknown


WHOLE = st.lists(PIECES, max_size=6).map(b"".join)


@settings(max_examples=400)
@given(st.lists(st.tuples(WHOLE, st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\n"])).map(b"".join), max_size=8))
def test_a_read_per_event_gives_the_same_events_as_a_read_per_byte(reads: list[bytes]) -> None:
    slow, quick = SseDecoder(), SseDecoder()
    expected = [event for byte in b"".join(reads) for event in slow.feed(bytes([byte]))] + slow.close()
    assert [event for read in reads for event in quick.feed(read)] + quick.close() == expected
    assert quick.unknown == slow.unknown


def test_id_lasts_until_the_next_one_and_never_holds_nul() -> None:
    events = events_of(b"id: 1\ndata: a\n\ndata: b\n\nid: 2\0\ndata: c\n\nid\ndata: d\n\n")
    assert [event.id for event in events] == ["1", "1", "1", ""]


@pytest.mark.parametrize("tail", [b"data: b", b"data: b\n", b"data: b\r", b"data: b\r\n"])
def test_close_returns_a_last_event_without_blank_line(tail: bytes) -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n\n" + tail) == [SseEvent(b"a")]
    assert decoder.close() == [SseEvent(b"b")]
    assert decoder.close() == []


def test_close_returns_nothing_after_a_complete_stream() -> None:
    decoder = SseDecoder()
    decoder.feed(b"data: a\n\n: bye\n")
    assert decoder.close() == []
    assert SseDecoder().close() == []


def test_plain_json_instead_of_events_is_kept_for_the_error_reader() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b'{"error": {\n  "code": 400\n}}') == []
    assert decoder.close() == []
    assert decoder.unknown == b'{"error": {\n  "code": 400\n}}'


def test_unknown_lines_are_bounded() -> None:
    decoder = SseDecoder()
    for _ in range(100):
        decoder.feed(b"x" * 1000 + b"\n")
    assert len(decoder.unknown) < 16 << 10


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"a" * 101 + b"\n\n",
        b"data: " + b"a" * 110,
        b"data: aaaaaaaaa\n" * 11,
        b": " + b"c" * 120,
        b"event: " + b"e" * 120 + b"\n",
    ],
)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_an_event_or_line_over_the_cap_is_refused_at_any_split(stream: bytes, step: int) -> None:
    decoder = SseDecoder(max_event=100)
    with pytest.raises(TooLarge):
        for start in range(0, len(stream), step):
            decoder.feed(stream[start : start + step])


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_an_event_of_the_cap_passes_at_any_split(step: int) -> None:
    stream = b"data: " + b"a" * 100 + b"\r\n\r\n"
    decoder = SseDecoder(max_event=100)
    events = [event for start in range(0, len(stream), step) for event in decoder.feed(stream[start : start + step])]
    assert events == [SseEvent(b"a" * 100)]


def test_many_small_pieces_of_one_long_line_take_linear_time() -> None:
    decoder = SseDecoder()
    for _ in range(200_000):
        decoder.feed(b"data:"[:1])
    assert decoder.feed(b"\n\n") == []


NAMES = st.none() | st.text(st.characters(blacklist_characters="\r\n", codec="utf-8"), min_size=1).filter(lambda name: name[0] != " ")


@given(st.text(st.characters(codec="utf-8")), NAMES)
def test_what_is_rendered_decodes_to_the_same_event(data: str, name: str | None) -> None:
    normal = data.replace("\r\n", "\n").replace("\r", "\n")
    assert events_of(sse_event(data, name)) == [SseEvent(normal.encode(), name or "message")]


def test_rendering_is_minimal_and_refuses_a_broken_name() -> None:
    assert sse_event(b"[DONE]") == b"data: [DONE]\n\n"
    assert sse_event("{}", "ping") == b"event: ping\ndata: {}\n\n"
    with pytest.raises(WireError):
        sse_event(b"", "a\nb")
