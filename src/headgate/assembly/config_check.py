"""What a settings file names, held against what there is: models, providers, accounts. Nothing is sent anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from headgate.assembly.parts import Parts
from headgate.catalog.resolve import Target, resolve
from headgate.config import Settings
from headgate.errors import ConfigError

DEFAULT_ACCOUNT = "default"


class Finding(msgspec.Struct, frozen=True):
    """What is wrong, or odd, with the value at `where`."""

    level: Literal["error", "warning"]
    where: str
    message: str


def examine_names(parts: Parts) -> tuple[Finding, ...]:
    """Every model, provider and account that the settings name and that is not there, or odd."""
    settings = parts.settings
    return (
        *(Finding("warning", "settings", warning) for warning in settings.warnings),
        *_declared(parts),
        *_aliases(parts),
        *_routes(parts),
        *_chain(parts, "routing.fallback", settings.routing.fallback),
    )


def _declared(parts: Parts) -> Iterator[Finding]:
    """Providers of other packages that the settings change, and that cannot be loaded."""
    for name in parts.settings.providers:
        try:
            parts.providers[name]
        except KeyError:
            yield Finding(
                "error", _place(parts.settings, f"providers.{name}"), f"{name} is no provider, and without base_url none is declared"
            )
        except ConfigError as error:
            yield Finding("error", _place(parts.settings, f"providers.{name}"), error.message)


def _aliases(parts: Parts) -> Iterator[Finding]:
    for alias, name in parts.settings.aliases.items():
        if name not in parts.settings.routes:
            yield from _model(parts, f"aliases.{alias}", name)


def _routes(parts: Parts) -> Iterator[Finding]:
    for name, route in parts.settings.routes.items():
        for n, deployment in enumerate(route.deployments):
            at = f"routes.{name}.deployments[{n}]"
            yield from _model(parts, at, deployment.model)
            yield from _account(parts, at, deployment.model, deployment.account)
        yield from _chain(parts, f"routes.{name}.fallback", route.fallback)


def _chain(parts: Parts, at: str, names: tuple[str, ...]) -> Iterator[Finding]:
    for n, name in enumerate(names):
        if name not in parts.settings.routes and name not in parts.settings.aliases and name not in parts.providers:
            yield from _model(parts, f"{at}[{n}]", name)


def _model(parts: Parts, at: str, name: str) -> Iterator[Finding]:
    try:
        target = resolve(name, None, parts.catalog, parts.providers)
    except ConfigError as error:
        yield Finding("error", _place(parts.settings, at), error.message)
        return
    for note in (*target.notes, *_unpriced(parts, target)):
        yield Finding("warning", _place(parts.settings, at), note)


def _unpriced(parts: Parts, target: Target) -> Iterator[str]:
    hard = any(budget.action != "warn" for budget in parts.settings.budgets)
    if hard and (target.card is None or not target.card.prices):
        yield f"{target.name} is unpriced: where a budget holds, it is refused"


def _account(parts: Parts, at: str, model: str, account: str | None) -> Iterator[Finding]:
    provider = model.partition("/")[0].lower()
    own = parts.settings.providers.get(provider)
    known = (DEFAULT_ACCOUNT, *(own.accounts if own is not None else ()))
    if account is not None and account not in known:
        yield Finding("error", _place(parts.settings, f"{at}.account"), f"{provider} has no account {account!r}; it has {', '.join(known)}")


def _place(settings: Settings, at: str) -> str:
    return settings.origins.get(at) or settings.origins.get(f"{at}.model", at)
