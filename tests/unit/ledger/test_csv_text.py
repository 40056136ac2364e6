"""Receipts as CSV: exact, complete, and nothing a spreadsheet would execute (faults I16)."""

from __future__ import annotations

import csv
import io

import pytest

from headgate.domain.usage import Usage
from headgate.ledger.csv_text import COLUMNS, csv_lines, safe_cell
from headgate.testing.receipts import priced_receipt

EVIL = ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "=cmd|' /C calc'!A0", "-"]
HARMLESS = ["", "a=b", "gpt-5", "-0.5", "-12", "12.5", "'=1", "1+1"]


@pytest.mark.parametrize("text", EVIL)
def test_formulas_become_text(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    lines = csv_lines([priced_receipt(1, model=text, tags=(text,), session=text)], excel_safe=True)
    row = next(csv.DictReader(io.StringIO("".join(lines), newline="")))
    assert row["model"] == row["tags"] == row["session"] == f"'{text}"


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_stay(text: str) -> None:
    assert safe_cell(text) == text


def test_nothing_is_changed_without_being_asked() -> None:
    row = next(csv.DictReader(io.StringIO("".join(csv_lines([priced_receipt(1, model='=1,"x"\n')])), newline="")))
    assert row["model"] == '=1,"x"\n'


def test_golden() -> None:
    usage = Usage(input_uncached=1200, cache_read=800, output_text=300, fees={"web_search": 2})
    receipts = [
        priced_receipt(1, stream=True, key="k1", tags=("agent:planner", "nightly")),
        priced_receipt(2, usage, None, status="error", error="timeout"),
    ]
    header, *rows = csv.reader(io.StringIO("".join(csv_lines(receipts)), newline=""))
    assert tuple(header) == COLUMNS
    first, second = (dict(zip(header, row, strict=True)) for row in rows)
    assert first["id"] == "01000000000000000000000001"
    assert {name: value for name, value in first.items() if value not in ("", "0", first["id"])} == {
        "at": "2026-11-30T12:01:00.000Z",
        "face": "gateway",
        "status": "ok",
        "provider": "openai",
        "account": "default",
        "model": "gpt-5",
        "operation": "chat",
        "lane": "realtime",
        "stream": "1",
        "key": "k1",
        "tags": "agent:planner nightly",
        "input_uncached": "1200",
        "cache_read": "800",
        "output_text": "300",
        "input_total": "2000",
        "output_total": "300",
        "usage_source": "provider",
        "usd": "0.0046",
        "price_rule": "openai/gpt-5@2026-01-01",
        "price_digest": first["price_digest"],
        "unit_prices": '{"input_uncached":"1.25","cache_read":"0.125","output_text":"10"}',
        "attempts": "1",
        "finish": "stop",
        "duration": "1.5",
    }
    assert (second["usd"], second["fees"], second["error"]) == ("", '{"web_search":2}', "timeout")


def test_no_receipts_are_a_header() -> None:
    assert list(csv_lines([])) == [",".join(COLUMNS) + "\r\n"]
