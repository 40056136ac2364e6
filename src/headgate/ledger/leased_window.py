"""A process's share of a limit that several processes have together: what it was granted, slot by slot. Pure.

Slots are counted by the clock of those who share (`limit_shares`). A grant is good in its slot alone; what was not used of it is given
back, so that the grants of any span of slots, whoever got them, are never more than the limit.
"""

from __future__ import annotations

import math

from headgate.ledger.limit_orders import Draw, Give, Grant, Held, Hold
from headgate.ledger.limit_windows import RING, Window
from headgate.ledger.limits import Rate, Room

AHEAD = 0.6
"""The part of a slot after which what the next one will need is asked for."""
CHUNK = 0.5
"""How much is asked for at a time, of what a slot needs."""
ASK_AGAIN = 0.5
"""Seconds between asking in vain and asking again: others may have given back by then."""


class LeasedWindow(Window):
    """As `Window`, but ``cap`` is what was used in earlier slots and what was granted for this one."""

    __slots__ = (
        "_ahead",
        "_ask_again",
        "_ask_ahead",
        "_back",
        "_before",
        "_granted",
        "_left",
        "_offset",
        "_retry_at",
        "_short",
        "_ticked",
        "_unmet",
    )

    def __init__(self, subject: str, rate: Rate, limit: int, now: float) -> None:
        self._offset: float | None = None
        self._granted = self._ahead = self._short = self._before = self._ticked = self._unmet = 0
        self._left = limit
        self._ask_again = self._ask_ahead = self._retry_at = -math.inf
        self._back: dict[int, int] = {}
        super().__init__(subject, rate, limit, now)
        self.cap = 0
        self.edge = math.inf

    @property
    def bucket(self) -> str:
        """The name by which those who share it know it."""
        return f"{self.subject}|{self.rate.field}"

    def advance(self, now: float) -> None:
        """Come to the slot of `now`. What is left of the grants of earlier ones is to be given back."""
        if self._offset is None:
            return
        slot = max(int((now + self._offset) // self.width), self.slot + 1)
        self._owe(self.slot, self._granted - self.counts[self.at])
        self._before = self.counts[self.at] if slot == self.slot + 1 else 0
        next_one = slot == self.slot + 1
        if not next_one:
            self._owe(self.slot + 1, self._ahead)
        self._granted = self._ahead if next_one else 0
        self._ahead = self._ticked = self._unmet = 0
        self._roll(slot)
        self.cap = self.used + self._granted

    def _enter(self, slot: int) -> None:
        super()._enter(slot)
        self.edge -= self._offset or 0.0

    def _owe(self, slot: int, amount: int) -> None:
        if amount:
            self._back[slot] = self._back.get(slot, 0) + amount

    def sync(self, offset: float, now: float) -> None:
        """`offset` is what the common clock is ahead of ours."""
        first = self._offset is None
        self._offset = offset
        if first:
            self._roll(int((now + offset) // self.width))
            self.cap = self.used = 0
        else:
            self.edge = (self.slot + 1) * self.width - offset
        if now >= self.edge:
            self.advance(now)

    def give(self, slot: int, amount: int) -> None:
        """As in a window. What belongs to an earlier slot is not ours to use again: it goes back."""
        if slot <= self.slot - RING:
            return
        super().give(slot, amount)
        if slot != self.slot:
            self.cap -= amount
            self._owe(slot, amount)

    def want(self, amount: int) -> None:
        """Somebody would take `amount`, which is more than is left of the grant."""
        self._short = max(self._short, self.used + amount - self.cap)
        self._unmet = max(self._unmet, amount)

    def denied(self, amount: int, now: float) -> bool:
        """Whether it is known that what `amount` lacks cannot be had yet."""
        return now < self._ask_again and self.used + amount - self.cap > self._left

    @property
    def asleep(self) -> bool:
        """Whether it has nothing to ask for, and nothing that could have to be given back."""
        return self._granted == self._ahead == self._short == self.used == 0 and not self._back

    @property
    def taken(self) -> int:
        """What all who share it use, as last heard."""
        return max(0, self.limit - self._left - max(0, self.left))

    def hopeful(self, amount: int, now: float) -> bool:
        """Whether the others may have it left."""
        return amount <= self.limit and not self.denied(amount, now)

    def wait(self, amount: int, now: float) -> float | None:
        """Seconds until something that others use is free; None when `amount` never fits."""
        return None if amount > self.limit else max(0.0, self._retry_at - now)

    def again(self, amount: int, now: float) -> float:
        """Seconds until it is worth asking: others may give back before that."""
        return max(0.0, self._ask_again - now)

    def gives(self) -> list[Give]:
        """What goes back. It counts as gone at once: what is not known to have been given back is never used again."""
        found = [Give(self.bucket, slot, amount) for slot, amount in self._back.items()]
        self._back = {}
        return found

    def draws(self, now: float) -> list[Draw]:
        """What to ask for: what somebody waits for, and what this slot's use says the next one will need."""
        if self._offset is None or now >= self.edge:
            return []
        usual = max(self.counts[self.at], self._before)
        found = []
        if self._short > 0:
            found.append(self._draw(self.slot, max(self._short, int(usual * CHUNK)), self._short))
        late = self.edge - now < self.width * (1 - AHEAD)
        expected = max(usual, self._unmet)
        if late and expected and not self._ahead and now >= self._ask_ahead:
            self._ask_ahead = now + ASK_AGAIN
            found.append(self._draw(self.slot + 1, expected, self._unmet or 1))
        return found

    def _draw(self, slot: int, wanted: int, least: int) -> Draw:
        return Draw(self.bucket, slot, self.width, self.limit, wanted, least)

    def rest(self) -> None:
        """Called now and then: a grant that nobody used since the last time goes back, so that others may have it."""
        used = self.counts[self.at]
        idle = self._granted - used
        if used == self._ticked and idle > 0 and not self._short:
            self._owe(self.slot, idle)
            self._granted -= idle
            self.cap -= idle
        self._ticked = used

    def granted(self, grant: Grant, now: float) -> None:
        """The answer to one of our `draws`; one that comes when its slot is over is given back."""
        if grant.left is not None:
            self._left = grant.left
        if grant.slot == self.slot:
            if not grant.granted:
                self._deny(grant, now)
            self._short = 0
            self._granted += grant.granted
            self.cap += grant.granted
        elif grant.slot == self.slot + 1:
            self._ahead += grant.granted
        else:
            self._short = 0
            self._owe(grant.slot, grant.granted)

    def _deny(self, grant: Grant, now: float) -> None:
        after = 1 if grant.frees is None else max(1, grant.frees - self.slot)
        self._retry_at = max(now, self.edge + (after - 1) * self.width)
        self._left = max(0, min(self._left, self._short - 1))
        self._ask_again = min(self._retry_at, now + ASK_AGAIN)

    def unanswered(self) -> None:
        """What was asked for did not come, and will not: those who wait have been told."""
        self._short = 0

    def still_owed(self, give: Give) -> None:
        """This could not be told: it is to be told again."""
        self._owe(give.slot, give.amount)

    def yield_all(self) -> None:
        """Nothing more will be used: all goes back."""
        self._owe(self.slot, self._granted - self.counts[self.at])
        self._owe(self.slot + 1, self._ahead)
        self._granted = self._ahead = 0
        self.cap = self.used - self.counts[self.at]

    def resize(self, limit: int) -> None:
        """As in a window; those who share it count the new limit from the next draw on."""
        self._left = max(0, self._left + limit - self.limit)
        self.limit = limit

    def room(self, now: float) -> Room:
        """What all who share it have left, as last heard, and when it would all be free if nobody used it."""
        super().room(now)
        mine = max(0, self.left) + self._ahead
        return Room(self.limit, min(self.limit, self._left + mine), self._reset(now))

    def free_at(self, slot: int) -> float:
        """As in a window; those who share count a slot more, for clocks that differ."""
        return super().free_at(slot) + self.width


class LeasedPlaces:
    """How many requests at a time this process may have of a limit that is shared. They are held until given back, or not renewed.

    `held` are noted for us, `cap` of them may be filled anew: less, when others want their share.
    """

    __slots__ = ("_ask_again", "_short", "_since", "_told", "_until", "cap", "held", "limit", "subject")

    def __init__(self, subject: str, limit: int) -> None:
        self.subject = subject
        self.limit = limit
        self.held = self.cap = self._told = 0
        self._short = False
        self._ask_again = self._since = self._until = -math.inf

    def want(self) -> None:
        """Somebody would have one place more than there are."""
        self._short = True

    def denied(self, now: float) -> bool:
        """Whether it is known that no more can be had yet."""
        return now < self._ask_again

    def again(self, now: float) -> float:
        """Seconds until it is worth asking for more."""
        return max(0.0, self._ask_again - now)

    def _wanted(self, active: int, waiting: int) -> int:
        spare = 1 + active // 4 if active or waiting or self._short else 0
        return min(self.limit, active + waiting + spare)

    def asleep(self, active: int) -> bool:
        """Whether nothing is held or asked for."""
        return self.held == self._told == 0 and not self._short and not active

    def due(self, active: int, waiting: int, now: float, every: float) -> bool:
        """Whether to ask: for more, for less, or to keep what is held."""
        wanted = self._wanted(active, waiting)
        less = wanted < self._told or max(active, self.cap) < self.held
        return less or (self._short and now >= self._ask_again) or (self.held > 0 and now - self._since >= every)

    def order(self, active: int, waiting: int) -> Hold:
        """What to ask for. What is not wanted any more may not be filled from now on."""
        wanted = self._told = self._wanted(active, waiting)
        self.cap = min(self.cap, wanted)
        return Hold(self.subject, self.limit, wanted, max(active, self.cap))

    def granted(self, answer: Held, asked_at: float, good_for: float, now: float) -> None:
        """The answer, good for `good_for` seconds from when it was asked for."""
        if self._short and answer.cap <= self.cap:
            self._ask_again = now + ASK_AGAIN
        self.held, self.cap, self._short = answer.held, answer.cap, False
        self._since, self._until = asked_at, asked_at + good_for

    def unanswered(self, now: float) -> None:
        """Nobody answers: what is held is ours as long as others cannot have it."""
        self._short = False
        if now >= self._until:
            self.held = self.cap = 0
