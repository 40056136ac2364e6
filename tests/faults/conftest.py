"""A gateway with little patience, for what goes wrong upstream; everything it holds can be counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from headgate.config.route_settings import RoutingSettings
from headgate.ledger.budgets import Budget
from headgate.ledger.limits import Limit
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import Gate, Rig, running_gateway
from headgate.testing.ways import NOTHING, settled
from headgate.transport.settings import TransportSettings

IMPATIENT = TransportSettings(
    connect_timeout=1.0,
    total_timeout=1.0,
    first_byte_timeout=0.6,
    first_event_timeout=0.6,
    idle_timeout=0.6,
    stream_timeout=2.0,
    pool_timeout=1.0,
    drain_timeout=0.1,
)
COUNTED = Limit(subject="global", concurrency=1000)
"""A limit that is never reached: what is held of it shows."""
FUNDED = Budget(id="all", scope="global", limit_nanos=10**12, window="total")
ONCE = Gate(transport=IMPATIENT, budgets=(FUNDED,), limits=(COUNTED,), routing=RoutingSettings(attempts=1, deadline=5.0))
"""One attempt, so that it is seen what became of it."""


@pytest.fixture(scope="session")
def once() -> Gate:
    return ONCE


@pytest.fixture(scope="module")
def module_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_gateway(tmp_path_factory.mktemp("gateway"), settings=SimSettings(seed=7), gate=ONCE) as running:
        yield running


@pytest.fixture
def rig(module_rig: Rig) -> Iterator[Rig]:
    """Whatever a test did, nothing is held afterwards."""
    module_rig.calm()
    yield module_rig
    module_rig.sim.set_faults(())
    assert settled(module_rig) == NOTHING


@pytest.fixture
def new_receipts(rig: Rig) -> Callable[[], list]:
    """Gives the receipts that were written since the last question, once nothing is under way."""
    seen = {receipt.id for receipt in rig.all_receipts()}

    def find() -> list:
        assert settled(rig) == NOTHING
        found = [receipt for receipt in rig.all_receipts() if receipt.id not in seen]
        seen.update(receipt.id for receipt in found)
        return found

    return find
