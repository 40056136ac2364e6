"""The router through outages, second by second on a clock of its own: amplification, opening, recovery, probes (faults A26, C1 to C20)."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable

import pytest

from headgate.catalog.load import load_catalog
from headgate.config.route_settings import DeploymentSettings, RouteSettings, RoutingSettings, Strategy
from headgate.errors import ErrorKind, ProviderError
from headgate.router import WELL, Fallback, Flight, Retry, Router, RoutingTable, Wish, report_of
from headgate.testing.routes import surroundings

NAMES = ("sim-openai/sim-small", "sim-anthropic/sim-small", "sim-groq/sim-large")
Fate = Callable[[str, float, random.Random], tuple[ErrorKind | None, float | None]]
"""How a call to a deployment at a time ends, and what wait the provider asks for."""


class World:
    """Requests at a steady pace through a router, calls that take a while, and a ledger of what happened."""

    def __init__(
        self, fate: Fate, names: Iterable[str] = NAMES, strategy: Strategy = "round_robin", seed: int = 1, **routing: object
    ) -> None:
        route = RouteSettings(name="chat", deployments=tuple(DeploymentSettings(model=name) for name in names), strategy=strategy)
        table = RoutingTable(surroundings(load_catalog(), routes=(route,), routing=RoutingSettings(**routing)))  # type: ignore[arg-type]
        self.lots = random.Random(seed)
        self.router = Router(table, self.lots.random)
        self.fate = fate
        self.calls: list[tuple[float, str]] = []
        self.answered: list[float] = []
        self.turned_away: list[float] = []
        self.failed: list[float] = []
        self.probing: dict[str, int] = {}
        self.most_probes = 0
        self._queue: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0

    def at(self, when: float, what: Callable[[float], None]) -> None:
        """Let something happen at a time."""
        self._count += 1
        heapq.heappush(self._queue, (when, self._count, what))

    def run(self, per_second: float, seconds: float, took: float = 0.05) -> None:
        """Requests for so many seconds."""
        for n in range(int(per_second * seconds)):
            self.at(n / per_second, lambda now: self._ask(now, took))
        while self._queue:
            now, _, what = heapq.heappop(self._queue)
            what(now)

    def _ask(self, now: float, took: float) -> None:
        plan = self.router.plan(Wish(model="chat"), now)
        started = self.router.start(plan, now)
        if started is None:
            self.turned_away.append(now)
            return
        self._call(plan, started[0].deployment.id, started[1], [], now, now + 60.0, took)

    def _call(self, plan: object, id: str, flight: Flight, tried: list[str], now: float, deadline: float, took: float) -> None:
        self.calls.append((now, id))
        tried.append(id)
        probe = flight.live.breaker.state == "half_open"
        if probe:
            self.probing[id] = self.probing.get(id, 0) + 1
            self.most_probes = max(self.most_probes, self.probing[id])

        def end(then: float) -> None:
            if probe:
                self.probing[id] -= 1
            kind, wait = self.fate(id, now, self.lots)
            if kind is None:
                flight.first_byte(then)
                flight.ended(WELL, then, self.lots.random())
                self.answered.append(then)
                return
            error = ProviderError(kind, "x", retry_after=wait)
            flight.ended(report_of(error), then, self.lots.random())
            decision = self.router.next(plan, tried, error, then, deadline)  # type: ignore[arg-type]
            if isinstance(decision, Fallback):
                follow(then, self.router.begin(decision.choice.deployment, then), decision.choice.deployment.id)
            elif isinstance(decision, Retry):
                again = flight.live.deployment
                self.at(then + decision.after, lambda later: follow(later, self.router.begin(again, later, again=True), id))
            else:
                self.failed.append(then)

        def follow(then: float, next_flight: Flight | None, next_id: str) -> None:
            if next_flight is None:
                self.failed.append(then)
            else:
                self._call(plan, next_id, next_flight, tried, then, deadline, took)

        self.at(now + took, end)


def down(*ranges: tuple[float, float], only: tuple[str, ...] = NAMES, kind: ErrorKind = ErrorKind.SERVER) -> Fate:
    """Deployments that fail in these times."""
    return lambda id, now, lots: (kind if id in only and any(a <= now < b for a, b in ranges) else None, None)


@pytest.mark.parametrize("kind", [ErrorKind.SERVER, ErrorKind.OVERLOADED, ErrorKind.CONNECTION, ErrorKind.TIMEOUT])
@pytest.mark.parametrize("per_second", [5.0, 50.0])
def test_a_total_outage_is_not_amplified(kind: ErrorKind, per_second: float) -> None:
    world = World(down((0.0, 60.0), kind=kind))
    world.run(per_second, 60.0)
    assert len(world.calls) <= 1.2 * per_second * 60.0
    assert world.most_probes <= 1


def test_rate_limits_everywhere_are_not_amplified() -> None:
    world = World(lambda id, now, lots: (ErrorKind.RATE_LIMIT, None))
    world.run(20.0, 60.0)
    assert len(world.calls) <= 1.2 * 1200


def test_one_alone_is_not_retried_without_end() -> None:
    world = World(lambda id, now, lots: (ErrorKind.SERVER if lots.random() < 0.3 else None, None), names=NAMES[:1])
    world.run(20.0, 60.0)
    assert len(world.calls) <= 1.2 * 1200 + 3
    assert len(world.answered) >= 0.7 * 1200


@pytest.mark.parametrize("per_second", [2.0, 100.0])
def test_a_breaker_opens_within_ten_failures_or_two_seconds(per_second: float) -> None:
    world = World(down((10.0, 20.0), only=NAMES[:1]))
    world.run(per_second, 20.0)
    hit = [at for at, id in world.calls if id == NAMES[0] and at >= 10.0]
    opened = next((at for at in hit if at > 10.0 + 2.0), 20.0)
    assert sum(at < opened for at in hit) <= 10 + per_second * 0.05
    assert not world.failed


@pytest.mark.parametrize("length", [1.0, 15.0, 300.0])
@pytest.mark.parametrize("per_second", [5.0, 50.0])
def test_recovery_takes_at_most_five_seconds(length: float, per_second: float) -> None:
    end = 5.0 + length
    world = World(down((5.0, end)))
    world.run(per_second, end + 20.0)
    assert min(at for at in world.answered if at >= end) <= end + 5.0
    late = [at for at in (*world.failed, *world.turned_away) if at > end + 5.0]
    assert not late


def test_who_comes_back_comes_back_slowly() -> None:
    world = World(down((5.0, 10.0), only=NAMES[:1]), strategy="weighted")
    world.run(200.0, 40.0)
    share = [sum(id == NAMES[0] and a <= at < a + 2 for at, id in world.calls) / 400 for a in (11.0, 14.0, 30.0)]
    assert share[0] < share[1] < share[2]
    assert share[2] == pytest.approx(1 / 3, abs=0.08)


def test_half_of_the_answers_failing_at_one_of_three_hurts_few() -> None:
    world = World(lambda id, now, lots: (ErrorKind.SERVER if id == NAMES[0] and lots.random() < 0.5 else None, None))
    world.run(50.0, 60.0)
    assert len(world.answered) >= 0.99 * 3000
    assert sum(id == NAMES[0] for _, id in world.calls) < 0.2 * 3000


def test_after_a_wait_that_all_were_asked_for_the_herd_is_small() -> None:
    world = World(lambda id, now, lots: (ErrorKind.RATE_LIMIT, 10.0) if now < 5.0 else (None, None), names=NAMES[:1])
    world.run(50.0, 40.0, took=0.2)
    assert not [at for at, _ in world.calls if 5.5 < at < 10.0]
    assert world.turned_away
    assert max(world.turned_away) <= 17.0


def test_a_stopped_clock_and_one_that_jumps_back_change_nothing() -> None:
    world = World(down((0.0, 1.0)))
    for now in (0.0, 0.1, 0.1, 0.0, -5.0, 0.2):
        world._ask(now, 0.0)
    world.run(10.0, 20.0)
    assert world.answered


@pytest.mark.proofs
@pytest.mark.parametrize("seed", range(20))
def test_outages_by_lot(seed: int, record_property: Callable[[str, object], None]) -> None:
    lots = random.Random(seed)
    starts = sorted(lots.uniform(0, 500) for _ in range(12))
    ranges = [(start, start + lots.uniform(0.5, 40)) for start in starts]
    world = World(down(*ranges, kind=lots.choice([ErrorKind.SERVER, ErrorKind.OVERLOADED])), seed=seed)
    world.run(20.0, 600.0)
    amplification = len(world.calls) / 12000
    record_property("amplification", round(amplification, 4))
    assert amplification <= 1.2
    assert world.most_probes <= 1
