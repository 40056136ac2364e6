"""Matching units of two runs against doing it with dictionaries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.comparison import Differing, match_units
from headgate.wire.json import Json

RUN = st.dictionaries(st.sampled_from("uvwxyz"), st.fixed_dictionaries({"a": st.integers(0, 1), "b": st.sampled_from(["x", "y", None])}))


@given(RUN, RUN, st.integers(0, 3))
def test_agreement_is_what_dictionaries_say(first: dict[str, dict[str, Json]], other: dict[str, dict[str, Json]], sample: int) -> None:
    def records(run: dict[str, dict[str, Json]]) -> list[dict[str, Json]]:
        return [{"unit_id": unit, **fields} for unit, fields in run.items()]

    found = match_units(records(first), records(other), ("a", "b"), sample)
    both = first.keys() & other.keys()
    assert (found.matched, found.only_first, found.only_other) == (len(both), len(first) - len(both), len(other) - len(both))
    assert found.whole == sum(first[unit] == other[unit] for unit in both)
    assert [field.equal for field in found.fields] == [sum(first[unit][name] == other[unit][name] for unit in both) for name in "ab"]
    assert len(found.sample) == min(sample, len(both) - found.whole)
    for shown in found.sample:
        expected = {name: (first[shown.unit][name], other[shown.unit][name]) for name in "ab"}
        assert shown.values == {name: pair for name, pair in expected.items() if pair[0] != pair[1]}
    assert found.repeated == 0


def test_ids_that_come_twice_count_once() -> None:
    first = [{"unit_id": "u", "a": 1}, {"unit_id": "u", "a": 2}]
    other = [{"unit_id": "u", "a": 1}, {"unit_id": "u", "a": 1}, {"unit_id": "v", "a": 1}]
    found = match_units(first, other, ("a",), 5)
    assert (found.matched, found.whole, found.repeated, found.only_other) == (1, 1, 2, 1)


def test_values_are_compared_as_json() -> None:
    first = [{"unit_id": "u", "a": 1, "b": True, "c": {"d": [1]}}]
    other = [{"unit_id": "u", "a": 1.0, "b": 1, "c": {"d": [2]}}]
    found = match_units(first, other, ("a", "b", "c.d"), 5)
    assert [field.equal for field in found.fields] == [1, 0, 0]
    assert found.sample == (Differing("u", {"b": (True, 1), "c.d": ([1], [2])}),)
