"""AWS event stream frames: any split, every kind of header, checksums, bounds, and recorded streams."""

from __future__ import annotations

import base64
import json
import os
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.errors import TooLarge, Truncated, WireError
from headgate.wire.eventstream import (
    MAX_HEADERS,
    Byte,
    Frame,
    FrameDecoder,
    HeaderValue,
    Integer,
    Short,
    Timestamp,
    Uuid,
    encode_frame,
)

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).parents[3].parent / "shared" / "corpus"))

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


values: st.SearchStrategy[HeaderValue] = st.one_of(
    st.booleans(),
    signed(8).map(Byte),
    signed(16).map(Short),
    signed(32).map(Integer),
    signed(64),
    st.binary(max_size=20),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    signed(64).map(Timestamp),
    st.binary(min_size=16, max_size=16).map(Uuid),
)
frames = st.builds(Frame, st.dictionaries(names, values, max_size=4), st.binary(max_size=60))


def encoded(given_frames: list[Frame]) -> bytes:
    return b"".join(encode_frame(frame.headers, frame.payload) for frame in given_frames)


def decoded(data: bytes, cuts: list[int]) -> list[Frame]:
    decoder = FrameDecoder()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    found = [frame for start, end in pairwise(edges) for frame in decoder.feed(data[start:end])]
    decoder.close()
    return found


@given(st.lists(frames, max_size=4), st.lists(st.integers(0, 10_000), max_size=8))
@settings(deadline=None)
def test_a_split_anywhere_gives_the_same_frames(given_frames: list[Frame], cuts: list[int]) -> None:
    assert decoded(encoded(given_frames), cuts) == given_frames


def test_published_frames() -> None:
    """The examples of AWS's SDK test data: no header, and one of text."""
    bare = bytes((0, 0, 0, 30, 0, 0, 0, 0, 186, 242, 246, 138)) + b'{"foo": "bar"}' + bytes((174, 114, 88, 228))
    assert decoded(bare, []) == [Frame({}, b'{"foo": "bar"}')]
    headed = bytes((0, 0, 0, 62, 0, 0, 0, 32, 64, 93, 249, 70)) + b"\x0ccontent-type\x07\x00\x10application/json"
    headed += b'{"foo": "bar"}' + bytes((111, 162, 191, 59))
    assert decoded(headed, []) == [Frame({"content-type": "application/json"}, b'{"foo": "bar"}')]
    assert encoded(decoded(bare + headed, [])) == bare + headed


def test_kinds_on_the_wire() -> None:
    kinds: list[tuple[HeaderValue, bytes]] = [
        (True, b"\0"),
        (False, b"\1"),
        (Byte(-1), b"\2\xff"),
        (Short(258), b"\3\1\2"),
        (Integer(-2), b"\4\xff\xff\xff\xfe"),
        (1, b"\5\0\0\0\0\0\0\0\1"),
        (b"ab", b"\6\0\2ab"),
        ("é", b"\7\0\2\xc3\xa9"),
        (Timestamp(8675309), b"\x08\0\0\0\0\0\x84\x5f\xed"),
        (Uuid(bytes(range(16))), b"\x09" + bytes(range(16))),
    ]
    for value, wire in kinds:
        data = encode_frame({"n": value})
        assert data[12:-4] == b"\1n" + wire
        (frame,) = decoded(data, [])
        assert frame.headers == {"n": value} and type(frame.headers["n"]) is type(value)


@given(frames, st.integers(0, 10_000), st.integers(1, 255))
@settings(deadline=None)
def test_a_changed_byte_is_noticed(frame: Frame, place: int, change: int) -> None:
    data = bytearray(encode_frame(frame.headers, frame.payload))
    data[place % len(data)] ^= change
    with pytest.raises(WireError):
        decoded(bytes(data), [])


@given(frames, st.integers(1, 10_000))
@settings(deadline=None)
def test_a_cut_frame_is_truncated(frame: Frame, place: int) -> None:
    data = encode_frame(frame.headers, frame.payload)
    with pytest.raises(Truncated):
        decoded(data[: 1 + place % (len(data) - 1)], [])


@given(st.binary(max_size=80))
def test_noise_raises_only_wire_errors(data: bytes) -> None:
    try:
        decoded(data, [])
    except WireError as error:
        assert error.fault == "remote"


def forged(total: int, heads: int, rest: bytes) -> bytes:
    """A frame with right checksums whatever its lengths claim."""
    prelude = total.to_bytes(4, "big") + heads.to_bytes(4, "big")
    body = prelude + zlib.crc32(prelude).to_bytes(4, "big") + rest
    return body + zlib.crc32(body).to_bytes(4, "big")


@pytest.mark.parametrize(
    "heads",
    [b"\x05a", b"\x01a", b"\x01a\x0a", b"\x01a\x07\x00\x09ab", b"\x01a\x05\x00", b"\x01\xff\x00", b"\x01a\x07\x00\x01\xff", b"\x01a\x09ab"],
)
def test_malformed_headers_with_right_checksums_are_refused(heads: bytes) -> None:
    with pytest.raises(WireError, match="malformed headers"):
        decoded(forged(16 + len(heads), len(heads), heads), [])


def test_lengths_are_bounded_before_anything_is_kept() -> None:
    with pytest.raises(TooLarge, match="above the cap"):
        FrameDecoder(max_frame=100).feed(forged(101, 0, b""))
    for total, heads in ((15, 0), (20, 5), (MAX_HEADERS + 100, MAX_HEADERS + 1)):
        with pytest.raises(WireError, match="cannot hold"):
            FrameDecoder().feed(forged(total, heads, b""))


@pytest.mark.parametrize(
    "headers",
    [
        *({"": 1}, {"x" * 256: 1}, {"a": "x" * 70_000}, {"a": 2**63}, {"a": Byte(128)}, {"a": Uuid(b"short")}, {"a": "\ud800"}),
        {f"{number}": "x" * 60_000 for number in range(3)},
    ],
)
def test_headers_that_do_not_fit_are_our_fault(headers: dict[str, HeaderValue]) -> None:
    with pytest.raises(WireError) as caught:
        encode_frame(headers)
    assert caught.value.fault == "local"


@pytest.mark.corpus
@pytest.mark.skipif(not (CORPUS / "manifest.jsonl").is_file(), reason=f"no recorded traffic at {CORPUS}")
def test_recorded_streams_are_read_and_written_back_byte_for_byte() -> None:
    count = 0
    for path in sorted((CORPUS / "core" / "bedrock").glob("*stream/*.json")):
        reply = json.loads(path.read_text())["response"]
        if "raw_b64" not in reply:
            continue
        data = base64.b64decode(reply["raw_b64"])
        found = decoded(data, [])
        assert [frame.headers for frame in found] == [event["headers"] for event in reply["eventstream"]]
        assert [json.loads(frame.payload) for frame in found] == [event["payload"] for event in reply["eventstream"]]
        assert encoded(found) == data
        if len(data) < 3000:
            assert decoded(data, list(range(1, len(data)))) == found
        count += 1
    assert count == 44
