"""What users are told of a run's warnings: those that change what a run costs, or how long it takes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headgate.wire.json import JsonObject


def notices(warnings: Sequence[tuple[str, JsonObject]]) -> tuple[str, ...]:
    """A sentence for each kind of warning in `warnings` (name and data of events) that users should hear of."""
    found = {name: [data for what, data in warnings if what == name] for name in _SENTENCES}
    return tuple(_SENTENCES[name](data) for name, data in found.items() if data)


def _too_few(events: Sequence[JsonObject]) -> str:
    units, least = sum(event["units"] for event in events), max(event["least"] for event in events)
    return f"units asked one by one, at realtime prices: {units}; a batch of the provider has at least {least} rows"


def _queue_full(events: Sequence[JsonObject]) -> str:
    return f"batches the provider had no room for, and that were submitted again: {len(events)}"


def _no_children(events: Sequence[JsonObject]) -> str:
    units, steps = sum(event["units"] for event in events), sorted({str(event["step"]) for event in events})
    return f"units that became none at {', '.join(steps)}, for want of a list or because it was empty: {units}"


def _given_up(events: Sequence[JsonObject]) -> str:
    return f"batches cancelled for the deadline, what they left asked at realtime prices: {len(events)}"


def _too_old(events: Sequence[JsonObject]) -> str:
    return f"batches cancelled because they were too old, what they had done kept: {len(events)}"


def _mode_refused(events: Sequence[JsonObject]) -> str:
    return f"the run does not go on as {events[-1]['mode']}: not every step's provider can"


def _lost_parameter(events: Sequence[JsonObject]) -> str:
    told = dict.fromkeys(f"{event['field']} of step {event['step']!r} was {event['action']} ({event['why']})" for event in events)
    return f"not everything reaches the model as it was asked for: {'; '.join(told)}"


def _cache_failed(events: Sequence[JsonObject]) -> str:
    return f"the run went on without answers of earlier runs: {events[-1]['error']}"


_SENTENCES: dict[str, Callable[[Sequence[JsonObject]], str]] = {
    "too_few_for_batch": _too_few,
    "queue_full": _queue_full,
    "no_children": _no_children,
    "batch_given_up": _given_up,
    "batch_too_old": _too_old,
    "mode_refused": _mode_refused,
    "cache_failed": _cache_failed,
    "lost_parameter": _lost_parameter,
}
