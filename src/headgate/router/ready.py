"""Plans worked out ahead: while nothing is held against the candidates of a name, only their order is left to decide."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from headgate.config.route_settings import RoutingSettings, Sticky
from headgate.router.live import Live
from headgate.router.policy import chosen_strategy, suitable
from headgate.router.strategies import SCORES, Score, order, scores, sticky_key
from headgate.router.values import Candidate, Choice, Deployment, Entry, Order, Plan, Wish

REMEMBERED = 64
"""Orders that are kept as plans."""


FIRST, SECOND = (0, 1), (1, 0)
Duel: TypeAlias = Callable[[Live, Live, Wish, float, int], bool]


def by(score: Score) -> Duel:
    """A duel by a score."""
    return lambda one, other, wish, draw, turn: score(other.deployment, other, wish) < score(one.deployment, one, wish)


def by_turn(one: Live, other: Live, wish: Wish, draw: float, turn: int) -> bool:
    """A duel by whose turn it is."""
    return turn % 2 == 1


def by_lot(one: Live, other: Live, wish: Wish, draw: float, turn: int) -> bool:
    """A duel by weighted lot."""
    weight = one.deployment.weight
    return draw * (weight + other.deployment.weight) >= weight


def by_load(one: Live, other: Live, wish: Wish, draw: float, turn: int) -> bool:
    """A duel by calls under way, and by lot."""
    first, second = one.in_flight / one.deployment.weight, other.in_flight / other.deployment.weight
    return second < first or (second == first and draw >= 0.5)


DUELS: dict[Order, Duel] = {
    "local_first": by(SCORES["local_first"]),
    "cloud_first": by(SCORES["cloud_first"]),
    "cost_optimized": by(SCORES["cost_optimized"]),
    "quality": by(SCORES["quality"]),
    "speed": by(SCORES["speed"]),
    "round_robin": by_turn,
    "weighted": by_lot,
    "least_busy": by_load,
}
"""Whether the second of two goes first: what `strategies.order` says of two that are well, in a tenth of the time."""


class Ready:
    """The plans of one entry for wishes that differ in size and stickiness alone."""

    __slots__ = (
        "_because",
        "_duel",
        "_groups",
        "_only",
        "_order",
        "_plans",
        "_rejected",
        "_sticky",
        "_strategy",
        "context",
        "entry",
        "lives",
        "output",
        "panic_at",
        "turn",
    )

    def __init__(self, entry: Entry, wish: Wish, settings: RoutingSettings, lives: dict[str, Live]) -> None:
        able, rejected = suitable(msgspec.structs.replace(wish, input_tokens=None, max_output=None), entry)
        candidates = sorted(able, key=lambda candidate: candidate.group)
        self.entry = entry
        self.lives = tuple(lives[candidate.deployment.id] for candidate in candidates)
        self.turn = 0
        self.panic_at = -math.inf
        """When a deployment was last tried although all were ill."""
        self.context, self.output = (math.inf, math.inf) if entry.explicit else _room(candidates)
        self._sticky = entry.sticky or settings.sticky
        self._strategy, self._because = chosen_strategy(wish, entry, settings)
        self._rejected = tuple(rejected)
        self._groups = [
            [index for index, candidate in enumerate(candidates) if candidate.group == group]
            for group in dict.fromkeys(candidate.group for candidate in candidates)
        ]
        self._order = tuple(Choice(candidate.deployment, candidate.group) for candidate in candidates)
        self._only = tuple(range(len(candidates))) if len(self._groups) == len(candidates) else None
        """The one order there is, where every group is one deployment."""
        paired = len(candidates) == 2 and self._sticky is None
        self._duel = DUELS.get(self._strategy) if paired else None
        self._plans: dict[tuple[Sticky | None, tuple[int, ...]], Plan] = {}

    def clear(self, wish: Wish, now: float) -> bool:
        """Whether nothing has to be looked at but the order: the wish has no wants of its own, it fits, and all are well."""
        if wish.wants is not None or wish.bound is not None or not self.lives:
            return False
        output = wish.max_output or 0
        if output > self.output or (wish.input_tokens or 0) + output > self.context:
            return False
        for live in self.lives:
            if now < live.clear_after or live.in_flight >= live.limit:
                return False
        return wish.budget is None or all(_affordable(live.deployment, wish, wish.budget) for live in self.lives)

    def plan(self, wish: Wish, draw: float) -> Plan:
        """The plan, when all is clear."""
        if self._only is not None:
            places = self._only
        elif self._duel is not None:
            places = SECOND if self._duel(self.lives[0], self.lives[1], wish, draw, self.turn) else FIRST
        else:
            places = self._places(wish, draw)
        sticky = self._sticky if self._sticky is None or sticky_key(self._sticky, wish) is not None else None
        found = self._plans.get((sticky, places))
        if found is None:
            if len(self._plans) >= REMEMBERED:
                self._plans.clear()
            found = self._plans[sticky, places] = self._made(wish, places, sticky)
        return found

    def _places(self, wish: Wish, draw: float) -> tuple[int, ...]:
        strategy = self._strategy
        key = sticky_key(self._sticky, wish)
        places: list[int] = []
        for group in self._groups:
            lives = [self.lives[index] for index in group]
            deployments = [live.deployment for live in lives]
            found = scores(strategy, deployments, lives, wish)
            places += [group[place] for place in order(strategy, key, deployments, lives, wish, found, draw, self.turn)]
        return tuple(places)

    def _made(self, wish: Wish, places: tuple[int, ...], sticky: Sticky | None) -> Plan:
        return Plan(
            name=self.entry.name,
            order=tuple(self._order[place] for place in places),
            rejected=self._rejected,
            strategy=self._strategy,
            because=self._because,
            sticky=sticky,
            hedge=self.entry.hedge,
            operation=wish.operation,
        )


def _room(candidates: Sequence[Candidate]) -> tuple[float, float]:
    """The smallest context and the smallest output of all."""
    able = [candidate.deployment.capabilities for candidate in candidates]
    context = min((one.context for one in able if one.context is not None), default=math.inf)
    return context, min((one.max_output for one in able if one.max_output is not None), default=math.inf)


def _affordable(deployment: Deployment, wish: Wish, budget: int) -> bool:
    nanos = deployment.estimate(wish.input_tokens or 0, wish.output_tokens)
    return nanos is not None and nanos <= budget
