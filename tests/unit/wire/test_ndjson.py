from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import TooLarge
from headgate.wire.ndjson import LineDecoder, numbered_lines

LINES = st.lists(st.sampled_from([b"", b"{}", "\u2028\u0085\x0b\x0c".encode(), b"a\rb", b"x" * 50]), max_size=10)


def decode(parts: list[bytes]) -> list[bytes]:
    decoder = LineDecoder()
    return [line for part in parts for line in decoder.feed(part)] + decoder.close()


@given(LINES, st.sampled_from([b"\n", b"\r\n"]), st.booleans(), st.lists(st.integers(0, 600), max_size=8))
def test_any_split_gives_the_same_lines(lines: list[bytes], end: bytes, ended: bool, cuts: list[int]) -> None:
    stream = end.join(lines) + (end if ended else b"")
    ends = [*sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    parts = [stream[start:stop] for start, stop in zip([0, *ends], ends, strict=False)]
    expected = lines if ended else lines[:-1] + [line for line in lines[-1:] if line]
    if ended and not lines:
        expected = [b""]
    assert decode(parts) == expected


def test_rows_are_numbered_as_an_editor_numbers_them() -> None:
    chunks = [b'\xef\xbb\xbf{"a":1}\r', b"\n\n  \n{", b'"b":2}\n[3]']
    assert list(numbered_lines(chunks)) == [(1, b'{"a":1}'), (4, b'{"b":2}'), (5, b"[3]")]
    assert list(numbered_lines([])) == []


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize(
    ("length", "end", "fits"),
    [(10, b"\n", True), (10, b"\r\n", True), (10, b"", True), (11, b"\n", False), (11, b"", False), (60, b"", False)],
)
def test_the_cap_holds_at_any_split(step: int, length: int, end: bytes, fits: bool) -> None:
    stream = b"ok\n" + b"x" * length + end
    parts = [stream[start : start + step] for start in range(0, len(stream), step)]
    if fits:
        assert list(numbered_lines(parts, max_line=10)) == [(1, b"ok"), (2, b"x" * length)]
    else:
        with pytest.raises(TooLarge):
            list(numbered_lines(parts, max_line=10))
