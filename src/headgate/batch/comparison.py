"""Two runs side by side, unit by unit (OCT-154): how often fields agree, and where they do not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from headgate.batch.report import field_of
from headgate.batch.statistics import Interval, wilson
from headgate.wire.json import Json


class FieldAgreement(msgspec.Struct, frozen=True):
    """A field: matched units in which it is the same in both runs, and their share."""

    field: str
    equal: int
    share: Interval


class Differing(msgspec.Struct, frozen=True):
    """A unit whose fields differ: for each such field its values in the first and in the other run."""

    unit: str
    values: dict[str, tuple[Json, Json]]


class Agreement(msgspec.Struct, frozen=True):
    """Units matched by id, and those only one run has.

    `whole` counts the units that agree in every field, `sample` shows some that do not. `repeated` are records whose id came before in the
    same run, which are left out.
    """

    matched: int
    only_first: int
    only_other: int
    repeated: int
    whole: int
    fields: tuple[FieldAgreement, ...]
    sample: tuple[Differing, ...]


def match_units(first: Iterable[Mapping[str, Json]], other: Iterable[Mapping[str, Json]], fields: Sequence[str], sample: int) -> Agreement:
    """Compare `fields` of two runs' records, matched by ``unit_id``; at most `sample` differing units are shown.

    Keeps these fields of the first run in memory, and the ids of the other.
    """
    seen: dict[str, tuple[Json, ...]] = {}
    read = 0
    for name, values in _chosen(first, fields):
        seen.setdefault(name, values)
        read += 1
    repeated = read - len(seen)
    done: set[str] = set()
    equal = [0] * len(fields)
    matched = whole = only_other = 0
    shown: list[Differing] = []
    for name, values in _chosen(other, fields):
        if name in done:
            repeated += 1
            continue
        done.add(name)
        mine = seen.get(name)
        if mine is None:
            only_other += 1
            continue
        same = [_same(a, b) for a, b in zip(mine, values, strict=True)]
        matched, whole = matched + 1, whole + all(same)
        equal = [count + one for count, one in zip(equal, same, strict=True)]
        if not all(same) and len(shown) < sample:
            shown.append(Differing(name, {f: (a, b) for f, a, b, one in zip(fields, mine, values, same, strict=True) if not one}))
    found = tuple(FieldAgreement(field, count, wilson(count, matched)) for field, count in zip(fields, equal, strict=True))
    return Agreement(matched, len(seen) - matched, only_other, repeated, whole, found, tuple(shown))


def _chosen(records: Iterable[Mapping[str, Json]], fields: Sequence[str]) -> Iterator[tuple[str, tuple[Json, ...]]]:
    return ((str(record.get("unit_id")), tuple(field_of(record, field) for field in fields)) for record in records)


def _same(one: Json, other: Json) -> bool:
    """Equal as JSON: numbers by value, and true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
