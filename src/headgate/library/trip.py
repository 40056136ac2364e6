"""A call on its way to an answer: one deployment after another, what each attempt may cost reserved before, one receipt in the end.

The same plans, retries and reservations as the gateway's; only what has not begun to be answered is taken elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from headgate.client import Target
from headgate.dialects.base import Note
from headgate.domain.request import Request
from headgate.errors import BudgetExceeded, ErrorKind, HeadgateError
from headgate.ledger import Attempt, Receipt
from headgate.ledger.bounds import LEAST_OUTPUT, fitting
from headgate.ledger.budgets import Bound, Denied
from headgate.ledger.intent import Intent
from headgate.ledger.receipt import Operation
from headgate.ledger.spending import Hold
from headgate.library.outlay import Asked, bound_for
from headgate.library.parts import LibraryParts
from headgate.library.till import Till
from headgate.router import WELL, Choice, Fallback, Flight, Plan, Report, Retry, report_of
from headgate.serving.metering import Call, Tab, make_receipt

T = TypeVar("T")


class Trip:
    """One call: its plan, its attempts, and the receipt of them all."""

    def __init__(self, parts: LibraryParts, till: Till, asked: Asked, plan: Plan, *, stream: bool, limit: float | None) -> None:
        loop = asyncio.get_running_loop()
        self.parts = parts
        self.till = till
        self.asked = asked
        self.plan = plan
        self.stream = stream
        self.operation: Operation = "chat" if isinstance(asked, Request) else "embed"
        self.id = parts.new_id()
        self.at = parts.clock()
        self.clock = loop.time()
        self.limit = limit
        self.deadline = self.clock + (parts.router.settings.deadline if limit is None else limit)
        self.tried: list[str] = []
        self.attempts: list[Attempt] = []
        self.holds: list[tuple[Hold, int | None]] = []
        self.receipt: Receipt | None = None
        self._inside = False

    async def run(self, ask: Callable[[Leg], Awaitable[T]]) -> tuple[Leg, T]:
        """What `ask` returns for the first leg that is answered, which is still open. Raises what the last one failed with."""
        leg: Leg | None = None
        choices: Sequence[Choice] = self.plan.order
        again = False
        refused: BudgetExceeded | None = None
        await self.till.room.acquire()
        self._inside = True
        try:
            while True:
                leg = await self._begin(choices, again)
                try:
                    return leg, await ask(leg)
                except BudgetExceeded as error:
                    leg.over(error)
                    choices, refused = self._untried(), refused or error
                    if not choices:
                        raise refused from None
                except HeadgateError as error:
                    leg.over(error)
                    choices, again = await self._next(error)
        except BaseException as error:
            if leg is None:
                self._leave()
            else:
                leg.over(error)
                await self.settle(leg)
            raise

    def _untried(self) -> tuple[Choice, ...]:
        return tuple(choice for choice in self.plan.order if choice.deployment.id not in self.tried)

    async def _begin(self, choices: Sequence[Choice], again: bool) -> Leg:
        """A leg to the first of `choices` that takes a call now."""
        loop = asyncio.get_running_loop()
        for choice in choices:
            flight = self.parts.router.begin(choice.deployment, loop.time(), again=again, early=self.plan.panic)
            if flight is not None:
                self.tried.append(choice.deployment.id)
                try:
                    target = await self.parts.target(choice.deployment).ready()
                except BaseException:
                    flight.ended(_UNASKED, loop.time(), self.parts.router.draw())
                    raise
                return Leg(self, choice, target, flight)
        raise self._refusal()

    def _refusal(self) -> HeadgateError:
        """Why nobody is asked. What a missing key is called is known where targets are made."""
        first = next((one for one in self.plan.rejected if one.reason == "no_key"), None)
        if first is not None and not self.plan.order:
            self.parts.target(first.deployment)
        return self.parts.router.turned_away(self.plan, asyncio.get_running_loop().time(), self.asked.model)

    async def _next(self, error: HeadgateError) -> tuple[Sequence[Choice], bool]:
        """Whom to ask after a failure, and whether again. Raises `error` when nobody."""
        loop = asyncio.get_running_loop()
        step = self.parts.router.next(self.plan, self.tried, error, loop.time(), self.deadline)
        if isinstance(step, Retry):
            await asyncio.sleep(step.after)
            return [choice for choice in self.plan.order if choice.deployment.id == self.tried[-1]], True
        if isinstance(step, Fallback):
            return (step.choice, *(choice for choice in self._untried() if choice is not step.choice)), False
        raise error

    async def settle(self, last: Leg) -> None:
        """The call is over: its receipt, once it is written. A refusal by a budget leaves none, for nobody was asked."""
        if self.receipt is None and (self.attempts or not isinstance(last.tab.error, BudgetExceeded)):
            self.receipt = self._made(last)
            self.till.spending.close(self.receipt, self.holds)
        self._leave()
        await asyncio.shield(self.till.written())

    def _leave(self) -> None:
        """Make room for another call, once."""
        if self._inside:
            self._inside = False
            self.till.room.release()

    def _made(self, last: Leg) -> Receipt:
        terms = self.till.terms
        costs = [attempt.cost_nanos for attempt in self.attempts]
        total = None if None in costs else sum(cost for cost in costs if cost is not None)
        return msgspec.structs.replace(
            last.made,
            attempts=tuple(self.attempts),
            cost_nanos=total if costs else last.made.cost_nanos,
            user=terms.user,
            tags=terms.tags,
            run=self.till.run,
            explanation=self.plan.explanation,
            bound_nanos=None if last.hold is None else last.hold.bound or None,
        )


class Leg:
    """One attempt: a deployment is asked. `tab` is its account; `over` ends it once."""

    def __init__(self, trip: Trip, choice: Choice, target: Target, flight: Flight) -> None:
        self.trip = trip
        self.target = target
        self.began = asyncio.get_running_loop().time()
        self.hold: Hold | None = None
        self.tab = Tab(
            Call(
                id=trip.id,
                at=trip.at,
                clock=trip.clock,
                face=trip.parts.face,
                target=target,
                stream=trip.stream,
                operation=trip.operation,
            )
        )
        self.tab.called = False
        self._choice = choice
        self._flight = flight
        self._made: Receipt | None = None

    @property
    def left(self) -> float | None:
        """Seconds that are left of what the caller allows; None when it does not say."""
        trip = self.trip
        return None if trip.limit is None else max(0.001, trip.deadline - asyncio.get_running_loop().time())

    @property
    def made(self) -> Receipt:
        """The receipt of this attempt alone, once it is over."""
        assert self._made is not None
        return self._made

    async def reserve(self, size: int) -> int | None:
        """Reserve the most that a body of `size` bytes can cost here. Returns a lower maximum of output, where a budget wants one.

        Raises `BudgetExceeded`, `StoreError`.
        """
        trip, most = self.trip, None
        found = await trip.till.reserve(self._intent(size, None))
        if isinstance(found, Denied) and found.action == "clamp" and found.reason == "exceeded" and isinstance(trip.asked, Request):
            most = fitting(lambda output: self._bound(size, output), self._longest(trip.asked), found.left_nanos)
            if most is not None:
                found = await trip.till.reserve(self._intent(size, most))
        if isinstance(found, Denied):
            raise trip.till.exceeded(found)
        self.hold = found
        return most

    def _longest(self, asked: Request) -> int:
        return asked.max_tokens or self.target.capabilities.max_output or LEAST_OUTPUT

    def _bound(self, size: int, most: int | None) -> Bound:
        return bound_for(self.trip.asked, self.target, self.trip.at, size, most)

    def _intent(self, size: int, most: int | None) -> Intent:
        trip, deployment = self.trip, self._choice.deployment
        return Intent(
            id=trip.id,
            at=trip.at,
            principal=trip.till.principal,
            provider=deployment.provider,
            model=deployment.model,
            account=self.target.credential.account,
            bound=self._bound(size, most),
            run=trip.till.run,
            face=trip.parts.face,
            request_bytes=size,
        )

    def leaves(self) -> None:
        """Bytes leave now: from here on it may cost."""
        assert self.hold is not None
        self.trip.till.spending.sent(self.hold)
        self.tab.called = True

    def answers(self) -> None:
        """It has begun to be answered: nobody else is asked any more."""
        self._flight.first_byte(asyncio.get_running_loop().time())

    def over(self, error: BaseException | None = None) -> None:
        """It is over. A second time changes nothing."""
        if self._made is not None:
            return
        trip, tab, now = self.trip, self.tab, asyncio.get_running_loop().time()
        if error is not None:
            tab.note(error)
        outcome = msgspec.structs.replace(tab.outcome(), finished=now)
        made = self._made = make_receipt(tab.call, outcome)
        report = WELL if tab.error is None or tab.cancelled else report_of(tab.error)
        self._flight.ended(report if tab.called else _UNASKED, now, trip.parts.router.draw())
        if self.hold is not None and not tab.called:
            trip.till.spending.refund(self.hold)
            self.hold = None
        elif self.hold is not None:
            trip.holds.append((self.hold, made.cost_nanos))
            trip.attempts.append(self._attempt(made, now))

    def _attempt(self, made: Receipt, now: float) -> Attempt:
        return msgspec.structs.replace(
            made.attempts[0],
            account=made.account,
            deployment=self._choice.deployment.id,
            started=self.trip.at + (self.began - self.trip.clock),
            duration=now - self.began,
            first_byte=self.tab.first_byte,
        )


_UNASKED = Report(kind=ErrorKind.CANCELLED)
"""It was not asked after all: that says nothing of its health."""


def clamped(most: int | None) -> tuple[Note, ...]:
    """What the caller is told of a lower maximum of output."""
    return () if most is None else (Note("max_tokens", "approximated", f"a budget allows no more than {most} tokens"),)
