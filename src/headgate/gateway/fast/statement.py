"""Stored receipts of usual answers, written from a template: such receipts differ in a few figures alone.

The template is the stored form of a receipt that was put together the long way, with marks in the place of those figures.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import TypeAlias, TypeVar, cast

import msgspec

from headgate.domain.usage import BUCKETS
from headgate.ledger.receipt import Attempt, Receipt
from headgate.ledger.rows import encoded
from headgate.store.connection import Row, Value

Figures: TypeAlias = tuple[object, ...]
"""Id, time, duration and first byte as `numeral`, the provider's id and the session as JSON, cost, bound, the ten buckets of the usage."""

_ID = "7ZZZZZZZZZZZZZZZZZ-MARK-ID"
_REQUEST_ID = "7ZZZZZZZZZZ-MARK-REQUEST-ID"
_SESSION = "7ZZZZZZZZZZ-MARK-SESSION"
_AT, _DURATION, _FIRST_BYTE = 7.7e11 + 0.5, 7.7e11 + 1.5, 7.7e11 + 2.5
_COST, _BOUND = 77 * 10**16 + 1, 77 * 10**16 + 2
_TOKENS = tuple(77 * 10**16 + 11 + place for place in range(len(BUCKETS)))
_MARKS: tuple[tuple[bytes, bytes], ...] = (
    (_ID.encode(), b"%b"),
    (str(_AT).encode(), b"%b"),
    (str(_DURATION).encode(), b"%b"),
    (str(_FIRST_BYTE).encode(), b"%b"),
    (b'"%b"' % _REQUEST_ID.encode(), b"%b"),
    (b'"%b"' % _SESSION.encode(), b"%b"),
    *[(str(mark).encode(), b"%d") for mark in (_COST, _BOUND, *_TOKENS)],
)
T = TypeVar("T", Receipt, Attempt)
encode_text = msgspec.json.Encoder().encode


class Statement:
    """A template; `holder` keeps alive what it was chosen by."""

    __slots__ = ("_after", "_before", "_format", "_pick", "holder")

    def __init__(self, receipt: Receipt, holder: object) -> None:
        """See `statement`, which has checked the receipt."""
        self.holder = holder
        stored = encoded(_marked(receipt)).replace(b"%", b"%%")
        found = sorted((at, place) for place, (mark, _) in enumerate(_MARKS) for at in _places(stored, mark))
        for mark, form in _MARKS:
            stored = stored.replace(mark, form)
        self._format = stored
        self._pick = cast(Callable[[Figures], tuple[object, ...]], itemgetter(*(place for _, place in found)))
        self._before: tuple[Value, ...] = (receipt.face, receipt.provider, receipt.account, receipt.model, receipt.lane, receipt.status)
        self._after: tuple[Value, ...] = (receipt.key, receipt.team, receipt.user, receipt.tenant, receipt.run, receipt.submission)

    def stored(self, figures: Figures) -> bytes:
        """The receipt of these figures, as it is stored, without charges."""
        return self._format % self._pick(figures)

    def row(self, id: str, at: float, counted: tuple[int, int, int, int], cost: int | None) -> Row:
        """Its row without the last column; `counted` are tokens in, read from a cache, out, and thought."""
        return (id, at, *self._before, *counted, cost, *self._after)


def statement(receipt: Receipt, holder: object) -> Statement | None:
    """The template of all receipts that differ from `receipt` in figures alone; None for one that is not of the usual form."""
    if len(receipt.attempts) != 1 or receipt.status != "ok" or receipt.usage.fees or receipt.usage.native is not None:
        return None
    if receipt.charges or receipt.notes or receipt.attempts[0].started != receipt.at or receipt.usage.source != "provider":
        return None
    made = Statement(receipt, holder)
    return made if made.stored(figures_of(receipt)) == encoded(receipt) else None


def numeral(value: float | None) -> bytes:
    """A number as it is spelt: work enough to do it once for all places it stands in."""
    return b"" if value is None else b"%a" % value


def figures_of(receipt: Receipt) -> Figures:
    """The figures of a receipt."""
    usage = receipt.usage
    return (
        receipt.id.encode(),
        numeral(receipt.at),
        numeral(receipt.duration),
        numeral(receipt.first_byte),
        encode_text(receipt.request_id),
        encode_text(receipt.session),
        receipt.cost_nanos,
        receipt.bound_nanos,
        *[getattr(usage, bucket) for bucket in BUCKETS],
    )


def _marked(receipt: Receipt) -> Receipt:
    """`receipt` with marks for figures, wherever it has some."""
    attempt = _replaced(
        receipt.attempts[0], started=_AT, duration=_DURATION, first_byte=_FIRST_BYTE, request_id=_REQUEST_ID, cost_nanos=_COST
    )
    usage = msgspec.structs.replace(
        receipt.usage, **{bucket: mark for bucket, mark in zip(BUCKETS, _TOKENS, strict=True) if getattr(receipt.usage, bucket)}
    )
    marked = _replaced(
        receipt,
        id=_ID,
        at=_AT,
        duration=_DURATION,
        first_byte=_FIRST_BYTE,
        request_id=_REQUEST_ID,
        session=_SESSION,
        cost_nanos=_COST,
        bound_nanos=_BOUND,
    )
    return msgspec.structs.replace(marked, attempts=(attempt,), usage=usage)


def _replaced(value: T, **marks: object) -> T:
    return msgspec.structs.replace(value, **{name: mark for name, mark in marks.items() if getattr(value, name) is not None})


def _places(stored: bytes, mark: bytes) -> list[int]:
    found, at = [], stored.find(mark)
    while at >= 0:
        found.append(at)
        at = stored.find(mark, at + 1)
    return found
