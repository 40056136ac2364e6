"""``/v1/budgets``: an administrator sees, makes, changes and ends budgets, and what was told of them."""

from __future__ import annotations

import msgspec

from headgate.errors import UsageError
from headgate.gateway.endpoints.key_bodies import nanos_of
from headgate.gateway.money_parts import MoneyParts
from headgate.gateway.query import read_query, whole
from headgate.ledger.budget_book import InForce, check_own
from headgate.ledger.budgets import Action, Budget, check_budget
from headgate.ledger.standing import budget_json, in_force_json
from headgate.ledger.told import told_json, told_reading
from headgate.serving.envelopes import Refused
from headgate.serving.request import Request
from headgate.serving.response import NO_STORE, Response, json_response

ALERTS = "/alerts"
LONGEST_ID = 200
PAGE = 100


class BudgetBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole budget; `limit` is dollars as a decimal string."""

    limit: str
    scope: str
    window: str
    action: Action = "block"
    thresholds: tuple[int, ...] = (75, 90, 100)


_body = msgspec.json.Decoder(BudgetBody)


class BudgetDesk:
    """The budgets of the ledger, whoever they count. Every change is in the audit trail."""

    def __init__(self, parts: MoneyParts) -> None:
        self._parts = parts

    async def list(self, request: Request) -> Response:
        """Every budget in force, with its balances of now."""
        read_query(request, ())
        found = await self._parts.budgets.in_force(self._parts.clock())
        return json_response({"object": "list", "data": [in_force_json(each) for each in found]}, headers=(NO_STORE,))

    async def get(self, request: Request) -> Response:
        """``/v1/budgets/ID``: one; ``/v1/budgets/ID/alerts``: the thresholds of it that were told, the newest first."""
        id = request.params[0]
        if not id.endswith(ALERTS):
            read_query(request, ())
            return json_response(in_force_json(await self._found(id)), headers=(NO_STORE,))
        most = whole(read_query(request, ("limit",)), "limit", 1, 1000, PAGE)
        told = await self._parts.store.read_async(told_reading(id.removesuffix(ALERTS), most))
        return json_response({"object": "list", "data": [told_json(each) for each in told]}, headers=(NO_STORE,))

    async def put(self, request: Request) -> Response:
        """Make a budget, or put another in its place."""
        id = request.params[0]
        budget = _read(id, await request.body())
        await self._parts.budgets.set_budget(budget, self._parts.noting("budget.set", id, budget_json(budget), request.principal))
        return json_response(in_force_json(await self._found(id)), headers=(NO_STORE,))

    async def end(self, request: Request) -> Response:
        """Take a budget out of force; what was booked stays."""
        id = request.params[0]
        _checked(id)
        if not await self._parts.budgets.end_budget(id, self._parts.noting("budget.end", id, None, request.principal)):
            raise _unknown(id)
        return json_response({"id": id, "object": "budget", "ended": True}, headers=(NO_STORE,))

    async def _found(self, id: str) -> InForce:
        found = await self._parts.budgets.in_force(self._parts.clock(), id)
        if not found:
            raise _unknown(id)
        return found[0]


def _unknown(id: str) -> Refused:
    return Refused(404, f"there is no budget {id[:LONGEST_ID]!r}", code="budget_not_found", hint="GET /v1/budgets lists them")


def _checked(id: str) -> None:
    try:
        check_own(id)
    except UsageError as error:
        raise Refused(409, error.message, code="budget_of_a_key", hint=f"PATCH /v1/keys/{id.removeprefix('key:')}") from error


def _read(id: str, body: bytes) -> Budget:
    """The budget that a body describes. Raises `Refused`: 400 for what is none, 409 for that of a key."""
    _checked(id)
    try:
        wanted = _body.decode(body)
        limit = nanos_of(wanted.limit)
        if limit is None or len(id) > LONGEST_ID or not id.isprintable() or id.endswith(ALERTS):
            raise UsageError(f"limit must be dollars such as '2.50', and the id printable, at most {LONGEST_ID} long, no alerts")
        return check_budget(
            Budget(id=id, scope=wanted.scope, limit_nanos=limit, window=wanted.window, action=wanted.action, thresholds=wanted.thresholds)
        )
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, f"the budget is not as it must be: {error}", code="invalid_request") from error
    except UsageError as error:
        raise Refused(400, error.message, code="invalid_request", hint=error.hint) from error
