"""Deleting old receipts, a few at a time, so that nobody waits (faults F16); the chain stays provable from where it then begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from headgate.ledger import chain
from headgate.ledger.report import SQL, parse_receipt, whole
from headgate.ledger.verify import PRUNED
from headgate.store.connection import Connection, Row

T = TypeVar("T")
BATCH = 500


class Writable(Protocol):
    """A store, as far as it is written to."""

    def write_now(self, function: Callable[[Connection], T]) -> T:
        """Run a write function and wait for its commit."""
        ...


class Pruned(msgspec.Struct, frozen=True):
    """What was deleted: how many receipts, and the number of the last one."""

    receipts: int = 0
    seq: int = 0


def prune(store: Writable, before: float, now: float, progress: Callable[[int], None] | None = None) -> Pruned:
    """Delete the oldest receipts, up to the first one of the chain that began at `before` (epoch seconds) or later.

    Each batch is a transaction: it notes where the chain begins from then on, and posts what the deleted receipts charged to balances, so
    that a balance still is the sum of its charges and postings. Corrections of deleted receipts stay, but are no longer counted as spent.
    """
    total = Pruned()
    while True:
        done = store.write_now(lambda connection: prune_batch(connection, before, now))
        if not done.receipts:
            return total
        total = Pruned(total.receipts + done.receipts, done.seq)
        if progress is not None:
            progress(total.receipts)


def prune_batch(connection: Connection, before: float, now: float) -> Pruned:
    """One batch, inside a transaction."""
    rows = _due(connection.execute(SQL["prunable"], {"limit": BATCH}).fetchall(), before)
    if not rows:
        return Pruned()
    last = whole(rows[-1][0])
    hashes = [row[2] for row in rows if isinstance(row[2], bytes)]
    known = connection.execute(SQL["pruned_hash"]).fetchone()
    begins = hashes[-1] if hashes else known[0] if known is not None else chain.START
    connection.execute(SQL["delete_receipts"], {"seq": last})
    connection.execute(SQL["note_pruned"], {"name": PRUNED, "seq": last, "hash": begins})
    for balance, nanos in sorted(_charges(rows).items()):
        connection.execute(SQL["post_pruned"], {"at": now, "balance": balance, "nanos": nanos})
    return Pruned(len(rows), last)


def _due(rows: list[Row], before: float) -> list[Row]:
    """The rows before the first one that is to be kept."""
    kept = next((position for position, row in enumerate(rows) if isinstance(row[1], float) and row[1] >= before), len(rows))
    return rows[:kept]


def _charges(rows: list[Row]) -> Counter[int]:
    """What receipts charged to each balance."""
    found: Counter[int] = Counter()
    for row in rows:
        for balance, nanos in parse_receipt(row[3]).charges:
            found[balance] += nanos
    return found
