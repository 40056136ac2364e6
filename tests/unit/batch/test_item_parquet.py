"""Rows of Parquet files."""

from __future__ import annotations

import io
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from headgate.batch.item_file import ItemsFile
from headgate.batch.item_parquet import json_value
from headgate.batch.lazy_items import LazyItems, survey
from headgate.errors import ConfigError
from headgate.wire.json import JsonObject


def parquet(rows: list[JsonObject], group: int = 3) -> ItemsFile:
    arrow = pytest.importorskip("pyarrow", reason="needs the extra headgate[parquet]")
    lines = pytest.importorskip("pyarrow.parquet", reason="needs the extra headgate[parquet]")
    target = io.BytesIO()
    lines.write_table(arrow.Table.from_pylist(rows), target, row_group_size=group)
    return ItemsFile("items.parquet", "items.parquet", target.getvalue())


def test_rows_come_from_every_place() -> None:
    rows = [{"id": f"u{n}", "n": n, "list": [n, None], "deep": {"a": "ü"}} for n in range(10)]
    file = parquet(rows)
    items = LazyItems(file, None, (), survey(file, None, (), ""))
    assert items.facts.fields == ("deep", "id", "list", "n")
    for place in range(11):
        assert [item.fields for item in items.from_place(place)] == rows[place:]
    assert [item.where for item in items.from_place(8)] == ["items.parquet:row 9", "items.parquet:row 10"]


def test_faults_carry_the_row() -> None:
    with pytest.raises(ConfigError, match=r"items\.parquet:row 2: duplicate item id 'a' \(first used at items\.parquet:row 1\)"):
        survey(parquet([{"id": "a"}, {"id": "a"}]), None, (), "")
    with pytest.raises(ConfigError, match="row 1: a cell holds bytes that is no text"):
        survey(parquet([{"id": "a", "b": b"\xff"}]), None, (), "")


def test_what_is_no_parquet() -> None:
    pytest.importorskip("pyarrow", reason="needs the extra headgate[parquet]")
    with pytest.raises(ConfigError, match="not Parquet that can be read"):
        survey(ItemsFile("items.parquet", "items.parquet", b"id\n1\n"), None, (), "")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match="needs pyarrow") as caught:
        survey(ItemsFile("items.parquet", "items.parquet", b""), None, (), "")
    assert caught.value.hint == "pip install 'headgate[parquet]'"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (datetime(2026, 5, 1, 8, 30, tzinfo=UTC), "2026-05-01T08:30:00+00:00"),
        (date(2026, 5, 1), "2026-05-01"),
        (time(8, 30), "08:30:00"),
        (timedelta(minutes=1.5), 90.0),
        (Decimal("12.50"), 12.5),
        (Decimal("12.00"), 12),
        (float("nan"), None),
        (float("inf"), None),
        (b"abc", "abc"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ([("k", date(2026, 5, 1))], [["k", "2026-05-01"]]),
        ({"a": {1: True}}, {"a": {"1": True}}),
    ],
    ids=str,
)
def test_cells_become_json(value: object, told: object) -> None:
    assert json_value(value, "row 1") == told
