"""Turning requests away before the process runs out of memory or of what it can have under way (faults C18)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from headgate.ledger.limits import Full

SHED = 0.95
"""The part of the memory cap above which new requests are turned away."""
RESUME = 0.90
EVERY = 0.5
"""Seconds between looks at the memory."""
RETRY = 1.0
MIB = 1 << 20
_STATM = Path("/proc/self/statm")


def resident_bytes() -> int:
    """What the process has in memory now; 0 where the system does not say (other than Linux)."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 0


class Overload:
    """Caps of one process; None is no cap. From 95 % of `max_bytes` on it is overloaded until it is below 90 % again."""

    def __init__(
        self, *, max_in_flight: int | None = None, max_bytes: int | None = None, resident: Callable[[], int] = resident_bytes
    ) -> None:
        self._max_in_flight = float("inf") if max_in_flight is None else max_in_flight
        self._max_bytes = max_bytes
        self._resident = resident
        self._next_look = float("-inf")
        self._heavy: Full | None = None

    def refuse(self, in_flight: int, now: float) -> Full | None:
        """The refusal (503) for one more request beside `in_flight` others, None when it may come. `now` is monotonic."""
        if self._max_bytes is not None and now >= self._next_look:
            self._look(self._max_bytes, now)
        if in_flight >= self._max_in_flight:
            return self._full(int(self._max_in_flight), in_flight, "requests under way", "max_in_flight")
        return self._heavy

    def _look(self, cap: int, now: float) -> None:
        self._next_look = now + EVERY
        used = self._resident()
        if used >= cap * (SHED if self._heavy is None else RESUME):
            self._heavy = self._full(cap // MIB, used // MIB, "MiB of memory", "max_memory")
        else:
            self._heavy = None

    def _full(self, limit: int, used: int, per: str, field: str) -> Full:
        return Full(subject="gateway", what="overload", limit=limit, used=used, retry_after=RETRY, per=per, field=field)
