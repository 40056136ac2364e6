"""Units that are selections or combinations of items: how many, which, in which order, and that no two have one id."""

from __future__ import annotations

import math
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.combinations import MOST_COMPARED, Combinations
from headgate.batch.item_file import ItemsFile
from headgate.batch.items import read_items
from headgate.batch.pipeline import Position, Processing, Strategy
from headgate.batch.pipeline_config import ItemsSource
from headgate.batch.plan import Item, count_units, generate_units
from headgate.errors import ConfigError

NAMES = st.lists(st.text("ab-", min_size=1, max_size=3), min_size=1, max_size=4, unique=True)


def items(names: list[str]) -> tuple[Item, ...]:
    return tuple(Item(name, {"id": name}) for name in names)


def positions(*names: str) -> tuple[Position, ...]:
    return tuple(Position(name, f"{name}s") for name in names)


def read(text: str, strategy: Strategy, wanted: tuple[Position, ...], key: str | None = None, file: str = "items.yaml") -> Combinations:
    source = ItemsSource(file, key, None, "config.yaml:9:3")
    found = read_items(ItemsFile(file, file, text.encode()), source, Processing(strategy=strategy, positions=wanted))
    assert isinstance(found, Combinations)
    return found


@given(NAMES, st.integers(1, 3))
def test_every_ordered_selection_comes_once(names: list[str], places: int) -> None:
    if places > len(names):
        return
    found = Combinations(tuple("xyz"[:places]), (items(names),), distinct=True)
    chosen = [tuple(item.fields[name]["id"] for name in found.names) for item in found]
    assert len(found) == len(chosen) == len(set(chosen)) == math.perm(len(names), places)
    assert all(len(set(one)) == places and set(one) <= set(names) for one in chosen)
    assert [item.base_id for item in found] == ["-".join(one) for one in chosen]


@given(st.lists(NAMES, min_size=1, max_size=3))
def test_every_combination_comes_once_and_ids_differ_where_the_check_says_so(lists: list[list[str]]) -> None:
    found = Combinations(tuple("xyz"[: len(lists)]), tuple(map(items, lists)))
    ids = [item.base_id for item in found]
    assert len(found) == len(ids) == math.prod(map(len, lists))
    if len(set(ids)) == len(ids):
        found.check("here")
    else:
        with pytest.raises(ConfigError, match="two units would have the id"):
            found.check("here")


def test_they_are_made_when_they_are_needed() -> None:
    """OCT-60: 22 items at three positions are 9,240; nobody waits for 10^11."""
    many = Combinations(tuple(f"p{n}" for n in range(11)), tuple(items([str(m) for m in range(10)]) for _ in range(11)))
    assert len(Combinations(("a", "b", "c"), (items([str(n) for n in range(22)]),), distinct=True)) == 9240
    assert count_units(len(many), 3, 7) == 7
    assert [unit.seq for unit in generate_units(many, 3, max_units=7)] == list(range(7))
    assert next(islice(generate_units(many), 10, None)).unit_id.endswith("-1-0")
    many.check("here")


def test_more_than_a_run_can_have_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"1e\+30 ways to fill the positions"):
        Combinations(tuple(f"p{n}" for n in range(30)), tuple(items([str(m) for m in range(10)]) for _ in range(30))).check("here")


def test_too_many_to_be_compared_must_show_that_they_differ() -> None:
    wide = items([str(n) for n in range(2000)])
    found = Combinations(("a", "b"), (wide, (*wide, Item("x-y", {}))))
    assert len(found) > MOST_COMPARED
    with pytest.raises(ConfigError, match="might not differ"):
        found.check("here")


def test_repetitions_are_interleaved() -> None:
    """OCT-62, of combinations as of items."""
    found = Combinations(("a",), (items(["x", "y"]),))
    units = list(generate_units(found, 2))
    assert [unit.unit_id for unit in units] == ["x__rep0000", "y__rep0000", "x__rep0001", "y__rep0001"]
    assert units[3].fields["a"] == {"id": "y"}


def test_a_permutation_is_of_one_list() -> None:
    text = "cards:\n- {id: the fool, suit: major}\n- {id: two/cups, suit: cups}\n- {id: ace, suit: cups}\n"
    found = read(text, Strategy.PERMUTATION, positions("past", "future"))
    assert len(found) == 6
    first = next(iter(found))
    assert first.base_id == "the_fool-two-cups"
    assert first.fields == {"past": {"id": "the fool", "suit": "major"}, "future": {"id": "two/cups", "suit": "cups"}}
    lines = read('{"id": 1}\n{"id": 2}\n', Strategy.PERMUTATION, positions("a", "b"), file="items.jsonl")
    assert [item.base_id for item in lines] == ["1-2", "2-1"]


def test_a_cross_product_has_a_list_for_each_position() -> None:
    """OCT-198: five people, four moods, three topics."""
    text = "npcs: [{id: smith}, {id: elder}, {id: merchant}, {id: innkeeper}, {id: stranger}]\n"
    text += "moods: [{mood: friendly}, {mood: aggressive}, {mood: desperate}, {mood: suspicious}]\n"
    text += "subjects: [{id: way}, {id: goods}, {id: quest}]\n"
    wanted = (Position("npc", "npcs"), Position("mood", "moods", "mood"), Position("topic", "subjects"))
    found = read(text, Strategy.CROSS_PRODUCT, wanted)
    assert len(found) == 60
    assert [item.base_id for item in islice(found, 2)] == ["smith-friendly-way", "smith-friendly-goods"]
    assert next(iter(found)).fields == {"npc": {"id": "smith"}, "mood": {"mood": "friendly"}, "topic": {"id": "way"}}


@pytest.mark.parametrize(
    ("text", "strategy", "wanted", "message"),
    [
        ("- {id: a}", Strategy.PERMUTATION, positions("x", "y"), "2 positions need as many items; there are 1"),
        ("[]", Strategy.PERMUTATION, positions("x"), "there are no items"),
        ("- {id: a}\n- {id: a}\n", Strategy.PERMUTATION, positions("x"), "duplicate item id 'a'"),
        ("- {v: a}\n", Strategy.PERMUTATION, positions("x"), "an item needs an id in one of: id, name"),
        ("xs: [{id: a}]\n", Strategy.CROSS_PRODUCT, positions("x", "y"), "has no list 'ys' for position 'y'"),
        ("xs: []\n", Strategy.CROSS_PRODUCT, positions("x"), "there are no items"),
        ("xs: {a: 1}\n", Strategy.CROSS_PRODUCT, positions("x"), "items must be a list, not an object"),
        ("- {id: a}\n", Strategy.CROSS_PRODUCT, positions("x"), "has no list 'xs'"),
        ("xs: [{id: a-b}, {id: a}]\nys: [{id: c}, {id: b-c}]\n", Strategy.CROSS_PRODUCT, positions("x", "y"), "the id 'a-b-c'"),
    ],
)
def test_what_cannot_be_combined(text: str, strategy: Strategy, wanted: tuple[Position, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(text, strategy, wanted)


def test_lines_have_no_list_for_each_position() -> None:
    with pytest.raises(ConfigError, match="YAML or JSON, not lines"):
        read('{"id": 1}\n', Strategy.CROSS_PRODUCT, positions("a"), file="items.jsonl")


def test_positions_of_a_permutation_agree_on_a_name() -> None:
    with pytest.raises(ConfigError, match="one name_field"):
        read("- {id: a, name: b}\n", Strategy.PERMUTATION, (Position("x", "xs", "id"), Position("y", "ys", "name")))
