"""Tables of results against counting by hand (OCT-156)."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.analysis import CountRow, NumberRow, Options, analysis_text, analyze
from headgate.batch.statistics import wilson
from headgate.errors import ConfigError, UsageError

WALKS = [
    *({"who": "near", "end": "water", "steps": n} for n in (2, 4, 6)),
    {"who": "near", "end": "Ship", "steps": 8},
    *({"who": "far", "end": "Ship", "steps": n} for n in (10, 20)),
    {"who": "far"},
    {"end": "water"},
    {"who": "far", "end": None, "steps": "many"},
]


def counted(**changes: object) -> Options:
    return Options(group_by="who", count_field="end", **changes)


def test_shares_and_nets() -> None:
    found = analyze(WALKS, counted(net_positive=("ship",), net_negative=("WATER",)))
    far, near = found.rows
    assert isinstance(far, CountRow) and isinstance(near, CountRow)
    assert (far.group, far.total, far.counts) == ("far", 2, {"Ship": 2, "water": 0})
    assert near.shares["Ship"] == wilson(1, 4)
    assert far.net is not None and near.net is not None
    assert (far.net.value, near.net.value) == (1.0, -0.5)
    assert (found.total, found.skipped, found.top, found.notes) == (6, 3, "far", ())
    assert all(row.net.low <= row.net.value <= row.net.high for row in (far, near) if row.net is not None)
    assert analyze(WALKS, counted()).top is None
    (down, _) = analyze(WALKS, counted(net_negative=("water",))).rows
    assert isinstance(down, CountRow) and down.net is not None
    assert (down.group, down.net.value, down.net.high) == ("far", 0.0, 0.0)
    assert "no result has the value 'boat'" in analyze(WALKS, counted(net_positive=("boat",))).notes[0]


def test_text_and_csv_of_shares() -> None:
    found = analyze(WALKS, counted(net_positive=("ship",), title="Walks"))
    lines = analysis_text(found, "table").splitlines()
    assert lines[0] == "Walks"
    assert lines[2].split() == ["Group", "Total", "Ship", "water", "Net"]
    assert lines[4].startswith("far        2  100.0% (34.2–100.0)    0.0% (0.0–65.8)  +100.0% (+34.2 to +100.0)")
    assert "Total: 6 results, 3 skipped: who or end is missing" in lines
    assert "Top: far" in lines
    rows = list(csv.reader(io.StringIO(analysis_text(found, "csv"))))
    assert rows[0] == ["Group", "Total", "Ship", "water", "Net", "Ship_low", "Ship_high", "water_low", "water_high"]
    assert rows[2][:5] == ["near", "4", "0.25", "0.75", "0.25"]
    assert "| far | 2 | 100.0% (34.2–100.0) |" in analysis_text(found, "md")


def test_numbers() -> None:
    found = analyze(
        WALKS, Options(group_by="who", numeric_field="steps", custom_stats=(("CV %", "100 * stdev / mean"), ("SE", "stdev / sqrt(count)")))
    )
    far, near = found.rows
    assert isinstance(far, NumberRow) and isinstance(near, NumberRow)
    assert (near.summary.count, near.summary.mean, near.summary.median, near.summary.least, near.summary.most) == (4, 5, 5, 2, 8)
    assert near.summary.stdev == pytest.approx(statistics.stdev([2, 4, 6, 8]))
    assert near.custom == {"CV %": pytest.approx(100 * near.summary.stdev / 5), "SE": pytest.approx(near.summary.stdev / 2)}
    assert (far.group, found.top, found.total, found.skipped) == ("far", "far", 6, 3)
    rows = list(csv.reader(io.StringIO(analysis_text(found, "csv"))))
    assert rows[0] == ["Group", "Count", "Mean", "Median", "StdDev", "Min", "Max", "CV %", "SE", "Mean_low", "Mean_high"]
    assert rows[2][:4] == ["near", "4", "5", "5"]
    told = json.loads(analysis_text(found, "json"))
    assert (told["kind"], told["rows"][1]["summary"]["median"]) == ("numeric", 5)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", None]))))
def test_every_record_is_counted_or_skipped(pairs: list[tuple[str, str | None]]) -> None:
    found = analyze(({"g": group, "v": value} for group, value in pairs), Options(group_by="g", count_field="v"))
    expected = Counter((group, value) for group, value in pairs if value is not None)
    assert {(row.group, value): n for row in found.rows if isinstance(row, CountRow) for value, n in row.counts.items() if n} == expected
    assert found.total + found.skipped == len(pairs)


@pytest.mark.parametrize(
    ("name", "source", "told"),
    [("Bad", "data", "the value is no number"), ("Worse", "1 / (count - count)", "ZeroDivisionError"), ("None", "missing", "missing")],
)
def test_a_statistic_that_gives_no_number(name: str, source: str, told: str) -> None:
    found = analyze(WALKS, Options(group_by="who", numeric_field="steps", custom_stats=((name, source),)))
    (row, _) = found.rows
    assert isinstance(row, NumberRow)
    assert row.custom == {name: None}
    assert told in found.notes[0]
    assert " — " in analysis_text(found, "table") or "—\n" in analysis_text(found, "table")


def test_statistics_of_many_numbers_have_room() -> None:
    records = ({"g": "a", "v": n} for n in range(20_000))
    found = analyze(records, Options(group_by="g", numeric_field="v", custom_stats=(("Above", "sum(1 for x in data if x > mean)"),)))
    (row,) = found.rows
    assert isinstance(row, NumberRow)
    assert row.custom == {"Above": 10_000}


@pytest.mark.parametrize(
    "options",
    [
        Options(group_by="who"),
        Options(group_by="who", count_field="end", numeric_field="steps"),
        counted(custom_stats=(("a", "1"),)),
        Options(group_by="who", numeric_field="steps", net_positive=("x",)),
    ],
)
def test_options_that_do_not_fit_together(options: Options) -> None:
    with pytest.raises(UsageError) as caught:
        analyze(WALKS, options)
    assert caught.value.hint


def test_what_cannot_be_a_table() -> None:
    with pytest.raises(UsageError, match="has 101 different values"):
        analyze(({"who": 1, "end": n} for n in range(101)), counted())
    with pytest.raises(ConfigError, match="--custom-stat"):
        analyze(WALKS, Options(group_by="who", numeric_field="steps", custom_stats=(("x", "__import__('os')"),)))
    empty = analyze([], counted())
    assert (empty.rows, empty.total, empty.top) == ((), 0, None)
    assert "Total: 0 results" in analysis_text(empty, "table")


def test_a_cell_of_a_csv_is_no_formula() -> None:
    records = [{"who": "=1+1", "end": "@x"}]
    rows = list(csv.reader(io.StringIO(analysis_text(analyze(records, counted()), "csv"))))
    assert (rows[0][2], rows[1][0]) == ("'@x", "'=1+1")
