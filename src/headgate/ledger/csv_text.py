"""Receipts as CSV, one row a receipt: exact decimals, no prompts, and nothing that a spreadsheet would take for a formula (faults I16)."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator

from headgate.domain.usage import BUCKETS
from headgate.ledger.receipt import Receipt, receipt_json
from headgate.wire.json import Json, encode_text

COLUMNS = (
    *("id", "at", "face", "status", "provider", "account", "model", "model_answered", "operation", "lane", "stream"),
    *("key", "team", "user", "tags", "session", "run", "step", "unit", "attempt", "submission"),
    *BUCKETS,
    *("input_total", "output_total", "fees", "usage_source", "usd", "price_rule", "price_digest", "unit_prices"),
    *("attempts", "finish", "error", "request_id", "duration", "first_byte"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a cell begins that spreadsheets may execute; the last four are the full-width twins."""
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


def csv_lines(receipts: Iterable[Receipt], *, excel_safe: bool = False) -> Iterator[str]:
    """The header and a line for each receipt. `excel_safe` puts ``'`` before texts that a spreadsheet might execute."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")  # RFC 4180; and a cell with either is then quoted
    rows = itertools.chain((COLUMNS,), map(_cells, receipts))
    for row in rows:
        writer.writerow([safe_cell(cell) if excel_safe and isinstance(cell, str) else cell for cell in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def safe_cell(text: str) -> str:
    """`text`, with ``'`` before it when a spreadsheet might take it for a formula. A plain number is none."""
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def _cells(receipt: Receipt) -> list[str | int | float | None]:
    document = receipt_json(receipt)
    usage = document["usage"]
    document.update({bucket: usage.get(bucket, 0) for bucket in BUCKETS})
    document.update(input_total=usage["input_total"], output_total=usage["output_total"], usage_source=usage["source"])
    document.update(fees=usage.get("fees", {}), attempts=len(receipt.attempts))
    return [_cell(document.get(name)) for name in COLUMNS]


def _cell(value: Json) -> str | int | float | None:
    """A value as it stands in a cell: lists separated by blanks, objects as JSON, yes and no as 1 and 0."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return encode_text(value) if value else ""
    return None if value is None else value if isinstance(value, int | float) else str(value)
