"""The routes about money: receipts, usage, budgets, prices."""

from __future__ import annotations

from headgate.gateway.endpoints.budget import Budgets
from headgate.gateway.endpoints.budgets import BudgetDesk
from headgate.gateway.endpoints.pricing import Pricing
from headgate.gateway.endpoints.receipts import Receipts
from headgate.gateway.endpoints.usage import Usage
from headgate.gateway.money_parts import MoneyParts
from headgate.serving.routes import Route

ESTIMATE_LIMIT = 8 << 20
BUDGET_LIMIT = 16 << 10


def money_routes(parts: MoneyParts) -> tuple[Route, ...]:
    """All of them. Errors leave in the envelope of OpenAI's surface.

    Whoever may make calls may cap its own runs: other budgets go on counting them, so that a cap only ever lowers what can be spent.
    """
    receipts, usage, budgets, pricing = Receipts(parts), Usage(parts), Budgets(parts), Pricing(parts)
    desk = BudgetDesk(parts)
    return (
        Route(method="GET", path="/v1/receipts", endpoint=receipts.list, scope="usage:read"),
        Route(method="GET", path="/v1/receipts/*", endpoint=receipts.get, scope="usage:read"),
        Route(method="GET", path="/v1/usage", endpoint=usage.usage, scope="usage:read"),
        Route(method="GET", path="/v1/metrics", endpoint=usage.metrics, scope="usage:read"),
        Route(method="GET", path="/v1/budget", endpoint=budgets.all, scope="usage:read"),
        Route(method="GET", path="/v1/budget/*", endpoint=budgets.run, scope="usage:read"),
        Route(method="POST", path="/v1/budget", endpoint=budgets.set, scope="completions:read"),
        Route(method="GET", path="/v1/budgets", endpoint=desk.list, scope="admin"),
        Route(method="GET", path="/v1/budgets/*", endpoint=desk.get, scope="admin"),
        Route(method="PUT", path="/v1/budgets/*", endpoint=desk.put, scope="admin", body_limit=BUDGET_LIMIT),
        Route(method="DELETE", path="/v1/budgets/*", endpoint=desk.end, scope="admin"),
        Route(method="GET", path="/v1/pricing", endpoint=pricing.pricing, scope="models:read"),
        Route(method="POST", path="/v1/estimate-cost", endpoint=pricing.estimate, scope="models:read", body_limit=ESTIMATE_LIMIT),
    )
