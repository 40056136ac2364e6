"""Delivering alerts from the outbox: the oldest first, by one process at a time, until it is taken."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from headgate.errors import HeadgateError
from headgate.ledger.balances import SQL, Alert, number
from headgate.ledger.budgets import Action
from headgate.store.base import Store
from headgate.store.connection import Connection, Row, clock

_LOG = logging.getLogger("headgate.ledger")
CLAIM = 30.0
"""Seconds in which nobody else tries the alert that a process is delivering."""
OLDEST = 86_400.0
"""Seconds after which an alert that nobody wanted delivered is only history."""
TRIES = 20
"""After so many in vain an alert is given up, so that those behind it arrive."""


class Claimed(msgspec.Struct, frozen=True):
    """An alert that this process delivers now, for the `tries`-th time."""

    number: int
    alert: Alert
    tries: int


class Deliverer:
    """Takes alerts out of the outbox and hands each to `deliver`, which says whether it was taken.

    An alert whose delivery is not heard of may be delivered again; a receiver tells by ``budget, subject, threshold, timestamp``.
    """

    def __init__(self, store: Store, deliver: Callable[[Alert], Awaitable[bool]]) -> None:
        self._store = store
        self._deliver = deliver

    async def run(self) -> int:
        """Deliver what is waiting, in order, up to the first that is not taken. Returns how many were. Raises `StoreError`."""
        count = 0
        while (claimed := await self._store.write(claim)) is not None:
            if not await self._taken(claimed):
                break
            await self._store.write(partial(_delivered, number=claimed.number))
            count += 1
        return count

    async def _taken(self, claimed: Claimed) -> bool:
        try:
            taken = await self._deliver(claimed.alert)
        except HeadgateError as error:
            _LOG.warning("an alert could not be delivered: %s", error.message)
            taken = False
        if not taken and claimed.tries >= TRIES:
            _LOG.error("an alert of budget %s is given up after %d tries", claimed.alert.budget, claimed.tries)
            return True
        return taken


def claim(connection: Connection) -> Claimed | None:
    """The oldest alert that waits; None when none does, or somebody is delivering it."""
    now = clock(connection)
    rows = connection.execute(SQL["claim_alert"], {"now": now, "until": now + CLAIM, "since": now - OLDEST}).fetchall()
    return _claimed(rows[0]) if rows else None


def _claimed(row: Row) -> Claimed:
    return Claimed(number(row[0]), alert_of(row), number(row[11]))


def alert_of(row: Row) -> Alert:
    """An alert from the columns that the statements give."""
    return Alert(
        at=float(row[1] or 0),
        budget=str(row[2]),
        subject=str(row[3]),
        starts=float(row[4] or 0),
        threshold=number(row[5]),
        scope=str(row[6]),
        period=str(row[7]),
        action=msgspec.convert(row[8], Action),
        limit_nanos=number(row[9]),
        spent_nanos=number(row[10]),
    )


def _delivered(connection: Connection, number: int) -> None:
    connection.execute(SQL["alert_delivered"], {"n": number, "now": clock(connection)})
