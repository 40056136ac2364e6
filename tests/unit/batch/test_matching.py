"""Result rows find their units by custom id alone, whatever their order; the first row of a unit wins, and nothing foreign is attached."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.plan import custom_id
from headgate.batch.steps.collect import pointless
from headgate.batch.steps.rows import Matcher, Tally
from headgate.dialects.batch import BatchRow, BatchState, BatchStatus

PREFIX = "abc123-4-1"
KINDS = ("ours", "other run", "other chunk", "nobody", "torn")


def row(name: str | None, line: int = 1) -> BatchRow:
    return BatchRow(name, "succeeded", line, 200, b"{}")


def matched(rows: list[BatchRow], open_: set[int]) -> tuple[list[int], Tally]:
    matcher = Matcher(SimpleNamespace(prefix=PREFIX), frozenset(open_))  # type: ignore[arg-type]
    return [seq for group in matcher.groups(iter(rows)) for seq, _ in group], matcher.tally


@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from(KINDS)), max_size=30), st.data())
def test_every_row_is_counted_as_one_thing(kinds: list[tuple[int, str]], data: st.DataObject) -> None:
    names = {"ours": "abc123-4-1-{}", "other run": "zzz999-4-1-{}", "other chunk": "abc123-5-1-{}", "nobody": "hello {}"}
    rows = [row(names[kind].format(seq) if kind != "torn" else None) for seq, kind in kinds]
    open_ = data.draw(st.sets(st.integers(0, 8)))
    found, tally = matched(rows, open_)
    ours = [seq for seq, kind in kinds if kind == "ours"]
    assert found == list(dict.fromkeys(seq for seq in ours if seq in open_))
    assert tally.ours == len(found)
    assert tally.ours + tally.earlier == len(set(ours))
    assert tally.duplicate == len(ours) - len(set(ours))
    assert tally.unreadable == sum(kind == "torn" for _, kind in kinds)
    assert tally.ours + tally.earlier + tally.duplicate + tally.unreadable + tally.foreign == len(kinds)


def test_an_attempt_s_rows_are_not_another_attempt_s() -> None:
    assert matched([row(custom_id("abc123", 4, 2, 0))], {0}) == ([], Tally(foreign=1))


def test_rows_that_were_stored_before_a_crash_show_that_a_job_is_ours_and_readable() -> None:
    _, tally = matched([row("abc123-4-1-0"), row(None)], set())
    assert (tally.earlier, tally.unreadable) == (1, 1)
    assert pointless(BatchState(status=BatchStatus.COMPLETED, raw_status="completed"), tally, 0) is None
    assert pointless(BatchState(status=BatchStatus.COMPLETED, raw_status="completed"), Tally(unreadable=3), 0) is not None
