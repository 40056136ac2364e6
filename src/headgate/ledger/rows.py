"""Receipts and settlements as rows of the ledger's tables, and back."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headgate.domain.usage import BUCKETS, Usage
from headgate.ledger.moves import Move
from headgate.ledger.receipt import Filter, Receipt, Settlement, Total
from headgate.store.connection import Cursor, Row, Value

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Receipt).decode

_SETTLED = tuple(name for name in Settlement.__struct_fields__ if name != "usage")
_FILTERED = tuple(name for name in Filter.__struct_fields__ if name != "before")


def named_rows(cursor: Cursor) -> list[dict[str, Value]]:
    """All rows of a query, by column name."""
    names = [str(column[0]) for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def encoded(receipt: Receipt) -> bytes:
    """The receipt as it is stored, hashed and journalled: JSON without what has its default. Halves of surrogate pairs become "?"."""
    try:
        return _encode(receipt)
    except (UnicodeEncodeError, RecursionError):
        return _encode(_spoken(receipt))


def _spoken(receipt: Receipt) -> Receipt:
    """`receipt` with texts that UTF-8 can hold; what a provider said verbatim is left out."""
    usage = msgspec.structs.replace(receipt.usage, native=None)
    changed = {name: _clean(getattr(receipt, name)) for name in receipt.__struct_fields__ if isinstance(getattr(receipt, name), str)}
    attempts = tuple(
        msgspec.structs.replace(attempt, **{name: _clean(getattr(attempt, name)) for name in ("model", "request_id", "kind")})
        for attempt in receipt.attempts
    )
    tags = tuple(map(str, map(_clean, receipt.tags)))
    return msgspec.structs.replace(receipt, usage=usage, attempts=attempts, tags=tags, notes=(), **changed)


def _clean(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "replace").decode()


def charged(stored: bytes, moves: Iterable[Move]) -> bytes:
    """`stored` (of a receipt without charges) with what `moves` charge, those of one balance added up, in it."""
    listed = ",".join([f"[{move.balance},{move.spent}]" for move in moves])
    return b'%b,"charges":[%b]}' % (stored[:-1], listed.encode())


def receipt_row(receipt: Receipt, stored: bytes) -> Row:
    """The parameters of `append_receipt` after number and hash; `stored` is the receipt `encoded`."""
    usage = receipt.usage
    read, thought = usage.cache_read, usage.output_reasoning
    return (
        receipt.id,
        receipt.at,
        receipt.face,
        receipt.provider,
        receipt.account,
        receipt.model,
        receipt.lane,
        receipt.status,
        usage.input_uncached + read + usage.cache_write_5m + usage.cache_write_1h + usage.input_audio + usage.input_image,
        read,
        usage.output_text + thought + usage.output_audio + usage.output_image,
        thought,
        receipt.cost_nanos,
        receipt.key,
        receipt.team,
        receipt.user,
        receipt.tenant,
        receipt.run,
        receipt.submission,
        stored.decode(),
    )


def stored_row(receipt: Receipt) -> Row:
    """As `receipt_row`, encoding the receipt."""
    return receipt_row(receipt, encoded(receipt))


def receipt_of(row: Row) -> Receipt:
    """The receipt of a row of `receipt_by_id` or `receipts`."""
    return _decode(str(row[1]))


def decoded(stored: bytes) -> Receipt:
    """The receipt that was `encoded`. Raises `msgspec.DecodeError`."""
    return _decode(stored)


def settlement_row(key: str, settlement: Settlement) -> dict[str, Value]:
    """The parameters of `insert_settlement`."""
    return {"key": key, **{name: getattr(settlement, name) for name in _SETTLED}, **_buckets(settlement.usage)}


def filter_row(wanted: Filter) -> dict[str, Value]:
    """The parameters of `receipts` and `totals`."""
    before_at, before_id = wanted.before or (None, None)
    return {**{name: getattr(wanted, name) for name in _FILTERED}, "before_at": before_at, "before_id": before_id}


def total_of(row: dict[str, Value]) -> Total:
    """The total of a row of `totals`."""
    return msgspec.convert(row, Total)


def _buckets(usage: Usage) -> dict[str, Value]:
    return {bucket: getattr(usage, bucket) for bucket in BUCKETS}
