"""The routes about money: receipts, usage, budgets, prices."""

from __future__ import annotations

from headgate.gateway.endpoints.budget import Budgets
from headgate.gateway.endpoints.pricing import Pricing
from headgate.gateway.endpoints.receipts import Receipts
from headgate.gateway.endpoints.usage import Usage
from headgate.gateway.money_parts import MoneyParts
from headgate.serving.routes import Route

ESTIMATE_LIMIT = 8 << 20


def money_routes(parts: MoneyParts) -> tuple[Route, ...]:
    """All of them. Errors leave in the envelope of OpenAI's surface."""
    receipts, usage, budgets, pricing = Receipts(parts), Usage(parts), Budgets(parts), Pricing(parts)
    return (
        Route(method="GET", path="/v1/receipts", endpoint=receipts.list),
        Route(method="GET", path="/v1/receipts/*", endpoint=receipts.get),
        Route(method="GET", path="/v1/usage", endpoint=usage.usage),
        Route(method="GET", path="/v1/metrics", endpoint=usage.metrics),
        Route(method="GET", path="/v1/budget", endpoint=budgets.all),
        Route(method="GET", path="/v1/budget/*", endpoint=budgets.run),
        Route(method="POST", path="/v1/budget", endpoint=budgets.set),
        Route(method="GET", path="/v1/pricing", endpoint=pricing.pricing),
        Route(method="POST", path="/v1/estimate-cost", endpoint=pricing.estimate, body_limit=ESTIMATE_LIMIT),
    )
