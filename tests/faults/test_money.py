"""Money on every way: what does not fit, cannot be bounded or has no price, and a ledger that fails (faults E5, E6, E13, E16, F5)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from headgate.ledger.budgets import Budget
from headgate.ledger.limits import Limit
from headgate.sim.faults import Delay, Rule
from headgate.sim.faults_bytes import Patch
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import Gate, Rig, running_gateway
from headgate.testing.simulators import wait_for
from headgate.testing.ways import NOTHING, WAYS, ask, begun, settled

EVERY_WAY = pytest.mark.parametrize("way", sorted(WAYS))
NUMBERS = [-1, -(10**6), 0, 10**9, 10**18, 10**19, 10**30, 1.5, "5", True]


def with_budget(once: Gate, nanos: int, action: str = "block") -> Gate:
    return msgspec.structs.replace(once, budgets=(Budget(id="all", scope="global", limit_nanos=nanos, window="total", action=action),))


@EVERY_WAY
def test_what_does_not_fit_is_refused_with_the_numbers_or_made_to_fit(tmp_path: Path, once: Gate, way: str) -> None:
    """E5: 402 with what is left and what was asked for; with ``clamp`` a shorter answer."""
    with running_gateway(tmp_path / "block", settings=SimSettings(seed=7), gate=with_budget(once, 200_000)) as rig:
        seen = ask(rig, WAYS[way], max_tokens=1000)
        assert seen.status == 402 and seen.headers["x-should-retry"] == "false" and b"$0.0002" in seen.body
        assert not rig.sim.requests and settled(rig) == NOTHING
    with running_gateway(tmp_path / "clamp", settings=SimSettings(seed=7), gate=with_budget(once, 200_000, "clamp")) as rig:
        assert ask(rig, WAYS[way], max_tokens=1000).complete
        (receipt,) = rig.receipts(1)
        assert 0 < receipt.cost_nanos <= 200_000


@EVERY_WAY
@pytest.mark.parametrize("field", ["max_tokens", "n"])
def test_numbers_that_are_none_get_past_no_budget(tmp_path: Path, once: Gate, way: str, field: str) -> None:
    """E6: nothing is bounded by what is below nothing, beyond all measure, or no number; no answer is an error of ours."""
    limits = (*once.limits, Limit(subject="global", concurrency=1000, tpm=10**7))[-1:]
    gate = msgspec.structs.replace(with_budget(once, 1), limits=limits)
    with running_gateway(tmp_path, settings=SimSettings(seed=7), gate=gate) as rig:
        for number in NUMBERS:
            for stream in (False, True):
                seen = ask(rig, WAYS[way], stream=stream, **{field: number})
                assert 400 <= seen.status < 500, (number, seen)
        assert not rig.sim.requests and settled(rig) == NOTHING


@EVERY_WAY
def test_an_unpriced_model_is_never_free_and_refused_under_a_budget(tmp_path: Path, once: Gate, way: str) -> None:
    """E13."""
    name = f"{WAYS[way].provider}/sim-nobody-knows"
    with running_gateway(tmp_path / "free", settings=SimSettings(seed=7), gate=msgspec.structs.replace(once, budgets=())) as rig:
        rig.sim.set_faults(())
        seen = ask(rig, WAYS[way], model=name)
        for receipt in rig.all_receipts():
            assert receipt.cost_nanos is None or seen.status != 200
    with running_gateway(tmp_path / "capped", settings=SimSettings(seed=7), gate=with_budget(once, 10**12)) as rig:
        assert ask(rig, WAYS[way], model=name).status in (402, 404)
        assert not rig.sim.requests


@pytest.mark.parametrize("way", ["fast", "endpoint", "translated anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_tier_that_has_prices_of_its_own_is_not_charged_at_list_prices(rig: Rig, new_receipts, way: str, stream: bool) -> None:
    """E16: the tier of the answer counts; what it costs is not known, so that the bound is booked and the receipt says unpriced."""
    rig.sim.set_faults((Rule(Patch("service_tier", "priority")),))
    assert ask(rig, WAYS[way], stream=stream).complete
    (receipt,) = new_receipts()
    assert receipt.cost_nanos is None


@EVERY_WAY
def test_while_the_ledger_cannot_be_written_nobody_is_admitted_and_nothing_is_lost(tmp_path: Path, once: Gate, way: str) -> None:
    """F5: who is under way gets its answer; its receipt is written once the ledger can be."""
    with running_gateway(tmp_path, settings=SimSettings(seed=7), gate=once) as rig:
        assert ask(rig, WAYS[way]).complete
        assert settled(rig) == NOTHING
        rig.sim.set_faults((Rule(Delay(0.3)),))
        wire = begun(rig, WAYS[way], stream=False)
        assert wait_for(lambda: len(rig.sim.requests) == 2)
        with WithoutLedger(tmp_path):
            assert wire.reply().status == 200
            wire.close()
            assert wait_for(lambda: rig.spending.trouble is not None, 10.0)
            seen = ask(rig, WAYS[way])
            assert seen.status == 503 and len(rig.sim.requests) == 2
        assert wait_for(lambda: rig.spending.ready, 10.0)
        rig.sim.set_faults(())
        assert ask(rig, WAYS[way]).complete
        assert len(rig.receipts(3)) == 3 and settled(rig) == NOTHING


class WithoutLedger:
    """While the block runs the receipts' table refuses every row, as a disk does that is full."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ledger.db"

    def _do(self, statement: str) -> None:
        connection = sqlite3.connect(self._file, timeout=10.0)
        try:
            connection.execute(statement)
            connection.commit()
        finally:
            connection.close()

    def __enter__(self) -> None:
        self._do("CREATE TRIGGER full BEFORE INSERT ON receipt BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END")

    def __exit__(self, *_: object) -> None:
        self._do("DROP TRIGGER full")
