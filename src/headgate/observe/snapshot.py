"""Counts at one moment: what several processes add up, and what is rendered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from headgate.observe.families import GAUGES, Merge

Labels: TypeAlias = tuple[str, ...]
Number: TypeAlias = int | float


class Snapshot(msgspec.Struct, frozen=True):
    """The counts of one process, or of several together: rows of labels and numbers.

    `requests` hold a series each (`families.COUNT` and so on), `events` and `gauges` the key of their family, labels and a value.
    """

    at: float
    requests: tuple[tuple[Labels, tuple[Number, ...]], ...] = ()
    events: tuple[tuple[str, str, Number], ...] = ()
    gauges: tuple[tuple[str, Labels, Number], ...] = ()


_COMBINE: dict[Merge, Callable[[Number, Number], Number]] = {"sum": lambda a, b: a + b, "max": max}


def merge(snapshots: Iterable[Snapshot], now: float, fresh: float) -> Snapshot:
    """All of them together. Gauges count only from those not older than `fresh` seconds: their process may be gone."""
    requests: dict[Labels, tuple[Number, ...]] = {}
    events: dict[tuple[str, str], Number] = {}
    gauges: dict[tuple[str, Labels], Number] = {}
    for snapshot in snapshots:
        for labels, numbers in snapshot.requests:
            known = requests.get(labels)
            requests[labels] = numbers if known is None else tuple(a + b for a, b in zip(known, numbers, strict=True))
        for family, label, value in snapshot.events:
            events[family, label] = events.get((family, label), 0) + value
        if now - snapshot.at <= fresh:
            _add_gauges(gauges, snapshot)
    return Snapshot(
        now,
        tuple(requests.items()),
        tuple((family, label, value) for (family, label), value in events.items()),
        tuple((family, gauge_labels, value) for (family, gauge_labels), value in gauges.items()),
    )


def _add_gauges(gauges: dict[tuple[str, Labels], Number], snapshot: Snapshot) -> None:
    for family, labels, value in snapshot.gauges:
        known = gauges.get((family, labels))
        gauges[family, labels] = value if known is None else _COMBINE[GAUGES[family].merge](known, value)
