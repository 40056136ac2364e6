"""Waiting for a gate: in turn by key, within a deadline, in bounded number; whoever is cancelled leaves nothing behind (faults C17)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import TypeAlias

import msgspec

from headgate.ledger.fair_queue import FairQueue
from headgate.ledger.limit_gates import Gate, Permit, Plan
from headgate.ledger.limits import Amounts, Full

LEAST_DELAY = 0.001
LEASE_WAIT = 2.0
"""How long to wait at most for a share that is on its way, where there is no queue."""


class Block:
    """Where an admission was refused, and when to try again (seconds; None: when something there is given back)."""

    __slots__ = ("again", "full", "gate")

    def __init__(self, gate: Gate, full: Full, again: float | None) -> None:
        self.gate = gate
        self.full = full
        self.again = again


class Waiter:
    """A request that waits. `full` is what it is told if its time runs out."""

    __slots__ = ("_timer", "amounts", "full", "future", "gate", "plan", "tenant", "ticket")

    def __init__(self, plan: Plan, amounts: Amounts, ticket: int, future: asyncio.Future[Permit | Full]) -> None:
        self.plan = plan
        self.amounts = amounts
        self.ticket = ticket
        self.future = future
        self.tenant = next((subject for subject in plan.subjects if subject.startswith("key:")), "")
        self.gate: Gate | None = None
        self.full: Full | None = None
        self._timer: asyncio.TimerHandle | None = None

    def expire_in(self, seconds: float, act: Callable[[], None]) -> None:
        """Have `act` called when the time is over."""
        self._timer = self.future.get_loop().call_later(seconds, act)

    def stop(self) -> None:
        """Its time no longer runs."""
        if self._timer is not None:
            self._timer.cancel()

    def resolve(self, outcome: Permit | Full) -> None:
        """Tell the outcome; a permit that nobody waits for any more is undone."""
        self.stop()
        if not self.future.done():
            self.future.set_result(outcome)
        elif isinstance(outcome, Permit):
            outcome.undo()


Attempt: TypeAlias = Callable[[Plan, Amounts], Permit | Block]


class GateLine:
    """Those who wait for one gate, and the timer that looks after them when time makes room."""

    def __init__(self, gate: Gate, lines: Lines) -> None:
        self._gate = gate
        self._lines = lines
        self._queue: FairQueue[Waiter] = FairQueue()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, waiter: Waiter) -> None:
        """Stand in line."""
        waiter.gate = self._gate
        self._queue.put(waiter)
        self._gate.waiting = len(self._queue)

    def leave(self, waiter: Waiter) -> None:
        """Out of the line, wherever in it; those behind may fit where it did not."""
        first = self._queue.head() is waiter
        self._queue.discard(waiter)
        self._gate.waiting = len(self._queue)
        if first:
            self.pump()

    def pump(self) -> None:
        """Admit in turn, until the one whose turn it is does not fit."""
        while (waiter := self._queue.head()) is not None:
            if waiter.future.done():
                self._take()
                continue
            outcome = self._lines.attempt(waiter.plan, waiter.amounts)
            if isinstance(outcome, Block) and outcome.gate is self._gate and outcome.full.waits:
                waiter.full = outcome.full
                self._look_again(outcome.again, waiter)
                return
            self._take()
            if isinstance(outcome, Permit):
                waiter.resolve(outcome)
            else:
                self._lines.enter(waiter, outcome)
        self._look_again(None, None)

    def _take(self) -> None:
        self._queue.take()
        self._gate.waiting = len(self._queue)

    def look_after(self, again: float | None, waiter: Waiter) -> None:
        """`waiter` has come: if it is the first, the timer is for it."""
        if self._queue.head() is waiter:
            self._look_again(again, waiter)

    def _look_again(self, again: float | None, waiter: Waiter | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if again is not None and waiter is not None:
            self._timer = waiter.future.get_loop().call_later(max(again, LEAST_DELAY), self.pump)


class Lines:
    """The waiting rooms of all gates. `attempt` admits or says where it failed; it does not mind who waits."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self._tickets = count()

    async def wait(self, plan: Plan, amounts: Amounts, block: Block, seconds: float) -> Permit | Full:
        """Wait at most `seconds` for what `block` refused."""
        waiter = Waiter(plan, amounts, next(self._tickets), asyncio.get_running_loop().create_future())
        queue = block.gate.limit.queue or LEASE_WAIT
        waiter.expire_in(max(0.0, min(seconds, queue)), lambda: self._expire(waiter))
        self.enter(waiter, block)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            self._abandon(waiter)
            raise

    def enter(self, waiter: Waiter, block: Block) -> None:
        """Wait where it was refused, if one may and there is room; else it is told so."""
        full = block.full if not block.full.waits else block.gate.full_line
        if full is not None:
            waiter.resolve(full)
            return
        waiter.full = block.full
        line = _line_of(block.gate, self)
        line.put(waiter)
        line.look_after(block.again, waiter)

    def _expire(self, waiter: Waiter) -> None:
        assert waiter.full is not None
        waiter.resolve(msgspec.structs.replace(waiter.full, waits=False))
        self._leave(waiter)

    def _abandon(self, waiter: Waiter) -> None:
        """The caller is gone: what it was given goes back, and its place in the line too."""
        if waiter.future.done() and not waiter.future.cancelled():
            outcome = waiter.future.result()
            if isinstance(outcome, Permit):
                outcome.undo()
            return
        waiter.stop()
        self._leave(waiter)

    def _leave(self, waiter: Waiter) -> None:
        if waiter.gate is not None:
            _line_of(waiter.gate, self).leave(waiter)


def _line_of(gate: Gate, lines: Lines) -> GateLine:
    """The line of a gate, made when the first one waits."""
    if not isinstance(gate.line, GateLine):
        gate.line = GateLine(gate, lines)
    return gate.line
