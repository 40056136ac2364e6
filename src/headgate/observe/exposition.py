"""Counts as text for Prometheus (text exposition format, version 0.0.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from headgate.domain.cost import usd_text
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
    OUTPUT,
    REQUEST_LABELS,
    SECONDS,
    SLOTS,
    SLOW,
    UNPRICED,
)
from headgate.observe.snapshot import Labels, Number, Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_BY_TARGET = ("provider", "model")
_BY_CALL = ("route", "provider", "model")

Rows = dict[Labels, list[Number]]


def render(snapshot: Snapshot, version: str) -> bytes:
    """The text. `version` is that of Headgate; "" is not told."""
    lines = [*_build(version), *_requests(snapshot), *_events(snapshot), *_gauges(snapshot)]
    return ("\n".join(lines) + "\n").encode()


def _build(version: str) -> Iterator[str]:
    if version:
        yield from _head("headgate_build_info", "gauge", "The version that runs.")
        yield _sample("headgate_build_info", ("version",), (version,), "1")


def _requests(snapshot: Snapshot) -> Iterator[str]:
    rows = {labels: list(numbers) for labels, numbers in snapshot.requests}
    calls, targets = _grouped(rows, (0, 1, 2)), _grouped(rows, (1, 2))
    yield from _counter(
        "headgate_requests_total", "Finished requests.", REQUEST_LABELS, ((labels, str(row[COUNT])) for labels, row in rows.items())
    )
    yield from _histogram("headgate_request_seconds", "From a request's arrival to its end.", calls, (COUNT, SECONDS, SLOW))
    yield from _histogram(
        "headgate_first_byte_seconds", "From a request's arrival to the first byte of its answer.", calls, (FIRSTS, FIRST_SECONDS, FIRST)
    )
    tokens = [((*labels, way), str(row[place])) for labels, row in targets.items() for way, place in (("input", INPUT), ("output", OUTPUT))]
    yield from _counter("headgate_tokens_total", "Tokens booked.", (*_BY_TARGET, "direction"), tokens)
    costs = ((labels, usd_text(int(row[COST]))) for labels, row in targets.items())
    yield from _counter("headgate_cost_usd_total", "Dollars booked, of requests with a known price.", _BY_TARGET, costs)
    unpriced = ((labels, str(row[UNPRICED])) for labels, row in targets.items())
    yield from _counter("headgate_unpriced_requests_total", "Requests without a known price.", _BY_TARGET, unpriced)


def _grouped(rows: Rows, places: Sequence[int]) -> Rows:
    """The sums over all labels but those at `places`."""
    found: Rows = {}
    for labels, numbers in rows.items():
        key = tuple(labels[place] for place in places)
        known = found.get(key)
        found[key] = list(numbers) if known is None else [a + b for a, b in zip(known, numbers, strict=True)]
    return found


def _events(snapshot: Snapshot) -> Iterator[str]:
    for key, family in EVENTS.items():
        shown: Callable[[Number], str] = (lambda value: usd_text(int(value))) if key.endswith("_nanos") else str
        found = {label: value for known, label, value in snapshot.events if known == key}
        values = {label: found.get(label, 0) for label in (family.values or ())} | found
        if not family.label:
            yield from _counter(family.name, family.help, (), [((), shown(found.get("", 0)))])
        elif values:
            yield from _counter(family.name, family.help, (family.label,), (((label,), shown(value)) for label, value in values.items()))


def _gauges(snapshot: Snapshot) -> Iterator[str]:
    for key, family in GAUGES.items():
        found = [(labels, value) for known, labels, value in snapshot.gauges if known == key]
        if found:
            yield from _head(family.name, "gauge", family.help)
            yield from (_sample(family.name, family.labels, labels, _number(value)) for labels, value in found)


def _counter(name: str, about: str, names: Labels, samples: Iterable[tuple[Labels, str]]) -> Iterator[str]:
    yield from _head(name, "counter", about)
    yield from (_sample(name, names, labels, value) for labels, value in samples)


def _histogram(name: str, about: str, rows: Rows, places: tuple[int, int, int]) -> Iterator[str]:
    count, total, start = places
    yield from _head(name, "histogram", about)
    for labels, row in rows.items():
        if not row[count]:
            continue
        bounds = (*(_number(bound) for bound in BOUNDS), "+Inf")
        for bound, seen in zip(bounds, accumulate(row[start : start + SLOTS]), strict=True):
            yield _sample(f"{name}_bucket", (*_BY_CALL, "le"), (*labels, bound), str(seen))
        yield _sample(f"{name}_sum", _BY_CALL, labels, _number(row[total]))
        yield _sample(f"{name}_count", _BY_CALL, labels, str(row[count]))


def _head(name: str, kind: str, about: str) -> tuple[str, str]:
    return f"# HELP {name} {about}", f"# TYPE {name} {kind}"


def _sample(name: str, names: Labels, labels: Labels, value: str) -> str:
    if not names:
        return f"{name} {value}"
    pairs = ",".join(f'{key}="{label.translate(_ESCAPES)}"' for key, label in zip(names, labels, strict=True))
    return f"{name}{{{pairs}}} {value}"


def _number(value: Number) -> str:
    return repr(float(value))
