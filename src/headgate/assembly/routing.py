"""Routing, put together from the settings in force."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping

import msgspec

from headgate.assembly.parts import Parts
from headgate.catalog.cards import day_of
from headgate.catalog.resolve import Target as Resolved
from headgate.client import Target
from headgate.config.grade_models import grade_models
from headgate.providers import Provider
from headgate.router import Deployment, ProviderFacts, Router, RoutingTable, Surroundings

OWN_MACHINES = frozenset({"local", "private"})
"""Traits of a provider of one's own that may lie at private addresses."""


def routing_table(parts: Parts, now: float | None = None) -> RoutingTable:
    """The table for the settings of `parts`, with the prices of the day of `now` (seconds since the epoch). Raises `ConfigError`."""
    day = day_of(time.time() if now is None else now)
    settings = parts.settings
    return RoutingTable(
        Surroundings(
            catalog=parts.catalog,
            providers=provider_facts(parts),
            day=day,
            routing=settings.routing,
            routes=tuple(settings.routes.values()),
            aliases=settings.aliases,
            default_provider=settings.default_provider,
        )
    )


def router_of(table: RoutingTable) -> Router:
    """A router over a table."""
    return Router(table, random.Random(os.urandom(32)).random)  # noqa: S311 it spreads load; nothing is secret about it


def provider_facts(parts: Parts) -> dict[str, ProviderFacts]:
    """What routing has to know of each provider that can be loaded."""
    defaults, grades = parts.default_models, grade_models(parts.environment)
    loaded = {name: provider for name in parts.providers if (provider := parts.usable(name)) is not None}
    return {name: _facts(parts, provider, defaults.get(name), grades.get(name, {})) for name, provider in loaded.items()}


def _facts(parts: Parts, provider: Provider, default_model: str | None, models: Mapping[str, str]) -> ProviderFacts:
    given = parts.key is not None and not provider.simulated
    own, ready = parts.settings.providers.get(provider.name), given or parts.has_key(provider)
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
