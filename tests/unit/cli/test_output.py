"""Money, progress lines and tables as they are printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.cli.actions.output import money, table


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (None, "unknown"),
        (0, "$0.000000"),
        (1_234, "$0.000001"),
        (9_999_999, "$0.010000"),
        (10_000_000, "$0.0100"),
        (999_999_999, "$1.0000"),
        (1_000_000_000, "$1.00"),
        (12_345_678_900_000, "$12345.68"),
    ],
)
def test_money(nanos: int | None, text: str) -> None:
    assert money(nanos) == text


cells = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9)


@given(st.lists(st.tuples(cells, cells, cells), max_size=5), st.sets(st.integers(0, 2)))
def test_columns_line_up(rows: list[tuple[str, ...]], right: set[int]) -> None:
    lines = table(rows, ("one", "two", "three"), frozenset(right)).splitlines()
    assert len(lines) == len(rows) + 2
    assert lines[1].replace("-", "").strip() == ""
    edges = [len(part) for part in lines[1].split("  ")]
    for line, row in zip(lines[2:], rows, strict=True):
        at = 0
        for index, (cell, width) in enumerate(zip(row, edges, strict=True)):
            shown = line[at : at + width]
            assert shown.strip() == cell
            assert shown.endswith(cell) if index in right else shown.startswith(cell)
            at += width + 2


def test_no_rows() -> None:
    assert table([], ("a", "bb")) == "a  bb\n-  --"
