"""How much one process has under way, and whether it can take more (faults C18)."""

from __future__ import annotations

import time
from collections.abc import Callable

from headgate.ledger.limit_headers import refusal_headers
from headgate.ledger.overload import Overload
from headgate.serving.envelopes import Refused
from headgate.serving.limits import BODY_LIMIT


def _none() -> int:
    return 0


def _uncounted(reason: str) -> None:
    """Nobody counts."""


class Load:
    """Requests under way: `exchanges`, which apps serve, and `others()`. `shed` is told why one was turned away: memory, in_flight."""

    def __init__(
        self,
        overload: Overload | None = None,
        others: Callable[[], int] = _none,
        *,
        clock: Callable[[], float] = time.monotonic,
        shed: Callable[[str], None] = _uncounted,
    ) -> None:
        self.exchanges = 0
        self.largest_body = BODY_LIMIT
        """Bytes of a request; what answers from within the protocol leaves longer ones to the app, which refuses them."""
        self._overload = overload
        self._others = others
        self._clock = clock
        self._shed = shed

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self.exchanges + self._others()

    def renew(self, overload: Overload | None) -> None:
        """Other caps from now on; None: none."""
        self._overload = overload

    @property
    def full(self) -> bool:
        """Whether one more would be too many."""
        return self._overload is not None and self._overload.refuse(self.in_flight, self._clock()) is not None

    def check(self) -> None:
        """Raises `Refused` (503) for a request that is one too many; it counts as under way already."""
        if self._overload is None:
            return
        found = self._overload.refuse(max(0, self.in_flight - 1), self._clock())
        if found is not None:
            self._shed("memory" if found.field == "max_memory" else "in_flight")
            raise Refused(found.status, found.message, code=found.code, headers=refusal_headers(found))
