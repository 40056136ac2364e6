"""Items that stay in their file: read as often as they are wanted, and checked once (OCT-61, OCT-64).

The check remembers 8 bytes of each id, about 9 MB for a million, and nothing of the records.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import islice, pairwise

import msgspec

from headgate.batch.item_file import ItemFacts, ItemsFile, Mark
from headgate.batch.item_readers import READERS, Entry
from headgate.batch.pipeline import Position
from headgate.batch.plan import Item, check_items, clean_id
from headgate.errors import ConfigError, RunError
from headgate.wire.json import Json, JsonObject, type_name

MARK_EVERY = 10_000
MAX_FIELDS = 10_000
_MOST_SHOWN = 1000


class LazyItems(msgspec.Struct, frozen=True):
    """The items of a file that is read record by record."""

    file: ItemsFile
    name_field: str | None
    positions: tuple[Position, ...]
    facts: ItemFacts

    def __len__(self) -> int:
        return self.facts.count

    def __iter__(self) -> Iterator[Item]:
        return self.from_place(0)

    def from_place(self, place: int) -> Iterator[Item]:
        """The items without the `place` first ones. Raises `RunError` when the file can no longer be read."""
        mark = max((mark for mark in self.facts.marks if mark.item <= place), default=Mark(), key=lambda found: found.item)
        if self.file.suffix == "parquet":
            mark = Mark(place)
        entries = islice(read_entries(self.file, mark), place - mark.item, None)
        for entry in entries:
            yield item_of(entry.value, entry.where, self.name_field, self.positions)


def read_entries(file: ItemsFile, mark: Mark) -> Iterator[Entry]:
    """The records of a file from a mark on. Raises `ConfigError`, and `RunError` when it cannot be read."""
    try:
        with file.open() as source:
            yield from READERS[file.suffix](source, file.display, mark)
    except OSError as error:
        raise RunError(f"cannot read {file.display}: {error.strerror or error}") from error


def survey(file: ItemsFile, name_field: str | None, positions: Sequence[Position], where: str) -> ItemFacts:
    """Read a file once and check every record of it. Raises `ConfigError` with the place of the fault."""
    digests, names, marks = Digests(), set[str](), list[Mark]()
    count = 0
    for entry in read_entries(file, Mark()):
        item = item_of(entry.value, entry.where, name_field, positions)
        digests.add(item.base_id)
        if len(names) <= MAX_FIELDS:
            names.update(item.fields)
        count += 1
        if count % MARK_EVERY == 0 and entry.offset:
            marks.append(Mark(count, entry.offset, entry.line))
    if not count:
        raise ConfigError("there are no items", where=where)
    facts = ItemFacts(count, tuple(sorted(names)) if len(names) <= MAX_FIELDS else None, tuple(marks))
    suspects = digests.repeated()
    if suspects:
        check_items((i for i in LazyItems(file, name_field, tuple(positions), facts) if digest(i.base_id) in suspects), file.display)
    return facts


def digest(text: str) -> int:
    """64 bits that stand for an id."""
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest())


class Digests:
    """Finds out whether ids repeat, remembering 8 bytes of each."""

    def __init__(self) -> None:
        self._shelves = [array("Q") for _ in range(256)]

    def add(self, text: str) -> None:
        """Remember an id."""
        value = digest(text)
        self._shelves[value >> 56].append(value)

    def repeated(self) -> frozenset[int]:
        """Some digests that came more than once; empty when all ids differ."""
        found: set[int] = set()
        for shelf in self._shelves:
            found.update(a for a, b in pairwise(sorted(shelf)) if a == b)
            if len(found) >= _MOST_SHOWN:
                break
        return frozenset(found)


def item_of(value: Json, where: str, name_field: str | None, positions: Sequence[Position]) -> Item:
    """A record as an item. Raises `ConfigError` when it is none, or has no id."""
    if not isinstance(value, dict):
        raise ConfigError(f"an item must be a mapping, not {type_name(value)}", where=where)
    name = _name(value, name_field)
    if name is None:
        wanted = ", ".join(dict.fromkeys(filter(None, (name_field, "id", "name"))))
        raise ConfigError(f"an item needs an id in one of: {wanted}", where=where)
    return Item(clean_id(name), _fields(value, positions, where), where)


def _name(value: JsonObject, name_field: str | None) -> str | None:
    for field in (name_field, "id", "name"):
        name = value.get(field) if field else None
        if isinstance(name, str | int) and not isinstance(name, bool) and str(name):
            return str(name)
    return None


def _fields(value: JsonObject, positions: Sequence[Position], where: str) -> JsonObject:
    if not positions:
        return value
    fields = dict(value)
    for position in positions:
        key = position.source_key if position.source_key in value else position.name
        if key not in value:
            raise ConfigError(f"the item has no {position.source_key!r} for position {position.name!r}", where=where)
        fields[position.name] = value[key]
    return fields
