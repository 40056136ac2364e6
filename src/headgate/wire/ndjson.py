"""Lines of JSON: split on LF alone, so that U+2028 or U+0085 inside a string never cuts a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from headgate.errors import TooLarge

MAX_LINE = 64 << 20
"""Default cap for one row, in bytes."""

_BOM = b"\xef\xbb\xbf"


class LineDecoder:
    """Bytes in, whole lines out, without their line end (LF or CRLF); any split of the same bytes gives the same lines."""

    __slots__ = ("_max_line", "_pending")

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Lines completed by `data`, blank ones included. Raises `TooLarge` when a line passes `max_line` bytes."""
        if b"\n" not in data:
            self._hold(data)
            return []
        lines = data.split(b"\n")
        tail = lines.pop()
        if self._pending:
            self._hold(lines[0])
            lines[0] = bytes(self._pending)
            self._pending.clear()
        self._hold(tail)
        return [self._checked(line) for line in lines]

    def close(self) -> list[bytes]:
        """The last line if its line end is missing, else nothing."""
        rest = bytes(self._pending)
        self._pending.clear()
        return [self._checked(rest)] if rest else []

    def _hold(self, data: bytes) -> None:
        self._pending += data
        self._check(len(self._pending) - 1)

    def _checked(self, line: bytes) -> bytes:
        row = line.removesuffix(b"\r")
        self._check(len(row))
        return row

    def _check(self, length: int) -> None:
        if length > self._max_line:
            raise TooLarge(f"a line is longer than {self._max_line} bytes")


def numbered_lines(chunks: Iterable[bytes], max_line: int = MAX_LINE) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, row) for each line that is not blank.

    Tolerates a byte order mark, CRLF, blank lines (counted, not yielded) and a missing last line end.
    Raises `TooLarge` for a row over `max_line` bytes.
    """
    decoder = LineDecoder(max_line)
    number = 0
    for lines in _batches(decoder, chunks):
        for line in lines:
            number += 1
            row = line.removeprefix(_BOM) if number == 1 else line
            if row.strip():
                yield number, row


def _batches(decoder: LineDecoder, chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    for chunk in chunks:
        yield decoder.feed(chunk)
    yield decoder.close()
