"""The three demo pipelines as whole runs on the simulator, and their statistics (OCT-190 to OCT-199, ACC-01)."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from headgate.assembly.demo import DEMOS, run_bill, simulated
from headgate.assembly.demo_results import HANDS, net_by_strategy, result_records, rework, walk_outcomes
from headgate.assembly.parts import load_parts
from headgate.assembly.runs import RunRequest, drive_run, open_run, read_run
from headgate.assembly.status import read_status
from headgate.batch.control import Control
from headgate.batch.home import Home
from headgate.batch.outputs import failures
from headgate.batch.states import RunState
from headgate.batch.statistics import binomial_two_sided, normal_quantile
from headgate.batch.tables import Tables
from headgate.batch.worker import Result
from headgate.cli.demo import PIPELINES
from headgate.providers import PROVIDERS
from headgate.sim.clock import Clock, ScaledClock
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.store import Database
from headgate.testing.believable import ALPHA, doubts
from headgate.testing.clock import START
from headgate.testing.pipelines import copy_shipped
from headgate.wire.json import JsonObject

RIGHT = {"*": 0.0}
REALTIME = sorted(name for name, provider in PROVIDERS.items() if provider.simulated)
BUSTS = {"The Pro": 0.1705, "The Gambler": 0.385, "The Coward": 0.0}
DEALER_BUSTS = {"The Pro": 0.245, "The Gambler": 0.1815, "The Coward": 0.282}
"""Shares of hands, from the same simulation as `HANDS`; those of the player's busts are the middle of what OCT-195 gives."""


@pytest.fixture
def headgate_sim_settings(request: pytest.FixtureRequest) -> SimSettings:
    return SimSettings(seed=7, mistakes=getattr(request, "param", RIGHT))


@pytest.fixture
def headgate_sim_clock() -> Clock:
    return ScaledClock(START, 300.0)


def with_mistakes(**shares: float) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("headgate_sim_settings", [shares], indirect=True)


def finished(simulator: Simulator, pipeline: str, provider: str, mode: str = "realtime", units: int | None = None) -> Result:
    """A run called "one" with the seed 1, driven to its end."""
    parts = simulated(load_parts(), simulator.url)
    opened = open_run(parts, RunRequest(pipeline=pipeline, provider=provider, mode=mode, max_units=units, run="one", seed="1"))
    result = asyncio.run(drive_run(parts, opened, lambda progress: None, Control()))
    assert result.state is RunState.COMPLETE, result.reason
    status = read_status(Path("runs/one"))
    assert all(step.started == step.valid + step.failed + step.pending and step.pending == 0 for step in status.steps)
    assert run_bill(Path("runs/one")).spent == simulator.bill.total
    return result


def failed(folder: Path) -> list[JsonObject]:
    row, steps = read_run(folder)
    with Database.open(Home(folder).database, migrations="run", read_only=True) as database:
        return list(failures(Tables(database, folder), row.key, steps))


def test_the_command_knows_every_demo() -> None:
    assert tuple(DEMOS) == PIPELINES


def test_a_thousand_walks(headgate_environment: Path, headgate_sim: Simulator) -> None:
    copy_shipped("DrunkenSailor", headgate_environment, repeat=1000)
    result = finished(headgate_sim, "DrunkenSailor", "sim-openai")
    assert (result.progress.valid, result.progress.failed) == (1000, 0)
    outcomes = walk_outcomes(headgate_environment / "runs" / "one")
    counts = {name: count for name, count, _ in outcomes.shares}
    assert counts.keys() == {"fell_in_water", "reached_ship"}
    assert binomial_two_sided(counts["reached_ship"], 1000, 0.5) > ALPHA
    spread = normal_quantile(1 - ALPHA) * outcomes.theory.stdev_steps / 1000**0.5
    assert abs(outcomes.steps.value - outcomes.theory.mean_steps) < spread
    steps = [record["steps_taken"] for record in result_records(headgate_environment / "runs" / "one")]
    assert all(count % 2 == 1 and count >= 5 for count in steps)


@with_mistakes()
def test_nine_hundred_hands(headgate_environment: Path, headgate_sim: Simulator) -> None:
    """With the mistakes that the simulated model makes by itself: wrong hands are played again, and the results are those of the game."""
    result = finished(headgate_sim, "Blackjack", "sim-openai")
    folder = headgate_environment / "runs" / "one"
    assert (result.progress.valid, result.progress.failed) == (900, 0)
    records = result_records(folder)
    assert Counter(record["strategy_name"] for record in records).keys() == HANDS.keys()
    assert all(record["action_log"] == record["true_log"] and record["player_actions"] == record["asked_actions"] for record in records)
    assert doubts(records, "strategy_name", "result", {name: theory.results for name, theory in HANDS.items()}) == []
    assert doubts(records, "strategy_name", "first_action", {name: theory.first_actions for name, theory in HANDS.items()}) == []
    for field, shares in (("player_busted", BUSTS), ("dealer_busted", DEALER_BUSTS)):
        theory = {name: {"True": share, "False": 1 - share} for name, share in shares.items()}
        assert doubts(records, "strategy_name", field, theory) == []
    assert {record["difficulty"] for record in records} == {"easy", "medium", "hard"}
    for name, net in net_by_strategy(records).items():
        assert abs(net.value - HANDS[name].net) < 5 * (net.high - net.low) / (2 * 1.96)
    played = rework(folder, "play_hand", lambda fields: str(fields["strategy_name"]))
    assert [(one.group, one.units) for one in played] == [(name, 300) for name in sorted(HANDS)]
    assert 905 <= sum(one.calls for one in played) <= 960
    assert len(headgate_sim.bill) == sum(one.calls for one in (*played, *rework(folder, "analyze_difficulty", lambda fields: "all")))


def test_sixty_dialogs(headgate_environment: Path, headgate_sim: Simulator) -> None:
    result = finished(headgate_sim, "NPCDialog", "sim-gemini", "batch")
    assert (result.progress.valid, result.progress.failed) == (60, 0)
    records = result_records(headgate_environment / "runs" / "one")
    assert len({record["unit_id"] for record in records}) == 60
    assert all(record["unit_id"] == "-".join(record[name]["id"] for name in ("npc", "mood", "topic")) for record in records)
    assert Counter(record["npc_name"] for record in records) == Counter({record["npc"]["name"]: 12 for record in records})
    assert all(record["tone"] in record["mood"]["fitting_tones"] and record["lowest_score"] >= 0.6 for record in records)
    written = rework(headgate_environment / "runs" / "one", "generate_dialog", lambda fields: str(fields["npc"]["name"]))
    assert [(one.units, one.once, one.calls) for one in written] == [(12, 12, 12)] * 5


@with_mistakes(npc_dialog=0.3, dialog_scores=0.1)
def test_dialogs_that_fit_too_little_are_written_again(headgate_environment: Path, headgate_sim: Simulator) -> None:
    result = finished(headgate_sim, "NPCDialog", "sim-anthropic")
    assert (result.progress.valid, result.progress.failed) == (60, 0)
    assert all(record["lowest_score"] >= 0.6 for record in result_records(headgate_environment / "runs" / "one"))
    written = rework(headgate_environment / "runs" / "one", "generate_dialog", lambda fields: str(fields["npc"]["name"]))
    assert sum(one.calls for one in written) > 65
    assert max(one.most for one in written) > 2


@with_mistakes(blackjack_hand=1.0)
def test_a_model_that_is_always_wrong_has_no_results(headgate_environment: Path, headgate_sim: Simulator) -> None:
    result = finished(headgate_sim, "Blackjack", "sim-openai", units=30)
    assert (result.progress.valid, result.progress.failed) == (0, 30)
    assert result.exit_code == 1
    refused = failed(headgate_environment / "runs" / "one")
    assert {one["step"] for one in refused} <= {"play_hand", "verify_hand", "verify_strategy"}
    assert all(one["errors"] for one in refused)
    calls = rework(headgate_environment / "runs" / "one", "play_hand", lambda fields: "all")
    assert [(one.units, one.once) for one in calls] == [(30, 0)]


@pytest.mark.parametrize("provider", REALTIME)
def test_hands_are_played_over_every_wire(headgate_environment: Path, headgate_sim: Simulator, provider: str) -> None:
    result = finished(headgate_sim, "Blackjack", provider, units=3)
    assert (result.progress.valid, result.progress.failed) == (3, 0)


@pytest.mark.parametrize("provider", ["sim-openai", "sim-anthropic"])
def test_hands_are_played_in_batches(headgate_environment: Path, headgate_sim: Simulator, provider: str) -> None:
    result = finished(headgate_sim, "Blackjack", provider, "batch", units=3)
    assert (result.progress.valid, result.progress.failed) == (3, 0)
