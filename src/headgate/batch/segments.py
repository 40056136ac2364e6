"""Segments: append-only files of zstd-compressed JSON lines, one frame per commit.

A frame is written and fsynced first, then the database transaction records where it lies. Whatever follows the last recorded offset is a
torn tail: readers never look at it and `reopen` cuts it off. The files are plain multi-frame zstd, so ``zstdcat`` reads them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import TypeVar

import msgspec
import zstandard

from headgate.errors import StoreError
from headgate.wire.json import Json, JsonObject, Raw, decode, encode

MAX_FRAME = 1 << 30
LEVEL = 3

T = TypeVar("T")


class Frame(msgspec.Struct, frozen=True):
    """Where one committed group of rows lies: `rows` lines from row `first_row`, `length` bytes from `offset`."""

    first_row: int
    offset: int
    length: int
    rows: int


class SegmentWriter:
    """Appends frames to one file. Not thread-safe: one chunk, one writer."""

    def __init__(self, path: Path, committed: int, rows: int) -> None:
        self.path = path
        self.offset = committed
        self.rows = rows
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)
        self._file = _open_at(path, committed)

    def append(self, lines: Iterable[Json]) -> Frame:
        """Write one durable frame; it counts only once its `Frame` is committed. Raises `StoreError` when the disk refuses.

        Nothing is buffered here, so that a refused write leaves nothing behind that a later one, or `close`, would try again.
        """
        parts = [encode(line) for line in lines]
        data = self._compressor.compress(b"\n".join(parts) + b"\n")
        frame = Frame(self.rows, self.offset, len(data), len(parts))
        try:
            _write_at(self._file.fileno(), data, self.offset)
        except OSError as error:
            raise StoreError(
                f"cannot write {self.path}: {error.strerror}", hint="free some disk space, then run the same command again"
            ) from error
        self.offset += len(data)
        self.rows += len(parts)
        return frame

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _write_at(file: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`, and wait until it is on the disk."""
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
    os.fsync(file)


def _open_at(path: Path, committed: int) -> FileIO:
    """Open for appending after `committed` bytes, cutting off what a crash left behind them."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
        size = os.fstat(handle.fileno()).st_size
        if size < committed:
            handle.close()
            raise StoreError(f"{path} has {size} bytes but {committed} were committed: the file was changed from outside")
        handle.truncate(committed)
    except OSError as error:
        raise StoreError(f"cannot open {path}: {error.strerror}", hint=f"ls -ld {path.parent}") from error
    return handle


class Request(msgspec.Struct):
    """A line of a request segment: the unit's number, and the body as it was written."""

    seq: int
    body: Raw


class _Record(msgspec.Struct):
    record: JsonObject


class _RawRecord(msgspec.Struct):
    record: Raw


_decode_request = msgspec.json.Decoder(Request).decode
_decode_record = msgspec.json.Decoder(_Record).decode
_decode_raw_record = msgspec.json.Decoder(_RawRecord).decode


def read_frame(path: Path, frame: Frame) -> list[Json]:
    """The rows of one frame. Raises `StoreError` when the file does not hold them."""
    return [decode(line, what=f"{path.name}:{frame.first_row + i}") for i, line in enumerate(frame_lines(path, frame))]


def read_requests(path: Path, frame: Frame) -> list[Request]:
    """The rows of one frame of a request segment. Raises `StoreError`."""
    return [_typed(_decode_request, line) for line in frame_lines(path, frame)]


def read_record(line: bytes) -> JsonObject:
    """The unit's fields in a payload line. Raises `StoreError`."""
    return _typed(_decode_record, line).record


def read_raw_record(line: bytes) -> bytes:
    """The unit's fields in a payload line, as JSON. Raises `StoreError`."""
    return bytes(_typed(_decode_raw_record, line).record)


def _typed(read: Callable[[bytes], T], line: bytes) -> T:
    try:
        return read(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"a line of a segment cannot be read: {error}: {line[:80]!r}") from error


def frame_lines(path: Path, frame: Frame) -> list[bytes]:
    """The text of the rows of one frame. Raises `StoreError` when the file does not hold them."""
    try:
        with path.open("rb", buffering=0) as handle:
            data = os.pread(handle.fileno(), frame.length, frame.offset)
        text = zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_FRAME)
    except (OSError, zstandard.ZstdError) as error:
        raise StoreError(f"cannot read {path} at {frame.offset}: {error}") from error
    lines = text.split(b"\n")
    del lines[frame.rows :]
    if len(lines) != frame.rows:
        raise StoreError(f"{path} has {len(lines)} rows at {frame.offset}, not {frame.rows}: the file was changed from outside")
    return lines


def read_lines(path: Path, frames: Iterable[Frame], wanted: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """The text of the rows numbered `wanted`, each frame decompressed once."""
    numbers = iter(sorted(wanted))
    number = next(numbers, None)
    for frame in frames:
        if number is None:
            return
        if not frame.first_row <= number < frame.first_row + frame.rows:
            continue
        lines = frame_lines(path, frame)
        while number is not None and number < frame.first_row + frame.rows:
            yield number, lines[number - frame.first_row]
            number = next(numbers, None)
