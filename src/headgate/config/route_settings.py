"""What the settings say of routing: the names clients may ask for, what stands behind each, and how one is chosen. Values alone."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Sticky: TypeAlias = Literal["session", "prefix"]

STRATEGIES = ("local_first", "cost_optimized", "quality", "speed", "round_robin", "weighted", "least_busy")
"""How a deployment is chosen (SPN-07)."""
STRATEGY_ALIASES = {
    "simple-shuffle": "weighted",
    "least-busy": "least_busy",
    "latency-based-routing": "speed",
    "usage-based-routing": "least_busy",
    "usage-based-routing-v2": "least_busy",
    "cost-based-routing": "cost_optimized",
}
"""LiteLLM's names of them."""


class DeploymentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A model at a provider and account. Bounds are the account's own at the provider; None: not known.

    `model` is ``provider/model``, `weight` its share under the strategy "weighted", `timeout` seconds for a whole call; `private` says that
    what is sent there stays in the house (None: as the provider's traits say).
    """

    model: str
    account: str | None = None
    weight: float = 1.0
    rpm: int | None = None
    tpm: int | None = None
    input_tpm: int | None = None
    output_tpm: int | None = None
    concurrency: int | None = None
    timeout: float | None = None
    region: str | None = None
    private: bool | None = None


class RouteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A name clients may ask for. `strategy` None: that of `RoutingSettings`; `hedge` seconds without a first byte start a second call."""

    name: str
    strategy: str | None = None
    sticky: Sticky | None = None
    hedge: float | None = None
    deployments: tuple[DeploymentSettings, ...] = ()
    fallback: tuple[str, ...] = ()
    """What is tried next, in order: ``provider/model``, another route, or a provider (its default model)."""


class RoutingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a request that names no route of its own is served, and what holds for all of them.

    `retry_budget` is the share of live requests that may be second attempts, `deadline` seconds for a request with all its attempts,
    `quality` ranks models (``provider/model``: rank, the higher the better) over the catalog's ranks.
    """

    strategy: str = "local_first"
    fallback: tuple[str, ...] = ("ollama", "openai", "anthropic")
    attempts: int = 3
    retry_budget: float = 0.2
    deadline: float = 600.0
    quality: dict[str, int] = {}
