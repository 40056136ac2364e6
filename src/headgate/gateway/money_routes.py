"""The routes about money: receipts, usage, budgets, prices."""

from __future__ import annotations

from headgate.gateway.endpoints.budget import Budgets
from headgate.gateway.endpoints.pricing import Pricing
from headgate.gateway.endpoints.receipts import Receipts
from headgate.gateway.endpoints.usage import Usage
from headgate.gateway.money_parts import MoneyParts
from headgate.serving.response import Endpoint
from headgate.serving.routes import Route

ESTIMATE_LIMIT = 8 << 20


def money_routes(parts: MoneyParts) -> tuple[Route, ...]:
    """All of them. Errors leave in the envelope of OpenAI's surface."""
    receipts, usage, budgets, pricing = Receipts(parts), Usage(parts), Budgets(parts), Pricing(parts)
    reading: tuple[tuple[str, Endpoint], ...] = (
        ("/v1/receipts", receipts.list),
        ("/v1/receipts/*", receipts.get),
        ("/v1/usage", usage.usage),
        ("/v1/metrics", usage.metrics),
        ("/v1/budget", budgets.all),
        ("/v1/budget/*", budgets.run),
        ("/v1/pricing", pricing.pricing),
    )
    return (
        *(Route(method="GET", path=path, endpoint=endpoint) for path, endpoint in reading),
        Route(method="POST", path="/v1/budget", endpoint=budgets.set),
        Route(method="POST", path="/v1/estimate-cost", endpoint=pricing.estimate, body_limit=ESTIMATE_LIMIT),
    )
