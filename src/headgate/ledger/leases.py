"""The task that keeps a process supplied with its shares of common limits, ahead of need, and gives back what it does not use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from headgate.errors import HeadgateError
from headgate.ledger.leased_window import LeasedWindow
from headgate.ledger.limit_gates import Gate, wake
from headgate.ledger.limit_orders import HOLD, Answers, Draw, Give, Hold, Orders
from headgate.ledger.limit_shares import Shares
from headgate.ledger.limits import Rate

TICK = 0.5
"""Seconds between looks at what is in use."""
PATIENCE = 2.0
"""Seconds after which an exchange counts as failed."""
EXACT = 1.0
"""An exchange that took longer does not say what time it is."""
RENEW = 1.0
GOOD_FOR = HOLD - 5.0
"""Seconds for which we believe in places that others believe in for `HOLD`."""
BACK_OFF = (0.1, 0.25, 0.5, 1.0)


class Leases:
    """Shares of what `shares` divides. `holder` names this process, and nobody else; `clock` is that of the `Limiter`.

    `down` is true while nobody answers: only what was granted before is used then.
    """

    def __init__(self, shares: Shares, holder: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.down = False
        self._shares = shares
        self._holder = holder
        self._clock = clock
        self._offset: float | None = None
        self._live: dict[str, Gate] = {}
        self._asking: dict[str, Gate] = {}
        self._woken = asyncio.Event()
        self._ticked = 0.0
        self._failed = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask once, so that the common clock is known, and go on in the background. Does not fail: see `down`."""
        await self._exchange(Orders(holder=self._holder), ())
        self._task = asyncio.get_running_loop().create_task(self._run(), name="limit leases")

    async def close(self) -> None:
        """End, and give back what is held."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for window in self._windows():
            window.yield_all()
        gives = tuple(give for window in self._windows() for give in window.gives())
        holds = tuple(Hold(gate.subject, gate.bound, 0, 0) for gate in self._live.values() if gate.places is not None)
        if gives or holds:
            await self._exchange(Orders(holder=self._holder, gives=gives, holds=holds), ())
        await self._shares.close()

    def window(self, subject: str, rate: Rate, limit: int, now: float) -> LeasedWindow:
        """A window that is supplied from here."""
        made = LeasedWindow(subject, rate, limit, now)
        if self._offset is not None:
            made.sync(self._offset, now)
        return made

    def wake(self, gate: Gate) -> None:
        """Something is wanted at `gate`."""
        if self._live.get(gate.subject) is not gate:
            self._live[gate.subject] = gate
            self._sync(_leased(gate))
        self._asking[gate.subject] = gate
        self._woken.set()

    async def _run(self) -> None:
        try:
            while True:
                await self._pause()
                self._woken.clear()
                now = self._clock()
                gates = self._gates(now)
                orders = self._orders(gates, now)
                if self.down or self._offset is None or orders.gives or orders.draws or orders.holds:
                    await self._exchange(orders, gates)
        finally:
            self.down = True

    async def _pause(self) -> None:
        """Until something is wanted, or it is time to look; after a failure not too soon."""
        if self._failed:
            await asyncio.sleep(BACK_OFF[min(self._failed, len(BACK_OFF)) - 1])
            return
        try:
            async with asyncio.timeout(TICK if self._live else None):
                await self._woken.wait()
        except TimeoutError:
            return

    def _gates(self, now: float) -> tuple[Gate, ...]:
        """Those that something is wanted at; now and then all that are in use."""
        if now - self._ticked >= TICK:
            self._tick(now)
            self._asking = dict(self._live)
        gates, self._asking = tuple(self._asking.values()), {}
        return gates

    def _tick(self, now: float) -> None:
        self._ticked = now
        for subject, gate in list(self._live.items()):
            windows = list(_leased(gate))
            for window in windows:
                if now >= window.edge:
                    window.advance(now)
                window.rest()
            if all(window.asleep for window in windows) and (gate.places is None or gate.places.asleep(gate.active)):
                del self._live[subject]

    def _orders(self, gates: Iterable[Gate], now: float) -> Orders:
        gives: list[Give] = []
        draws: list[Draw] = []
        holds: list[Hold] = []
        for gate in gates:
            for window in _leased(gate):
                if now >= window.edge:
                    window.advance(now)
                gives += window.gives()
                draws += window.draws(now)
            if gate.places is not None and gate.places.due(gate.active, gate.waiting, now, RENEW):
                holds.append(gate.places.order(gate.active, gate.waiting))
                gate.fit()
        return Orders(holder=self._holder, gives=tuple(gives), draws=tuple(draws), holds=tuple(holds))

    async def _exchange(self, orders: Orders, gates: tuple[Gate, ...]) -> None:
        began = self._clock()
        try:
            async with asyncio.timeout(PATIENCE):
                answers = await self._shares.exchange(orders)
        except (HeadgateError, TimeoutError):
            self._unanswered(orders)
            return
        self._failed, self.down = 0, False
        self._answered(answers, began, gates)

    def _answered(self, answers: Answers, began: float, gates: tuple[Gate, ...]) -> None:
        now = self._clock()
        windows = [window for gate in gates for window in _leased(gate)]
        if answers.time is not None and now - began <= EXACT:
            self._offset = answers.time - (began + now) / 2
            self._sync(windows)
        buckets = {window.bucket: window for window in windows}
        for grant in answers.grants:
            if grant.bucket in buckets:
                buckets[grant.bucket].granted(grant, now)
        for subject, held in answers.held.items():
            gate = self._live.get(subject)
            if gate is not None and gate.places is not None:
                gate.places.granted(held, began, GOOD_FOR, now)
                gate.fit()
        wake(gates)

    def _unanswered(self, orders: Orders) -> None:
        """Nobody answered. What was given back stays gone; what was used beyond a grant is told again."""
        self._failed += 1
        self.down = True
        now = self._clock()
        buckets = {window.bucket: window for window in self._windows()}
        for give in orders.gives:
            if give.amount < 0 and give.bucket in buckets:
                buckets[give.bucket].still_owed(give)
        for gate in self._live.values():
            for window in _leased(gate):
                window.unanswered()
            if gate.places is not None:
                gate.places.unanswered(now)
                gate.fit()
        wake(tuple(self._live.values()))

    def _sync(self, windows: Iterable[LeasedWindow]) -> None:
        if self._offset is not None:
            now = self._clock()
            for window in windows:
                window.sync(self._offset, now)

    def _windows(self) -> Iterable[LeasedWindow]:
        return (window for gate in self._live.values() for window in _leased(gate))


def _leased(gate: Gate) -> Iterable[LeasedWindow]:
    return (window for window in gate.windows if isinstance(window, LeasedWindow))
