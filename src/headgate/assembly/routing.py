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
from headgate.client.addresses import DEFAULT_ACCOUNT
from headgate.config import Settings
from headgate.config.grade_models import grade_models
from headgate.errors import ConfigError
from headgate.providers import Provider
from headgate.router import Deployment, ProviderFacts, Router, RoutingTable, Surroundings
from headgate.router.table import BadRoute

OWN_MACHINES = frozenset({"local", "private"})
"""Traits of a provider of one's own that may lie at private addresses."""


def routing_table(parts: Parts, now: float | None = None) -> RoutingTable:
    """The table for the settings of `parts`, with the prices of the day of `now` (seconds since the epoch).

    Raises `ConfigError` with the place of what is wrong.
    """
    try:
        return RoutingTable(surroundings(parts, time.time() if now is None else now))
    except BadRoute as error:
        raise ConfigError(error.message, where=place(parts.settings, error.path), hint=error.hint or "headgate config check") from error


def surroundings(parts: Parts, now: float) -> Surroundings:
    """What a routing table is made of, at `now` (seconds since the epoch)."""
    settings = parts.settings
    return Surroundings(
        catalog=parts.catalog,
        providers=provider_facts(parts),
        day=day_of(now),
        routing=settings.routing,
        routes=tuple(settings.routes.values()),
        aliases=settings.aliases,
        default_provider=settings.default_provider,
    )


def place(settings: Settings, path: str) -> str:
    """Where the setting `path` (such as ``routes.chat.fallback[0]``) was written: file, line and column, or a variable; else the path.

    What was written as a whole, such as a list, is where it begins.
    """
    whole = path.partition("[")[0]
    return next((found for name in (path, f"{path}.model", whole) if (found := settings.origins.get(name)) is not None), path)


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
    missing = f"no key for {provider.label}: {wanted} is not set"
    return ProviderFacts(
        name=provider.name,
        default_model=default_model,
        capabilities=provider.capabilities,
        traits=traits,
        missing=None if ready or provider.auth.optional else missing,
        ready=ready,
        simulated=provider.simulated,
        accounts={DEFAULT_ACCOUNT: None if given or parts.has_usual_key(provider) else missing}
        | {
            account: None if parts.has_account(settings) else f"the key of the account {account} is not set"
            for account, settings in accounts.items()
        },
        models=models,
    )


def deployment_target(parts: Parts, deployment: Deployment) -> Target:
    """Where a deployment's calls go: address and credential filled in. Raises `ConfigError`."""
    at = parts if deployment.account is None else msgspec.structs.replace(parts, account=deployment.account)
    return at.target(Resolved(deployment.provider, deployment.model, deployment.card))
