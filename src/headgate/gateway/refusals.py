"""What the gate refuses, in words and numbers a client can act on."""

from __future__ import annotations

from headgate.ledger.budgets import Denied
from headgate.ledger.limits import Full
from headgate.router import GiveUp, Plan
from headgate.router.values import HEALTH, Rejection
from headgate.serving.envelopes import Refused
from headgate.wire.http import Headers

NOT_AGAIN: Headers = (("x-should-retry", "false"),)
"""Official clients repeat what fails with 402, 429 or 5xx, unless they are told not to."""
_NOWHERE = "nobody can answer this"


def denied(found: Denied) -> Refused:
    """A budget says no (faults E5): 402, with what it has, what was asked for and when it begins anew."""
    code = "budget_exceeded" if found.reason == "exceeded" else "cost_unbounded"
    return Refused(402, found.message, code=code, headers=NOT_AGAIN, hint=found.hint)


def full(found: Full) -> Refused:
    """A limit says no: 429 with the numbers, 503 when the fault is ours."""
    return Refused(found.status, found.message, code=found.code, headers=wait(found.retry_after))


def wait(seconds: float | None) -> Headers:
    """When to come back, in the two ways clients read."""
    if seconds is None:
        return ()
    return (("retry-after", str(max(0, -int(-seconds // 1)))), ("retry-after-ms", str(max(0, int(seconds * 1000)))))


def nobody(plan: Plan) -> Refused:
    """No deployment may be asked: the reasons decide what kind of refusal that is."""
    reasons = {rejection.reason for rejection in plan.rejected}
    told = "; ".join(f"{one.deployment.id}: {_told(one)}" for one in plan.rejected[:5])
    message = f"{_NOWHERE} ({told})" if told else _NOWHERE
    if reasons <= HEALTH | {"rate_limit", "concurrency"} and reasons:
        headers = wait(plan.retry_after) if plan.retry_after is not None else NOT_AGAIN
        return Refused(503, message, code="no_deployment_available", headers=headers)
    for reason, status, code in _STATUSES:
        if reason in reasons:
            return Refused(status, message, code=code, param=_PARAMS.get(reason))
    return Refused(404, message, code="model_not_found", param="model")


def _told(rejection: Rejection) -> str:
    return rejection.reason.replace("_", " ") + (f" ({rejection.detail})" if rejection.detail else "")


_STATUSES = (
    ("not_allowed", 404, "model_not_found"),
    ("budget", 402, "budget_exceeded"),
    ("max_cost", 400, "max_cost_exceeded"),
    ("no_key", 502, "upstream_auth"),
    ("capability", 400, "unsupported_parameter"),
    ("context", 400, "context_length_exceeded"),
    ("private", 400, "no_private_deployment"),
    ("region", 400, "no_deployment_in_region"),
    ("bound", 400, "bound_elsewhere"),
)
"""Reason → status and code, the most telling first."""
_PARAMS = {"max_cost": "routing.max_cost", "region": "routing.region", "private": "routing.private"}


def given_up(decision: GiveUp) -> Headers:
    """What a client is told beside an error that the gate has done with."""
    again = () if decision.should_retry is None else (("x-should-retry", "true" if decision.should_retry else "false"),)
    return (*again, *wait(decision.retry_after))
