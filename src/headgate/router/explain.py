"""A plan in words and as JSON: every candidate, with its place or the reason against it."""

from __future__ import annotations

import math

from headgate.domain.cost import usd_text
from headgate.router.values import Choice, Order, Plan, Wish
from headgate.wire.json import JsonObject


def explain_plan(plan: Plan, wish: Wish | None = None) -> JsonObject:
    """The plan for ``POST /v1/route/explain``: candidates in their order, then the rejected ones.

    With the `wish`, each candidate that has a price says what the request is expected to cost there.
    """
    return {
        "name": plan.name,
        "operation": plan.operation,
        "strategy": plan.strategy,
        "because": plan.because,
        "sticky": plan.sticky,
        "panic": plan.panic,
        "retry_after": plan.retry_after,
        "hedge_after": plan.hedge,
        "chosen": None if plan.first is None else plan.first.id,
        "fallbacks": [choice.deployment.id for choice in plan.order[1:]],
        "candidates": [_candidate(plan, place, choice, wish) for place, choice in enumerate(plan.order, start=1)],
        "rejected": [
            {
                "id": one.deployment.id,
                "provider": one.deployment.provider,
                "model": one.deployment.model,
                "reason": one.reason,
                "detail": one.detail,
            }
            for one in plan.rejected
        ],
        "explanation": plan.explanation,
    }


def _candidate(plan: Plan, place: int, choice: Choice, wish: Wish | None) -> JsonObject:
    deployment = choice.deployment
    nanos = None if wish is None else deployment.estimate(wish.input_tokens or 0, wish.output_tokens)
    return {
        "place": place,
        "id": deployment.id,
        "provider": deployment.provider,
        "model": deployment.model,
        "account": deployment.account,
        "group": choice.group,
        "score": None if choice.score is None or not math.isfinite(choice.score) else choice.score,
        "why": why(plan.strategy, choice),
        "estimated_cost": None if nanos is None else usd_text(nanos),
    }


def why(strategy: Order, choice: Choice) -> str:
    """Why a deployment stands where it does, in a few words."""
    group = f"fallback {choice.group}: " if choice.group else ""
    if choice.score is None:
        return f"{group}{strategy}"
    return group + _word(strategy, choice, choice.score)


def _word(strategy: Order, choice: Choice, score: float) -> str:
    deployment = choice.deployment
    words: dict[Order, str] = {
        "local_first": "runs locally" if deployment.local else "runs elsewhere",
        "cloud_first": "runs locally" if deployment.local else "runs elsewhere",
        "cost_optimized": "its price is unknown" if score == math.inf else f"about ${usd_text(round(score))} at list price",
        "quality": f"rank {deployment.quality}",
        "speed": f"about {score:.3g} s for the answer",
        "round_robin": "its turn",
        "weighted": f"by lot, weight {deployment.weight:g}",
        "least_busy": f"{score:.3g} calls under way for each unit of weight",
        "balanced": f"at {score:.2f} between best (0) and worst (1) by cost, speed and quality",
    }
    return words[strategy]
