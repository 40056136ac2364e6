"""``GET /v1/budget``, ``GET /v1/budget/{run}`` and ``POST /v1/budget?run_id&budget_usd`` (SPN-30, PAS-33)."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from headgate.domain.cost import NANO, usd_text
from headgate.gateway.money_parts import MoneyParts
from headgate.gateway.query import invalid, read_query
from headgate.ledger.budget_book import BudgetStanding
from headgate.ledger.budgets import Budget
from headgate.ledger.labels import read_label, run_scope
from headgate.ledger.report import spent_reading
from headgate.ledger.standing import LEVELS, can_proceed, level, percent, remaining, share, standing_json, tightest
from headgate.ledger.viewer import viewer_of
from headgate.serving.request import Request
from headgate.serving.response import NO_STORE, Response, json_response
from headgate.wire.json import JsonObject

MOST_USD = 1_000_000_000


class Budgets:
    """The budgets that count the asking principal's requests, and those of its runs."""

    def __init__(self, parts: MoneyParts) -> None:
        self._parts = parts

    async def all(self, request: Request) -> Response:
        """Every budget, and the day's and the month's that are nearest to their end."""
        read_query(request, ())
        subjects = request.principal.subjects
        standings = await self._parts.budgets.standings(subjects, self._parts.clock())
        daily, monthly = tightest(standings, "day"), tightest(standings, "month")
        document: JsonObject = {
            "object": "budget",
            "daily": None if daily is None else standing_json(daily),
            "monthly": None if monthly is None else standing_json(monthly),
            "budgets": [standing_json(standing) for standing in standings],
            "thresholds": {level: at for at, level in LEVELS},
            "can_proceed": all(map(can_proceed, standings)),
        }
        return json_response(document, headers=(NO_STORE,))

    async def run(self, request: Request) -> Response:
        """How the budget of a run stands; without one, what the run has cost."""
        read_query(request, ())
        run = read_label(request.params[0], "the run")
        return await self._standing(request, run)

    async def set(self, request: Request) -> Response:
        """Give a run a budget over its whole time, or change it."""
        query = read_query(request, ("run_id", "budget_usd"))
        if "run_id" not in query:
            raise invalid("run_id", "run_id names the run the budget is for")
        run = read_label(query["run_id"], "run_id")
        limit = read_dollars(query.get("budget_usd", ""))
        scope = run_scope(request.principal, run)
        await self._parts.budgets.set_budget(Budget(id=scope, scope=scope, limit_nanos=limit, window="total"))
        return await self._standing(request, run)

    async def _standing(self, request: Request, run: str) -> Response:
        scope = run_scope(request.principal, run)
        standings = await self._parts.budgets.standings((scope,), self._parts.clock())
        standing = next((standing for standing in standings if standing.budget == scope), None)
        if standing is not None:
            return json_response({"run_id": run, **run_json(standing)}, headers=(NO_STORE,))
        reading = spent_reading(run, viewer_of(request.principal))
        spent = await self._parts.store.read_async(reading)
        document: JsonObject = {"run_id": run, "budget_set": False, "budget": None, "spent": usd_text(spent), "remaining": None}
        return json_response({**document, "percent_used": None, "alert_level": "ok", "can_proceed": True}, headers=(NO_STORE,))


def run_json(standing: BudgetStanding) -> JsonObject:
    """The budget of a run as PAS-33 has it; amounts are decimal strings of dollars."""
    return {
        "budget_set": True,
        "budget": usd_text(standing.limit_nanos),
        "spent": usd_text(standing.spent_nanos),
        "reserved": usd_text(standing.reserved_nanos),
        "remaining": usd_text(remaining(standing)),
        "percent_used": percent(share(standing)),
        "alert_level": level(standing),
        "can_proceed": can_proceed(standing),
    }


def read_dollars(text: str) -> int:
    """A positive amount as nano-dollars. Raises `Refused` (400)."""
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise invalid("budget_usd", "budget_usd must be an amount of dollars such as 2.50") from error
    if not amount.is_finite() or not 0 < amount <= MOST_USD or amount * NANO != int(amount * NANO):
        raise invalid("budget_usd", f"budget_usd must be greater than 0, at most {MOST_USD}, and have at most nine decimals")
    return int(amount * NANO)
