"""What a settings file names, held against what there is: models, providers, accounts. Nothing is sent anywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

import msgspec

from headgate.assembly.parts import Parts
from headgate.assembly.routing import place, surroundings
from headgate.catalog.resolve import Target, known_provider, resolve
from headgate.client.addresses import DEFAULT_ACCOUNT
from headgate.config.route_settings import DeploymentSettings
from headgate.errors import ConfigError
from headgate.router import RoutingTable
from headgate.router.table import BadRoute, is_grade

_OF_PROVIDERS = ("provider:", "model:")
"""Scopes of budgets and subjects of limits that name a provider."""


class Finding(msgspec.Struct, frozen=True):
    """What is wrong, or odd, with the value at `where`."""

    level: Literal["error", "warning"]
    where: str
    message: str


def examine_names(parts: Parts) -> tuple[Finding, ...]:
    """Every model, provider and account that the settings name and that is not there, or odd."""
    settings = parts.settings
    found = (
        *(Finding("warning", "settings", warning) for warning in settings.warnings),
        *_declared(parts),
        *_default(parts),
        *_aliases(parts),
        *_routes(parts),
        *_chain(parts, "routing.fallback", settings.routing.fallback),
        *_scopes(parts),
    )
    return found if any(one.level == "error" for one in found) else (*found, *_table(parts))


def check_names(parts: Parts) -> None:
    """Raises `ConfigError`, with its place, for the first thing the settings name that is not there."""
    for finding in examine_names(parts):
        if finding.level == "error":
            raise ConfigError(finding.message, where=finding.where, hint="headgate config check")


def _table(parts: Parts) -> Iterator[Finding]:
    """What cannot be, though all of its names are there: routes in a circle, deployments named twice."""
    try:
        RoutingTable(surroundings(parts, time.time()))
    except BadRoute as error:
        yield Finding("error", place(parts.settings, error.path), error.message)


def _default(parts: Parts) -> Iterator[Finding]:
    name = parts.settings.default_provider
    if name is not None:
        try:
            known_provider(name, parts.providers)
        except ConfigError as error:
            yield Finding("error", place(parts.settings, "default_provider"), error.message)


def _scopes(parts: Parts) -> Iterator[Finding]:
    """Budgets and limits of providers that are not there: they would never count anything."""
    subjects = [(f"budgets[{n}].scope", one.scope) for n, one in enumerate(parts.settings.budgets)]
    subjects += [(f"limits[{n}].subject", one.subject) for n, one in enumerate(parts.settings.limits)]
    for at, subject in subjects:
        kind = next((kind for kind in _OF_PROVIDERS if subject.startswith(kind)), None)
        provider = subject.removeprefix(kind or "").partition("/")[0]
        if kind is not None and not provider.endswith("*") and provider not in parts.providers:
            yield Finding("warning", place(parts.settings, at), f"{subject} counts nothing: there is no provider {provider!r}")


def _declared(parts: Parts) -> Iterator[Finding]:
    """Providers of other packages that the settings change, and that cannot be loaded."""
    for name in parts.settings.providers:
        try:
            parts.providers[name]
        except KeyError:
            yield Finding(
                "error", place(parts.settings, f"providers.{name}"), f"{name} is no provider, and without base_url none is declared"
            )
        except ConfigError as error:
            yield Finding("error", place(parts.settings, f"providers.{name}"), error.message)


def _aliases(parts: Parts) -> Iterator[Finding]:
    for alias, name in parts.settings.aliases.items():
        if name not in parts.settings.routes and not is_grade(name, parts.providers):
            yield from _model(parts, f"aliases.{alias}", name)


def _routes(parts: Parts) -> Iterator[Finding]:
    for name, route in parts.settings.routes.items():
        for n, deployment in enumerate(route.deployments):
            at = f"routes.{name}.deployments[{n}]"
            yield from _model(parts, at, deployment.model)
            yield from _account(parts, at, deployment)
        yield from _chain(parts, f"routes.{name}.fallback", route.fallback)


def _chain(parts: Parts, at: str, names: tuple[str, ...]) -> Iterator[Finding]:
    for n, name in enumerate(names):
        known = name in parts.settings.routes or name in parts.settings.aliases or name.lower() in parts.providers
        if not known and not is_grade(name, parts.providers):
            yield from _model(parts, f"{at}[{n}]", name)


def _model(parts: Parts, at: str, name: str) -> Iterator[Finding]:
    try:
        target = resolve(name, None, parts.catalog, parts.providers)
    except ConfigError as error:
        yield Finding("error", place(parts.settings, at), error.message)
        return
    for note in (*target.notes, *_unpriced(parts, target)):
        yield Finding("warning", place(parts.settings, at), note)


def _unpriced(parts: Parts, target: Target) -> Iterator[str]:
    hard = any(budget.action != "warn" for budget in parts.settings.budgets)
    if hard and (target.card is None or not target.card.prices):
        yield f"{target.name} is unpriced: where a budget holds, it is refused"


def _account(parts: Parts, at: str, deployment: DeploymentSettings) -> Iterator[Finding]:
    if deployment.account is None:
        return
    try:
        provider = resolve(deployment.model, None, parts.catalog, parts.providers).provider
    except ConfigError:
        return  # that the model is not there has been said
    own = parts.settings.providers.get(provider)
    known = (DEFAULT_ACCOUNT, *(own.accounts if own is not None else ()))
    if deployment.account not in known:
        where = place(parts.settings, f"{at}.account")
        yield Finding("error", where, f"{provider} has no account {deployment.account!r}; it has {', '.join(known)}")
