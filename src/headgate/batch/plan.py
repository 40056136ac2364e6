"""From items to units, from units to chunks, and the names their rows carry at a provider. Pure and lazy."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Iterator
from itertools import islice
from typing import Protocol, runtime_checkable

import msgspec

from headgate.errors import ConfigError
from headgate.wire.json import JsonObject

UNIT_ID = "unit_id"
REPETITION_ID = "_repetition_id"
REPETITION_SEED = "_repetition_seed"
_SEED_MASK = 0x7FFFFFFF
_CUSTOM_ID = re.compile(r"([A-Za-z0-9_]{1,16})-(0|[1-9][0-9]{0,11})-(0|[1-9][0-9]{0,5})-(0|[1-9][0-9]{0,11})")
MAX_CUSTOM_ID = 64


class Item(msgspec.Struct, frozen=True):
    """One entry of the items file: its base id, its fields, and where it stands (``file:line:column``)."""

    base_id: str
    fields: JsonObject
    where: str | None = None


class Items(Protocol):
    """Items that can be gone through any number of times, and counted without that."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Item]: ...


@runtime_checkable
class SeekableItems(Protocol):
    """Items that can be begun anywhere without going through those before."""

    def from_place(self, place: int) -> Iterator[Item]:
        """The items without the `place` first ones."""


class Unit(msgspec.Struct, frozen=True):
    """One piece of work: its place in the run, its id, and all its fields (id and repetition included)."""

    seq: int
    unit_id: str
    fields: JsonObject


def clean_id(name: str) -> str:
    """A unit id from a name: blanks become ``_``, slashes ``-`` (OCT-61)."""
    return name.replace(" ", "_").replace("/", "-")


def check_items(items: Iterable[Item], source: str) -> None:
    """Raise `ConfigError` if two items share an id, naming both places (OCT-61)."""
    seen: dict[str, Item] = {}
    for item in items:
        first = seen.setdefault(item.base_id, item)
        if first is not item:
            also = f" (first used at {first.where})" if first.where else ""
            raise ConfigError(
                f"duplicate item id {item.base_id!r}{also}", where=item.where or source, hint="give every item an id of its own"
            )


def repetition_seed(base_id: str, repetition: int) -> int:
    """`_repetition_seed` of a copy (OCT-62)."""
    return (int(hashlib.sha256(base_id.encode()).hexdigest(), 16) & _SEED_MASK) + repetition


def generate_units(items: Items, repeat: int = 1, *, max_units: int | None = None, start: int = 0) -> Iterator[Unit]:
    """The units of items, one at a time, from number `start` on (OCT-60, OCT-62).

    With `repeat` over 1 each item comes that many times, interleaved: copy 0 of all items, then copy 1, so that the first units of a
    run are representative. `max_units` cuts the list.
    """
    return islice(_all_units(items, repeat, start), None if max_units is None else max(0, max_units - start))


def chosen_units(units: Iterable[Unit], ids: Container[str]) -> Iterator[Unit]:
    """The units whose ids are among `ids`, in their order and numbered anew from 0."""
    wanted = (unit for unit in units if unit.unit_id in ids)
    return (msgspec.structs.replace(unit, seq=seq) for seq, unit in enumerate(wanted))


def count_units(items: int, repeat: int, max_units: int | None = None) -> int:
    """How many units `generate_units` will give."""
    total = items * repeat
    return total if max_units is None else min(total, max_units)


def _from(items: Items, place: int) -> Iterator[Item]:
    return items.from_place(place) if place and isinstance(items, SeekableItems) else islice(items, place, None)


def _all_units(items: Items, repeat: int, start: int) -> Iterator[Unit]:
    size = len(items)
    first, place = divmod(start, size) if size else (repeat, 0)
    for repetition in range(first, repeat):
        for at, item in enumerate(_from(items, place), place):
            own = _own(item.base_id, repetition) if repeat > 1 else {UNIT_ID: item.base_id}
            yield Unit(repetition * size + at, own[UNIT_ID], {**item.fields, **own})
        place = 0


def _own(base_id: str, repetition: int) -> JsonObject:
    return {
        UNIT_ID: f"{base_id}__rep{repetition:04d}",
        REPETITION_ID: repetition,
        REPETITION_SEED: repetition_seed(base_id, repetition),
    }


class ChunkLimits(msgspec.Struct, frozen=True):
    """The most one batch may hold; None means no limit. Bytes and tokens count request rows."""

    rows: int
    bytes: int | None = None
    tokens: int | None = None
    row_bytes: int | None = None


class RowSize(msgspec.Struct, frozen=True):
    """What one rendered request weighs."""

    seq: int
    bytes: int
    tokens: int


class PlannedChunk(msgspec.Struct, frozen=True):
    """Consecutive rows that fit one batch."""

    index: int
    seqs: tuple[int, ...]
    bytes: int
    tokens: int


class Oversized(msgspec.Struct, frozen=True):
    """A row that fits no batch: its unit fails with `too_large`, the others go on."""

    seq: int
    message: str


def plan_chunks(sizes: Iterable[RowSize], limits: ChunkLimits, *, first_index: int = 0) -> Iterator[PlannedChunk | Oversized]:
    """Split rows, in order, into chunks within `limits`; every row ends in exactly one chunk or one `Oversized`."""
    seqs: list[int] = []
    index, size, tokens = first_index, 0, 0
    for row in sizes:
        fault = _oversized(row, limits)
        if fault:
            yield Oversized(row.seq, fault)
            continue
        if seqs and not _fits(len(seqs) + 1, size + row.bytes, tokens + row.tokens, limits):
            yield PlannedChunk(index, tuple(seqs), size, tokens)
            index, seqs, size, tokens = index + 1, [], 0, 0
        seqs.append(row.seq)
        size += row.bytes
        tokens += row.tokens
    if seqs:
        yield PlannedChunk(index, tuple(seqs), size, tokens)


def _fits(rows: int, size: int, tokens: int, limits: ChunkLimits) -> bool:
    return rows <= limits.rows and (limits.bytes is None or size <= limits.bytes) and (limits.tokens is None or tokens <= limits.tokens)


def _oversized(row: RowSize, limits: ChunkLimits) -> str | None:
    caps = [cap for cap in (limits.bytes, limits.row_bytes) if cap is not None]
    if caps and row.bytes > min(caps):
        return f"the request has {row.bytes:,} bytes; the limit is {min(caps):,}"
    if limits.tokens is not None and row.tokens > limits.tokens:
        return f"the request has about {row.tokens:,} tokens; the limit is {limits.tokens:,}"
    return None


class CustomId(msgspec.Struct, frozen=True):
    """What a row's custom id says: which run (a short mark), chunk, attempt of the chunk, and unit."""

    run: str
    chunk: int
    attempt: int
    seq: int


def custom_id(run: str, chunk: int, attempt: int, seq: int) -> str:
    """``<run>-<chunk>-<attempt>-<seq>``, at most 64 of ``[A-Za-z0-9_-]``. Raises `ValueError` for what would not read back."""
    text = f"{run}-{chunk}-{attempt}-{seq}"
    if len(text) > MAX_CUSTOM_ID or _CUSTOM_ID.fullmatch(text) is None:
        raise ValueError(f"{text!r} cannot be a custom id")
    return text


def parse_custom_id(text: str) -> CustomId | None:
    """The parts of one of our ids, or None for anybody else's. ``parse_custom_id(custom_id(*x)) == CustomId(*x)``."""
    found = _CUSTOM_ID.fullmatch(text)
    return CustomId(found[1], int(found[2]), int(found[3]), int(found[4])) if found else None
