"""The items file of a pipeline, in any of its formats, to items with ids (OCT-60, OCT-61, OCT-64)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from headgate.batch.combinations import Combinations
from headgate.batch.config_reader import did_you_mean
from headgate.batch.item_file import ItemFacts, ItemsFile, Mark, keep_copy
from headgate.batch.item_readers import READERS
from headgate.batch.lazy_items import LazyItems, item_of, read_entries, survey
from headgate.batch.pipeline import Pipeline, Position, Processing, Strategy
from headgate.batch.pipeline_config import ItemsSource
from headgate.batch.plan import Item, Items, check_items
from headgate.batch.yaml_source import ITEM_LIMITS, Document, load_json, load_yaml
from headgate.errors import ConfigError
from headgate.wire.json import Json, type_name


def field_names(items: Items) -> frozenset[str] | None:
    """The fields that units of these items have; None when they are too many to be told."""
    if isinstance(items, Combinations):
        return frozenset(items.names)
    if isinstance(items, LazyItems):
        return None if items.facts.fields is None else frozenset(items.facts.fields)
    return frozenset(name for item in items for name in item.fields)


def with_own_items(pipeline: Pipeline, run: Path) -> Pipeline:
    """The pipeline with a large items file copied to the folder `run`, and read from there. Raises `RunError` and `StoreError`."""
    if pipeline.input is None:
        return pipeline
    copy, items = keep_copy(pipeline.input, run), pipeline.items
    moved = msgspec.structs.replace(items, file=copy) if isinstance(items, LazyItems) else items
    return msgspec.structs.replace(pipeline, items=moved)


def read_items(file: ItemsFile, source: ItemsSource, processing: Processing, known: ItemFacts | None = None) -> Items:
    """What the units of a pipeline are made of, ids checked. Raises `ConfigError` with the position of the fault.

    `known` is what an earlier reading of the same bytes found, so that they need not be gone through again.
    """
    if processing.strategy is Strategy.CROSS_PRODUCT:
        return _crossed(file, source, processing.positions)
    if processing.strategy is Strategy.DIRECT and file.suffix in READERS:
        facts = known or survey(file, source.name_field, processing.positions, source.where)
        return LazyItems(file, source.name_field, processing.positions, facts)
    if file.size > ITEM_LIMITS.bytes:
        raise ConfigError(
            f"the file has {file.size:,} bytes; the limit is {ITEM_LIMITS.bytes:,}",
            where=file.display,
            hint="JSONL has none",
        )
    entries = list(_entries(file, source))
    if processing.strategy is Strategy.DIRECT:
        return _checked(entries, file.display, source.name_field, source.where, processing.positions)
    return _permuted(entries, file.display, source, processing.positions)


def _checked(
    entries: Sequence[tuple[Json, str]], file: str, name_field: str | None, where: str, positions: Sequence[Position] = ()
) -> tuple[Item, ...]:
    if not entries:
        raise ConfigError("there are no items", where=where)
    items = tuple(item_of(value, place, name_field, positions) for value, place in entries)
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


def _crossed(file: ItemsFile, source: ItemsSource, positions: Sequence[Position]) -> Combinations:
    """Every combination of items, each position's from a list of its own."""
    document = _document(file)
    if document is None:
        raise ConfigError("a cross_product needs a list for each position: YAML or JSON, not lines", where=source.where)
    choices = []
    for position in positions:
        entries = list(_listed(document, source._replace(key=_list_of(document, source, position))))
        choices.append(_checked(entries, file.display, position.name_field or source.name_field, source.where))
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


def _document(file: ItemsFile) -> Document | None:
    """The file as one value; None for one that is read record by record."""
    if file.suffix in READERS:
        return None
    with file.open() as handle:
        data = handle.read(ITEM_LIMITS.bytes + 1)
    return load_json(data, file.display, ITEM_LIMITS.bytes) if file.suffix == "json" else load_yaml(data, file.display, ITEM_LIMITS)


def _entries(file: ItemsFile, source: ItemsSource) -> Iterator[tuple[Json, str]]:
    document = _document(file)
    if document is not None:
        yield from _listed(document, source)
        return
    for entry in read_entries(file, Mark()):
        yield entry.value, entry.where


def _listed(document: Document, source: ItemsSource) -> Iterator[tuple[Json, str]]:
    value, key = document.value, source.key
    if source.replaced and isinstance(value, list):
        key = None
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
