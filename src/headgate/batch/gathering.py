"""What a step does that looks at all of its units together: which go on, and what they become. Pure.

Every function sees the units in order and decides from them and the run's seed alone, so that a decision made again is the same.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from headgate.batch.pipeline import FanOut, Gather, Sample
from headgate.batch.plan import UNIT_ID, clean_id
from headgate.wire.json import Json, JsonObject, encode

FAN_INDEX = "_fan_index"
FAN_PARENT = "_fan_parent_id"
FAN_FIELDS = frozenset({FAN_INDEX, FAN_PARENT})
COUNT = "_count"
"""How many units were gathered into one."""


def children_of(record: JsonObject, spread: FanOut) -> tuple[JsonObject, ...] | str:
    """The records of the units a record becomes, or why it becomes none (OCT-140): ids ``<parent>__fan000``, ``__fan001`` …"""
    value = record.get(spread.field)
    if not isinstance(value, list):
        return f"{spread.field} is missing" if value is None else f"{spread.field} is no list"
    kept = {name: own for name, own in record.items() if name != spread.field or spread.keep_field}
    parent = str(record[UNIT_ID])
    return tuple(
        {**kept, spread.child_field: element, UNIT_ID: f"{parent}__fan{index:03d}", FAN_INDEX: index, FAN_PARENT: parent}
        for index, element in enumerate(value)
    )


def fingerprint(record: JsonObject, fields: Sequence[str]) -> bytes:
    """A short hash of some of a record's fields; 16 bytes, so that two of a billion records do not meet by accident."""
    return blake2b(encode([record.get(name) for name in fields]), digest_size=16).digest()


def first_of_each(keys: Iterable[tuple[int, bytes]]) -> frozenset[int]:
    """The unit numbers that are the first with their key."""
    seen: set[bytes] = set()
    kept = []
    for seq, key in keys:
        if key not in seen:
            seen.add(key)
            kept.append(seq)
    return frozenset(kept)


def grouped(keys: Iterable[tuple[int, bytes]]) -> dict[int, tuple[int, ...]]:
    """Unit numbers that share a key, by the first of them."""
    groups: dict[bytes, list[int]] = {}
    for seq, key in keys:
        groups.setdefault(key, []).append(seq)
    return {members[0]: tuple(members) for members in groups.values()}


def chosen(units: Iterable[tuple[int, str]], sample: Sample, seed: str, step: str) -> frozenset[int]:
    """The units of a sample: those whose (seed, step, unit id) hashes lowest, so that a unit's luck does not hang on the others' order."""

    def luck(unit_id: str) -> bytes:
        return blake2b(encode([seed, step, unit_id]), digest_size=8).digest()

    drawn = [(luck(unit_id), seq) for seq, unit_id in units]
    count = sample.count if sample.count is not None else round(len(drawn) * (sample.share or 0.0))
    return frozenset(seq for _, seq in heapq.nsmallest(count, drawn))


def joined(parent: JsonObject, children: Sequence[JsonObject], gather: Gather, child_field: str) -> JsonObject:
    """A fan_out's parent with what became of its children: `field` lists what each has that the parent had not (or `collect`)."""
    listed = [_collected(child, gather.collect or _own(child, parent, child_field)) for child in children]
    return {**parent, gather.field: listed, COUNT: len(children)}


def _own(child: JsonObject, parent: JsonObject, child_field: str) -> list[str]:
    hidden = FAN_FIELDS | {UNIT_ID}
    return [name for name in child if name not in hidden and (name == child_field or name not in parent)]


def aggregated(members: Sequence[JsonObject], gather: Gather, step: str) -> JsonObject:
    """One record for a group: the fields the group agrees in, and the list of its members."""
    shared = {name: members[0].get(name) for name in gather.group_by}
    names = "-".join(str(value) for value in shared.values()) or "all"
    listed = [_collected(member, gather.collect or tuple(member)) for member in members]
    return {UNIT_ID: clean_id(f"{step}-{names}"), **shared, gather.field: listed, COUNT: len(members)}


def _collected(record: Mapping[str, Json], names: Iterable[str]) -> JsonObject:
    return {name: record[name] for name in names if name in record}
