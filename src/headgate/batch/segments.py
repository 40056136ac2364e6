"""Segments: append-only files of zstd-compressed JSON lines, one frame per commit.

A frame is written and fsynced first, then the database transaction records where it lies. Whatever follows the last recorded offset is a
torn tail: readers never look at it and `reopen` cuts it off. The files are plain multi-frame zstd, so ``zstdcat`` reads them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path

import msgspec
import zstandard

from headgate.errors import StoreError
from headgate.wire.json import Json, decode, encode

MAX_FRAME = 1 << 30


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
        self._file = _open_at(path, committed)

    def append(self, lines: Iterable[Json]) -> Frame:
        """Write one durable frame; it counts only once its `Frame` is committed. Raises `StoreError` when the disk refuses.

        Nothing is buffered here, so that a refused write leaves nothing behind that a later one, or `close`, would try again.
        """
        parts = [encode(line) for line in lines]
        data = zstandard.ZstdCompressor(level=3).compress(b"\n".join(parts) + b"\n")
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


def read_frame(path: Path, frame: Frame) -> list[Json]:
    """The rows of one frame. Raises `StoreError` when the file does not hold them."""
    try:
        with path.open("rb") as handle:
            handle.seek(frame.offset)
            data = handle.read(frame.length)
        text = zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_FRAME)
    except (OSError, zstandard.ZstdError) as error:
        raise StoreError(f"cannot read {path} at {frame.offset}: {error}") from error
    return [decode(line, what=f"{path.name}:{frame.first_row + i}") for i, line in enumerate(text.split(b"\n")) if line]


def read_rows(path: Path, frames: Iterable[Frame], wanted: Iterable[int]) -> Iterator[tuple[int, Json]]:
    """The rows numbered `wanted` (ascending), each frame decompressed once."""
    numbers = iter(sorted(wanted))
    number = next(numbers, None)
    for frame in frames:
        if number is None:
            return
        if not frame.first_row <= number < frame.first_row + frame.rows:
            continue
        rows = read_frame(path, frame)
        while number is not None and number < frame.first_row + frame.rows:
            yield number, rows[number - frame.first_row]
            number = next(numbers, None)
