"""Strategies: what deployments are ordered by. One table of scores, lower is better; what is equal keeps the order of the route."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from headgate.config.route_settings import Sticky
from headgate.router.values import Deployment, Hint, Measured, Order, Wish

Score: TypeAlias = Callable[[Deployment, Measured, Wish], float]

PRIOR_WEIGHT = 5
"""So many measurements count as much as the prior."""
PRIOR_SPEED = 60.0
"""Tokens per second until it was measured."""
PRIORS = {"ultra_fast": 0.3, "fast": 0.8, "medium_speed": 1.5, "slow": 3.0}
"""Seconds to the first byte that a trait promises."""


def by_place(deployment: Deployment, measured: Measured, wish: Wish) -> float:
    """All alike."""
    return 0.0


def by_locality(deployment: Deployment, measured: Measured, wish: Wish) -> float:
    """0 for a deployment on one's own machines, 1 for others."""
    return 0.0 if "local" in deployment.traits else 1.0


def by_distance(deployment: Deployment, measured: Measured, wish: Wish) -> float:
    """The opposite of `by_locality`."""
    return 1.0 if "local" in deployment.traits else 0.0


def by_cost(deployment: Deployment, measured: Measured, wish: Wish) -> float:
    """Expected nano-dollars at list price; what is unpriced comes last."""
    nanos = deployment.estimate(wish.input_tokens or 0, wish.output_tokens)
    return math.inf if nanos is None else float(nanos)


def by_quality(deployment: Deployment, measured: Measured, wish: Wish) -> float:
    """The rank, negative: the higher, the sooner."""
    return float(-deployment.quality)


def by_speed(deployment: Deployment, measured: Measured, wish: Wish) -> float:
    """Expected seconds for the whole answer: half the smoothed, half the 95th percentile's first byte, then the output; errors lengthen it.

    The prior of the deployment's traits counts as a few measurements.
    """
    first = deployment.prior
    if measured.first_byte is not None:
        seen = (measured.first_byte + (measured.p95 or measured.first_byte)) / 2
        first = (seen * measured.samples + deployment.prior * PRIOR_WEIGHT) / (measured.samples + PRIOR_WEIGHT)
    rest = min(wish.output_tokens, 10_000) / (measured.tokens_per_second or PRIOR_SPEED)
    return (first + rest) / max(1.0 - measured.error_rate, 0.05)


def by_load(deployment: Deployment, measured: Measured, wish: Wish) -> float:
    """Calls under way for each unit of weight."""
    return measured.in_flight / deployment.weight


SCORES: dict[Order, Score] = {
    "local_first": by_locality,
    "cost_optimized": by_cost,
    "quality": by_quality,
    "speed": by_speed,
    "round_robin": by_place,
    "weighted": by_place,
    "least_busy": by_load,
    "cloud_first": by_distance,
}
"""What each strategy orders by; `balanced` combines three of them."""
HINTS: dict[Hint, Order] = {
    "local_preferred": "local_first",
    "cloud_preferred": "cloud_first",
    "best_quality": "quality",
    "cheapest": "cost_optimized",
}
BALANCED = (by_cost, by_speed, by_quality)


def scores(strategy: Order, deployments: Sequence[Deployment], measured: Sequence[Measured], wish: Wish) -> list[float]:
    """The score of each deployment. `balanced` is the mean of their places (0 to 1) by cost, speed and quality."""
    if strategy != "balanced":
        score = SCORES[strategy]
        return [score(deployment, seen, wish) for deployment, seen in zip(deployments, measured, strict=True)]
    places = [_places([score(d, m, wish) for d, m in zip(deployments, measured, strict=True)]) for score in BALANCED]
    return [sum(place) / len(BALANCED) for place in zip(*places, strict=True)]


def _places(values: list[float]) -> list[float]:
    """Of each value, the share of the others that are lower."""
    others = max(1, len(values) - 1)
    return [sum(other < value for other in values) / others for value in values]


def turns(strategy: Order, deployments: Sequence[Deployment], measured: Sequence[Measured], draw: float, turn: int) -> list[float]:
    """What decides between deployments of the same score: their place, their turn, or the lot, by strategy."""
    count = len(deployments)
    if strategy == "weighted":
        return _lots([d.weight * m.ramp for d, m in zip(deployments, measured, strict=True)], draw)
    start = turn % count if strategy == "round_robin" else int(draw * count) if strategy == "least_busy" else 0
    return [float((place - start) % count) for place in range(count)]


def _lots(weights: list[float], draw: float) -> list[float]:
    """Places by weighted lot without replacement, from one number in [0, 1): what is left of it draws the next place."""
    places = [0.0] * len(weights)
    left = list(range(len(weights)))
    for place in range(len(weights)):
        at = draw * sum(weights[index] for index in left)
        for index in left:
            if at < weights[index]:
                break
            at -= weights[index]
        draw = min(max(at / weights[index], 0.0), 1 - 2**-53)
        places[index] = float(place)
        left.remove(index)
    return places


def sticky_key(sticky: Sticky | None, wish: Wish) -> str | None:
    """What the request sticks by; None when it does not."""
    return None if sticky is None else wish.session if sticky == "session" else wish.prefix


def rendezvous(key: str, deployments: Sequence[Deployment]) -> list[float]:
    """Weighted rendezvous hashing: whoever has the lowest figure serves `key`. A deployment that leaves moves only its own keys.

    (Thaler and Ravishankar 1998; weights after Schindelhauer and Schomaker 2005.)
    """
    return [-math.log(_uniform(key, deployment.id)) / deployment.weight for deployment in deployments]


def _uniform(key: str, id: str) -> float:
    digest = hashlib.blake2b(f"{len(key)}:{key}{id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return ((int.from_bytes(digest, "big") >> 11) + 1) / 2**53


def coarse(strategy: Order, score: float) -> float:
    """A score for requests that stick: figures that fluctuate count as equal within a factor of two, and load not at all."""
    if strategy == "least_busy":
        return 0.0
    if strategy == "speed" and 0 < score < math.inf:
        return float(math.floor(math.log2(score)))
    return score


def order(
    strategy: Order,
    sticky: str | None,
    deployments: Sequence[Deployment],
    measured: Sequence[Measured],
    wish: Wish,
    found: Sequence[float],
    draw: float,
    turn: int,
) -> list[int]:
    """Indices of `deployments` in the order in which they are asked; `found` are their scores, `sticky` is the key to stick by.

    A deployment on its ramp stands behind the others as often as it does not take part.
    """
    ties = rendezvous(sticky, deployments) if sticky is not None else turns(strategy, deployments, measured, draw, turn)
    keys = []
    preferred = wish.wants.preferred if wish.wants is not None else ()
    for index, (deployment, seen) in enumerate(zip(deployments, measured, strict=True)):
        first = preferred.index(deployment.provider) if deployment.provider in preferred else len(preferred)
        late = strategy != "weighted" and seen.ramp < 1.0 and draw >= seen.ramp
        keys.append((first, late, coarse(strategy, found[index]) if sticky is not None else found[index], ties[index], index))
    return [key[-1] for key in sorted(keys)]
