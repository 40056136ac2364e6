"""What is worth a warning in a run, each with a code that programs can act on (OCT-46). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from headgate.batch.reasons import Reason
from headgate.batch.tally import Tally


class Signal(msgspec.Struct, frozen=True):
    """A warning: its code, what it means, and how often it was met."""

    code: str
    message: str
    count: int


EVENTS: dict[str, tuple[str, str]] = {
    "refused": ("SUBMIT_ERROR", "batches the provider refused"),
    "submit_unclear": ("SUBMIT_ERROR", "submissions without a clear answer, looked for at the provider"),
    "ambiguous": ("SUBMIT_ERROR", "submissions that several batches of the provider could be"),
    "find_failed": ("SUBMIT_ERROR", "searches for a submission that failed at first"),
    "disowned": ("SUBMIT_ERROR", "batches that turned out to be another run's"),
    "queue_full": ("RATE_LIMIT", "batches the provider had no room for"),
    "poll_failed": ("POLL_ERROR", "looks at a batch that failed at first"),
    "cancel_failed": ("POLL_ERROR", "batches that could not be cancelled"),
    "batch_too_old": ("LONG_RUNNING_CHUNK", "batches that took longer than they may"),
    "download_failed": ("COLLECTION_ERROR", "downloads of results that failed at first"),
    "results_gone": ("COLLECTION_ERROR", "batches whose results the provider has no longer"),
    "odd_rows": ("COLLECTION_ERROR", "batches with rows that are not ours, or twice"),
    "batch_given_up": ("LONG_RUNNING_CHUNK", "batches cancelled for the run's deadline"),
    "too_few_for_batch": ("TOO_FEW_FOR_BATCH", "chunks too small for a batch, asked one by one at realtime prices"),
    "no_children": ("NO_CHILDREN", "chunks with units that became none at a fan_out"),
    "mode_refused": ("MODE_REFUSED", "modes that somebody asked for and that not every step's provider has"),
    "lost_parameter": ("LOST_PARAMETER", "parameters that do not reach a model as they were asked for"),
    "cache_failed": ("CACHE_FAILED", "times that answers of earlier runs could not be looked up or kept"),
    "post_process": ("POST_PROCESS", "reports that could not be made"),
}
"""Code and meaning of the events of level warning."""

FAILURES: dict[str, tuple[str, str]] = {
    Reason.RENDER_ERROR: ("PROMPT_PREP_ERROR", "units whose prompt could not be made"),
    Reason.EXPRESSION_ERROR: ("EXPRESSION_ERROR", "units whose expressions gave no value"),
    Reason.RATE_LIMIT: ("RATE_LIMIT", "units given up at a rate limit"),
    Reason.PROVIDER_ERROR: ("PROVIDER_ERROR", "units the provider failed"),
}
"""Code and meaning of reasons that are not the model's."""

MANY_RETRIES = 0.5
"""Retried tokens over those of first tries, above which a run costs noticeably more than planned."""


def signals(
    events: Mapping[str, int], reasons: Mapping[str, int], lost_batches: int, failed_batches: int, first: Tally, retried: Tally
) -> tuple[Signal, ...]:
    """The warnings of a run: from its events and failed units (each by name), its batches, and its tokens."""
    found = [_signal(EVENTS.get(what, ("EVENT", what)), count) for what, count in events.items()]
    found += [_signal(FAILURES[reason], count) for reason, count in reasons.items() if reason in FAILURES]
    found.append(Signal("CHUNK_HAS_FAILURES", "units that failed", sum(reasons.values())))
    found.append(Signal("COLLECTION_ERROR", "batches the provider knows no longer", lost_batches))
    found.append(Signal("API_BATCH_FAILED", "batches that failed at the provider", failed_batches))
    if retried.tokens > MANY_RETRIES * first.tokens:
        found.append(Signal("HIGH_TOKEN_USAGE", "tokens spent on retries, against those of first tries", retried.tokens))
    return tuple(signal for signal in found if signal.count)


def _signal(named: tuple[str, str], count: int) -> Signal:
    return Signal(*named, count)


def by_reason(failed: Iterable[tuple[int, str | None, int]]) -> dict[str, int]:
    """Failed units by reason, the most frequent first, from (step, reason, count)."""
    counts: dict[str, int] = {}
    for _, reason, count in failed:
        counts[reason or "unknown"] = counts.get(reason or "unknown", 0) + count
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
