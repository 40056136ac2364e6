"""Receipts and what they cost, committed together: a process's batches, what a dead process left, and what an invoice corrects.

Every function here runs inside a write transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from headgate.domain.estimate import estimate_tokens
from headgate.domain.usage import Usage
from headgate.errors import StoreError
from headgate.ledger.balances import LOST, SQL, Alert, move, number, post, revive_if_lost, slabs_of, state_of
from headgate.ledger.chain import append, append_new, known
from headgate.ledger.journal import Remains
from headgate.ledger.journal_records import Entry
from headgate.ledger.moves import Move
from headgate.ledger.receipt import Attempt, Charge, Receipt
from headgate.ledger.rows import decoded, receipt_of, stored_row
from headgate.store.connection import Connection, Row, Value, clock

ESTIMATED = "bound"
"""The price rule of a receipt that books the most a request can have cost."""


class Batch(msgspec.Struct, frozen=True):
    """What one process commits at once: closed requests with their moves, and parts of slabs it gives back. Batches are numbered from 1."""

    number: int
    rows: tuple[Row, ...]
    moves: tuple[tuple[Move, ...], ...]
    returns: tuple[Move, ...]


def commit(connection: Connection, process: str, batch: Batch, lease: float, *, careful: bool = False) -> list[Alert]:
    """Book a batch, once: a number that was committed before changes nothing (faults E10). Prolongs the lease by `lease` seconds.

    `careful` leaves out receipts whose id is known already, with what they cost.
    """
    values: dict[str, Value] = {"process": process, "number": batch.number, "expires": clock(connection) + lease}
    rows = connection.execute(SQL["count_flush"], values).fetchall()
    if not rows:
        return _refused(connection, process, batch.number)
    if rows[0][0] == LOST:
        revive_if_lost(connection, process)
    if not careful:
        append(connection, batch.rows)
        return move(connection, process, [*batch.returns, *(each for moves in batch.moves for each in moves)])
    fresh = {row[0] for row in append_new(connection, batch.rows)}
    kept = [each for row, moves in zip(batch.rows, batch.moves, strict=True) for each in moves if row[0] in fresh]
    known = [
        msgspec.structs.replace(each, spent=0)
        for row, moves in zip(batch.rows, batch.moves, strict=True)
        for each in moves
        if row[0] not in fresh
    ]
    return move(connection, process, [*batch.returns, *kept, *known])


def _refused(connection: Connection, process: str, batch: int) -> list[Alert]:
    row = connection.execute(SQL["find_process"], {"process": process}).fetchone()
    if row is None:
        raise StoreError("this process is not registered in the ledger (any more)", hint="start it again")
    if number(row[1]) < batch:
        raise StoreError("the ledger is older than what this process has written to it", hint="start it again")
    return []


def reap(connection: Connection, remains: Remains) -> tuple[list[Alert], tuple[Receipt, ...]] | None:
    """Finish what a dead process left (faults E8, E9). Returns the thresholds reached and the receipts that had to be estimated.

    Closed requests are booked as they were; attempts that were sent at the most they can have cost; what was only reserved is free. None:
    the journal is of another ledger. Doing it again changes nothing, as when whoever finished it last died before it deleted the journal.
    """
    process = remains.process
    closed = [decoded(stored) for stored in remains.closed]
    estimated = [estimate(entries) for entries in remains.sent]
    receipts = {receipt.id: receipt for receipt in (*closed, *estimated)}
    if state_of(connection, process) is None:
        return ([], ()) if all(known(connection, id) for id in receipts) else None
    revive_if_lost(connection, process)
    fresh = [receipts[str(row[0])] for row in append_new(connection, [stored_row(receipt) for receipt in receipts.values()])]
    charges = [charge for receipt in fresh for charge in receipt.charges]
    alerts = move(connection, process, [Move(balance, nanos, 0) for balance, nanos in charges])
    _release(connection, process, charges, remains.whole)
    connection.execute(SQL["drop_process"], {"process": process})
    ids = {receipt.id for receipt in estimated}
    return alerts, tuple(receipt for receipt in fresh if receipt.id in ids)


def _release(connection: Connection, process: str, charges: Iterable[Charge], whole: bool) -> None:
    """Free the slabs of a process. After a power cut nobody knows what else it spent: the rest of them counts as spent."""
    booked: dict[int, int] = {}
    for balance, nanos in charges:
        booked[balance] = booked.get(balance, 0) + nanos
    for balance, amount in slabs_of(connection, process):
        unknown = 0 if whole else max(0, amount - booked.get(balance, 0))
        connection.execute(SQL["settle_balance"], {"balance": balance, "spent": unknown, "held": amount})
        if unknown:
            post(connection, "lost", unknown, balance=balance, process=process)
    connection.execute(SQL["drop_slabs"], {"process": process})


def estimate(entries: Sequence[Entry]) -> Receipt:
    """The receipt of a request whose end nobody saw: every attempt that was sent, at the most it can have cost."""
    first, last = entries[0], entries[-1]
    bounds = [entry.bound for entry in entries]
    charges: dict[int, int] = {}
    for entry in entries:
        for balance in entry.balances:
            charges[balance] = charges.get(balance, 0) + (entry.bound or 0)
    total = None if None in bounds else sum(bound or 0 for bound in bounds)
    context, asker = last.context, last.context.asker
    return Receipt(
        id=first.id,
        at=first.at,
        face=context.face,
        provider=context.provider,
        account=context.account,
        model=context.model,
        lane=context.lane,
        status="cancelled",
        error="lost",
        attempts=tuple(_attempt(entry) for entry in entries),
        usage=Usage(input_uncached=estimate_tokens(last.request_bytes), source="estimated"),
        cost_nanos=total,
        price_rule=ESTIMATED,
        run=context.run,
        key=asker.key,
        team=asker.team,
        user=asker.user,
        tags=asker.tags,
        tenant=asker.tenant,
        bound_nanos=total,
        charges=tuple(charges.items()),
    )


def _attempt(entry: Entry) -> Attempt:
    context = entry.context
    return Attempt(
        provider=context.provider, model=context.model, account=context.account, kind="lost", started=entry.at, cost_nanos=entry.bound
    )


def true_up(connection: Connection, receipt: str, nanos: int) -> int | None:
    """Bring a receipt to what it was billed. Returns the difference, which may be negative; None when there is no such receipt.

    The receipt stays as it is; the difference is posted, to its balances too. Doing it again changes nothing.
    """
    row = connection.execute(SQL["receipt_to_correct"], {"receipt": receipt}).fetchone()
    if row is None:
        return None
    found = receipt_of(row)
    charges = dict(found.charges)
    posted = {each[0]: number(each[1]) for each in connection.execute(SQL["postings_of"], {"receipt": receipt}).fetchall()}
    stood = found.cost_nanos if found.cost_nanos is not None else 0
    delta = nanos - stood - posted.get(None, 0)
    if delta or (found.cost_nanos is None and None not in posted):
        post(connection, "true_up", delta, receipt=receipt)
    whole = found.cost_nanos if found.cost_nanos is not None else max(charges.values(), default=0)
    for balance, charged in charges.items():
        share = nanos * charged // whole if whole else nanos
        change = share - charged - posted.get(balance, 0)
        if change:
            post(connection, "true_up", change, balance=balance, receipt=receipt)
            move(connection, "", [Move(balance, change, 0)])
    return delta
