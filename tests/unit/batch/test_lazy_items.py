"""Items that stay in their file: every format, every fault with its place, seeking, and ids that repeat."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch import item_readers, lazy_items
from headgate.batch.item_file import ItemsFile, Mark
from headgate.batch.items import field_names, read_items
from headgate.batch.lazy_items import Digests, LazyItems, digest, read_entries, survey
from headgate.batch.pipeline import Position, Processing, Strategy
from headgate.batch.pipeline_config import ItemsSource
from headgate.batch.plan import generate_units
from headgate.errors import ConfigError, RunError
from headgate.wire.json import Json, JsonObject, encode

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=12)
RECORDS = st.lists(st.dictionaries(st.sampled_from(["a", "b", "ü c"]), TEXTS, min_size=3, max_size=3), max_size=30)


def as_jsonl(records: list[JsonObject]) -> bytes:
    return b"".join(encode(record) + b"\n" for record in records)


def as_table(records: list[JsonObject], delimiter: str = ",") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["id", "a", "b", "ü c"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


WRITERS: dict[str, Callable[[list[JsonObject]], bytes]] = {
    "jsonl": as_jsonl,
    "ndjson": as_jsonl,
    "csv": as_table,
    "tsv": lambda records: as_table(records, "\t"),
}


def held(data: bytes, suffix: str = "jsonl") -> ItemsFile:
    return ItemsFile(f"items.{suffix}", f"items.{suffix}", data)


def lazy(data: bytes, suffix: str = "jsonl", **changes: Json) -> LazyItems:
    source = ItemsSource(f"items.{suffix}", None, None, "config.yaml:9:3")
    found = read_items(held(data, suffix), source, Processing(strategy=Strategy.DIRECT, **changes))
    assert isinstance(found, LazyItems)
    return found


@given(st.sampled_from(sorted(WRITERS)), RECORDS, st.integers(1, 7), st.booleans())
def test_what_was_written_is_read_again_from_every_place(suffix: str, records: list[JsonObject], every: int, marked: bool) -> None:
    numbered = [{"id": f"u{n}", **record} for n, record in enumerate(records)]
    data = (b"\xef\xbb\xbf" if marked else b"") + WRITERS[suffix](numbered)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lazy_items, "MARK_EVERY", every)
        if not numbered:
            with pytest.raises(ConfigError, match="there are no items"):
                lazy(data, suffix)
            return
        items = lazy(data, suffix)
        assert len(items) == len(numbered)
        assert len(items.facts.marks) == len(numbered) // every
        assert [item.fields for item in items] == [item.fields for item in items] == numbered
        for place in range(len(numbered) + 1):
            assert [item.fields for item in items.from_place(place)] == numbered[place:]
        assert field_names(items) == {"id", "a", "b", "ü c"}


@given(st.integers(1, 9), st.integers(1, 3), st.none() | st.integers(0, 30), st.integers(0, 30))
def test_units_begin_anywhere(count: int, repeat: int, most: int | None, start: int) -> None:
    items = lazy(as_jsonl([{"id": f"u{n}"} for n in range(count)]))
    whole = list(generate_units(items, repeat, max_units=most))
    assert list(generate_units(items, repeat, max_units=most, start=start)) == whole[start:]
    assert list(generate_units(tuple(items), repeat, max_units=most, start=start)) == whole[start:]


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        ("jsonl", '{"id": "a"}\n{"id": x}\n', "items.jsonl:2:8: the line is not valid JSON"),
        ("jsonl", '{"id": "ü", "b": tru }\n', "items.jsonl:1:22: the line is not valid JSON"),
        ("jsonl", '{"id": "a"}\n\n \n{"id": "b"', "items.jsonl:4:11: the line is not valid JSON"),
        ("jsonl", '{"id": "a"}\n[1]\n', "items.jsonl:2:1: an item must be a mapping, not an array"),
        ("jsonl", '{"id": "a"}\n{"x": 1}\n', "items.jsonl:2:1: an item needs an id in one of: id, name"),
        (
            "jsonl",
            '{"id": "a b"}\n{"id": "c"}\n{"name": "a_b"}',
            "items.jsonl:3:1: duplicate item id 'a_b' (first used at items.jsonl:1:1)",
        ),
        ("jsonl", "\n\n", "config.yaml:9:3: there are no items"),
        ("csv", 'id,a\none,"x\ny"\ntwo\n', "items.csv:4:1: the row has more or fewer cells than the header: 1, not 2"),
        ("csv", 'id,a\none,"x', "items.csv:2:1: not CSV: unexpected end of data"),
        ("csv", "id;a\none;x\n", "items.csv:1:1: the header is one column with ';' in its name"),
        ("csv", "id,a,a\none,x,y\n", "items.csv:1:1: two columns are called 'a'"),
        ("tsv", "id,a\none,x\n", "items.tsv:1:1: the header is one column with ',' in its name"),
    ],
    ids=lambda value: value[:24].replace("\n", "/"),
)
def test_faults_carry_their_place(suffix: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        lazy(text.encode(), suffix)
    assert message in str(caught.value)


def test_text_of_another_encoding_is_named_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"items\.csv:2:6: the file is not UTF-8 text"):
        lazy(b"id,a\n\xc3\xbc,caf\xe9\n", "csv")


def test_a_line_without_an_end_is_not_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_readers, "MAX_RECORD", 100)
    with pytest.raises(ConfigError, match=r"items\.jsonl:2:1: the line has more than 100 bytes"):
        lazy(b'{"id": "a"}\n{"id": "' + b"b" * 200)
    with pytest.raises(ConfigError, match="field larger than field limit"):
        lazy(b"id,a\none," + b"b" * 60 + b"\n" + b'two,"' + b"c\n" * 90 + b'"\n', "csv")


def test_cells_may_be_long() -> None:
    (item,) = lazy(b"id,a\none," + b"x" * 300_000 + b"\n", "csv")
    assert len(item.fields["a"]) == 300_000


def test_positions_give_fields_other_names() -> None:
    (item,) = lazy(b'{"id": "a", "cards": 5}\n', positions=(Position("card", "cards"),))
    assert item.fields == {"id": "a", "cards": 5, "card": 5}
    with pytest.raises(ConfigError, match=r"items\.jsonl:1:1: the item has no 'npcs' for position 'npc'"):
        lazy(b'{"id": "a"}\n', positions=(Position("npc", "npcs"),))


def test_many_different_fields_are_not_collected_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_items, "MAX_FIELDS", 5)
    assert field_names(lazy(b'{"id": "a", "b": 1}\n')) == {"id", "b"}
    assert field_names(lazy(as_jsonl([{"id": f"u{n}", f"f{n}": n} for n in range(9)]))) is None


@given(st.lists(st.sampled_from([f"id-{n}" for n in range(40)]), max_size=60))
def test_repeated_ids_are_found_by_their_digests(ids: list[str]) -> None:
    digests = Digests()
    for one in ids:
        digests.add(one)
    assert digests.repeated() == {digest(one) for one in ids if ids.count(one) > 1}


def test_a_digest_that_two_ids_share_is_no_duplicate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_items, "digest", lambda text: 7)
    assert len(lazy(b'{"id": "a"}\n{"id": "b"}\n')) == 2
    with pytest.raises(ConfigError, match="duplicate item id 'a'"):
        lazy(b'{"id": "a"}\n{"id": "b"}\n{"id": "a"}\n')


def test_memory_does_not_grow_with_the_records(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    with path.open("wb") as target:
        for n in range(4000):
            target.write(b'{"id": "u%d", "text": "%s"}\n' % (n, b"x" * 2000))
    file = ItemsFile("items.jsonl", "items.jsonl", path=path)
    survey(file, None, (), "")
    tracemalloc.start()
    try:
        facts = survey(file, None, (), "")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (facts.count, path.stat().st_size > 8_000_000) == (4000, True)
    assert peak < 500_000


def test_a_file_that_went_away_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot read gone"):
        list(read_entries(ItemsFile("items.csv", "gone", path=tmp_path / "items.csv"), Mark()))


def test_permutations_are_of_lines_too() -> None:
    source = ItemsSource("items.csv", None, None, "config.yaml:9:3")
    processing = Processing(positions=(Position("x", "xs"), Position("y", "ys")))
    assert [item.base_id for item in read_items(held(b"id\na\nb\n", "csv"), source, processing)] == ["a-b", "b-a"]
