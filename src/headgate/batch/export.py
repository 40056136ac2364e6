"""A run's rows in other forms, a row at a time: JSON lines, CSV, Arrow and Parquet, and a table of HTML."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import IO

from headgate.batch.document import Document, clip, html_parts, html_table
from headgate.batch.drafts import draft_of
from headgate.batch.outputs import failures, receipts, results
from headgate.batch.readings import Readings
from headgate.batch.rows import RunRow, StepRow, UnitRow, last_unit_step
from headgate.batch.states import UnitState
from headgate.batch.tables import PAGE, Tables
from headgate.domain.cost import usd_text
from headgate.errors import UsageError
from headgate.ledger.csv_text import safe_cell
from headgate.wire.json import Json, JsonObject, decode, encode, encode_text

WHATS = ("results", "failures", "receipts", "units")
FORMATS = ("jsonl", "csv", "parquet", "html")
SHOWN = 1000
"""Rows a page of HTML has."""
_CELL = 300
_GROUP = 10_000
_INT64 = 1 << 63


def rows_of(tables: Tables, run: RunRow, steps: list[StepRow], what: str, step: str | None) -> Iterator[JsonObject]:
    """What is to be exported, of one step or of all; results are of the last step where none is named. Raises `UsageError`."""
    numbers = {found.name: found.idx for found in steps}
    if step is not None and step not in numbers:
        raise UsageError(f"the run has no step {step!r}", hint=f"its steps are {', '.join(numbers)}")
    if what == "results":
        return results(tables, run.key, last_unit_step(steps).idx if step is None else numbers[step])
    if what == "units":
        return units(tables, run, steps if step is None else [steps[numbers[step]]])
    found = failures(tables, run.key, steps) if what == "failures" else receipts(tables, run, steps)
    return (row for row in found if step in (None, row["step"]))


def units(tables: Tables, run: RunRow, steps: Iterable[StepRow]) -> Iterator[JsonObject]:
    """A row for each unit at each step: its state, calls and cost, and its record as it left the step, or came to it."""
    for step in steps:
        readings = Readings(tables, run.key)
        found = readings.units(step.idx)
        while group := list(islice(found, PAGE)):
            lines = tables.read_lines(place for unit in group for place in _places(unit))
            unpriced = readings.unpriced_units(step.idx, group[0].seq, group[-1].seq)
            yield from (_unit_row(unit, step, lines, unit.seq not in unpriced) for unit in group)


def _places(unit: UnitRow) -> Iterator[tuple[int, int]]:
    yield unit.input_segment, unit.input_row
    if unit.state is UnitState.VALID and unit.segment is not None and unit.row is not None:
        yield unit.segment, unit.row


def _unit_row(unit: UnitRow, step: StepRow, lines: Mapping[tuple[int, int], Json], priced: bool) -> JsonObject:
    record: JsonObject = lines[list(_places(unit))[-1]]["record"]
    return {
        "unit_id": record.get("unit_id"),
        "seq": unit.seq,
        "parent_seq": unit.parent_seq,
        "step": step.name,
        "state": unit.state.name.lower(),
        "tries": unit.tries,
        "attempts": unit.attempts,
        "cost_usd": usd_text(unit.cost_nanos) if priced else None,
        "reason": unit.reason,
        "record": record,
    }


def json_lines(rows: Iterable[JsonObject]) -> Iterator[str]:
    """A line for each row."""
    return (encode_text(row) + "\n" for row in rows)


class Spool:
    """Rows kept in an unnamed file in `folder`, so that their columns are known before the first one is written out. A context manager."""

    def __init__(self, rows: Iterable[JsonObject], folder: Path | None = None) -> None:
        self._rows = rows
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self.columns: dict[str, set[str]] = {}

    def __enter__(self) -> Spool:
        try:
            for row in self._rows:
                self._file.write(encode(row) + b"\n")
                for name, value in row.items():
                    self.columns.setdefault(name, set()).add(_kind(value))
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[JsonObject]:
        self._file.seek(0)
        for line in self._file:
            yield decode(line)


_FLOAT = 2**53
"""Up to here every integer is a float as well."""


def _kind(value: Json) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, float | str):
        return type(value).__name__
    if isinstance(value, int):
        return "int" if abs(value) <= _FLOAT else "long" if -_INT64 <= value < _INT64 else "json"
    return "json"


def csv_lines(spool: Spool, *, excel_safe: bool = False) -> Iterator[str]:
    """The header and a line for each row: texts as they are, what is nested as JSON, null as nothing.

    `excel_safe` puts ``'`` before texts that a spreadsheet might execute.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    names = list(spool.columns)

    def line(cells: Iterable[str]) -> str:
        writer.writerow([safe_cell(cell) if excel_safe else cell for cell in cells])
        text = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return text

    yield line(names)
    for row in spool:
        yield line(cell_text(row.get(name)) for name in names)


def cell_text(value: Json) -> str:
    """A value in a cell."""
    return value if isinstance(value, str) else "" if value is None else encode_text(value)


def optional(name: str, extra: str) -> ModuleType:
    """A library that need not be there. Raises `UsageError` that says how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(f"this needs {name.partition('.')[0]}, which is not installed", hint=f"pip install {extra}") from error


ARROW = "'headgate[parquet]'"


def arrow_batches(spool: Spool) -> tuple[Json, Iterator[Json]]:
    """An Arrow schema, and the rows as record batches: columns of one kind of scalar as such, all others as JSON text."""
    arrow = optional("pyarrow", ARROW)
    schema = arrow.schema([(name, _arrow_type(arrow, kinds)) for name, kinds in spool.columns.items()])

    def batches() -> Iterator[Json]:
        rows = iter(spool)
        while group := list(islice(rows, _GROUP)):
            columns = {field.name: [_arrow_value(row.get(field.name), spool.columns[field.name]) for row in group] for field in schema}
            yield arrow.RecordBatch.from_pydict(columns, schema=schema)

    return schema, batches()


def _arrow_type(arrow: ModuleType, kinds: set[str]) -> Json:
    return {"int": arrow.int64, "float": arrow.float64, "bool": arrow.bool_}.get(_column(kinds), arrow.string)()


def _column(kinds: set[str]) -> str:
    """The kind of a column: int, float, bool or str where all its values are, else json; numbers no float can hold are not made one."""
    found = kinds - {"NoneType"}
    if found == {"int", "float"}:
        return "float"
    if found <= {"int", "long"} and found:
        return "int"
    return next(iter(found)) if len(found) == 1 else "json"


def _arrow_value(value: Json, kinds: set[str]) -> Json:
    if value is None or _column(kinds) != "json":
        return value
    return encode_text(value)


def write_parquet(path: Path, rows: Iterable[JsonObject]) -> None:
    """Write a Parquet file, whole or not at all. Raises `StoreError`, and `UsageError` without pyarrow."""
    parquet = optional("pyarrow.parquet", ARROW)
    with draft_of(path) as draft, Spool(rows, path.parent) as spool:
        schema, batches = arrow_batches(spool)
        with parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)


def html_page(document: Document, what: str, rows: Iterable[JsonObject]) -> Iterator[str]:
    """`document` with a table of the first rows below it, piece by piece."""
    found = iter(rows)
    shown = list(islice(found, SHOWN))
    return html_parts(document, _rows_html(what, shown, more=next(found, None) is not None))


def _rows_html(what: str, rows: list[JsonObject], more: bool) -> Iterator[str]:
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    yield f"<h2>{what.capitalize()}</h2>\n"
    yield from html_table(names, (tuple(clip(cell_text(row.get(name)), _CELL) for name in names) for row in rows))
    yield f"<p>The first {SHOWN:,}; the formats jsonl, csv and parquet have all.</p>\n" if more else f"<p>{len(rows):,} in all.</p>\n"
