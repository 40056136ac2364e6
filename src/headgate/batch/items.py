"""The items file of a pipeline, in any of its formats, to items with ids (OCT-60, OCT-61, OCT-64)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from headgate.batch.combinations import Combinations
from headgate.batch.config_reader import did_you_mean
from headgate.batch.pipeline import Position, Processing, Strategy
from headgate.batch.pipeline_config import ItemsSource
from headgate.batch.plan import Item, check_items, clean_id
from headgate.batch.yaml_source import ITEM_LIMITS, Document, decode_text, load_json, load_yaml
from headgate.errors import ConfigError, WireError
from headgate.wire.json import Json, JsonObject, decode, type_name


def read_items(data: bytes, file: str, source: ItemsSource, processing: Processing) -> tuple[Item, ...] | Combinations:
    """What the units of a pipeline are made of, ids checked. Raises `ConfigError` with the position of the fault."""
    if processing.strategy is Strategy.CROSS_PRODUCT:
        return _crossed(data, file, source, processing.positions)
    entries = list(_entries(data, file, source))
    if processing.strategy is Strategy.DIRECT:
        return _checked(entries, file, source.name_field, source.where, processing.positions)
    return _permuted(entries, file, source, processing.positions)


def _checked(
    entries: Sequence[tuple[Json, str]], file: str, name_field: str | None, where: str, positions: Sequence[Position] = ()
) -> tuple[Item, ...]:
    if not entries:
        raise ConfigError("there are no items", where=where)
    items = tuple(_item(value, place, name_field, positions) for value, place in entries)
    check_items(items, file)
    return items


def _permuted(entries: Sequence[tuple[Json, str]], file: str, source: ItemsSource, positions: Sequence[Position]) -> Combinations:
    """Every ordered selection of the items, as many as there are positions."""
    fields = {position.name_field for position in positions} - {None}
    if len(fields) > 1:
        raise ConfigError("the positions of a permutation choose among the same items: give them one name_field", where=source.where)
    items = _checked(entries, file, next(iter(fields), source.name_field), source.where)
    if len(items) < len(positions):
        raise ConfigError(f"{len(positions)} positions need as many items; there are {len(items)}", where=source.where)
    found = Combinations(tuple(position.name for position in positions), (items,), distinct=True)
    found.check(source.where)
    return found


def _crossed(data: bytes, file: str, source: ItemsSource, positions: Sequence[Position]) -> Combinations:
    """Every combination of items, each position's from a list of its own."""
    document = _document(data, file)
    if document is None:
        raise ConfigError("a cross_product needs a list for each position: YAML or JSON, not lines", where=source.where)
    choices = []
    for position in positions:
        entries = list(_listed(document, source._replace(key=_list_of(document, source, position))))
        choices.append(_checked(entries, file, position.name_field or source.name_field, source.where))
    found = Combinations(tuple(position.name for position in positions), tuple(choices))
    found.check(source.where)
    return found


def _list_of(document: Document, source: ItemsSource, position: Position) -> str:
    """The key of a position's list. Raises `ConfigError` naming the keys there are."""
    value = document.value
    keys = list(value) if isinstance(value, dict) else []
    found = next((key for key in (position.source_key, position.name) if key in keys), None)
    if found is None:
        message = f"{document.file} has no list {position.source_key!r} for position {position.name!r}"
        raise ConfigError(message, where=source.where, hint=did_you_mean(position.source_key, keys))
    return found


def _document(data: bytes, file: str) -> Document | None:
    suffix = file.rsplit(".", 1)[-1].lower()
    if suffix in ("jsonl", "ndjson", "csv"):
        return None
    return load_json(data, file, ITEM_LIMITS.bytes) if suffix == "json" else load_yaml(data, file, ITEM_LIMITS)


def _entries(data: bytes, file: str, source: ItemsSource) -> Iterator[tuple[Json, str]]:
    document = _document(data, file)
    if document is not None:
        yield from _listed(document, source)
    elif file.lower().endswith(".csv"):
        yield from _rows(data, file)
    else:
        yield from _lines(data, file)


def _lines(data: bytes, file: str) -> Iterator[tuple[Json, str]]:
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            where = f"{file}:{number}:1"
            try:
                yield decode(line, what="the line"), where
            except WireError as error:
                raise ConfigError(str(error), where=where) from error


def _rows(data: bytes, file: str) -> Iterator[tuple[Json, str]]:
    reader = csv.DictReader(io.StringIO(decode_text(data, file, ITEM_LIMITS.bytes), newline=""), strict=True)
    try:
        for row in reader:
            where = f"{file}:{reader.line_num}:1"
            if None in row or None in row.values():
                raise ConfigError("the row has more or fewer cells than the header", where=where)
            yield dict(row), where
    except csv.Error as error:
        raise ConfigError(f"not CSV: {error}", where=f"{file}:{reader.line_num}:1") from error


def _listed(document: Document, source: ItemsSource) -> Iterator[tuple[Json, str]]:
    value, key = document.value, source.key
    if key is None and isinstance(value, dict) and len(value) == 1:
        key = next(iter(value))
    if key is not None:
        if not isinstance(value, dict) or key not in value:
            known = list(value) if isinstance(value, dict) else []
            raise ConfigError(f"{document.file} has no key {key!r}", where=source.where, hint=did_you_mean(key, known))
        value = value[key]
    if not isinstance(value, list):
        place = document.where(key) if key is not None else document.where()
        raise ConfigError(f"items must be a list, not {type_name(value)}", where=place, hint="name the list with items.key")
    for index, item in enumerate(value):
        yield item, document.where(key, index) if key is not None else document.where(index)


def _item(value: Json, where: str, name_field: str | None, positions: Sequence[Position]) -> Item:
    if not isinstance(value, dict):
        raise ConfigError(f"an item must be a mapping, not {type_name(value)}", where=where)
    name = _name(value, name_field)
    if name is None:
        wanted = ", ".join(filter(None, (name_field, "id", "name")))
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
