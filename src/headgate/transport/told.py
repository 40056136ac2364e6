"""Calls whose answer is told as it comes, by a method call instead of a task that waits: the cheapest way to pass bytes on."""

from __future__ import annotations

import asyncio

from headgate.transport.connection import Connection
from headgate.transport.exchange import Exchange
from headgate.transport.faults import Place, timed_out

SWEEP = 0.25
"""Seconds between two looks at the deadlines of all such calls."""


class Told(Exchange):
    """An exchange that calls `tell` when its head or bytes are here, and when it is over.

    `tell` runs inside the connection's own callback and must not raise. `due` is the loop time at which the call fails, `awaited` and
    `patience` say for its message what was waited for and how long.
    """

    __slots__ = ("awaited", "connection", "due", "patience", "reused")

    def __init__(self, method: str, where: str, max_body: int, *, whole: bool, due: float, patience: float) -> None:
        super().__init__(method, where, max_body, whole=whole)
        self.due = due
        self.patience = patience
        self.awaited = "reply" if whole else "response head"
        self.connection: Connection | None = None
        self.reused = False

    def wake(self) -> None:
        """See `Exchange`."""
        self.tell()

    def tell(self) -> None:
        """Something has come: look at `over`, `status` and `parts`."""
        raise NotImplementedError

    def quit(self) -> None:
        """Leave: a response that is not over takes its connection with it, so that the server stops at once. Nothing is told any more."""
        self.over = True
        if self.connection is not None:
            self.connection.leave(self)

    def expire(self, place: Place) -> None:
        """The deadline has passed."""
        self.settle(timed_out(place, self.awaited, self.patience, code="timeout", sent=True))
        if self.connection is not None:
            self.connection.leave(self)


class Sweeper:
    """One timer for the deadlines of any number of calls, which so are kept to within `SWEEP` seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: dict[Told, Place] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, exchange: Told, place: Place) -> None:
        """Hold `exchange` to its deadline until it is over."""
        self._watched[exchange] = place
        if self._timer is None:
            self._timer = self._loop.call_later(SWEEP, self._sweep)

    def forget(self, exchange: Told) -> None:
        """It is over."""
        self._watched.pop(exchange, None)

    def _sweep(self) -> None:
        now = self._loop.time()
        for exchange, place in list(self._watched.items()):
            if exchange.over:
                del self._watched[exchange]
            elif now >= exchange.due:
                del self._watched[exchange]
                exchange.expire(place)
        self._timer = self._loop.call_later(SWEEP, self._sweep) if self._watched else None
