"""What a request moves in the balances it counts for."""

from __future__ import annotations

import msgspec


class Move(msgspec.Struct, frozen=True, gc=False):
    """`spent` (nano-dollars) of a balance, of which `held` had been set aside."""

    balance: int
    spent: int
    held: int
