"""Segments: what was committed is read back, what a crash left behind it is cut off, what the disk lost is told."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.batch.segments import Frame, SegmentWriter, read_frame, read_lines, read_raw_record, read_record, read_requests
from headgate.errors import StoreError
from headgate.wire.json import Raw, decode

rows = st.dictionaries(st.text(max_size=5), st.one_of(st.integers(-5, 5), st.text(max_size=20), st.none()), max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(groups=st.lists(st.lists(rows, min_size=1, max_size=4), min_size=1, max_size=5), data=st.data())
def test_every_committed_row_is_read_back_by_its_number(tmp_path: Path, groups: list[list[object]], data: st.DataObject) -> None:
    path = tmp_path / "a.zst"
    path.unlink(missing_ok=True)
    writer = SegmentWriter(path, 0, 0)
    frames = [writer.append(group) for group in groups]
    writer.close()
    flat = [row for group in groups for row in group]
    wanted = data.draw(st.sets(st.integers(0, len(flat) - 1)))
    assert {number: decode(line) for number, line in read_lines(path, frames, wanted)} == {number: flat[number] for number in wanted}
    assert [frame.first_row for frame in frames] == list(accumulate([0, *map(len, groups)]))[:-1]


@pytest.mark.parametrize("tail", [b"", b"\x28\xb5\x2f\xfd torn", b"x" * 5000])
def test_a_torn_tail_is_cut_off_and_overwritten(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "a.zst"
    writer = SegmentWriter(path, 0, 0)
    first = writer.append([1, 2])
    writer.append(["never committed"])
    writer.close()
    path.write_bytes(path.read_bytes() + tail)
    again = SegmentWriter(path, first.offset + first.length, first.rows)
    assert path.stat().st_size == first.length
    second = again.append([3])
    again.close()
    assert [*read_frame(path, first), *read_frame(path, second)] == [1, 2, 3]
    assert second.first_row == 2


def test_the_file_is_plain_zstd_with_a_line_for_each_row(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "a.zst", 0, 0)
    writer.append([{"n": 1}])
    writer.append([{"n": 2}])
    writer.close()
    data = (tmp_path / "a.zst").read_bytes()
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        shown = reader.read()
    assert shown == b'{"n":1}\n{"n":2}\n'


def test_a_file_that_is_shorter_than_what_was_committed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zst").write_bytes(b"12345")
    with pytest.raises(StoreError, match="5 bytes but 6 were committed"):
        SegmentWriter(tmp_path / "a.zst", 6, 1)


@pytest.mark.parametrize("spoil", [lambda data: data[:-3], lambda data: b"\x00" * len(data), lambda data: b""])
def test_a_damaged_frame_is_told(tmp_path: Path, spoil: object) -> None:
    path = tmp_path / "a.zst"
    writer = SegmentWriter(path, 0, 0)
    frame = writer.append([{"n": 1}] * 50)
    writer.close()
    path.write_bytes(spoil(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(StoreError, match="cannot read"):
        read_frame(path, frame)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read"):
        read_frame(tmp_path / "absent.zst", Frame(0, 0, 10, 1))


def test_parts_of_lines_are_read_without_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.zst"
    writer = SegmentWriter(path, 0, 0)
    body = b'{"model": "m", "messages": []}'
    frame = writer.append([{"seq": 7, "body": Raw(body), "more": 1}])
    writer.close()
    assert [(request.seq, bytes(request.body)) for request in read_requests(path, frame)] == [(7, body)]
    line = b'{"seq":1,"raw":"x","record":{"a": [1]}}'
    assert (read_record(line), read_raw_record(line)) == ({"a": [1]}, b'{"a": [1]}')
    for spoilt in (b'{"seq":1}', b'{"record":', b"[]"):
        with pytest.raises(StoreError, match="cannot be read"):
            read_record(spoilt)


def test_a_frame_with_fewer_rows_than_were_committed_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.zst"
    writer = SegmentWriter(path, 0, 0)
    frame = writer.append([1, 2])
    writer.close()
    with pytest.raises(StoreError, match="not 4"):
        read_frame(path, Frame(0, 0, frame.length, 4))
