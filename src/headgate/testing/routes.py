"""Deployments, routes and routers made by hand, for tests of routing."""

from __future__ import annotations

import random
from collections.abc import Iterable

from headgate.catalog.cards import Catalog
from headgate.config.route_settings import DeploymentSettings, RouteSettings, RoutingSettings
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.providers import PROVIDERS
from headgate.router import Deployment, Entry, ProviderFacts, Router, RoutingTable, Surroundings
from headgate.router.strategies import PRIORS
from headgate.router.table import USUAL_PRIOR
from headgate.router.values import Candidate, Rung

DAY = "2026-11-21"
CHAT = RouteSettings(
    name="chat",
    deployments=(DeploymentSettings(model="sim-openai/sim-small"), DeploymentSettings(model="sim-anthropic/sim-small")),
    fallback=("sim-groq/sim-large",),
)
SIMULATED = RoutingSettings(fallback=("sim-ollama", "sim-openai", "sim-anthropic"))
"""Simulated providers behind "auto"."""


def deployment(
    id: str,
    *,
    traits: Iterable[str] = (),
    price: tuple[int, int] | None = (1000, 2000),
    quality: int = 0,
    weight: float = 1.0,
    family: str | None = None,
    capabilities: Capabilities = ANY_MODEL,
    region: str | None = None,
    missing: str | None = None,
) -> Deployment:
    """The deployment ``provider/model`` (or ``provider/model#account``). `price` is nano-dollars for a token in and out, None unpriced."""
    name, _, account = id.partition("#")
    provider, _, model = name.partition("/")
    words = frozenset(traits)
    return Deployment(
        id=id,
        provider=provider,
        model=model,
        account=account or None,
        family=family or model,
        capabilities=capabilities,
        traits=words,
        private=bool({"local", "private"} & words),
        weight=weight,
        region=region,
        prices=() if price is None else (Rung(0, *price, 1),),
        quality=quality,
        prior=min((PRIORS[word] for word in words if word in PRIORS), default=USUAL_PRIOR),
        missing=missing,
    )


def entry_of(*deployments: Deployment, fallbacks: Iterable[Deployment] = ()) -> Entry:
    """A route called "chat" over deployments, each fallback a group of its own."""
    later = tuple(Candidate(one, group) for group, one in enumerate(fallbacks, start=1))
    return Entry(name="chat", candidates=(*(Candidate(one) for one in deployments), *later))


def surroundings(
    catalog: Catalog, *, routes: Iterable[RouteSettings] = (), routing: RoutingSettings | None = None, keys: Iterable[str] = ()
) -> Surroundings:
    """A table's surroundings: simulated providers can be called, and those of `keys`."""
    with_keys = frozenset(keys)
    facts = {
        name: ProviderFacts(
            name=name,
            default_model=provider.default_model,
            capabilities=provider.capabilities,
            traits=frozenset(catalog.providers[name].traits),
            missing=None if provider.simulated or name in with_keys else f"no key for {provider.label}",
            simulated=provider.simulated,
        )
        for name, provider in PROVIDERS.items()
    }
    return Surroundings(catalog=catalog, providers=facts, day=DAY, routes=tuple(routes), routing=routing or RoutingSettings())


def sim_router(catalog: Catalog, seed: int = 7) -> Router:
    """A router whose "auto" and route "chat" are simulated providers."""
    return Router(RoutingTable(surroundings(catalog, routes=(CHAT,), routing=SIMULATED)), random.Random(seed).random)
