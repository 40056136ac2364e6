"""A gateway over the simulator for each module, spoken to with plain HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headgate.sim.settings import SimSettings
from headgate.testing.gateway import Rig, running_gateway


@pytest.fixture(scope="module")
def module_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_gateway(tmp_path_factory.mktemp("gateway"), settings=SimSettings(seed=7)) as running:
        yield running


@pytest.fixture
def rig(module_rig: Rig) -> Iterator[Rig]:
    module_rig.calm()
    yield module_rig
    module_rig.sim.set_faults(())


@pytest.fixture(scope="module")
def slow_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The provider takes 50 ms between two events."""
    with running_gateway(tmp_path_factory.mktemp("slow"), settings=SimSettings(seed=7, event_gap=0.05)) as running:
        yield running
