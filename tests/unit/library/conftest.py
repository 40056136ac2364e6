"""Parts of a client over the simulator."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.catalog.load import load_catalog
from headgate.config.route_settings import RoutingSettings
from headgate.ledger import Ledger
from headgate.library import LibraryParts
from headgate.router import Router
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import fresh_id, sim_resolver, sim_table
from headgate.transport.http1 import HttpClient

MakeParts = Callable[[], LibraryParts]


@pytest.fixture(scope="module")
def module_sim() -> Iterator[Simulator]:
    with Simulator(SimSettings(seed=7, event_gap=0.002)).run_in_thread() as running:
        yield running


@pytest.fixture
def sim(module_sim: Simulator) -> Iterator[Simulator]:
    yield module_sim
    module_sim.set_faults(())


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.db")
    yield opened
    opened.close()


@pytest.fixture
def make_parts(sim: Simulator, ledger: Ledger, tmp_path: Path) -> MakeParts:
    """New parts, whose HTTP client is closed with the library's; the ledger stays open for the test. One attempt is all a call has."""
    catalog = load_catalog()
    resolve = sim_resolver(sim.url, catalog)

    def make() -> LibraryParts:
        http = HttpClient()
        return LibraryParts(
            router=Router(sim_table(catalog, RoutingSettings(attempts=1)), random.Random(7).random),
            target=lambda deployment: resolve(deployment.name),
            http=http,
            ledger=ledger,
            journal=tmp_path / "journal",
            clock=time.time,
            new_id=fresh_id,
            close=http.aclose,
        )

    return make
