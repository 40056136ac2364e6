"""When a process that died is started again: pure."""

from __future__ import annotations

import msgspec

SHORT_LIFE = 10.0
"""A process that lived for fewer seconds died of its start."""
FIRST_DELAY = 0.5
LONGEST_DELAY = 10.0
HOPELESS = 6
"""This many short lives in a row are a crash loop."""


class Restart(msgspec.Struct, frozen=True):
    """Start again after `delay` seconds. `short_lives` is how many in a row were short; `hopeless` says that another try will not help."""

    delay: float
    short_lives: int
    hopeless: bool


def decide_restart(short_lives: int, lived: float) -> Restart:
    """What to do about a process that died after `lived` seconds, when `short_lives` before it were short."""
    if lived >= SHORT_LIFE:
        return Restart(0.0, 0, False)
    count = short_lives + 1
    delay = 0.0 if count == 1 else min(FIRST_DELAY * 2.0 ** (count - 2), LONGEST_DELAY)
    return Restart(delay, count, count >= HOPELESS)
