"""Who divides a limit among processes: the database that they share. It alone says what is left, and by its own clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from headgate.ledger.limit_orders import HOLD, SPANS, Answers, Draw, Give, Grant, Held, Hold, Orders, decide_grant, decide_hold
from headgate.store.connection import Connection, Value, clock
from headgate.store.statements import Statements

T = TypeVar("T")
KEPT = 86400.0 * 2
"""Seconds after which grants that nobody asks about any more are deleted."""
SWEEP = 3600.0


class Shares(Protocol):
    """Divides limits among processes, so that what all were granted in any span of slots is never more than the limit."""

    async def exchange(self, orders: Orders) -> Answers:
        """Carry out what one process orders, all of it or nothing. Raises `HeadgateError` when that cannot be said to have been done."""
        ...

    async def close(self) -> None:
        """Let go of what is open."""
        ...


class Writing(Protocol):
    """The database: write functions run one after another, whichever process they are of."""

    async def write(self, function: Callable[[Connection], T]) -> T:
        """Run `function` in a transaction and wait for its commit."""
        ...


class StoreShares:
    """Divided in an SQL database (tables ``limit_grant`` and ``limit_hold`` of the ledger). `time` tells the database's own time."""

    def __init__(self, store: Writing, time: Callable[[Connection], float] = clock) -> None:
        self._store = store
        self._time = time
        self._sql = Statements.load("limits")
        self._swept = 0.0

    async def exchange(self, orders: Orders) -> Answers:
        """See `Shares`. One transaction."""
        return await self._store.write(lambda connection: self._carry_out(connection, orders))

    async def close(self) -> None:
        """The database is its owner's."""

    def _carry_out(self, connection: Connection, orders: Orders) -> Answers:
        now = self._time(connection)
        for give in orders.gives:
            self._give(connection, give)
        grants = tuple(self._draw(connection, draw, now) for draw in orders.draws)
        held = {hold.subject: self._hold(connection, hold, orders.holder, now) for hold in orders.holds}
        if orders.draws and abs(now - self._swept) >= SWEEP:
            connection.execute(self._sql["sweep_grants"], {"until": now - KEPT})
            connection.execute(self._sql["sweep_holds"], {"now": now})
            self._swept = now
        return Answers(time=now, grants=grants, held=held)

    def _give(self, connection: Connection, give: Give) -> None:
        row: dict[str, Value] = {"bucket": give.bucket, "slot": give.slot, "amount": give.amount}
        connection.execute(self._sql["give_back"], row)

    def _draw(self, connection: Connection, draw: Draw, now: float) -> Grant:
        oldest = draw.slot - SPANS
        rows = connection.execute(self._sql["grants"], {"bucket": draw.bucket, "oldest": oldest}).fetchall()
        grant = decide_grant(draw, {_whole(slot): _whole(amount) for slot, amount in rows}, now)
        if grant.granted:
            row: dict[str, Value] = {"bucket": draw.bucket, "slot": draw.slot, "amount": grant.granted, "at": now}
            connection.execute(self._sql["add_grant"], row)
            connection.execute(self._sql["forget_grants"], {"bucket": draw.bucket, "oldest": oldest - 1})
        return grant

    def _hold(self, connection: Connection, hold: Hold, holder: str, now: float) -> Held:
        mine: dict[str, Value] = {"subject": hold.subject, "holder": holder}
        rows = connection.execute(self._sql["held_by_others"], {**mine, "now": now}).fetchall()
        places = decide_hold(hold, holder, {str(name): Held(_whole(held), _whole(wanted)) for name, held, wanted in rows}, now)
        row: dict[str, Value] = {**mine, "held": places.held, "wanted": places.wanted, "until": now + HOLD}
        connection.execute(self._sql["put_hold"], row)
        return places


def _whole(value: Value) -> int:
    """A number of the database."""
    assert isinstance(value, int)
    return value
