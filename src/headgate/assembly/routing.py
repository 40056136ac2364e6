"""Routing, put together from the settings in force."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence

import msgspec

from headgate.assembly.parts import Parts
from headgate.catalog.cards import day_of
from headgate.catalog.resolve import Target as Resolved
from headgate.client import Target
from headgate.config.grade_models import grade_models
from headgate.config.route_settings import RouteSettings, RoutingSettings, read_strategy
from headgate.providers import Provider
from headgate.router import Deployment, ProviderFacts, Router, RoutingTable, Surroundings

OWN_MACHINES = frozenset({"local", "private"})
"""Traits of a provider of one's own that may lie at private addresses."""


def routing_table(
    parts: Parts,
    *,
    routes: Sequence[RouteSettings] = (),
    aliases: Mapping[str, str] | None = None,
    routing: RoutingSettings | None = None,
    now: float | None = None,
) -> RoutingTable:
    """The table for the settings of `parts`, with the prices of the day of `now` (seconds since the epoch). Raises `ConfigError`."""
    day = day_of(time.time() if now is None else now)
    return RoutingTable(
        Surroundings(
            catalog=parts.catalog,
            providers=provider_facts(parts),
            day=day,
            routing=routing_settings(parts, routing),
            routes=routes,
            aliases=aliases or {},
            default_provider=parts.settings.default_provider,
        )
    )


class Draws:
    """Numbers in [0, 1), fetched from the system's randomness for many at a time."""

    def __init__(self, source: random.SystemRandom) -> None:
        self._source = source
        self._numbers: list[float] = []

    def __call__(self) -> float:
        """The next one."""
        if not self._numbers:
            self._numbers = [self._source.random() for _ in range(256)]
        return self._numbers.pop()


def router_of(table: RoutingTable) -> Router:
    """A router over a table."""
    return Router(table, Draws(random.SystemRandom()))


def routing_settings(parts: Parts, routing: RoutingSettings | None = None) -> RoutingSettings:
    """The settings of `routing`, with those of variables over them."""
    found = RoutingSettings() if routing is None else routing
    strategy, chain = parts.settings.routing_strategy, parts.settings.fallback_chain
    if strategy is not None:
        found = msgspec.structs.replace(found, strategy=read_strategy(strategy))
    return found if chain is None else msgspec.structs.replace(found, fallback=tuple(chain.split(",")))


def provider_facts(parts: Parts) -> dict[str, ProviderFacts]:
    """What routing has to know of each provider that can be loaded."""
    defaults, grades = parts.default_models, grade_models(parts.environment)
    loaded = {name: provider for name in parts.providers if (provider := parts.usable(name)) is not None}
    return {name: _facts(parts, provider, defaults.get(name), grades.get(name, {})) for name, provider in loaded.items()}


def _facts(parts: Parts, provider: Provider, default_model: str | None, models: Mapping[str, str]) -> ProviderFacts:
    own, ready = parts.settings.providers.get(provider.name), parts.has_key(provider)
    entry = parts.catalog.providers.get(provider.name)
    traits = frozenset(entry.traits) if entry is not None else OWN_MACHINES if provider.allow_private else frozenset()
    wanted = " or ".join(provider.auth.env or provider.auth.parts) or "its key"
    accounts = own.accounts if own is not None else {}
    return ProviderFacts(
        name=provider.name,
        default_model=default_model,
        capabilities=provider.capabilities,
        traits=traits,
        missing=None if ready or provider.auth.optional else f"no key for {provider.label}: {wanted} is not set",
        ready=ready,
        simulated=provider.simulated,
        accounts={
            account: None if parts.has_account(settings) else f"the key of the account {account} is not set"
            for account, settings in accounts.items()
        },
        models=models,
    )


def deployment_target(parts: Parts, deployment: Deployment) -> Target:
    """Where a deployment's calls go: address and credential filled in. Raises `ConfigError`."""
    at = parts if deployment.account is None else msgspec.structs.replace(parts, account=deployment.account)
    return at.target(Resolved(deployment.provider, deployment.model, deployment.card))
