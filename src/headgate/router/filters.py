"""Hard filters: what keeps a deployment from being asked at all. One table, in the order in which reasons are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from headgate.domain.capabilities import Capabilities
from headgate.domain.cost import usd_text
from headgate.ledger.rights import fits
from headgate.router.values import Deployment, Need, Reason, Standing, Wish

Fixed: TypeAlias = Callable[[Deployment, Wish], str | None]
"""A reason that lies in request and deployment alone, in words; None when there is none."""
Momentary: TypeAlias = Callable[[Deployment, Standing, Wish], str | None]
"""A reason that changes with time."""

ABLE: dict[Need, Callable[[Capabilities], bool]] = {
    "tools": lambda able: able.tools,
    "vision": lambda able: able.vision,
    "documents": lambda able: able.documents,
    "audio": lambda able: able.audio,
    "json_schema": lambda able: able.structured_output in ("native", "tool"),
    "json_object": lambda able: able.structured_output != "none",
    "reasoning": lambda able: able.reasoning != "none",
    "logprobs": lambda able: able.logprobs,
    "choices": lambda able: able.choices,
    "stream": lambda able: able.streaming,
    "prefill": lambda able: able.prefill,
}
"""How a model shows that it can do what a request needs."""
KINDS = {"chat": frozenset({None, "chat", "completion"}), "embed": frozenset({None, "embedding"})}


def no_key(deployment: Deployment, wish: Wish) -> str | None:
    """It cannot be called as things are."""
    return deployment.missing


def other_operation(deployment: Deployment, wish: Wish) -> str | None:
    """The model is for something else."""
    return None if deployment.kind in KINDS[wish.operation] else f"its model is for {deployment.kind}"


def not_allowed(deployment: Deployment, wish: Wish) -> str | None:
    """The caller's key does not cover it: neither by the name that was asked for nor by the deployment's own."""
    if fits(wish.allowed, deployment.name) or fits(wish.allowed, wish.model):
        return None
    return f"the key is for {', '.join(wish.allowed)}"


def elsewhere(deployment: Deployment, wish: Wish) -> str | None:
    """What the request leans on lies at another provider or account (translation case 75)."""
    if wish.bound is None or wish.bound == (deployment.provider, deployment.account):
        return None
    return f"the request leans on what {'#'.join(part for part in wish.bound if part)} keeps"


def not_private(deployment: Deployment, wish: Wish) -> str | None:
    """The request must not leave the house."""
    return "it is not private" if wish.wants is not None and wish.wants.private and not deployment.private else None


def other_region(deployment: Deployment, wish: Wish) -> str | None:
    """It stands in another region than the one asked for, or nobody says where."""
    if wish.wants is None or wish.wants.region in (None, deployment.region):
        return None
    return f"it stands in {deployment.region or 'no known region'}, not in {wish.wants.region}"


def not_able(deployment: Deployment, wish: Wish) -> str | None:
    """The model cannot do what is needed."""
    lacks = [need for need in sorted(wish.needs) if not ABLE[need](deployment.capabilities)]
    return f"its model lacks {', '.join(lacks)}" if lacks else None


def too_small(deployment: Deployment, wish: Wish) -> str | None:
    """The context does not hold input and output, or the model does not write as much."""
    able, wanted = deployment.capabilities, wish.max_output or 0
    if able.context is not None and wish.input_tokens is not None and wish.input_tokens + wanted > able.context:
        return f"about {wish.input_tokens + wanted:,} tokens are wanted, its context holds {able.context:,}"
    if able.max_output is not None and wanted > able.max_output:
        return f"{wanted:,} tokens of output are wanted, it writes at most {able.max_output:,}"
    return None


FIXED: tuple[tuple[Reason, Fixed], ...] = (
    ("operation", other_operation),
    ("not_allowed", not_allowed),
    ("bound", elsewhere),
    ("private", not_private),
    ("region", other_region),
    ("capability", not_able),
    ("no_key", no_key),
    ("context", too_small),
)
LENIENT: frozenset[Reason] = frozenset({"operation", "capability", "context"})
"""What does not keep a model from being asked that the client named itself: its own wire says what it cannot do."""


def too_dear(deployment: Deployment, standing: Standing, wish: Wish) -> str | None:
    """It is expected to cost more than the request allows, or nobody knows what it costs."""
    return _above(deployment, wish, wish.wants.max_cost if wish.wants is not None else None)


def no_budget(deployment: Deployment, standing: Standing, wish: Wish) -> str | None:
    """It is expected to cost more than a budget has left."""
    left = [amount for amount in (wish.budget, standing.budget) if amount is not None]
    return _above(deployment, wish, min(left, default=None))


def _above(deployment: Deployment, wish: Wish, limit: int | None) -> str | None:
    if limit is None:
        return None
    nanos = deployment.estimate(wish.input_tokens or 0, wish.output_tokens)
    if nanos is None:
        return "its price is unknown"
    return f"about ${usd_text(nanos)}, of ${usd_text(max(limit, 0))} at most" if nanos > limit else None


def too_slow(deployment: Deployment, standing: Standing, wish: Wish) -> str | None:
    """One call in twenty takes longer to begin than the request allows."""
    limit = wish.wants.max_latency if wish.wants is not None else None
    if limit is None or standing.p95 is None or standing.p95 <= limit:
        return None
    return f"its first byte takes up to {standing.p95:.3g} s, {limit:.3g} s are allowed"


def no_rate(deployment: Deployment, standing: Standing, wish: Wish) -> str | None:
    """Its limits of a minute are used up."""
    return "its rate limit is used up" if standing.rate_headroom is not None and standing.rate_headroom <= 0 else None


def too_busy(deployment: Deployment, standing: Standing, wish: Wish) -> str | None:
    """As many calls are under way as it may have at once."""
    full = standing.limit is not None and standing.in_flight >= standing.limit
    return f"{standing.in_flight} calls are under way, it takes {standing.limit:.0f}" if full else None


MOMENTARY: tuple[tuple[Reason, Momentary], ...] = (
    ("max_cost", too_dear),
    ("budget", no_budget),
    ("latency", too_slow),
    ("rate_limit", no_rate),
    ("concurrency", too_busy),
)


def fixed_reason(deployment: Deployment, wish: Wish, explicit: bool) -> tuple[Reason, str] | None:
    """The first fixed reason against a deployment, in a word and in words."""
    for reason, check in FIXED:
        if not (explicit and reason in LENIENT):
            said = check(deployment, wish)
            if said is not None:
                return reason, said
    return None


def momentary_reason(deployment: Deployment, standing: Standing, wish: Wish) -> tuple[Reason, str] | None:
    """The first reason of the moment against a deployment; health is judged by `policy`, which sees all candidates."""
    for reason, check in MOMENTARY:
        said = check(deployment, standing, wish)
        if said is not None:
            return reason, said
    return None
