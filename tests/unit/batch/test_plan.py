"""Units, chunks and custom ids."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.plan import (
    ChunkLimits,
    CustomId,
    Item,
    Oversized,
    PlannedChunk,
    RowSize,
    check_items,
    clean_id,
    count_units,
    custom_id,
    generate_units,
    parse_custom_id,
    plan_chunks,
)
from headgate.errors import ConfigError

ITEMS = (Item("a", {"id": "a", "v": 1}), Item("b", {"id": "b", "v": 2}))


def test_without_repeat_each_item_is_a_unit():
    units = list(generate_units(ITEMS))
    assert [unit.unit_id for unit in units] == ["a", "b"]
    assert units[1].fields == {"id": "b", "v": 2, "unit_id": "b"}
    assert [unit.seq for unit in units] == [0, 1]


def test_repetitions_are_interleaved_and_carry_their_seed():
    """OCT-62; the seed is the masked sha256 of the base id plus the repetition."""
    units = list(generate_units(ITEMS, 3))
    assert [unit.unit_id for unit in units] == ["a__rep0000", "b__rep0000", "a__rep0001", "b__rep0001", "a__rep0002", "b__rep0002"]
    assert [unit.seq for unit in units] == list(range(6))
    base = 0xCA978112CA1BBDCAFAC231B39A23DC4DA786EFF8147C4E72B9807785AFEE48BB & 0x7FFFFFFF
    assert [unit.fields["_repetition_seed"] for unit in units if unit.fields["id"] == "a"] == [base, base + 1, base + 2]
    assert units[4].fields["_repetition_id"] == 2
    assert "_repetition_id" not in ITEMS[0].fields


def test_max_units_cuts_and_generation_is_lazy():
    assert [unit.unit_id for unit in generate_units(ITEMS, 3, max_units=3)] == ["a__rep0000", "b__rep0000", "a__rep0001"]
    assert next(islice(generate_units(ITEMS, 10**12), 5, None)).unit_id == "b__rep0002"
    assert (count_units(2, 3), count_units(2, 3, 4), count_units(2, 3, 9)) == (6, 4, 6)


def test_duplicate_ids_name_both_places():
    items = [Item("a", {}, "items.yaml:2:5"), Item("b", {}, "items.yaml:3:5"), Item("a", {}, "items.yaml:4:5")]
    with pytest.raises(ConfigError, match=r"items.yaml:4:5: duplicate item id 'a' \(first used at items.yaml:2:5\)"):
        check_items(items, "items.yaml")


def test_ids_are_cleaned():
    assert clean_id("gruff smith/elder") == "gruff_smith-elder"


SIZES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=40)


@given(SIZES, st.integers(1, 9), st.none() | st.integers(1, 100), st.none() | st.integers(1, 100), st.none() | st.integers(1, 80))
def test_every_row_ends_in_exactly_one_place_and_no_chunk_is_too_big(sizes, rows, size, tokens, row_bytes):
    limits = ChunkLimits(rows, size, tokens, row_bytes)
    planned = list(plan_chunks([RowSize(seq, *pair) for seq, pair in enumerate(sizes)], limits, first_index=7))
    chunks = [part for part in planned if isinstance(part, PlannedChunk)]
    oversized = {part.seq for part in planned if isinstance(part, Oversized)}
    placed = [seq for chunk in chunks for seq in chunk.seqs]
    assert placed == sorted(set(range(len(sizes))) - oversized)
    assert [chunk.index for chunk in chunks] == list(range(7, 7 + len(chunks)))
    for chunk in chunks:
        assert 0 < len(chunk.seqs) <= rows
        assert chunk.bytes == sum(sizes[seq][0] for seq in chunk.seqs) <= (size if size is not None else chunk.bytes)
        assert chunk.tokens == sum(sizes[seq][1] for seq in chunk.seqs) <= (tokens if tokens is not None else chunk.tokens)
    for seq in oversized:
        assert sizes[seq][0] > min(size or 10**9, row_bytes or 10**9) or sizes[seq][1] > (tokens or 10**9)


def test_chunks_are_filled_as_far_as_they_go():
    sizes = [RowSize(seq, 40, 1) for seq in range(5)]
    assert [chunk.seqs for chunk in plan_chunks(sizes, ChunkLimits(10, bytes=100))] == [(0, 1), (2, 3), (4,)]
    assert [chunk.seqs for chunk in plan_chunks(sizes, ChunkLimits(10, tokens=4))] == [(0, 1, 2, 3), (4,)]
    assert list(plan_chunks([], ChunkLimits(10))) == []


def test_a_row_too_large_is_its_own_trouble():
    planned = list(plan_chunks([RowSize(0, 10, 1), RowSize(1, 500, 1), RowSize(2, 10, 900), RowSize(3, 10, 1)], ChunkLimits(10, 100, 50)))
    assert planned == [
        Oversized(1, "the request has 500 bytes; the limit is 100"),
        Oversized(2, "the request has about 900 tokens; the limit is 50"),
        PlannedChunk(0, (0, 3), 20, 2),
    ]


@given(
    st.from_regex(r"[A-Za-z0-9_]{1,16}", fullmatch=True), st.integers(0, 10**12 - 1), st.integers(0, 10**6 - 1), st.integers(0, 10**12 - 1)
)
def test_custom_ids_read_back(run, chunk, attempt, seq):
    text = custom_id(run, chunk, attempt, seq)
    assert len(text) <= 64
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert parse_custom_id(text) == CustomId(run, chunk, attempt, seq)


@given(st.text(max_size=70))
def test_a_text_that_reads_as_ours_is_what_we_would_write(text):
    parsed = parse_custom_id(text)
    assert parsed is None or custom_id(parsed.run, parsed.chunk, parsed.attempt, parsed.seq) == text


@pytest.mark.parametrize(
    "text", ["", "a-1-2", "a-1-2-3-4", "a-01-2-3", "a--1-2-3", "a-1-2-3 ", "ä-1-2-3", "request-1", "a-1-2-٣", "a-1-2-3\n"]
)
def test_foreign_ids_are_not_ours(text):
    assert parse_custom_id(text) is None


@pytest.mark.parametrize("parts", [("", 0, 0, 0), ("a-b", 0, 0, 0), ("a" * 17, 0, 0, 0), ("a", -1, 0, 0), ("a", 0, 0, 10**12)])
def test_parts_that_would_not_read_back_are_refused(parts):
    with pytest.raises(ValueError, match="cannot be a custom id"):
        custom_id(*parts)
