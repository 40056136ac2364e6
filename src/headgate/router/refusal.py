"""The error of a plan that asks nobody: what stands in the way, and what to do."""

from __future__ import annotations

from collections.abc import Callable

from headgate.errors import ConfigError, ErrorKind, HeadgateError, MissingKey, ProviderError, Unsupported, UsageError
from headgate.router.values import HEALTH, Plan, Reason, Rejection


def refusal_of(plan: Plan, name: str = "") -> HeadgateError:
    """The error for a plan whose order is empty, or whose deployments all turned the call away. `name` is what the client asked for.

    What may change by itself is reported before what will not: a client can wait for it.
    """
    asked = name or plan.name
    reasons = {one.reason for one in plan.rejected}
    first = next((reason for reason in PRECEDENCE if reason in reasons), None)
    those = [one for one in plan.rejected if one.reason == first]
    if first is None:
        return ProviderError(
            ErrorKind.OVERLOADED,
            f"nobody takes a call for {asked!r} now",
            status=503,
            code="no_healthy_deployment",
            retry_after=plan.retry_after or 1.0,
            hint="headgate route explain --model NAME says who is ill",
        )
    return _MADE[first](plan, asked, those)


def _said(those: list[Rejection]) -> str:
    return "; ".join(f"{one.deployment.id}: {one.detail}" for one in those[:4])


def _limited(plan: Plan, asked: str, those: list[Rejection]) -> HeadgateError:
    """Limits alone stand in the way, of providers or of deployments: what a client has to do about it is to slow down (case 85)."""
    wait = plan.retry_after if plan.retry_after is not None else 1.0
    return ProviderError(
        ErrorKind.RATE_LIMIT,
        f"what serves {asked!r} takes no more calls at present ({_said([one for one in plan.rejected if one.reason in LIMITS])})",
        status=429,
        code="deployments_busy",
        retry_after=wait,
        hint=f"try again in {wait:.3g} s",
    )


def _ill(plan: Plan, asked: str, those: list[Rejection]) -> HeadgateError:
    ill = [one for one in plan.rejected if one.reason in HEALTH]
    wait = plan.retry_after if plan.retry_after is not None else 1.0
    return ProviderError(
        ErrorKind.OVERLOADED,
        f"nobody can answer {asked!r} now ({_said(ill)})",
        status=503,
        code="no_healthy_deployment",
        retry_after=wait,
        hint=f"try again in {wait:.3g} s",
    )


def _dear(plan: Plan, asked: str, those: list[Rejection]) -> HeadgateError:
    allowing = " or allow a higher routing.max_cost" if those[0].reason == "max_cost" else ""
    return Unsupported(
        f"{asked!r} costs more than is allowed, or nobody knows what it costs ({_said(those)})",
        param="max_tokens",
        hint=f"set a lower max_tokens{allowing}",
    )


def _unable(plan: Plan, asked: str, those: list[Rejection]) -> HeadgateError:
    return Unsupported(f"no deployment of {asked!r} can serve this request ({_said(those)})", param="model", hint="name another model")


def _unkeyed(plan: Plan, asked: str, those: list[Rejection]) -> HeadgateError:
    return MissingKey(f"nothing that serves {asked!r} can be called ({_said(those)})", hint="headgate doctor")


def _forbidden(plan: Plan, asked: str, those: list[Rejection]) -> HeadgateError:
    return ConfigError(f"the model {asked!r} is not available to this key", hint="GET /v1/models lists what can be asked")


def _slow(plan: Plan, asked: str, those: list[Rejection]) -> HeadgateError:
    return UsageError(f"nothing that serves {asked!r} is fast enough ({_said(those)})", hint="allow a longer max_latency")


PRECEDENCE: tuple[Reason, ...] = (
    *("circuit_open", "overloaded", "ejected", "cooling_down", "rate_limit", "concurrency", "quarantined"),
    *("budget", "max_cost", "latency"),
    *("context", "capability", "region", "private", "bound", "operation", "no_key", "other_embedding", "not_allowed"),
)
"""Which of several reasons is reported. Where one deployment fails and another is at its limit, the service is impaired (503): that it
was asked too much (429) is said when nothing else is the matter."""
LIMITS: frozenset[Reason] = frozenset({"cooling_down", "rate_limit", "concurrency"})
_MADE: dict[Reason, Callable[[Plan, str, list[Rejection]], HeadgateError]] = {
    "cooling_down": _limited,
    "rate_limit": _limited,
    "concurrency": _limited,
    "circuit_open": _ill,
    "overloaded": _ill,
    "ejected": _ill,
    "quarantined": _ill,
    "budget": _dear,
    "max_cost": _dear,
    "latency": _slow,
    "context": _unable,
    "capability": _unable,
    "region": _unable,
    "private": _unable,
    "bound": _unable,
    "operation": _unable,
    "other_embedding": _unable,
    "no_key": _unkeyed,
    "not_allowed": _forbidden,
}
