"""The records of an items file one after the other, in memory that does not grow with the file (OCT-64)."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from headgate.batch.item_file import Mark
from headgate.batch.item_parquet import parquet_rows
from headgate.errors import ConfigError, WireError
from headgate.wire.json import Json, decode

MAX_RECORD = 64 << 20
"""Bytes of one line, and characters of one cell."""
_BOM = b"\xef\xbb\xbf"
_BYTE = re.compile(r"\(byte (\d+)\)")
_FOREIGN = (",", ";", "\t", "|")


class Entry(NamedTuple):
    """One record: its value, where it stands (``file:line:column``), and the place after it."""

    value: Json
    where: str
    offset: int
    line: int


Reader = Callable[[BinaryIO, str, Mark], Iterator[Entry]]


class _Lines:
    """The lines of a file as text, from a mark on; `offset` and `number` say how far it has come."""

    def __init__(self, source: BinaryIO, display: str, mark: Mark) -> None:
        self.offset = mark.offset
        self.number = mark.line
        self._source = source
        self._display = display
        source.seek(mark.offset)

    def raw(self) -> bytes:
        """The next line, its end included; empty after the last. Raises `ConfigError` for one that is too long."""
        line = self._source.readline(MAX_RECORD + 1)
        if not line:
            return line
        self.offset += len(line)
        self.number += 1
        if len(line) > MAX_RECORD:
            raise ConfigError(f"the line has more than {MAX_RECORD:,} bytes", where=self.where())
        return line.removeprefix(_BOM) if self.number == 1 else line

    def __iter__(self) -> Iterator[str]:
        while line := self.raw():
            try:
                yield line.decode()
            except UnicodeDecodeError as error:
                column = len(line[: error.start].decode()) + 1
                raise ConfigError("the file is not UTF-8 text", where=self.where(column)) from error

    def where(self, column: int = 1) -> str:
        """``file:line:column`` in the line read last."""
        return f"{self._display}:{self.number}:{column}"


def json_lines(source: BinaryIO, display: str, mark: Mark) -> Iterator[Entry]:
    """JSON values, one a line; empty lines are passed over. Raises `ConfigError`."""
    lines = _Lines(source, display, mark)
    while line := lines.raw():
        if line.isspace():
            continue
        try:
            value = decode(line, what="the line")
        except WireError as error:
            raise ConfigError(str(error), where=lines.where(_column(line, str(error)))) from error
        yield Entry(value, lines.where(), lines.offset, lines.number)


def _column(line: bytes, message: str) -> int:
    """The column of the fault that the decoder tells the byte of; without one the text ended too early."""
    found = _BYTE.search(message)
    return len((line[: int(found[1])] if found else line.rstrip()).decode(errors="replace")) + 1


def comma_separated(source: BinaryIO, display: str, mark: Mark) -> Iterator[Entry]:
    """The rows of a CSV file as mappings of its header's names to texts. Raises `ConfigError`."""
    return _table(source, display, mark, ",")


def tab_separated(source: BinaryIO, display: str, mark: Mark) -> Iterator[Entry]:
    """The same with tabs between the cells."""
    return _table(source, display, mark, "\t")


def _table(source: BinaryIO, display: str, mark: Mark, delimiter: str) -> Iterator[Entry]:
    csv.field_size_limit(MAX_RECORD)
    lines = _Lines(source, display, Mark())
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        names = _header(next(rows, []), lines, delimiter)
        if mark.offset > lines.offset:
            lines = _Lines(source, display, mark)
            rows = csv.reader(lines, delimiter=delimiter, strict=True)
        began = lines.number + 1
        for row in rows:
            where = f"{display}:{began}:1"
            began = lines.number + 1
            if not row:
                continue
            if len(row) != len(names):
                raise ConfigError(
                    f"the row has more or fewer cells than the header: {len(row)}, not {len(names)}",
                    where=where,
                    hint='a cell with a comma or a line break in it stands in quotes: "a, b"',
                )
            yield Entry(dict(zip(names, row, strict=True)), where, lines.offset, lines.number)
    except csv.Error as error:
        raise ConfigError(f"not CSV: {error}", where=lines.where()) from error


def _header(names: list[str], lines: _Lines, delimiter: str) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"two columns are called {twice[0]!r}", where=lines.where())
    other = next((mark for mark in _FOREIGN if mark != delimiter and len(names) == 1 and mark in names[0]), None)
    if other is not None:
        raise ConfigError(
            f"the header is one column with {other!r} in its name",
            where=lines.where(),
            hint="separate cells by commas (.csv) or tabs (.tsv)",
        )
    return names


def _parquet(source: BinaryIO, display: str, mark: Mark) -> Iterator[Entry]:
    for number, value in parquet_rows(source, display, mark.item):
        yield Entry(value, f"{display}:row {number}", 0, 0)


READERS: dict[str, Reader] = {
    "jsonl": json_lines,
    "ndjson": json_lines,
    "csv": comma_separated,
    "tsv": tab_separated,
    "parquet": _parquet,
}
"""Formats that are read record by record, by the end of the file's name."""
