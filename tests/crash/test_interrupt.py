"""Interrupted by hand: exit code 130 within five seconds, the run paused, and everything right once it goes on (OCT-160)."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING

import pytest

from headgate.sim.settings import SimSettings, Timings

if TYPE_CHECKING:
    from tests.crash.conftest import Facts, MakeRig, NewRig, Record, Rig

UNITS = 100
INTERRUPTED = 130
PATIENCE = 5.0
SLOW = SimSettings(time_scale=100.0, latency=0.1)
"""A batch takes about 0.8 s, a realtime call 0.1 s: a run is under way long enough to be met anywhere."""
CASES = [
    ("sim-openai", "realtime"),
    ("sim-openai", "batch"),
    ("sim-anthropic", "batch"),
    ("sim-gemini", "realtime"),
    ("sim-gemini", "batch"),
]


def interrupt(rig: Rig, provider: str, mode: str, seconds: float, *, group: bool = False) -> tuple[int, float]:
    """Start the run and interrupt it after so many seconds: the exit code, and how long the end took."""
    command = rig.start(provider, mode)
    sent = [0.0]

    def send() -> None:
        sent[0] = time.monotonic()
        try:
            (os.killpg if group else os.kill)(command.pid, SIGINT)
        except ProcessLookupError:
            return

    due = time.monotonic() + seconds
    with rig.watch(lambda: time.monotonic() >= due, send):
        code = command.wait()
    took = time.monotonic() - sent[0] if sent[0] else 0.0
    assert code in (0, INTERRUPTED), command.output
    return code, took


def goes_on(rig: Rig, provider: str, mode: str) -> Facts:
    """The interrupted run, resumed: complete, nothing lost, and the money exact."""
    facts = rig.finish(provider, mode)
    facts.check_units(UNITS)
    facts.check_submissions()
    if mode == "realtime":
        assert facts.booked >= facts.billed
        asyncio.run(rig.true_up(facts.invoice))
        facts = rig.facts()
    facts.check_money()
    return facts


def interrupted(rig: Rig, provider: str, mode: str, seconds: float, *, group: bool) -> tuple[int, float]:
    """One case of the sweep."""
    code, took = interrupt(rig, provider, mode, seconds, group=group)
    state = rig.state()
    if code == INTERRUPTED:
        assert took < PATIENCE
        assert state in ("paused", None), "a run that was not begun has no state"
    else:
        assert state == "complete"
    goes_on(rig, provider, mode)
    return code, took


def moments(count: int) -> list[tuple[str, str, float, bool]]:
    """Seeded: provider, mode, seconds until the signal, and whether the terminal's whole process group gets it."""
    random = Random(160)
    return [(*CASES[i % len(CASES)], random.uniform(0.02, 1.6), random.random() < 0.5) for i in range(count)]


@pytest.mark.parametrize(("provider", "mode", "seconds", "group"), moments(6))
def test_an_interrupted_run_is_paused_and_goes_on(make_rig: MakeRig, provider: str, mode: str, seconds: float, group: bool) -> None:
    with make_rig(SLOW) as rig:
        interrupted(rig, provider, mode, seconds, group=group)


@pytest.mark.proofs
def test_fifty_interrupts(new_rig: NewRig, tmp_path: Path, record_property: Record) -> None:
    def case(i: int) -> tuple[int, float]:
        provider, mode, seconds, group = moments(50)[i]
        folder = tmp_path / str(i)
        folder.mkdir()
        with new_rig(folder, SLOW) as rig:
            return interrupted(rig, provider, mode, seconds, group=group)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(case, range(50)))
    codes = Counter(code for code, _ in found)
    record_property("exit codes", {str(code): count for code, count in codes.items()})
    record_property("slowest end in seconds", round(max(took for code, took in found if code == INTERRUPTED), 2))
    assert codes[INTERRUPTED] >= 35


def test_a_provider_that_hangs_does_not_hold_up_the_end(make_rig: MakeRig) -> None:
    """Calls in flight are given up after a moment, and booked at what they can cost at most."""
    with make_rig(SimSettings(latency=60.0)) as rig:
        code, took = interrupt(rig, "sim-openai", "realtime", 1.8)
        assert (code, rig.state()) == (INTERRUPTED, "paused")
        assert took < PATIENCE
        assert rig.bounds() == 64, "as many calls as are in flight at once"


def test_sigterm_pauses_too(make_rig: MakeRig) -> None:
    with make_rig(SimSettings(time_scale=40.0)) as rig:
        command = rig.start("sim-anthropic", "batch")
        with rig.watch(lambda: rig.events() >= 8, lambda: command.kill(SIGTERM)):
            assert command.wait() == INTERRUPTED, command.output
        assert rig.state() == "paused"
        goes_on(rig, "sim-anthropic", "batch")


def test_the_second_interrupt_ends_the_process_at_once(make_rig: MakeRig) -> None:
    with make_rig(SimSettings(latency=30.0)) as rig:
        command = rig.start("sim-gemini", "realtime")
        with rig.watch(lambda: bool(rig.simulator.requests), lambda: command.kill(SIGINT)):
            assert rig.wait_for(lambda: "pausing" in command.output)
        began = time.monotonic()
        command.kill(SIGINT)
        assert command.wait() in (-SIGINT, INTERRUPTED)
        assert time.monotonic() - began < 1.0
    assert rig.state() in ("running", "paused")


def test_what_the_second_interrupt_left_goes_on(make_rig: MakeRig) -> None:
    with make_rig(SimSettings(time_scale=60.0, timings=Timings(run=120.0))) as rig:
        command = rig.start("sim-openai", "batch")
        with rig.watch(lambda: rig.events() >= 8, lambda: command.kill(SIGINT)):
            assert rig.wait_for(lambda: "pausing" in command.output)
        command.kill(SIGINT)
        assert command.wait() in (-SIGINT, INTERRUPTED)
        goes_on(rig, "sim-openai", "batch")
