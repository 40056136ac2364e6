"""How far a budget is used, as words and as JSON (SPN-30, PAS-33). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, TypeAlias

from headgate.domain.cost import usd_text
from headgate.ledger.budget_book import BudgetStanding, InForce
from headgate.ledger.budgets import Budget
from headgate.ledger.moments import iso
from headgate.wire.json import JsonObject

Level: TypeAlias = Literal["ok", "caution", "warning", "critical"]
LEVELS: tuple[tuple[int, Level], ...] = ((100, "critical"), (90, "warning"), (75, "caution"))
"""From how many percent of its limit a budget is at which level."""


def remaining(standing: BudgetStanding) -> int:
    """Nano-dollars that can still be reserved; never less than nothing."""
    return max(0, standing.limit_nanos - standing.spent_nanos - standing.reserved_nanos)


def share(standing: BudgetStanding) -> Fraction:
    """What is spent or reserved, in percent of the limit, exactly; a budget of nothing is used up."""
    used = standing.spent_nanos + standing.reserved_nanos
    return Fraction(100 * used, standing.limit_nanos) if standing.limit_nanos > 0 else Fraction(100)


def level(standing: BudgetStanding) -> Level:
    """How near its end it is."""
    used = share(standing)
    return next((word for at, word in LEVELS if used >= at), "ok")


def can_proceed(standing: BudgetStanding) -> bool:
    """Whether a further request may be let through; a budget that only warns stops nothing."""
    return standing.action == "warn" or remaining(standing) > 0


def percent(used: Fraction) -> float:
    """Percent for reading, rounded down to two decimals: 99.999 is not yet 100."""
    return int(used * 100) / 100


def tightest(standings: Sequence[BudgetStanding], window: str) -> BudgetStanding | None:
    """The budget of a window that is nearest to its end."""
    return max((standing for standing in standings if standing.window == window), key=share, default=None)


def standing_json(standing: BudgetStanding) -> JsonObject:
    """A budget as JSON: exact decimal strings of dollars, times in ISO 8601."""
    return {
        "budget": standing.budget,
        "scope": standing.scope,
        "subject": standing.subject,
        "window": standing.window,
        "action": standing.action,
        "limit": usd_text(standing.limit_nanos),
        "used": usd_text(standing.spent_nanos),
        "reserved": usd_text(standing.reserved_nanos),
        "remaining": usd_text(remaining(standing)),
        "percentage": percent(share(standing)),
        "alert_level": level(standing),
        "can_proceed": can_proceed(standing),
        "starts": iso(standing.starts),
        "ends": None if standing.ends is None else iso(standing.ends),
    }


def budget_json(budget: Budget) -> JsonObject:
    """What a budget says."""
    return {
        "id": budget.id,
        "scope": budget.scope,
        "limit": usd_text(budget.limit_nanos),
        "window": budget.window,
        "action": budget.action,
        "thresholds": [*budget.thresholds],
    }


def in_force_json(found: InForce) -> JsonObject:
    """A budget, where it comes from, and its balances of now."""
    return {**budget_json(found.budget), "origin": found.origin, "balances": [standing_json(each) for each in found.balances]}
