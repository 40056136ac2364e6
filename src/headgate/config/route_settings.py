"""What ``headgate.yaml`` says of routing: names that clients may ask for, the deployments behind them, and how one is chosen. Values only.

::

    routes:
      chat:
        strategy: weighted
        sticky: session
        hedge: 2.5
        deployments:
          - openai/gpt-4o-mini
          - {model: azure_openai/gpt-4o-mini, account: eu, weight: 2, rpm: 500, timeout: 60, region: eu}
        fallback: [groq/llama-3.3-70b-versatile]
    routing: {strategy: cost_optimized, fallback: [ollama, openai, anthropic], attempts: 3}
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import msgspec

Strategy: TypeAlias = Literal["local_first", "cost_optimized", "quality", "speed", "round_robin", "weighted", "least_busy", "balanced"]
Sticky: TypeAlias = Literal["session", "prefix"]
STRATEGIES: tuple[str, ...] = get_args(Strategy)
STRATEGY_ALIASES: dict[str, Strategy] = {
    "simple-shuffle": "weighted",
    "least-busy": "least_busy",
    "latency-based-routing": "speed",
    "usage-based-routing": "least_busy",
    "usage-based-routing-v2": "least_busy",
    "cost-based-routing": "cost_optimized",
}
"""LiteLLM's names of what comes nearest here."""
DEFAULT_CHAIN = ("ollama", "openai", "anthropic")


def read_strategy(text: str) -> Strategy:
    """A strategy from its name, or one of LiteLLM's; case and dashes do not matter. Raises ValueError listing what there is."""
    name = text.strip().lower()
    found = STRATEGY_ALIASES.get(name) or next((known for known in get_args(Strategy) if known == name.replace("-", "_")), None)
    if found is None:
        raise ValueError(f"must be one of {', '.join(STRATEGIES)}")
    strategy: Strategy = found
    return strategy


class DeploymentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place that serves a model. `model` is ``provider/model``; `account` None is the provider's usual key.

    `rpm`, `tpm`, `input_tpm`, `output_tpm` are what the provider allows in a minute, `concurrency` at once; `timeout` is seconds for a
    whole call. `private` None: as the provider's traits say.
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


class RouteSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name clients may ask for. `strategy` orders the `deployments` (None: the general one); `fallback` follows in its own order.

    `hedge` is how many seconds without a first byte make a second deployment be asked as well.
    """

    name: str
    deployments: tuple[DeploymentSettings, ...]
    strategy: Strategy | None = None
    sticky: Sticky | None = None
    hedge: float | None = None
    fallback: tuple[str, ...] = ()


class RoutingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one is chosen where a route does not say, and how often it is tried.

    `fallback` is the chain behind "auto" and requests without a model: providers, meaning their default models, or models. `attempts`
    counts the first try; `retry_budget` is the share of live requests that may be retries; `deadline` is seconds for a whole request.
    `quality` puts ranks over those of the catalog, by ``provider/model`` or model. `on_context_length` "larger" lets a prompt that is too
    long for one model go on to a larger one of the same route; `on_content_filter` "fallback" lets another provider answer what one
    refused.
    """

    strategy: Strategy = "local_first"
    fallback: tuple[str, ...] = DEFAULT_CHAIN
    attempts: int = 3
    retry_budget: float = 0.2
    deadline: float = 600.0
    quality: dict[str, int] = {}
    sticky: Sticky | None = None
    on_context_length: Literal["fail", "larger"] = "fail"
    on_content_filter: Literal["fail", "fallback"] = "fail"
