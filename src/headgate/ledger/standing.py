"""How budgets stand, as values and as JSON; whoever keeps them implements `BudgetBook` (SPN-30, PAS-33)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, Protocol, TypeAlias

import msgspec

from headgate.domain.cost import usd_text
from headgate.ledger.moments import iso
from headgate.ledger.principal import Principal
from headgate.wire.json import JsonObject

Level: TypeAlias = Literal["ok", "caution", "warning", "critical"]
LEVELS: tuple[tuple[int, Level], ...] = ((100, "critical"), (90, "warning"), (75, "caution"))
"""From how many percent of its limit a budget is at which level."""


class BudgetStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One budget in its window of now: nano-dollars, and seconds since the epoch for its half-open window (None: without end).

    `scope` is what it is counted by (``key:ID``, ``run:NAME``), `action` what happens when it is used up: warn, block, clamp, degrade.
    """

    scope: str
    window: str
    limit_nanos: int
    spent_nanos: int
    reserved_nanos: int = 0
    starts: float | None = None
    ends: float | None = None
    action: str = "block"

    @property
    def remaining_nanos(self) -> int:
        """What can still be reserved; never less than nothing."""
        return max(0, self.limit_nanos - self.spent_nanos - self.reserved_nanos)

    @property
    def share(self) -> Fraction:
        """What is spent or reserved, in percent of the limit, exactly."""
        used = self.spent_nanos + self.reserved_nanos
        return Fraction(100 * used, self.limit_nanos) if self.limit_nanos > 0 else Fraction(100)

    @property
    def level(self) -> Level:
        """How near its end it is."""
        return level_of(self.share)

    @property
    def can_proceed(self) -> bool:
        """Whether a further request may be let through; a budget that only warns stops nothing."""
        return self.action == "warn" or self.remaining_nanos > 0


class BudgetBook(Protocol):
    """What the endpoints ask of whoever keeps the budgets."""

    async def standings(self, principal: Principal) -> Sequence[BudgetStanding]:
        """The budgets that count what `principal` asks. Raises `StoreError`."""
        ...

    async def run_standing(self, scope: str) -> BudgetStanding | None:
        """The budget of a run, by its scope (`labels.run_scope`). Raises `StoreError`."""
        ...

    async def set_budget(self, scope: str, limit_nanos: int) -> None:
        """Give a run a budget over its whole time that blocks, or change it. What is spent already counts. Raises `StoreError`."""
        ...


def level_of(percent: Fraction) -> Level:
    """The alert level at so many percent."""
    return next((level for at, level in LEVELS if percent >= at), "ok")


def standing_json(standing: BudgetStanding) -> JsonObject:
    """A budget as JSON: exact decimal strings of dollars, times in ISO 8601."""
    return {
        "scope": standing.scope,
        "window": standing.window,
        "action": standing.action,
        "limit": usd_text(standing.limit_nanos),
        "used": usd_text(standing.spent_nanos),
        "reserved": usd_text(standing.reserved_nanos),
        "remaining": usd_text(standing.remaining_nanos),
        "percentage": percent(standing.share),
        "alert_level": standing.level,
        "can_proceed": standing.can_proceed,
        "starts": None if standing.starts is None else iso(standing.starts),
        "ends": None if standing.ends is None else iso(standing.ends),
    }


def percent(share: Fraction) -> float:
    """Percent for reading, rounded down to two decimals: 99.999 is not yet 100."""
    return int(share * 100) / 100


def tightest(standings: Sequence[BudgetStanding], window: str) -> BudgetStanding | None:
    """The budget of a window that is nearest to its end."""
    return max((standing for standing in standings if standing.window == window), key=lambda standing: standing.share, default=None)
