"""What processes that share limits ask of one another, through a store, and what of it can be granted. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from headgate.ledger.limit_windows import SLOTS

SPANS = SLOTS + 1
"""Slots before its own that count together with a grant: those of a span, and one for clocks that differ by less than a slot."""
SHARE = 4
"""At most one of so many parts of what is left goes to one process at a time, unless it needs more for a single request."""
TURN = 4.0
"""Seconds for which a process has a place that cannot be divided."""
HOLD = 30.0
"""Seconds after which places at a time that nobody renewed are free again."""


class Draw(msgspec.Struct, frozen=True):
    """Wanted of a bucket, for a slot of `width` seconds: `wanted`, and nothing rather than less than `least`."""

    bucket: str
    slot: int
    width: float
    limit: int
    wanted: int
    least: int


class Grant(msgspec.Struct, frozen=True):
    """The answer to a draw.

    `left` is what remains for anybody, `frees` the slot in which a `least` that was refused would fit; None is unknown.
    """

    bucket: str
    slot: int
    granted: int
    left: int | None
    frees: int | None = None


class Give(msgspec.Struct, frozen=True):
    """Back to a bucket, of a grant for `slot`; negative: more was used than was granted."""

    bucket: str
    slot: int
    amount: int


class Hold(msgspec.Struct, frozen=True):
    """Wanted in all: places at a time. `floor` are used or may still be, until we have heard otherwise."""

    subject: str
    limit: int
    wanted: int
    floor: int


class Held(msgspec.Struct, frozen=True):
    """What a process is noted to hold and to want, and how much of that it may fill anew."""

    held: int
    wanted: int
    cap: int = 0


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """All that one process, `holder`, asks for at once. What is given back comes first."""

    holder: str
    gives: tuple[Give, ...] = ()
    draws: tuple[Draw, ...] = ()
    holds: tuple[Hold, ...] = ()


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of orders. `time` is the common clock, None when it was not asked."""

    time: float | None
    grants: tuple[Grant, ...] = ()
    held: Mapping[str, Held] = {}


def decide_grant(draw: Draw, granted: Mapping[int, int], time: float) -> Grant:
    """What `draw` gets at `time`, when `granted` (slot: amount) has been granted of its bucket before.

    A grant counts together with those of the `SPANS` slots before its own and of all later ones. Only the slot of `time` and the next one
    are to be had: another clock than the common one gets nothing.
    """
    now = int(time // draw.width)
    counted = {slot: amount for slot, amount in granted.items() if slot >= draw.slot - SPANS}
    left = max(0, draw.limit - sum(counted.values()))
    if draw.slot not in (now, now + 1):
        return Grant(draw.bucket, draw.slot, 0, left, now + 1)
    if left < draw.least:
        return Grant(draw.bucket, draw.slot, 0, left, _frees(draw.least - left, counted))
    amount = min(left, draw.wanted, max(draw.least, left // SHARE))
    return Grant(draw.bucket, draw.slot, amount, left - amount)


def _frees(short: int, counted: Mapping[int, int]) -> int | None:
    """The slot in which `short` more would be free."""
    for slot in sorted(counted):
        short -= counted[slot]
        if short <= 0:
            return slot + SPANS + 1
    return None


def decide_hold(hold: Hold, holder: str, others: Mapping[str, Held], time: float) -> Held:
    """What `holder` holds from now on, beside what `others` do.

    It may fill its fair share, as far as others have left their places; what it uses beyond stays noted until it says that it is free.
    """
    free = hold.limit - sum(other.held for other in others.values())
    wanted = {holder: hold.wanted, **{name: other.wanted for name, other in others.items()}}
    cap = max(0, min(fair_share(hold.limit, wanted, holder, int(time // TURN)), free))
    return Held(max(cap, hold.floor), hold.wanted, cap)


def fair_share(limit: int, wanted: Mapping[str, int], whose: str, turn: int) -> int:
    """What `whose` gets of `limit` when nobody gets more than it wants, and else all the same; the odd ones go to each in turn."""
    left, open_to = limit, {name: amount for name, amount in wanted.items() if amount > 0}
    while open_to:
        each = left // len(open_to)
        modest = {name: amount for name, amount in open_to.items() if amount <= each}
        if not modest:
            names = sorted(open_to)
            odd = {names[(turn + number) % len(names)] for number in range(left % len(names))}
            return each + (whose in odd) if whose in open_to else 0
        if whose in modest:
            return modest[whose]
        left -= sum(modest.values())
        open_to = {name: amount for name, amount in open_to.items() if name not in modest}
    return 0
