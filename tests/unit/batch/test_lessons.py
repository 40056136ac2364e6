"""Sums of what earlier runs used; how they are read from a run is shown by the command's tests."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.lessons import Lesson, Moments, learned


def moments(values: list[float]) -> Moments:
    return Moments(len(values), sum(values), sum(value * value for value in values))


@given(st.lists(st.floats(0, 1e4), min_size=2, max_size=30), st.lists(st.floats(0, 1e4), max_size=30))
def test_sums_of_parts_are_those_of_the_whole(one: list[float], other: list[float]) -> None:
    both = moments(one) + moments(other)
    assert both.n == len(one) + len(other)
    assert both.mean == pytest.approx(mean(one + other))
    assert both.doubt >= 0


def test_many_that_are_alike_leave_no_doubt() -> None:
    assert moments([5.0] * 100).doubt == pytest.approx(0.0, abs=1e-4)
    assert moments([5.0]).doubt == 5.0
    assert Moments().mean == 0.0


def test_lessons_add_up() -> None:
    both = Lesson(units=3, children=6, input=Moments(3, 30.0, 300.0)) + Lesson(units=1, input=Moments(1, 2.0, 4.0))
    assert (both.runs, both.units, both.children, both.calls, both.input.total) == (2, 4, 6, 4, 32.0)


def test_a_folder_that_holds_no_run_teaches_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.sqlite").write_bytes(b"no database")
    assert learned(tmp_path, "digest") == learned(tmp_path / "nowhere", "digest") == {}
