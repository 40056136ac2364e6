"""Deleting the balances of rolling budgets that no window reaches any more: a budget of a span begins a balance every 24th part of it.

A balance goes when it began before everything that counts at any moment of the last `SLACK` seconds, and nobody holds any of it. What a
late request or an invoice would still have charged to it counts for nothing, and is in the receipt all the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from headgate.ledger.balances import SQL, number
from headgate.ledger.budgets import DAY, window_at
from headgate.store.connection import Connection

BATCH = 200
SLACK = float(DAY)
"""How far clocks may differ or be set back, in seconds, before a window could begin before what is kept."""


def unreachable(connection: Connection, now: float) -> tuple[int, ...]:
    """The numbers of some balances that can be deleted at `now` (seconds since the epoch), at most `BATCH`."""
    found: list[int] = []
    for budget, period in connection.execute(SQL["rolling_budgets"]).fetchall():
        before = window_at(str(period), now - SLACK).counts_from
        values = {"budget": budget, "before": before, "most": BATCH - len(found)}
        found += [number(row[0]) for row in connection.execute(SQL["old_balances"], values).fetchall()]
    return tuple(found)


def delete_balances(connection: Connection, numbers: Iterable[int]) -> int:
    """Delete these, inside a transaction, but for those that are held (again), or by whose number the next one is found."""
    deleted = sum(connection.execute(SQL["delete_balance"], {"balance": each}).rowcount for each in numbers)
    if deleted:
        connection.execute(SQL["drop_stray_slabs"])
    return deleted
