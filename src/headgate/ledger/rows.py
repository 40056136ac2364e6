"""Receipts and settlements as rows of the ledger's tables, and back."""

from __future__ import annotations

import msgspec

from headgate.dialects.base import Note
from headgate.domain.usage import BUCKETS, Usage
from headgate.ledger.receipt import Attempt, Filter, Operation, Receipt, Settlement, Total
from headgate.store.connection import Cursor, Value
from headgate.wire.json import JsonObject


class _Detail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept but never searched for."""

    attempts: tuple[Attempt, ...] = ()
    notes: tuple[Note, ...] = ()
    fees: dict[str, int] = {}
    unit_prices: dict[str, str] = {}
    native: JsonObject | None = None
    operation: Operation = "chat"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Detail).decode

_PLAIN = tuple(name for name in Receipt.__struct_fields__ if name not in {"attempts", "usage", "notes", "unit_prices", "operation"})
_SETTLED = tuple(name for name in Settlement.__struct_fields__ if name != "usage")
_FILTERED = tuple(name for name in Filter.__struct_fields__ if name != "before")


def named_rows(cursor: Cursor) -> list[dict[str, Value]]:
    """All rows of a query, by column name."""
    names = [str(column[0]) for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def receipt_row(receipt: Receipt) -> dict[str, Value]:
    """The parameters of `insert_receipt`."""
    usage = receipt.usage
    detail = _Detail(
        attempts=receipt.attempts,
        notes=receipt.notes,
        fees=usage.fees,
        unit_prices=receipt.unit_prices,
        native=usage.native,
        operation=receipt.operation,
    )
    row: dict[str, Value] = {name: getattr(receipt, name) for name in _PLAIN}
    row.update(_buckets(usage), usage_source=usage.source, detail=_encode(detail).decode())
    return row


def receipt_of(row: dict[str, Value]) -> Receipt:
    """The receipt of a row of `receipt_by_id` or `receipts`."""
    detail = _decode(str(row["detail"]))
    document = {
        **{name: row[name] for name in _PLAIN},
        "stream": bool(row["stream"]),
        "usage": {**{name: row[name] for name in BUCKETS}, "source": row["usage_source"], "fees": detail.fees, "native": detail.native},
        "attempts": detail.attempts,
        "notes": detail.notes,
        "unit_prices": detail.unit_prices,
        "operation": detail.operation,
    }
    return msgspec.convert(document, Receipt)


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
