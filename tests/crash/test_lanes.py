"""Runs that are switched from one mode to the other while they are driven, as fast as that goes: each call is made once, and they end."""

from __future__ import annotations

import threading
from random import Random
from typing import TYPE_CHECKING

import pytest

from headgate.dialects.batch_openai_files import CROWDED
from headgate.sim.faults import BatchEnd, Delay, Match, Rule
from headgate.sim.settings import SimSettings
from headgate.testing.pipelines import CONFIG, TEMPLATE, write_quiz

if TYPE_CHECKING:
    from tests.crash.conftest import Facts, MakeRig, Record, Rig

UNITS = 300
API = "  max_inflight_batches: 4\n  retry: {initial_delay_seconds: 0.05}\n"


def many(rig: Rig, units: int, chunk: int) -> str:
    """A pipeline of so many questions in chunks of so many."""
    config = CONFIG.replace("chunk_size: 10", f"chunk_size: {chunk}").replace("  provider: sim-openai\n", API)
    items = "questions:\n" + "".join(f"  - {{id: q{n}, text: question {n}}}\n" for n in range(units))
    write_quiz(rig.folder, config=config, items=items, template=TEMPLATE)
    return "Quiz"


def once_each(facts: Facts, units: int) -> None:
    """Every unit was asked about exactly once, in whatever lane, and paid for."""
    facts.check_units(units)
    facts.check_submissions()
    facts.check_money()
    assert (len(facts.bill), facts.answered) == (units, units)


def hammered(rig: Rig, mode: str, seed: int, units: int) -> Facts:
    """Drive a run while its mode is asked for anew at random moments, until it ends."""
    pipeline, random, over = many(rig, units, 10), Random(seed), threading.Event()

    def hammer() -> None:
        modes = ["batch", "realtime"] if mode == "realtime" else ["realtime", "batch"]
        rig.wait_for(lambda: (rig.run / "run.sqlite").exists())
        while not over.wait(random.choice((0.01, 0.05, 0.1, 0.1, 0.15, 0.3))):
            rig.ask_for_mode(modes[0])
            modes.reverse()

    thread = threading.Thread(target=hammer)
    thread.start()
    try:
        command = rig.start("sim-openai", mode, "--concurrency", "16", pipeline=pipeline)
        assert command.wait() == 0, command.output
    finally:
        over.set()
        thread.join()
    return rig.facts()


@pytest.mark.parametrize(("mode", "seed"), [("realtime", 1), ("batch", 2)])
def test_a_run_that_is_switched_to_and_fro_calls_once_for_each_unit(make_rig: MakeRig, mode: str, seed: int) -> None:
    with make_rig(SimSettings(time_scale=400.0, latency=0.15)) as rig:
        facts = hammered(rig, mode, seed, UNITS)
        once_each(facts, UNITS)
        assert facts.moves > 3


@pytest.mark.proofs
@pytest.mark.parametrize("mode", ["realtime", "batch"])
def test_many_runs_that_are_switched_to_and_fro(make_rig: MakeRig, record_property: Record, mode: str) -> None:
    moves = []
    for seed in range(8):
        with make_rig(SimSettings(time_scale=400.0, latency=0.02 + seed * 0.04)) as rig:
            facts = hammered(rig, mode, seed, 500)
            once_each(facts, 500)
            moves.append(facts.moves)
    record_property("runs", len(moves))
    record_property("lane changes", sum(moves))


def test_a_mode_that_changes_back_while_calls_end_leaves_nobody_behind(make_rig: MakeRig) -> None:
    """Units that a chunk of calls has left for a batch are asked after all, because there will be none."""
    last = Rule(Delay(2.0), Match(operation="chat", nth=256))
    with make_rig(SimSettings(time_scale=400.0, faults=(last,))) as rig:
        pipeline = many(rig, UNITS, UNITS)

        def hook(seq: int, operation: str) -> None:
            """The first call is answered when the run's mode is batch."""
            if operation == "chat":
                rig.on_request = lambda seq, operation: None
                rig.ask_for_mode("batch")
                assert rig.wait_for(lambda: rig.mode() == "batch")

        rig.on_request = hook
        with rig.watch(lambda: rig.attempts() == 255, lambda: rig.ask_for_mode("realtime")):
            command = rig.start("sim-openai", "realtime", "--concurrency", "4", pipeline=pipeline)
            assert command.wait() == 0, command.output
        once_each(rig.facts(), UNITS)


def test_a_chunk_that_found_no_room_goes_on_in_another_lane(make_rig: MakeRig) -> None:
    """Its job is over before it began; switched to realtime meanwhile, the run does not wait for it for ever."""
    crowded = Rule(BatchEnd("failed", code=CROWDED), Match(operation="batch_create"))
    with make_rig(SimSettings(time_scale=400.0, faults=(crowded,))) as rig:
        pipeline = many(rig, 20, 10)
        command = rig.start("sim-azure_openai", "batch", pipeline=pipeline)
        assert rig.wait_for(lambda: rig.refused() > 0), command.output
        rig.ask_for_mode("realtime")
        assert command.wait() == 0, command.output
        once_each(rig.facts(), 20)
