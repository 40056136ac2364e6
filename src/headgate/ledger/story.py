"""What happened to a request, in one paragraph. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from headgate.domain.cost import usd_text
from headgate.ledger.moments import iso
from headgate.ledger.receipt import Attempt, Receipt
from headgate.ledger.recompute import LOST

_TIMES = {1: "", 2: " twice"}
_NOTICED = 0.05
"""Seconds from which a pause between two attempts is worth a word."""


def tell(receipt: Receipt) -> str:
    """The story of a receipt: who asked whom for what, every attempt, waits and fallbacks, how long it took, what it cost."""
    sentences = [_asked(receipt), _tried(receipt), _reason(receipt), _end(receipt), _cost(receipt), _notes(receipt)]
    return " ".join(sentence for sentence in sentences if sentence)


def _asked(receipt: Receipt) -> str:
    who = payer(receipt) or f"the {receipt.face}"
    through = f" through the {receipt.face}" if payer(receipt) and receipt.face != "gateway" else ""
    how = "in a batch" if receipt.lane == "batch" else "streamed" if receipt.stream else ""
    what = f"{receipt.operation}, {how}" if how else receipt.operation
    first = min(receipt.attempts, key=lambda one: one.started, default=None)
    asked = f"{first.provider}/{first.model}" if first is not None else f"{receipt.provider}/{receipt.model}"
    return f"At {iso(receipt.at)} {who} asked for {asked}{through} ({what})."


def payer(receipt: Receipt) -> str:
    """Who pays: the key, and whom it belongs to; "" when no key was used."""
    named = [f"{word} {value}" for word, value in (("key", receipt.key), ("team", receipt.team), ("user", receipt.user)) if value]
    return ", ".join(named)


def _tried(receipt: Receipt) -> str:
    if not receipt.attempts:
        return "No provider was called."
    answered = any(attempt.status is not None for attempt in receipt.attempts)
    groups = [list(group) for _, group in groupby(sorted(receipt.attempts, key=lambda one: one.started), key=_likeness)]
    told: list[str] = []
    silent = False
    for position, group in enumerate(groups):
        before = groups[position - 1] if position else None
        beside, silent = silent, _silent(group[0]) and (answered or receipt.status == "cancelled")
        told.append(_beside(group) if beside and not silent else _group(group, before, "had not answered" if silent else _ended(group[0])))
    return "; ".join(told) + "."


def _silent(attempt: Attempt) -> bool:
    """Whether nothing came of an attempt, not even a failure: it was left, because another one answered or the client went away."""
    return attempt.status is None and attempt.kind is None


def _beside(group: Sequence[Attempt]) -> str:
    """What was asked while another one was silent (hedging), or answered before it."""
    return f"meanwhile {_where(group[0])} was asked as well, and {_ended(group[0])}{_lasted(group)}"


def _likeness(attempt: Attempt) -> tuple[object, ...]:
    return (attempt.provider, attempt.account, attempt.model, attempt.status, attempt.kind)


def _group(group: Sequence[Attempt], before: Sequence[Attempt] | None, ended: str) -> str:
    """Attempts that `ended` alike, and how it came to them."""
    one = group[0]
    moved = before is not None and _where(before[-1]) != _where(one)
    way = "it fell back to " if moved else "again " if before is not None else ""
    pause = waited(before[-1], one) if before is not None else 0.0
    wait = f"after a wait of {pause:.1f} s " if pause >= _NOTICED else ""
    times = _TIMES.get(len(group), f" {len(group)} times")
    link = ", which " if moved else " "
    return f"{wait}{way}{_where(one)}{link}{ended}{times}{_lasted(group)}"


def _where(attempt: Attempt) -> str:
    account = f" (account {attempt.account})" if attempt.account != "default" else ""
    return f"{attempt.provider}/{attempt.model}{account}"


def _ended(attempt: Attempt) -> str:
    if attempt.kind is None:
        return f"answered {attempt.status}" if attempt.status is not None else "answered"
    status = f"answered {attempt.status}" if attempt.status is not None else "gave no answer"
    return f"{status} ({attempt.kind})"


def _lasted(group: Sequence[Attempt]) -> str:
    durations = [attempt.duration for attempt in group if attempt.duration is not None]
    first = group[-1].first_byte
    byte = f", its first byte after {first:.2f} s" if first is not None else ""
    return (f" after {sum(durations):.2f} s" if durations else "") + byte


def waited(before: Attempt, after: Attempt) -> float:
    """Seconds between the end of one attempt and the beginning of the next."""
    return max(0.0, after.started - before.started - (before.duration or 0.0)) if after.started and before.started else 0.0


def _reason(receipt: Receipt) -> str:
    return f"Route: {receipt.explanation.rstrip('.')}." if receipt.explanation else ""


_ENDINGS = {"ok": "It ended well", "error": "It failed", "cancelled": "The client left before the end"}


def _end(receipt: Receipt) -> str:
    if receipt.error == LOST:
        return "Nobody saw its end: it is booked at the most it can have cost."
    kind = f" ({receipt.error})" if receipt.error else f" ({receipt.finish})" if receipt.finish else ""
    lasted = f" after {receipt.duration:.2f} s" if receipt.duration is not None else ""
    return f"{_ENDINGS[receipt.status]}{kind}{lasted}."


def _cost(receipt: Receipt) -> str:
    usage = receipt.usage
    cached = f" ({usage.cache_read:,} from the provider's cache)" if usage.cache_read else ""
    estimated = ", estimated" if usage.source == "estimated" and usage.total else ""
    cost = "its price is unknown" if receipt.cost_nanos is None else f"${usd_text(receipt.cost_nanos)}"
    return f"{usage.input_total:,} tokens went in{cached}, {usage.output_total:,} came out{estimated}: {cost}."


def _notes(receipt: Receipt) -> str:
    told = [f"{note.field} was {note.action} ({note.reason})" for note in receipt.notes]
    return f"Not as asked: {'; '.join(told)}." if told else ""
