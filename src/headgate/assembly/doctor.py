"""Checks of a set-up, each a line with what to do. Nothing is sent anywhere but to one's own database."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sqlite3
import ssl
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from headgate.assembly.budgets import budgets_of, journal_folder
from headgate.assembly.parts import Parts
from headgate.assembly.routing import routing_table
from headgate.catalog.cards import day_of
from headgate.client.provider_table import ProviderTable
from headgate.domain.cost import usd_text
from headgate.errors import ConfigError, HeadgateError, StoreError
from headgate.ledger.book import MIGRATIONS
from headgate.ledger.budgets import check_budget
from headgate.ledger.journal import held, journals
from headgate.providers import PROVIDERS, Provider
from headgate.store import describe
from headgate.store.mounts import check_local
from headgate.transport.redis import eviction_policy, parse_redis_url

SAFE_SQLITE = (3, 51, 3)
LOW_DISK = 1 << 30
OLD_PRICES_DAYS = 120
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
KEEPING = frozenset({"noeviction", "volatile-ttl"})
"""Policies of Redis under which a share of a limit is evicted last, or never."""
EVICTION_FIX = "redis-cli config set maxmemory-policy noeviction"


class Check(msgspec.Struct, frozen=True):
    """One finding; `fix` is what to do about it."""

    name: str
    level: Literal["ok", "warn", "fail"]
    message: str
    fix: str = ""


def examine(parts: Parts) -> list[Check]:
    """Every check, in order."""
    return [check for examiner in EXAMINERS for check in examiner(parts)]


def _python(parts: Parts) -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", "ok" if sys.version_info >= (3, 11) else "fail", version, "install Python 3.11 or newer")


def _sqlite(parts: Parts) -> Iterator[Check]:
    if sqlite3.sqlite_version_info >= SAFE_SQLITE:
        yield Check("sqlite", "ok", sqlite3.sqlite_version)
    else:
        yield Check(
            "sqlite",
            "warn",
            f"{sqlite3.sqlite_version} has a rare fault when several connections write one file; Headgate writes with one",
            "use a Python built with SQLite 3.51.3 or newer",
        )


def _settings(parts: Parts) -> Iterator[Check]:
    for warning in parts.settings.warnings:
        yield Check("settings", "warn", warning, "correct the setting")
    for name, value, origin in parts.settings.explain():
        if origin != "default":
            yield Check("settings", "ok", f"{name} = {value} ({origin})")


def _dangers(parts: Parts) -> Iterator[Check]:
    """Settings that open more than their defaults do (faults L11)."""
    settings = parts.settings
    if settings.gateway_host not in LOOPBACK:
        yield Check("danger", "warn", f"the gateway listens on {settings.gateway_host}, for other machines too", "put TLS before it")
        if settings.gateway.metrics == "open":
            yield Check("danger", "warn", "whoever can connect reads /metrics", "set gateway.metrics: key")
    if settings.gateway.store_prompts:
        yield Check("danger", "warn", "prompts and answers may be kept on disk", "set gateway.store_prompts: false")
    for name, own in settings.providers.items():
        if own.allow_private and name not in PROVIDERS:
            yield Check("danger", "ok", f"{name} may be at a private address: {own.base_url}")


def _keys(parts: Parts) -> Iterator[Check]:
    broken: set[str] = set()
    for provider in filter(None, map(parts.usable, parts.providers)):
        if provider.simulated:
            continue
        try:
            found = parts.has_key(provider) and parts.credential(provider)
        except HeadgateError as error:
            broken.add(error.message)
            yield Check(f"key {provider.name}", "fail", error.message, error.hint or "")
            continue
        if found:
            yield Check(f"key {provider.name}", "ok", str(found.key))
        else:
            yield Check(f"key {provider.name}", "warn", *_without_key(provider))
    for warning in parts.key_warnings():
        if warning not in broken:
            yield Check("keys", "warn", warning, "check the key")


def _without_key(provider: Provider) -> tuple[str, str]:
    """What is missing, and what to do about it."""
    if provider.auth.optional:
        return "needs no key; not set up", f"export {provider.url_env[0]}=…" if provider.url_env else "set its base_url"
    return "none set", f"export {(provider.auth.env or provider.auth.parts)[0]}=…"


def _third_parties(parts: Parts) -> Iterator[Check]:
    table = parts.providers
    if not isinstance(table, ProviderTable):
        return
    for name in table.foreign:
        try:
            provider = table[name]
        except ConfigError as error:
            yield Check(f"provider {name}", "fail", error.message, "update or remove the package that brings it")
        else:
            yield Check(f"provider {name}", "ok", f"{provider.label}, brought by another package")
    for name in table.shadowing:
        yield Check(f"provider {name}", "warn", "another package brings one of this name; the built-in one is used", "remove that package")


def _folders(parts: Parts) -> Iterator[Check]:
    for name, folder in (("data folder", parts.settings.data_dir), ("run folder", parts.settings.run_dir)):
        there = next(p for p in (folder, *folder.parents) if p.exists())
        if not os.access(there, os.W_OK):
            yield Check(name, "fail", f"{folder} cannot be written", f"chmod u+w {there}")
            continue
        free = shutil.disk_usage(there).free
        level: Literal["ok", "warn"] = "ok" if free >= LOW_DISK else "warn"
        yield Check(name, level, f"{folder}, {free / (1 << 30):.1f} GiB free", "free some disk space")
        yield from _private(name, folder)
        try:
            check_local(there)
        except StoreError as error:
            yield Check(name, "fail", error.message, error.hint or "")


def _private(name: str, folder: Path) -> Iterator[Check]:
    dotenv = Path.cwd() / ".env"
    if name == "data folder" and dotenv.is_file() and dotenv.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        yield Check(".env", "warn", f"{dotenv} can be read by others", f"chmod 600 {dotenv}")


def _database(parts: Parts) -> Iterator[Check]:
    try:
        yield Check("database", "ok", describe(parts.settings.ledger_place, MIGRATIONS))
    except HeadgateError as error:
        yield Check("database", "fail", error.message, error.hint or "correct HEADGATE_DATABASE_URL")


def _redis(parts: Parts) -> Iterator[Check]:
    url = parts.settings.redis_url
    if url is None:
        return
    try:
        address = parse_redis_url(url)
        policy = asyncio.run(eviction_policy(address))
    except HeadgateError as error:
        yield Check("redis", "fail", error.message, error.hint or "correct HEADGATE_REDIS_URL")
        return
    if policy is None or policy in KEEPING:
        yield Check("redis", "ok", f"{address.text}, maxmemory-policy {policy or 'not told'}")
    else:
        yield Check("redis", "warn", f"{address.text}: {policy} may evict shares of limits, which are wasted then", EVICTION_FIX)


def _gate(parts: Parts) -> Iterator[Check]:
    """What the settings say of routes, budgets and limits, as far as it can be carried out."""
    settings = parts.settings
    try:
        table = routing_table(parts)
    except ConfigError as error:
        yield Check("routes", "fail", error.message, error.hint or "headgate config check")
        return
    for name, entry in table.entries.items():
        missing = [one.deployment for one in entry.candidates if one.deployment.missing is not None]
        callable_ = len(entry.candidates) - len(missing)
        said = f"{callable_} of {len(entry.candidates)} deployments can be called"
        level: Literal["ok", "warn"] = "ok" if not missing else "warn"
        yield Check(f"route {name}", level, said, "; ".join(f"{one.id}: {one.missing}" for one in missing[:3]))
        if settings.budgets and any(not one.deployment.prices for one in entry.candidates):
            unpriced = ", ".join(one.deployment.id for one in entry.candidates if not one.deployment.prices)
            yield Check(
                f"route {name}", "warn", f"unpriced, and refused where a hard budget counts: {unpriced}", "add a price in a catalog_file"
            )
    for budget in budgets_of(parts):
        try:
            check_budget(budget)
        except ConfigError as error:
            yield Check("budget", "fail", error.message, error.hint or "headgate config check")
        else:
            yield Check("budget", "ok", f"{budget.id}: at most ${usd_text(budget.limit_nanos)} per {budget.window} ({budget.action})")
    if settings.limits:
        yield Check("limits", "ok", ", ".join(one.subject for one in settings.limits))


def _leftovers(parts: Parts) -> Iterator[Check]:
    """Journals whose process is gone: the next one that opens the ledger here finishes what they hold."""
    left = [path for path in journals(journal_folder(parts)) if not held(path)]
    if left:
        said = f"{len(left)} of processes that did not end in order; what they had sent is booked by the next start"
        yield Check("journal", "warn", said, "headgate serve, or any headgate ask")


def _ports(parts: Parts) -> Iterator[Check]:
    for name, port in (("gateway", parts.settings.gateway_port), ("simulator", parts.settings.sim_port)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                yield Check(f"port {port}", "warn", f"in use: the {name} cannot take it", "choose another with --port")
            else:
                yield Check(f"port {port}", "ok", f"free for the {name}")


def _trust(parts: Parts) -> Iterator[Check]:
    try:
        count = len(ssl.create_default_context(cafile=parts.settings.ca_file).get_ca_certs())
    except (OSError, ssl.SSLError) as error:
        yield Check("certificates", "fail", f"{parts.settings.ca_file} cannot be read: {error}", "correct ca_file or SSL_CERT_FILE")
        return
    paths = ssl.get_default_verify_paths()
    if count or parts.settings.ca_file or paths.capath:
        yield Check("certificates", "ok", f"{count} authorities loaded")
    else:
        yield Check("certificates", "fail", "no certificate authorities", "install ca-certificates, or set SSL_CERT_FILE")


def _proxy(parts: Parts) -> Iterator[Check]:
    if parts.settings.proxy:
        yield Check("proxy", "ok", "set; calls go through it")
    elif os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        yield Check("proxy", "warn", "HTTPS_PROXY is set, and not used", "set HEADGATE_PROXY to use it")


def _prices(parts: Parts) -> Iterator[Check]:
    cards = [card for card in parts.catalog.cards if not card.provider.startswith("sim-")]
    today = day_of(time.time())
    newest = max((price.since for card in cards for price in card.prices if price.since <= today), default="")
    limit = day_of(time.time() - OLD_PRICES_DAYS * 86400)
    level: Literal["ok", "warn"] = "ok" if newest >= limit else "warn"
    yield Check("prices", level, f"{len(cards)} models, newest price of {newest or 'never'}", "update headgate")
    unpriced = [card.name for card in cards if not card.prices and card.status != "retired"]
    if unpriced:
        yield Check("prices", "warn", f"{len(unpriced)} models are unpriced: {', '.join(unpriced[:3])} …", "add prices in a catalog_file")


EXAMINERS: tuple[Callable[[Parts], Iterator[Check]], ...] = (
    _python,
    _sqlite,
    _settings,
    _dangers,
    _keys,
    _third_parties,
    _folders,
    _database,
    _redis,
    _gate,
    _leftovers,
    _ports,
    _trust,
    _proxy,
    _prices,
)
