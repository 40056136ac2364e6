"""kill -9, signals and a full disk in a run that has every shape of step: it has the results of one that nobody disturbed.

Units are computed, spread, asked about, sent back by a judge, brought together, asked about again and written to files. The run is driven
in both modes, with a deadline and batches that never end, and switched from one mode to the other while it is driven.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from random import Random
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING

import pytest

from headgate.sim.faults import BatchEnd, Match, Rule
from headgate.sim.settings import SimSettings

if TYPE_CHECKING:
    from tests.crash.conftest import Command, Facts, NewRig, Record, Rig

PIPELINE = str(Path(__file__).with_name("pipelines") / "Mixed")
PROVIDERS = ("sim-openai", "sim-anthropic", "sim-gemini")
FURTHER = ("sim-xai", "sim-together", "sim-groq", "sim-azure_openai")
WAYS = ("realtime", "batch", "deadline", "switched")
"""How a run is driven: in one mode, in batch mode against a deadline that stuck batches would miss, or switched to and fro."""
STUCK = tuple(Rule(BatchEnd("stuck", share=0.5), Match(operation="batch_create", nth=n)) for n in (2, 5))
KILLED = -9
INTERRUPTED = 130
TIMED_OUT = 3
PATIENCE = 5.0

Arm = Callable[["Rig", int, Callable[[], None]], AbstractContextManager[object]]


ARM: dict[str, Arm] = {
    "received": lambda rig, n, act: rig.at_request(n, act, executed=False),
    "executed": lambda rig, n, act: rig.at_request(n, act, executed=True),
    "event": lambda rig, n, act: rig.watch(lambda: rig.events() >= n, act),
    "moment": lambda rig, n, act: rig.after(n / 100, act),
    "frame written, not committed": lambda rig, n, act: rig.watch(lambda: rig.written() > rig.committed() > 0, act),
    "sent back": lambda rig, n, act: rig.watch(lambda: rig.returned() >= n, act),
    "barrier": lambda rig, n, act: rig.watch(lambda: rig.gathering() >= n, act),
    "run step": lambda rig, n, act: rig.watch(lambda: (rig.run / "outputs" / ".files.draft").exists(), act),
    "run step done": lambda rig, n, act: rig.watch(lambda: (rig.run / "outputs" / "files").exists(), act),
    "output written": lambda rig, n, act: rig.watch(lambda: (rig.run / "outputs" / "results.jsonl").exists(), act),
}
"""How to notice the moment at which a run is met; `n` counts requests, events, units or hundredths of a second."""
MOST = {"received": 30, "executed": 30, "event": 60, "moment": 400, "sent back": 15, "barrier": 50}
"""About where the last of them are."""


class Mixed:
    """Runs of the pipeline, each in a folder of its own, held to one that was not disturbed."""

    def __init__(self, new_rig: NewRig, folder: Path) -> None:
        self._new_rig, self._folder = new_rig, folder
        self._lock = threading.Lock()
        self.made: Counter[str] = Counter()
        with self.rig("realtime") as rig:
            self.plain = rig.finish("sim-openai", "realtime", pipeline=PIPELINE)
        self.plain.check_units(len(self.plain.unit_ids), len(self.plain.failures))
        assert rig.returned() > 10 and len(self.plain.failures) > 2, "the pipeline tests less than it is meant to"

    @contextmanager
    def rig(self, way: str, **settings: object) -> Iterator[Rig]:
        with self._lock:
            self.made["rigs"] += 1
            folder = self._folder / str(self.made["rigs"])
        folder.mkdir()
        faults = STUCK if way == "deadline" else ()
        with self._new_rig(folder, SimSettings(time_scale=400.0, faults=faults, **settings)) as rig:
            yield rig

    def options(self, way: str) -> tuple[str, ...]:
        """The mode, and what else the command gets. The deadline counts from the run's beginning."""
        return {"deadline": ("batch", "--deadline", "3s"), "switched": ("batch",)}.get(way, (way,))

    def meet(self, rig: Rig, provider: str, way: str, trigger: str, n: int, act: Callable[[Command], None], *more: str) -> int:
        """Start (or go on with) the run and do something to it at the trigger; its exit code."""
        commands: list[Command] = []
        switching = to_and_fro(rig, n) if way == "switched" else nullcontext()
        with ARM[trigger](rig, n, lambda: [act(command) for command in commands]), switching:
            commands.append(rig.start(provider, *self.options(way), *more, pipeline=PIPELINE))
            return commands[0].wait()

    def settle(self, rig: Rig, provider: str) -> Facts:
        """Let the run end, in whatever mode it is; nothing is lost, twice or unpaid, and the results are those of the plain run."""
        rig.on_request = rig.on_executed = lambda seq, operation: None
        to_the_end = ("--provider", provider, "--run-dir", str(rig.run), "--seed", "7", "--grace", "0.5", "--quiet")
        command = rig.command("run", PIPELINE, *to_the_end)
        assert command.wait() == 0, command.output
        facts, plain = rig.facts(), self.plain
        facts.check_units(len(plain.unit_ids), len(plain.failures))
        facts.check_submissions()
        assert facts.results == plain.results
        assert {record["unit_id"] for record in facts.failures} == {record["unit_id"] for record in plain.failures}
        assert written_units(rig) == facts.by_unit
        assert facts.answered == plain.answered, "an answer was paid for twice"
        self._true_up(rig, facts)
        self._count(facts)
        return facts

    def _true_up(self, rig: Rig, facts: Facts) -> None:
        """Answers that were lost with a process are booked at what they can cost at most, until the invoice tells."""
        assert facts.booked >= facts.billed, "an answer that was lost with the process must not be free"
        bounds = sum(receipt["cost_source"] == "bound" for receipt in facts.receipts)
        changed = asyncio.run(rig.true_up({line.custom_id or str(line.client_request_id): line.nanos for line in facts.bill}))
        assert (changed.calls, changed.delta_nanos) == (bounds, facts.billed - facts.booked)
        rig.facts().check_money()

    def _count(self, facts: Facts) -> None:
        with self._lock:
            self.made["units"] += len(facts.unit_ids)
            self.made["double submissions"] += facts.double_submissions
            self.made["answers lost"] += sum(receipt["cost_source"] == "bound" for receipt in facts.receipts)
            self.made["nanos billed"] += facts.billed
            self.made["lane changes"] += facts.moves

    def killed(self, provider: str, way: str, trigger: str, n: int, again: int = 0) -> bool:
        """One case: killed at the trigger (and the resumed run at request `again`, unless 0); whether it was met before its end."""
        with self.rig(way) as rig:
            code = self.meet(rig, provider, way, trigger, n, lambda command: command.kill())
            assert code in (0, KILLED)
            if code == KILLED and again:
                assert self.meet(rig, provider, way, "executed", again, lambda command: command.kill()) in (0, KILLED)
            self.settle(rig, provider)
            return code == KILLED

    def interrupted(self, provider: str, way: str, number: int, hundredths: int) -> tuple[int, float]:
        """One case: a signal (0: ``--timeout``) after some time. The exit code, and how long the end took."""
        sent: list[float] = []

        def signal(command: Command) -> None:
            sent.append(time.monotonic())
            if number:
                command.kill(number)

        more = () if number else ("--timeout", f"{max(1, hundredths // 100)}s")
        with self.rig(way, latency=0.05) as rig:
            code = self.meet(rig, provider, way, "moment", hundredths, signal, *more)
            took = time.monotonic() - sent[0] if sent and number else 0.0
            if code == -SIGTERM:
                assert rig.state() is None, "only before the run has begun"
            else:
                assert code in (0, INTERRUPTED if number else TIMED_OUT)
                assert rig.state() in (("complete",) if code == 0 else ("paused", None))
            assert took < PATIENCE
            self.settle(rig, provider)
            return code, took


def written_units(rig: Rig) -> dict[str, object]:
    """What extract_units has written, by unit."""
    found = [json.loads(path.read_bytes()) for path in (rig.run / "outputs" / "files").iterdir()]
    return {record["unit_id"]: record for record in found}


@contextmanager
def to_and_fro(rig: Rig, seed: int) -> Iterator[None]:
    """Ask for one mode and the other, again and again at random moments, as long as the block runs."""
    over, random = threading.Event(), Random(seed)

    def ask() -> None:
        modes = ["realtime", "batch"]
        while not over.wait(random.choice((0.02, 0.1, 0.15, 0.3, 0.7))):
            if (rig.run / "run.sqlite").exists():
                rig.ask_for_mode(modes[0])
                modes.reverse()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture(scope="module")
def mixed(new_rig: NewRig, tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    return Mixed(new_rig, tmp_path_factory.mktemp("mixed"))


def sample() -> Iterator[tuple[str, str, str, int, int]]:
    """Some kinds of moments, the ways to drive a run in turn, all chosen by a seed; every other run is killed twice."""
    random = Random(31)
    for turn, trigger in enumerate(random.sample(list(ARM), 5)):
        n = random.randint(1, MOST.get(trigger, 1) // 2 + 1)
        yield random.choice(PROVIDERS), WAYS[turn % len(WAYS)], trigger, n, random.randint(1, 8) if turn % 2 else 0


@pytest.mark.parametrize(("provider", "way", "trigger", "n", "again"), [*sample()])
def test_a_killed_run_of_many_shapes_has_the_results_of_any_other(
    mixed: Mixed, provider: str, way: str, trigger: str, n: int, again: int
) -> None:
    mixed.killed(provider, way, trigger, n, again)


@pytest.mark.proofs
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("provider", [*PROVIDERS, *FURTHER])
def test_sweep_of_many_shapes(mixed: Mixed, record_property: Record, provider: str, way: str) -> None:
    """HEADGATE_KILLS random kills of each kind, a third of them followed by another one."""
    count, random = int(os.environ.get("HEADGATE_KILLS", "6")), Random(f"{provider} {way}")
    cases = [(trigger, random.randint(1, MOST.get(trigger, 3))) for trigger in ARM for _ in range(count)]
    again = [random.choice((0, 0, random.randint(1, 12))) for _ in cases]
    before, killed = mixed.made.copy(), Counter[str]()
    with ThreadPoolExecutor(2) as pool:
        died = pool.map(lambda case, second: mixed.killed(provider, way, *case, second), cases, again)
        for (trigger, _), met in zip(cases, died, strict=True):
            killed[trigger] += met
    figures = {"cases": len(cases), "killed": dict(killed), **{name: mixed.made[name] - before[name] for name in mixed.made}}
    for name, figure in figures.items():
        record_property(name, figure)
    assert sum(killed.values()) >= len(cases) // 3


def signals(count: int) -> list[tuple[str, str, int, int]]:
    """Seeded: provider, way, signal (0: ``--timeout``), and hundredths of a second until then."""
    random = Random(32)
    kinds = (SIGINT, SIGTERM, 0)
    return [(random.choice(PROVIDERS), WAYS[i % len(WAYS)], kinds[i % 3], random.randint(5, 350)) for i in range(count)]


@pytest.mark.parametrize(("provider", "way", "number", "hundredths"), signals(2))
def test_an_interrupted_run_of_many_shapes_goes_on(mixed: Mixed, provider: str, way: str, number: int, hundredths: int) -> None:
    mixed.interrupted(provider, way, number, hundredths)


@pytest.mark.proofs
def test_many_interrupts(mixed: Mixed, record_property: Record) -> None:
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda case: mixed.interrupted(*case), signals(60)))
    record_property("exit codes", {str(code): count for code, count in Counter(code for code, _ in found).items()})
    record_property("slowest end in seconds", round(max(took for _, took in found), 2))
    assert sum(code != 0 for code, _ in found) >= 40


SIZES = [24, 60, 100, 160, 240, 400]
"""Kilobytes that a file may have, from hardly anything to nearly enough."""


@pytest.mark.parametrize("mode", ["realtime", "batch"])
@pytest.mark.parametrize("kilobytes", [pytest.param(size, marks=() if size == 100 else pytest.mark.proofs) for size in SIZES])
def test_a_disk_that_fills_up_anywhere_stops_the_run_with_its_reason(mixed: Mixed, mode: str, kilobytes: int) -> None:
    with mixed.rig(mode) as rig:
        command = rig.start("sim-openai", mode, pipeline=PIPELINE, file_size=kilobytes << 10)
        code = command.wait()
        assert code in (0, 1), command.output
        assert code == 0 or "hint: " in command.output
        assert "Traceback" not in command.output
        mixed.settle(rig, "sim-openai")
