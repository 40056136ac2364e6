"""The families of metrics, as a table: names, kinds, help and labels."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Merge: TypeAlias = Literal["sum", "max"]

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of the buckets of both histograms, in seconds."""
SLOTS = len(BOUNDS) + 1
COUNT, SECONDS, FIRSTS, FIRST_SECONDS, INPUT, OUTPUT, COST, UNPRICED, SLOW = range(9)
"""Places in a series: requests, their seconds, first bytes, their seconds, tokens, nano-dollars, unpriced requests, then two histograms."""
FIRST = SLOW + SLOTS
LENGTH = FIRST + SLOTS

REQUEST_LABELS = ("route", "provider", "model", "status")


class Events(msgspec.Struct, frozen=True):
    """A counter of events with one label. `values` are what the label may say; None: any short lower-case word, up to a bound."""

    name: str
    help: str
    label: str
    values: tuple[str, ...] | None = None


class Gauges(msgspec.Struct, frozen=True):
    """A family of gauges. `merge` says what those of several processes are together."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    merge: Merge = "sum"


EVENTS: dict[str, Events] = {
    "cache": Events("headgate_cache_lookups_total", "Lookups in the response cache.", "result", ("hit", "miss", "bypass")),
    "cache_saved_nanos": Events("headgate_cache_saved_usd_total", "Dollars that cached answers would have cost.", "", ()),
    "idempotency": Events(
        "headgate_idempotency_total", "Requests with an Idempotency-Key.", "outcome", ("new", "replay", "conflict", "in_progress", "gone")
    ),
    "recording": Events("headgate_recordings_total", "Requests recorded or answered from a recording.", "outcome", ("kept", "hit", "miss")),
    "refused": Events("headgate_refused_total", "Requests that Headgate itself turned down.", "code"),
    "attempt_failed": Events("headgate_attempt_failures_total", "Attempts at a provider that failed.", "kind"),
    "fallback": Events("headgate_fallbacks_total", "Requests that went on to another deployment.", "reason"),
    "shed": Events("headgate_shed_total", "Requests turned away to protect the process.", "reason", ("memory", "in_flight", "queue")),
    "spans": Events("headgate_spans_total", "Requests offered as spans.", "outcome", ("exported", "dropped", "failed")),
    "receipts": Events("headgate_receipts_total", "Receipts.", "outcome", ("written", "delayed")),
    "reload": Events("headgate_config_reloads_total", "Reloads of the settings.", "outcome", ("ok", "failed")),
    "alerts": Events("headgate_alerts_total", "Budget alerts.", "outcome", ("sent", "failed")),
}

GAUGES: dict[str, Gauges] = {
    "in_flight": Gauges("headgate_in_flight_requests", "Requests being served."),
    "connections": Gauges("headgate_open_connections", "Open client connections."),
    "upstream_connections": Gauges("headgate_upstream_connections", "Open connections to providers.", ("state",)),
    "queue_length": Gauges("headgate_queue_length", "Requests that wait for a rate limit."),
    "journal_depth": Gauges("headgate_journal_depth", "Receipts that are not written yet."),
    "breaker": Gauges("headgate_breaker_state", "0 closed, 1 half-open, 2 open.", ("deployment",), "max"),
    "budget_used": Gauges("headgate_budget_used_ratio", "Settled and reserved, as a share of the limit.", ("scope",), "max"),
    "cache_bytes": Gauges("headgate_cache_bytes", "Bytes held by the response cache."),
    "resident_bytes": Gauges("headgate_resident_memory_bytes", "Memory of the HTTP processes."),
    "ready": Gauges("headgate_ready", "1 ready, 0.5 degraded, 0 not ready.", (), "max"),
}
