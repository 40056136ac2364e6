"""A tiny app on a real socket with short deadlines; a ledger's database of either kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.store import Store, open_store
from headgate.testing.tiny_server import QUICK, Running, running_app


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with running_app(QUICK) as server:
        yield server


@pytest.fixture
def server(running: Running) -> Running:
    running.seen.clear()
    return running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    place = tmp_path / "ledger.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened = open_store(place, migrations="ledger")
    yield opened
    opened.close()
