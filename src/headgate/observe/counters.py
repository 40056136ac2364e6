"""Counting what a process serves, cheaply. Labels say what the settings and the catalog know; everything else is ``other`` (faults J6)."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping

import msgspec

from headgate.observe.families import (
    BOUNDS,
    COST,
    COUNT,
    EVENTS,
    FIRST,
    FIRST_SECONDS,
    FIRSTS,
    GAUGES,
    INPUT,
    LENGTH,
    OUTPUT,
    SECONDS,
    SLOW,
    UNPRICED,
)
from headgate.observe.snapshot import Labels, Number, Snapshot

OTHER = "other"
MOST_SERIES = 4096
"""Series of requests; further combinations are counted as ``other`` of everything."""
MOST_WORDS = 100
"""Values of an open label of events."""
MOST_SAMPLES = 256
"""Samples of one family of gauges."""
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_STATUSES = range(100, 600)

GaugeReader = Callable[[], Mapping[Labels, Number]]


class Known(msgspec.Struct, frozen=True):
    """What may stand in a label: paths of routes, names of providers, names of models at their provider."""

    routes: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()


class Counters:
    """The counts of one process. Used from one thread."""

    def __init__(self, known: Known | None = None) -> None:
        self._known = known or Known()
        self._series: dict[tuple[str, str, str, int], list[Number]] = {}
        self._events: dict[tuple[str, str], Number] = {}
        self._gauges: dict[str, GaugeReader] = {}

    def know(self, known: Known) -> None:
        """What may stand in a label from now on, such as after a reload. What was counted stays."""
        self._known = known

    def request(
        self,
        route: str,
        provider: str,
        model: str,
        status: int,
        seconds: float,
        first_byte: float | None,
        input_tokens: int,
        output_tokens: int,
        cost_nanos: int | None,
    ) -> None:
        """Count one finished request. `seconds` and `first_byte` since its start; `cost_nanos` None is unpriced."""
        series = self._series.get((route, provider, model, status))
        if series is None:
            series = self._admit(route, provider, model, status)
        series[COUNT] += 1
        series[SECONDS] += seconds
        series[SLOW + bisect_left(BOUNDS, seconds)] += 1
        series[INPUT] += input_tokens
        series[OUTPUT] += output_tokens
        if cost_nanos is None:
            series[UNPRICED] += 1
        else:
            series[COST] += cost_nanos
        if first_byte is not None:
            series[FIRSTS] += 1
            series[FIRST_SECONDS] += first_byte
            series[FIRST + bisect_left(BOUNDS, first_byte)] += 1

    def event(self, family: str, label: str = "", amount: int = 1) -> None:
        """Count an event of a family of `families.EVENTS`."""
        key = (family, label)
        if key not in self._events:
            key = (family, self._word(family, label))
        self._events[key] = self._events.get(key, 0) + amount

    def gauge(self, family: str, read: GaugeReader) -> None:
        """Have a family of `families.GAUGES` read by `read` (labels: value) whenever counts are looked at."""
        if family not in GAUGES:
            raise ValueError(f"there is no gauge {family!r}")
        self._gauges[family] = read

    def snapshot(self, now: float) -> Snapshot:
        """The counts as they are. `now` is seconds since the epoch."""
        return Snapshot(
            now,
            tuple(
                ((route, provider, model, _status_text(status)), tuple(series))
                for (route, provider, model, status), series in self._series.items()
            ),
            tuple((family, label, value) for (family, label), value in self._events.items()),
            tuple(
                (family, labels, value) for family, read in self._gauges.items() for labels, value in list(read().items())[:MOST_SAMPLES]
            ),
        )

    def restore(self, before: Snapshot) -> None:
        """Go on from the counts of a process whose place this one has taken, so that they never fall."""
        for (route, provider, model, status), numbers in before.requests:
            series = self._series.setdefault((route, provider, model, int(status) if status.isdigit() else 0), [0] * LENGTH)
            series[:] = [a + b for a, b in zip(series, numbers, strict=True)]
        for family, label, value in before.events:
            self._events[family, label] = self._events.get((family, label), 0) + value

    def _admit(self, route: str, provider: str, model: str, status: int) -> list[Number]:
        """The series for labels that were not seen before: bounded, whatever clients ask for."""
        known = self._known
        key = (
            route if route in known.routes else OTHER,
            provider if provider in known.providers else OTHER,
            model if model in known.models else OTHER,
            status if status in _STATUSES else 0,
        )
        if key not in self._series and len(self._series) >= MOST_SERIES:
            key = (OTHER, OTHER, OTHER, 0)
        return self._series.setdefault(key, [0] * LENGTH)

    def _word(self, family: str, label: str) -> str:
        values = EVENTS[family].values
        if values is not None:
            return label if label in values or not values else OTHER
        seen = sum(1 for known, _ in self._events if known == family)
        return label if _WORD.fullmatch(label) and seen < MOST_WORDS else OTHER


def _status_text(status: int) -> str:
    return str(status) if status else OTHER
