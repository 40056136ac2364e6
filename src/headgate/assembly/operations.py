"""What is told about a running gateway, put together from its parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from headgate import __version__
from headgate.assembly.parts import Parts
from headgate.errors import StoreError
from headgate.gateway.operations import Operations
from headgate.ledger import Ledger
from headgate.ledger.overload import resident_bytes
from headgate.observe.counters import Counters, Known
from headgate.observe.facts import RequestFacts
from headgate.observe.scrape import Scraper, SnapshotFolder
from headgate.serving.app import App
from headgate.serving.observing import Observer
from headgate.serving.readiness import Probe, Readiness
from headgate.store.connection import Connection


def metrics_folder(data_dir: Path, port: int) -> Path:
    """Where the processes of the gateway on `port` write their counts."""
    return data_dir / "metrics" / str(port)


def clear_metrics(folder: Path) -> None:
    """Make the folder, for its owner only, and forget what an earlier gateway left there. Raises `StoreError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in folder.glob("*.json"):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"counts cannot be written to {folder}: {error.strerror}", hint=f"ls -ld {folder}") from error


def process_counters(folder: SnapshotFolder | None = None) -> Counters:
    """The counts of this process, going on from those of the one whose place it takes in `folder`. Raises `StoreError`."""
    counters = Counters()
    counters.gauge("resident_bytes", lambda: {(): resident_bytes()})
    before = None if folder is None else folder.restore()
    if before is not None:
        counters.restore(before)
    return counters


def gateway_operations(
    parts: Parts,
    ledger: Ledger,
    counters: Counters,
    *listeners: Callable[[RequestFacts], None],
    folder: SnapshotFolder | None = None,
    essential: Mapping[str, Probe] | None = None,
    others: Mapping[str, Probe] | None = None,
) -> Operations:
    """Counts, readiness and what listens to finished requests, for one process; `folder` is where it meets its siblings.

    `essential` and `others` are further checks, those without which no request is served first.
    """
    first = {"ledger": _ledger_probe(ledger), **(essential or {})}
    readiness = Readiness(time.monotonic, first, {"providers": _provider_probe(parts), **(others or {})})
    scraper = Scraper(counters, time.time, __version__, folder)
    return Operations(observer=Observer(counters, *listeners), scraper=scraper, readiness=readiness, metrics=parts.settings.gateway.metrics)


def known_labels(app: App, parts: Parts) -> Known:
    """What metrics may name: the routes, and the providers and models of the catalog."""
    cards = parts.catalog.cards
    return Known(
        frozenset(route.path for route in app.routes.all),
        frozenset(parts.providers),
        frozenset(card.id for card in cards),
    )


def _ledger_probe(ledger: Ledger) -> Probe:
    def look(connection: Connection) -> None:
        connection.execute("SELECT 1").fetchone()

    async def probe() -> str | None:
        try:
            await ledger.database.read_async(look)
        except StoreError:
            return "unreachable"
        return None

    return probe


def _provider_probe(parts: Parts) -> Probe:
    async def probe() -> str | None:
        return None if parts.with_keys() else "no provider has a key"

    return probe
