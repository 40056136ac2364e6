"""Rows in other forms: read again they are the same rows."""

from __future__ import annotations

import csv
import io
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.document import Document
from headgate.batch.drafts import draft_of, write_text
from headgate.batch.export import Spool, arrow_batches, cell_text, csv_lines, html_page, json_lines, optional, write_parquet
from headgate.errors import StoreError, UsageError
from headgate.wire.json import JsonObject, decode

needs_arrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow, of the extra `parquet`, is not installed")

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=3), SCALARS, max_size=3)
ROWS = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c d", "é"]), VALUES, max_size=4), max_size=6)


@given(ROWS)
def test_json_lines(rows: list[JsonObject]) -> None:
    assert [decode(line) for line in json_lines(rows)] == rows


@given(ROWS)
def test_csv_has_every_cell(rows: list[JsonObject]) -> None:
    with Spool(rows) as spool:
        text = "".join(csv_lines(spool))
        assert list(spool) == rows
    found = list(csv.reader(io.StringIO(text, newline="")))
    names = list(dict.fromkeys(name for row in rows for name in row))
    assert found[0] == names
    assert found[1:] == [[cell_text(row.get(name)) for name in names] for row in rows]


def test_a_csv_for_spreadsheets() -> None:
    with Spool([{"a": "=cmd", "b": "-1", "c": -2, "d": [1]}]) as spool:
        assert list(csv_lines(spool, excel_safe=True))[1] == "'=cmd,-1,-2,[1]\r\n"
        assert list(csv_lines(spool))[1] == "=cmd,-1,-2,[1]\r\n"


@needs_arrow
@given(ROWS)
def test_arrow_keeps_scalars_and_has_the_rest_as_json(rows: list[JsonObject]) -> None:
    with Spool(rows) as spool:
        schema, batches = arrow_batches(spool)
        found = [row for batch in batches for row in batch.to_pylist()]
    for row, kept in zip(rows, found, strict=bool(schema.names)):
        for name in schema.names:
            value, read = row.get(name), kept[name]
            assert read == value or decode(read) == value or (isinstance(value, int) and read == float(value))


@needs_arrow
def test_kinds_of_columns(tmp_path: Path) -> None:
    rows = [{"i": 1, "f": 1, "b": True, "s": "x", "mixed": 1, "big": 2**63, "n": None}, {"f": 0.5, "mixed": "1", "s": None}]
    path = tmp_path / "deep" / "rows.parquet"
    write_parquet(path, iter(rows))
    table = optional("pyarrow.parquet", "x").read_table(path)
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds == {"i": "int64", "f": "double", "b": "bool", "s": "string", "mixed": "string", "big": "string", "n": "string"}
    assert table.to_pylist()[0] == {"i": 1, "f": 1.0, "b": True, "s": "x", "mixed": "1", "big": str(2**63), "n": None}
    assert [file.name for file in path.parent.iterdir()] == ["rows.parquet"]


def test_what_is_not_installed_is_told_with_how_to_have_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match="pyarrow, which is not installed") as caught:
        write_parquet(tmp_path / "x.parquet", [])
    assert caught.value.hint == "pip install 'headgate[parquet]'"
    assert list(tmp_path.iterdir()) == []


def test_a_page_shows_the_first_rows_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.batch.export.SHOWN", 2)
    rows = ({"a": f"<b>{n}</b>", "n": n} for n in range(3))
    text = "".join(html_page(Document("Run"), "results", rows))
    assert "&lt;b&gt;1&lt;/b&gt;" in text and "<b>" not in text and "&lt;b&gt;2" not in text
    assert "The first 2; the formats" in text
    assert "2 in all." in "".join(html_page(Document("Run"), "results", [{"a": 1}, {"a": 2}]))
    assert "0 in all." in "".join(html_page(Document("Run"), "results", []))


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "page.md"
    write_text(path, ("a\n", "b\n"))
    assert path.read_text() == "a\nb\n"

    def broken() -> object:
        yield "c"
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write_text(path, broken())
    assert path.read_text() == "a\nb\n"
    assert [file.name for file in path.parent.iterdir()] == ["page.md"]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write") as caught, draft_of(tmp_path / "file" / "page.md"):
        raise AssertionError("not reached")
    assert caught.value.hint is not None and "df -h" in caught.value.hint
