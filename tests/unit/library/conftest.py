"""Parts of a client over the simulator."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.ledger import Ledger
from headgate.library import LibraryParts
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import fresh_id, sim_resolver
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
def make_parts(sim: Simulator, ledger: Ledger) -> MakeParts:
    """New parts, whose HTTP client is closed with the library's; the ledger stays open for the test."""

    def make() -> LibraryParts:
        http = HttpClient()
        return LibraryParts(resolve=sim_resolver(sim.url), http=http, ledger=ledger, clock=time.time, new_id=fresh_id, close=http.aclose)

    return make
