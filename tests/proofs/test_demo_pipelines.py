"""Nine thousand hands of blackjack, played by a model that errs in every twentieth: what comes through is the game, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headgate.assembly.demo import run_bill, simulated
from headgate.assembly.demo_results import HANDS, net_by_strategy, result_records, rework
from headgate.assembly.parts import load_parts
from headgate.assembly.runs import RunRequest, drive_run, open_run
from headgate.batch.control import Control
from headgate.batch.states import RunState
from headgate.sim.settings import SimSettings
from headgate.testing.believable import doubts
from headgate.testing.pipelines import copy_shipped

if TYPE_CHECKING:
    from tests.proofs.conftest import MakeSimulator, Record

REPEAT = 3000
ERRS = 0.05


@pytest.mark.proofs
def test_nine_thousand_hands(make_simulator: MakeSimulator, headgate_environment: Path, record_property: Record) -> None:
    copy_shipped("Blackjack", headgate_environment, repeat=REPEAT)
    simulator = make_simulator(SimSettings(seed=7, mistakes={"*": ERRS}))
    opened = open_run(simulated(load_parts(), simulator.url), RunRequest(pipeline="Blackjack", provider="sim-openai", run="one", seed="1"))
    result = asyncio.run(drive_run(load_parts(), opened, lambda progress: None, Control()))
    folder, units = headgate_environment / "runs" / "one", REPEAT * len(HANDS)
    records = result_records(folder)
    assert result.state is RunState.COMPLETE
    assert result.progress.valid + result.progress.failed == units
    assert len(records) == result.progress.valid >= units - 5
    assert all(record["action_log"] == record["true_log"] and record["player_actions"] == record["asked_actions"] for record in records)
    assert doubts(records, "strategy_name", "result", {name: theory.results for name, theory in HANDS.items()}) == []
    assert doubts(records, "strategy_name", "first_action", {name: theory.first_actions for name, theory in HANDS.items()}) == []
    assert run_bill(folder).spent == simulator.bill.total
    played = rework(folder, "play_hand", lambda fields: str(fields["strategy_name"]))
    nets = {name: round(300 * net.value, 1) for name, net in net_by_strategy(records).items()}
    figures = {"hands": units, "valid": result.progress.valid, "calls_to_play": sum(one.calls for one in played)}
    for name, value in (*figures.items(), *((f"net of 300, {name}", net) for name, net in nets.items())):
        record_property(name, value)
