"""A simulator in this process, which survives whatever is done to the gateway before it, and gateways as processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from headgate.config import Secret
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.testing.served import Served

Record = Callable[[str, object], None]


class MakeGate(Protocol):
    """What the fixture `make_gate` is: a running gateway over a simulator, in the test's folder. Those of one test share its ledger."""

    def __call__(self, simulator: Simulator, *, settings: str = ..., workers: int = ..., database: Secret | None = ...) -> Served: ...


MakeSimulator = Callable[[SimSettings], Simulator]


@pytest.fixture
def make_simulator() -> Iterator[MakeSimulator]:
    with ExitStack() as stack:
        yield lambda settings: stack.enter_context(Simulator(settings).run_in_thread())


@pytest.fixture
def make_gate(tmp_path: Path) -> Iterator[MakeGate]:
    with ExitStack() as stack:
        count = 0

        def make(simulator: Simulator, *, settings: str = "", workers: int = 1, database: Secret | None = None) -> Served:
            nonlocal count
            count += 1
            served = Served(tmp_path, simulator.url, settings=settings, workers=workers, database=database, name=f"gate{count}")
            return stack.enter_context(served)

        yield make


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def database(request: pytest.FixtureRequest) -> Secret | None:
    """Where the ledger is: None for a file in the data folder."""
    if request.param == "sqlite":
        return None
    url = request.getfixturevalue("postgres_url")
    assert isinstance(url, Secret)
    return url
