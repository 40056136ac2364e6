"""Fixtures on the simulator, for ``pytest_plugins = ["headgate.testing.pytest_plugin"]``.

* `headgate_sim_settings`, `headgate_sim_clock`: override them to shape the simulator.
* `headgate_sim`: a simulator on a free port.
* `headgate_environment`: an empty working folder and data folder, no keys, and `HEADGATE_SIM_URL` set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.providers import PROVIDERS
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.testing.clock import START, Clock, ManualClock
from headgate.testing.simulators import running_simulator


@pytest.fixture
def headgate_sim_settings() -> SimSettings:
    """How the simulator is set up."""
    return SimSettings(seed=7)


@pytest.fixture
def headgate_sim_clock() -> Clock:
    """The simulator's clock: one that stands still until it is advanced."""
    return ManualClock(START)


@pytest.fixture
def headgate_sim(headgate_sim_settings: SimSettings, headgate_sim_clock: Clock) -> Iterator[Simulator]:
    """A running simulator."""
    with running_simulator(headgate_sim_settings, headgate_sim_clock) as simulator:
        yield simulator


@pytest.fixture
def headgate_environment(headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The working folder of a user without keys or settings, whose simulated providers lie at `headgate_sim`."""
    kept = {name for provider in PROVIDERS.values() for name in provider.auth.env}
    for name in [name for name in os.environ if name.startswith("HEADGATE_") or name in kept]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HEADGATE_SIM_URL", headgate_sim.url)
    monkeypatch.setenv("HEADGATE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path
