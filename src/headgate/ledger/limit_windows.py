"""Counting in a span that slides: never more than the limit in any minute, wherever the minute begins. Pure: the time is an argument.

A span is `SLOTS` slots long, and what was used counts for the slot it was used in and the `SLOTS` after it. Any minute touches at most
that many slots, so that it never holds more than the limit; what is used up becomes free a minute and at most one slot later.
"""

from __future__ import annotations

import math

from headgate.ledger.limits import Rate, Room

SLOTS = 30
RING = SLOTS + 1
OPEN = 1 << 60
"""More than anybody asks for."""


class Window:
    """One figure of one subject. Whoever admits reads and writes `used`, `counts` and `at` itself: a call would cost as much again.

    ``used`` of ``cap`` are in use, by slot in the ring ``counts``, now in ``counts[at]``. From ``edge`` on, `advance` must be called first.
    """

    __slots__ = ("at", "cap", "counts", "edge", "kind", "limit", "rate", "slot", "subject", "used", "width")

    def __init__(self, subject: str, rate: Rate, limit: int, now: float) -> None:
        self.subject = subject
        self.rate = rate
        self.kind = rate.kind
        self.limit = limit
        self.cap = limit
        self.width = rate.span / SLOTS
        self.used = 0
        self.counts = [0] * RING
        self.at = 0
        self._enter(int(now // self.width))

    def advance(self, now: float) -> None:
        """Come to the slot of `now`, which must not be before ``edge``; what is older than a span is free again."""
        self._roll(max(int(now // self.width), self.slot + 1))

    def _roll(self, slot: int) -> None:
        for passed in range(self.slot + 1, min(slot, self.slot + RING) + 1):
            self.used -= self.counts[passed % RING]
            self.counts[passed % RING] = 0
        self._enter(slot)

    def _enter(self, slot: int) -> None:
        self.slot = slot
        self.at = slot % RING
        self.edge = (slot + 1) * self.width

    def give(self, slot: int, amount: int) -> None:
        """Take back `amount` of what was taken in `slot` (negative: more was used than was taken). Nothing, when that is a span ago."""
        if slot > self.slot - RING:
            self.counts[slot % RING] -= amount
            self.used -= amount

    def resize(self, limit: int) -> None:
        """Another limit from now on; what is in use stays in use."""
        self.limit = self.cap = limit

    def wait(self, amount: int, now: float) -> float | None:
        """Seconds until `amount` fits, if nobody else comes; None when it never will."""
        if amount > self.limit:
            return None
        short = self.used + amount - self.cap
        for slot in range(self.slot - SLOTS, self.slot + 1):
            if short <= 0:
                break
            short -= self.counts[slot % RING]
            if short <= 0:
                return max(0.0, self.free_at(slot) - now)
        return 0.0 if short <= 0 else max(0.0, self.edge - now)

    def hopeful(self, amount: int, now: float) -> bool:
        """Whether `amount`, which does not fit, may fit in a moment, because more is to be had from others."""
        return False

    def again(self, amount: int, now: float) -> float:
        """Seconds until whoever waits for `amount` should try again."""
        return self.wait(amount, now) or 0.0

    def free_at(self, slot: int) -> float:
        """When what was used in `slot` is free again."""
        return self.edge + (slot - self.slot + SLOTS) * self.width

    def room(self, now: float) -> Room:
        """What is left, and when all of it will be."""
        if now >= self.edge:
            self.advance(now)
        return Room(self.limit, max(0, self.left), self._reset(now))

    @property
    def left(self) -> int:
        """How much may still be taken; negative after more was used than was taken."""
        return self.cap - self.used

    @property
    def taken(self) -> int:
        """How much is in use."""
        return self.limit - self.left

    def _reset(self, now: float) -> float:
        for slot in range(self.slot, self.slot - RING, -1):
            if self.counts[slot % RING]:
                return max(0.0, self.free_at(slot) - now)
        return 0.0


class Ceiling(Window):
    """What a provider said is left until a moment of its own (its rate limit headers). Open from that moment on."""

    __slots__ = ()

    def __init__(self, subject: str, rate: Rate, now: float) -> None:
        super().__init__(subject, rate, OPEN, now)
        self.edge = math.inf

    def hear(self, limit: int, remaining: int, until: float) -> None:
        """Allow `remaining` until `until`, of what the provider calls `limit`."""
        self.limit, self.cap, self.edge = limit, remaining, until
        self.slot += 1
        self.used = self.counts[0] = self.at = 0

    def advance(self, now: float) -> None:
        """Its time has passed: nothing is known."""
        self.hear(OPEN, OPEN, math.inf)

    def give(self, slot: int, amount: int) -> None:
        """As in a window, if nothing was heard since."""
        if slot == self.slot:
            self.used -= amount

    def wait(self, amount: int, now: float) -> float | None:
        """Until the provider's moment."""
        return max(0.0, self.edge - now)

    def _reset(self, now: float) -> float:
        return max(0.0, self.edge - now)
