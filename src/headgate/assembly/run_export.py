"""Taking what a run holds elsewhere, while it is driven or after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from headgate.assembly.run_report import report_document, report_of
from headgate.assembly.status import opened_run
from headgate.batch.drafts import write_text
from headgate.batch.export import Spool, csv_lines, html_page, json_lines, rows_of, write_parquet
from headgate.errors import UsageError
from headgate.wire.json import JsonObject


class ExportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to export (results, failures, receipts or units; of one step or of all), and in which form."""

    what: str = "results"
    format: str = "jsonl"
    step: str | None = None
    excel_safe: bool = False


@contextmanager
def run_rows(folder: Path, what: str, step: str | None) -> Iterator[Iterator[JsonObject]]:
    """The rows, one after the other, in constant memory. Raises `StoreError`, `RunError`, `UsageError`."""
    with opened_run(folder) as (tables, row):
        yield rows_of(tables, row, tables.steps(row.key), what, step)


def export_file(folder: Path, request: ExportRequest, path: Path, moment: Callable[[float], str]) -> None:
    """Write a file, whole or not at all; `moment` words a time in epoch seconds. Raises `StoreError`, `RunError`, `UsageError`."""
    if request.format == "parquet":
        with run_rows(folder, request.what, request.step) as rows:
            write_parquet(path, rows)
    else:
        write_text(path, export_pieces(folder, request, moment, path.parent))


def export_pieces(folder: Path, request: ExportRequest, moment: Callable[[float], str], scratch: Path | None = None) -> Iterator[str]:
    """The text piece by piece; what has to be read twice is kept in the folder `scratch` meanwhile.

    Raises `StoreError`, `RunError`, and `UsageError` for a form that is no text.
    """
    if request.format == "parquet":
        raise UsageError("a Parquet file needs a name", hint="add --output FILE.parquet")
    with run_rows(folder, request.what, request.step) as rows:
        if request.format == "jsonl":
            yield from json_lines(rows)
        elif request.format == "csv":
            with Spool(rows, scratch) as spool:
                yield from csv_lines(spool, excel_safe=request.excel_safe)
        else:
            with opened_run(folder) as (tables, row):
                document = report_document(report_of(tables, row, None, time.time()), moment)
            yield from html_page(document, request.what, rows)
