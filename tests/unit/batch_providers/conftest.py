"""A simulator, and a user without keys whose data folder is empty."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.providers import PROVIDERS
from headgate.sim.server import Simulator
from headgate.testing.clock import ManualClock
from headgate.testing.simulators import running_simulator


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """A running simulator whose clock stands still at the time of day."""
    with running_simulator(clock=ManualClock(time.time())) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def workplace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working folder and data folder, and no keys."""
    keys = {name for provider in PROVIDERS.values() for name in (*provider.auth.env, *provider.auth.parts)}
    for name in [name for name in os.environ if name.startswith("HEADGATE_") or name in keys]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HEADGATE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path
