"""Whether the segment files of a run hold what its database says they do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from headgate.batch.rows import SegmentRow
from headgate.batch.segments import Frame, read_frame
from headgate.errors import StoreError, WireError

MAGIC = b"\x28\xb5\x2f\xfd"
"""What every frame begins with (RFC 8878)."""


class Torn(msgspec.Struct, frozen=True):
    """A frame that cannot be read, and why."""

    segment: int
    name: str
    frame: Frame
    why: str


def torn_frames(folder: Path, segments: Iterable[SegmentRow], frames: dict[int, tuple[Frame, ...]], deep: bool) -> tuple[Torn, ...]:
    """Frames that are not whole in their file: each is looked at where it begins and ends, with `deep` all of it is decoded."""
    found: list[Torn] = []
    for segment in segments:
        for frame in frames.get(segment.id, ()):
            why = _fault(folder / segment.name, segment, frame) or (_unreadable(folder / segment.name, frame) if deep else None)
            if why is not None:
                found.append(Torn(segment.id, segment.name, frame, why))
    return tuple(found)


def odd_tables(segments: Iterable[SegmentRow], frames: dict[int, tuple[Frame, ...]]) -> list[str]:
    """Segments whose frames overlap, or reach over what is committed."""
    found = []
    for segment in segments:
        row = end = 0
        for frame in frames.get(segment.id, ()):
            if frame.first_row < row or frame.offset < end or frame.rows < 1:
                found.append(f"{segment.name}: the frame at row {frame.first_row} overlaps the one before it")
            row, end = frame.first_row + frame.rows, frame.offset + frame.length
        if end > segment.committed or row > segment.rows:
            found.append(
                f"{segment.name}: {segment.committed} bytes and {segment.rows} rows are committed; its frames end at {end} and {row}"
            )
    return found


def _fault(path: Path, segment: SegmentRow, frame: Frame) -> str | None:
    try:
        with path.open("rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            handle.seek(frame.offset)
            start = handle.read(len(MAGIC))
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    if size < frame.offset + frame.length:
        return f"the file has {size} bytes, {segment.committed} were committed"
    return None if start == MAGIC else f"there is no frame at byte {frame.offset}"


def _unreadable(path: Path, frame: Frame) -> str | None:
    try:
        rows = len(read_frame(path, frame))
    except (StoreError, WireError) as error:
        return error.message
    return None if rows == frame.rows else f"the frame at byte {frame.offset} holds {rows} rows, not {frame.rows}"
