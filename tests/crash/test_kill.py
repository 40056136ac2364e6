"""kill -9 anywhere: nothing is lost, nothing is submitted twice, and receipts equal the provider's bill to the nano-dollar.

The simulator lives in this process, so that it survives the run and knows what really happened. Runs are killed when it receives request
n, when it has executed request n but not answered, and when row n of the run's event table appears. The product has no code for this.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from headgate.sim.faults import Match, Rows, Rule, Twist
from headgate.sim.settings import SimSettings

if TYPE_CHECKING:
    from tests.crash.conftest import Command, Facts, MakeRig, NewRig, Record, Rig

PROVIDERS = ("sim-openai", "sim-anthropic", "sim-gemini")
FURTHER = ("sim-xai", "sim-bedrock", "sim-together", "sim-groq", "sim-azure_openai")
"""Wires whose batches have an envelope of their own, or a flavour of OpenAI's."""
MODES = ("batch", "realtime")
EVERY = [(provider, mode) for provider in (*PROVIDERS, *FURTHER) for mode in MODES]
EVERY += [(provider, "realtime") for provider in ("sim-ollama", "sim-vertex")]
SWEPT = ("received", "executed", "event")
UNITS = 100
KILLED = -9

Arm = Callable[["Rig", int, Callable[[], None]], AbstractContextManager[object]]


class Target:
    """The process to be killed, which is not known yet when the trigger is set."""

    def __init__(self) -> None:
        self.command: Command | None = None

    def kill(self) -> None:
        if self.command is not None:
            self.command.kill()


ARM: dict[str, Arm] = {
    "received": lambda rig, n, act: rig.at_request(n, act, executed=False),
    "executed": lambda rig, n, act: rig.at_request(n, act, executed=True),
    "event": lambda rig, n, act: rig.watch(lambda: rig.events() >= n, act),
    "moment": lambda rig, n, act: rig.after(n / 100, act),
    "database made": lambda rig, n, act: rig.watch(lambda: (rig.run / "run.sqlite").exists(), act),
    "engine made": lambda rig, n, act: rig.watch(lambda: (rig.run / "engine.sqlite").exists(), act),
    "planning": lambda rig, n, act: rig.watch(lambda: rig.written() > 0, act),
    "frame written, not committed": lambda rig, n, act: rig.watch(lambda: rig.written() > rig.committed() > 0, act),
    "ledger told": lambda rig, n, act: rig.watch(lambda: rig.settlements() >= n, act),
    "output begun": lambda rig, n, act: rig.watch(lambda: any((rig.run / "outputs").glob(".*.draft")), act),
    "output written": lambda rig, n, act: rig.watch(lambda: (rig.run / "outputs" / "results.jsonl").exists(), act),
}
"""How to notice the moment at which a run is killed; `n` counts requests, events, settlements or hundredths of a second."""
MOMENTS = tuple(ARM)[3:]


def kill_once(rig: Rig, provider: str, mode: str, trigger: str, n: int) -> bool:
    """Start (or go on with) the run and kill it at the trigger; False when it ended before."""
    target = Target()
    with ARM[trigger](rig, n, target.kill):
        target.command = rig.start(provider, mode)
        code = target.command.wait()
    assert code in (0, KILLED), target.command.output
    return code == KILLED


def settle(rig: Rig, provider: str, mode: str, *, may_fail: bool = False) -> Facts:
    """Let the run end, and bring receipts and bill together."""
    facts = rig.finish(provider, mode)
    facts.check_units(UNITS, len(facts.failures) if may_fail else 0)
    facts.check_submissions()
    if mode == "realtime":
        assert facts.booked >= facts.billed, "an answer that was lost with the process must not be free"
        bounds = sum(receipt["cost_source"] == "bound" for receipt in facts.receipts)
        changed = asyncio.run(rig.true_up(facts.invoice))
        assert (changed.calls, changed.delta_nanos) == (bounds, facts.billed - facts.booked)
        facts = rig.facts()
    facts.check_money()
    return facts


def swept(rig: Rig, provider: str, mode: str, trigger: str, n: int, again: int = 0) -> bool:
    """One case: killed at `n` (and the resumed run at `again`, unless 0); then everything must be right."""
    killed = kill_once(rig, provider, mode, trigger, n)
    if killed and again:
        kill_once(rig, provider, mode, trigger, again)
    settle(rig, provider, mode)
    return killed


def sample() -> Iterator[tuple[str, str, str, int, int]]:
    """Two kills for each provider and mode, at moments a seed chose; every other resumed run is killed as well."""
    random = Random(28)
    for provider in PROVIDERS:
        for mode in MODES:
            trigger = random.choice(SWEPT)
            most = 9 if trigger == "event" else 6 if mode == "batch" else 100
            yield provider, mode, trigger, random.randint(1, most), random.choice((0, random.randint(1, 4)))
            yield provider, mode, random.choice(MOMENTS), random.randint(1, 3), 0


def further_sample() -> Iterator[tuple[str, str, str, int, int]]:
    """A kill around the creation of each further wire's job, and one in the realtime lane of one of them."""
    random = Random(29)
    for provider in FURTHER:
        yield provider, "batch", random.choice(("received", "executed")), random.randint(1, 3), random.choice((0, random.randint(1, 3)))
    yield random.choice(FURTHER), "realtime", random.choice(SWEPT), random.randint(1, 9), 0


@pytest.mark.parametrize(("provider", "mode", "trigger", "n", "again"), [*sample(), *further_sample()])
def test_a_killed_run_goes_on_without_loss(make_rig: MakeRig, provider: str, mode: str, trigger: str, n: int, again: int) -> None:
    with make_rig() as rig:
        swept(rig, provider, mode, trigger, n, again)


def test_answers_that_were_paid_for_and_spoilt_are_tried_again_over_a_kill(make_rig: MakeRig) -> None:
    """The same with units that need several tries: what was spent on a useless answer is on the receipts as well."""
    useless = (
        Rule(Twist("invalid"), Match(operation="chat", share=0.2)),
        Rule(Rows("invalid", 0.2), Match(operation="batch_create", nth=1)),
    )
    for mode in MODES:
        with make_rig(SimSettings(time_scale=400.0, faults=useless)) as rig:
            assert kill_once(rig, "sim-openai", mode, "executed", 4)
            facts = settle(rig, "sim-openai", mode, may_fail=True)
            assert any(receipt["outcome"] == "invalid" for receipt in facts.receipts)


@pytest.mark.parametrize("n", [pytest.param(n, marks=() if n == 9 else pytest.mark.proofs) for n in range(1, 21, 2)])
@pytest.mark.parametrize("trigger", [pytest.param("received", marks=pytest.mark.proofs), "executed"])
def test_a_kill_among_calls_that_stand_in_for_a_batch(make_rig: MakeRig, trigger: str, n: int) -> None:
    """Too few for Bedrock's batches: the calls of a chunk in batch mode are found again as what they are."""
    with make_rig() as rig:
        target = Target()
        with ARM[trigger](rig, n, target.kill):
            target.command = rig.start("sim-bedrock", "batch", "--max-units", "20")
            assert target.command.wait() == KILLED, target.command.output
        facts = rig.finish("sim-bedrock", "batch")
        facts.check_units(20)
        facts.check_submissions()
        assert facts.booked >= facts.billed
        assert {receipt["lane"] for receipt in facts.receipts} == {"realtime"}
        asyncio.run(rig.true_up(facts.invoice))
        rig.facts().check_money()


@pytest.mark.proofs
@pytest.mark.parametrize(("provider", "mode"), EVERY)
@pytest.mark.parametrize("trigger", SWEPT)
def test_sweep(new_rig: NewRig, tmp_path: Path, record_property: Record, provider: str, mode: str, trigger: str) -> None:
    """Every n until the run ends before it: HEADGATE_KILL_STRIDE takes only every so many."""
    stride = int(os.environ.get("HEADGATE_KILL_STRIDE", "1"))
    rigs = Rigs(new_rig, tmp_path)

    def case(n: int) -> bool:
        return rigs.swept(provider, mode, trigger, n)

    killed = run_until_missed(case, stride)
    for name, figure in {"cases": len(killed), "killed": sum(killed.values()), "stride": stride, **rigs.figures()}.items():
        record_property(name, figure)
    assert sum(killed.values()) >= (5 if mode == "batch" else 9) // stride


@pytest.mark.proofs
@pytest.mark.parametrize(("provider", "mode"), EVERY)
def test_sweep_of_moments(new_rig: NewRig, tmp_path: Path, record_property: Record, provider: str, mode: str) -> None:
    """What the request and event sweeps cannot aim at: files half written, the ledger told and not noted, and any moment at all."""
    rigs, random = Rigs(new_rig, tmp_path), Random(f"{provider} {mode}")
    cases = [(trigger, n) for trigger in MOMENTS if trigger != "moment" for n in (1, 2, 3)]
    cases += [("moment", random.randint(1, 250)) for _ in range(24)]
    killed: Counter[str] = Counter()
    with ThreadPoolExecutor(2) as pool:
        for (trigger, _), died in zip(cases, pool.map(lambda case: rigs.swept(provider, mode, *case), cases), strict=True):
            killed[trigger] += died
    for name, figure in {"cases": len(cases), "killed": dict(killed), **rigs.figures()}.items():
        record_property(name, figure)
    assert sum(killed.values()) >= len(cases) // 2


def run_until_missed(case: Callable[[int], bool], stride: int) -> dict[int, bool]:
    """Run the cases 1, 1 + stride, … two at a time, until two in a row were not reached any more."""
    killed: dict[int, bool] = {}
    with ThreadPoolExecutor(2) as pool:
        n = 1
        while True:
            pair = (n, n + stride)
            killed.update(zip(pair, pool.map(case, pair), strict=True))
            if not any(killed[k] for k in pair):
                return killed
            n += 2 * stride


class Rigs:
    """Makes a rig for each case of a sweep, and adds up what happened."""

    def __init__(self, new_rig: NewRig, folder: Path) -> None:
        self._new_rig, self._folder = new_rig, folder
        self._made: Counter[str] = Counter()

    def swept(self, provider: str, mode: str, trigger: str, n: int) -> bool:
        """`swept` in a folder of its own; every third resumed run is killed as well."""
        self._made["all"] += 1
        folder = self._folder / f"{self._made['all']}-{trigger.replace(' ', '-')}-{n}"
        folder.mkdir()
        with self._new_rig(folder, SimSettings(time_scale=400.0)) as rig:
            died = kill_once(rig, provider, mode, trigger, n)
            again = died and n % 3 == 0 and kill_once(rig, provider, mode, "executed", 1 + n % 4)
            facts = settle(rig, provider, mode)
        self._made["killed twice"] += again
        self._made["bounds trued up"] += sum(receipt["cost_source"] == "invoice" for receipt in facts.receipts)
        self._made["units"] += len(facts.results)
        self._made["lost"] += UNITS - len(set(facts.unit_ids))
        self._made["duplicated"] += len(facts.unit_ids) - len(set(facts.unit_ids))
        self._made["double submissions"] += facts.double_submissions
        self._made["nanos off the bill"] += abs(facts.booked - facts.billed)
        self._made["nanos billed"] += facts.billed
        self._made["adopted"] += sum(submission.matched_by in ("tag", "window") for submission in facts.submissions)
        self._made["abandoned"] += sum(submission.state == "refused" for submission in facts.submissions)
        return died

    def figures(self) -> dict[str, int]:
        """What all cases came to."""
        return {name: count for name, count in self._made.items() if name != "all"}
