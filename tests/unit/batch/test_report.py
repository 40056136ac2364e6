"""The report's counts against counting by hand."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import headgate.batch.report as report
from headgate.batch.report import Failures, bias_notes, count_groups, field_of, funnel, group_of, item_of
from headgate.batch.rows import StepTotals
from headgate.wire.json import JsonObject


def step(idx: int, started: int, valid: int, failed: int, open_chunks: int = 0) -> StepTotals:
    return StepTotals(idx, f"s{idx}", "chunk", "batch", "p", "m", started, valid, failed, 0, 1, open_chunks, 0)


def failure(unit: str, rule: str = "low", message: str = "too low", stage: str = "rule", **record: object) -> JsonObject:
    errors = [{"path": "$", "rule": rule, "message": message}] if rule else []
    return {"unit_id": unit, "step": "ask", "failure_stage": stage, "errors": errors, "input": {"unit_id": unit, **record}}


def test_the_funnel() -> None:
    first, second, third = funnel([step(0, 100, 90, 6, 1), step(1, 90, 60, 20), step(2, 180, 150, 30)], 100)
    assert (first.pending, first.lost) == (4, 0)
    assert first.passed is not None and first.passed.value == 90 / 96
    assert first.yielded is not None and first.yielded.value == 0.9
    assert (second.pending, second.lost) == (0, 10), "nothing works on what is pending there"
    assert third.yielded is None, "more units than there were is no share"
    (empty,) = funnel([step(0, 0, 0, 0)], 0)
    assert (empty.passed, empty.yielded) == (None, None)


def test_errors_are_grouped_by_rule_and_by_what_a_provider_said() -> None:
    counted = Failures(None)
    for i in range(5):
        counted.add(failure(f"u{i}", message=f"the value {i} is too low"))
    for message in ("overloaded", "overloaded", "x" * 300):
        counted.add(failure("v", "provider_error", message, "provider_error"))
    counted.add(failure("w", "", stage="lost"))
    top = counted.top_errors()
    assert [(error.text, error.count) for error in top[:2]] == [("low: the value 0 is too low", 5), ("provider_error: overloaded", 2)]
    assert len(top) == 3
    assert all(len(error.text) <= 100 for error in counted.top_errors(9))
    assert ("lost", 1) in [(error.text, error.count) for error in counted.top_errors(9)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans())))
def test_failures_by_a_field_are_shares_of_the_decided(units: list[tuple[str, bool]]) -> None:
    counted = Failures("kind")
    for kind, passed in units:
        if not passed:
            counted.add(failure("u", kind=kind))
    groups = counted.by_group(count_groups(({"kind": kind} for kind, passed in units if passed), "kind"))
    assert {group.group: group.decided for group in groups} == Counter(kind for kind, _ in units)
    assert {group.group: group.failed for group in groups if group.failed} == Counter(kind for kind, passed in units if not passed)
    assert [group.failed for group in groups] == sorted((group.failed for group in groups), reverse=True)


def test_failures_by_item_leave_the_repetition_out() -> None:
    counted = Failures(None)
    for unit in ("a__rep0001", "a__rep0002", "b"):
        counted.add(failure(unit))
    assert [(group.group, group.failed, group.share) for group in counted.by_group(None)] == [("a", 2, None), ("b", 1, None)]
    assert item_of("x__rep12y") == "x__rep12y"


def test_memory_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MANY", 3)
    counted = Failures("kind")
    for i in range(10):
        counted.add(failure("u", f"r{i}", kind=i))
    assert dict(counted.groups) == {"0": 1, "1": 1, "2": 1, report.OTHERS: 7}
    assert sum(error.count for error in counted.top_errors(99)) == 10


@pytest.mark.parametrize(
    ("name", "value"),
    [("a", {"b": {"c": 1}}), ("a.b.c", 1), ("a.b", {"c": 1}), ("x.y", 2), ("a.z.c", None), ("no", None), ("a.b.c.d", None)],
)
def test_fields(name: str, value: object) -> None:
    assert field_of({"a": {"b": {"c": 1}}, "x.y": 2}, name) == value


def test_groups_have_names() -> None:
    assert [group_of({"a": value}, "a") for value in ("x", 1, None, [1], True)] == ["x", "1", "(none)", "[1]", "true"]


def test_what_was_dropped_is_told_and_where_it_is_uneven() -> None:
    assert bias_notes(10, 0, None, ()) == ()
    counted = Failures("kind")
    for _ in range(60):
        counted.add(failure("u", kind="b"))
    counted.add(failure("u", kind="a"))
    groups = counted.by_group({"a": 99, "b": 40})
    (general, uneven) = bias_notes(139, 61, "kind", groups)
    assert general.startswith("61 of 200 units (30.5%) were dropped")
    assert uneven.startswith("The drops are not even over kind: b, a ")
    even = Failures("kind").by_group({"a": 10, "b": 10})
    assert len(bias_notes(20, 5, "kind", even)) == 1
