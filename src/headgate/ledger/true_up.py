"""Bringing receipts to what an invoice says of single requests (faults E9).

A receipt stays as it was written; the difference is posted, to its budgets too. Doing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from headgate.ledger.balances import SQL
from headgate.ledger.receipt import Receipt
from headgate.ledger.rows import receipt_of
from headgate.ledger.settling import ESTIMATED, true_up
from headgate.store.base import Store
from headgate.store.connection import Connection

AT_ONCE = 200
"""Receipts that one transaction corrects: others have to write too."""


class Corrected(msgspec.Struct, frozen=True):
    """What an invoice changed: so many receipts, by so many nano-dollars together; and requests of it that have no receipt."""

    receipts: int = 0
    delta_nanos: int = 0
    unknown: tuple[str, ...] = ()


class Span(msgspec.Struct, frozen=True):
    """The time an invoice covers, in seconds since the epoch: from `since` on, before `until`."""

    since: float
    until: float


def true_up_all(store: Store, invoice: Mapping[str, int], provider: str | None = None, covers: Span | None = None) -> Corrected:
    """Bring receipts to `invoice`: our request id (``x-client-request-id``) → nano-dollars billed by `provider` (None: by all together).

    What a receipt says of attempts at other providers stands, whatever an earlier invoice of theirs corrected. With `covers`, receipts of
    that time that are estimates and that the invoice does not know were not billed; without it they are left alone. Raises `StoreError`.
    """
    asked = list(invoice.items())
    if covers is not None:
        absent = store.read(lambda connection: _estimates(connection, covers))
        asked += [(id, 0) for id in absent if id not in invoice]
    found = Corrected()
    for start in range(0, len(asked), AT_ONCE):
        found = _sum(found, _corrected(store, asked[start : start + AT_ONCE], provider, invoice))
    return found


def _corrected(store: Store, asked: Sequence[tuple[str, int]], provider: str | None, invoice: Mapping[str, int]) -> Corrected:
    def correct(connection: Connection) -> Corrected:
        changes: list[int] = []
        unknown: list[str] = []
        for id, nanos in asked:
            receipt = _receipt(connection, id)
            if receipt is None:
                unknown.append(id)
            elif id in invoice or _concerns(receipt, provider):
                changes.append(true_up(connection, id, nanos + _elsewhere(receipt, provider)) or 0)
        return Corrected(sum(map(bool, changes)), sum(changes), tuple(unknown))

    return store.write_now(correct)


def _receipt(connection: Connection, id: str) -> Receipt | None:
    row = connection.execute(SQL["receipt_to_correct"], {"receipt": id}).fetchone()
    return None if row is None else receipt_of(row)


def _estimates(connection: Connection, covers: Span) -> list[str]:
    """Calls of a time whose cost is not from the provider's own figures. Those of runs have an invoice of their own."""
    rows = connection.execute(SQL["receipts_between"], {"since": covers.since, "until": covers.until}).fetchall()
    return [receipt.id for receipt in map(receipt_of, rows) if _estimated(receipt)]


def _estimated(receipt: Receipt) -> bool:
    return receipt.submission is None and (receipt.price_rule == ESTIMATED or receipt.usage.source == "estimated")


def _concerns(receipt: Receipt, provider: str | None) -> bool:
    return provider is None or any(attempt.provider == provider for attempt in receipt.attempts)


def _elsewhere(receipt: Receipt, provider: str | None) -> int:
    """What attempts at other providers cost."""
    if provider is None:
        return 0
    return sum(attempt.cost_nanos or 0 for attempt in receipt.attempts if attempt.provider != provider)


def _sum(one: Corrected, other: Corrected) -> Corrected:
    return Corrected(one.receipts + other.receipts, one.delta_nanos + other.delta_nanos, one.unknown + other.unknown)


def total_of(charges: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Charges by request, those of one request added up."""
    found: dict[str, int] = {}
    for id, nanos in charges:
        found[id] = found.get(id, 0) + nanos
    return found
