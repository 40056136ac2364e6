"""Which deployment: one pure function. Serving, explaining and simulating all call it.

Hard filters, then health, then the strategy's score, then the ordered list, which is the fallback chain. Every candidate ends up in the
order or among the rejected, with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from headgate.config.route_settings import RoutingSettings, Sticky
from headgate.router.filters import fixed_reason, momentary_reason, too_busy
from headgate.router.strategies import HINTS, order, scores, sticky_key
from headgate.router.values import FRESH, Candidate, Choice, Deployment, Entry, Order, Plan, Reason, Rejection, Standing, Wish

MOST_EJECTED = 0.5
"""Share of a group that may be left out for partial failure; beyond, the least bad ones are asked all the same (faults A26)."""
SOON = 1.0
"""Seconds after which to ask again while probes are under way."""
_TRIABLE = frozenset({"circuit_open", "ejected"})
_ANY = Wish()
_NEVER_MEANT: frozenset[Reason] = frozenset({"operation", "not_allowed"})
"""Why a candidate for vectors is not the model that its name stands for: it makes none, or is not there for the caller."""
_BLOCKED_WORDS: dict[str, str] = {
    "quarantined": "its credential was refused",
    "cooling_down": "its provider asked to wait",
    "overloaded": "its provider has too much to do and asked to wait",
    "circuit_open": "it has failed again and again",
    "ejected": "too many of its calls fail",
}


def decide(
    wish: Wish,
    entry: Entry,
    standings: Mapping[str, Standing],
    settings: RoutingSettings,
    draw: float,
    now: float,
    turn: int = 0,
    panic: bool = True,
) -> Plan:
    """Whom to ask for `wish`, in which order, of the candidates of `entry`.

    `standings` are by deployment id; one that is absent is fresh. `draw` is one random number in [0, 1), `turn` counts the requests of
    the entry for round robin, `panic` says whether a deployment that is ill may be tried when all are.
    """
    strategy, because = chosen_strategy(wish, entry, settings)
    sticky = entry.sticky or settings.sticky
    fit, rejected = _fitting(wish, entry, standings)
    well, ill = _by_health(fit, standings, now)
    rejected += ill
    late = None
    if not well and ill:
        best = _least_ill(ill) if panic else None
        late = None if best is not None else _earliest(ill, now)
        well = [] if best is None else [next(one for one in fit if one.deployment is best.deployment)]
        rejected = [one for one in rejected if one is not best]
        panic = best is not None
    else:
        panic = False
    return Plan(
        name=entry.name,
        order=tuple(arranged(wish, strategy, sticky, well, standings, draw, turn)),
        rejected=tuple(rejected),
        strategy=strategy,
        because=because,
        sticky=sticky if sticky_key(sticky, wish) is not None else None,
        panic=panic,
        retry_after=late,
        hedge=entry.hedge,
        operation=wish.operation,
    )


def _earliest(ill: Sequence[Rejection], now: float) -> float:
    """Seconds until the first of them may be well."""
    return max(0.0, min((at for one in ill if (at := one.available_at) is not None), default=now + SOON) - now)


def chosen_strategy(wish: Wish, entry: Entry, settings: RoutingSettings) -> tuple[Order, str]:
    """The strategy, and who asked for it: the request's routing block, its hint, the route, or the settings."""
    if wish.wants is not None and wish.wants.strategy is not None:
        return wish.wants.strategy, "the request's routing block"
    if wish.wants is not None and wish.wants.hint is not None:
        return HINTS[wish.wants.hint], f"the request's hint {wish.wants.hint}"
    if entry.strategy is not None:
        return entry.strategy, f"the route {entry.name}"
    return settings.strategy, "the settings"


def _fitting(wish: Wish, entry: Entry, standings: Mapping[str, Standing]) -> tuple[list[Candidate], list[Rejection]]:
    """The candidates no filter holds back, and the others."""
    able, rejected = suitable(wish, entry)
    fit: list[Candidate] = []
    for candidate in able:
        found = momentary_reason(candidate.deployment, standings.get(candidate.deployment.id, FRESH), wish)
        if found is None:
            fit.append(candidate)
        else:
            rejected.append(Rejection(candidate.deployment, *found))
    return fit, rejected


def suitable(wish: Wish, entry: Entry) -> tuple[list[Candidate], list[Rejection]]:
    """The candidates that no fixed reason speaks against, and the others.

    Vectors of different models cannot be compared: of an embedding's candidates only those of the first one's model are left, even if that
    model cannot take this request. Otherwise a long text would get the vector of another model than a short one.
    """
    able: list[Candidate] = []
    rejected: list[Rejection] = []
    family: str | None = None
    for candidate in entry.candidates:
        deployment = candidate.deployment
        found: tuple[Reason, str] | None = fixed_reason(deployment, wish, entry.explicit)
        if wish.operation == "embed" and (found is None or found[0] not in _NEVER_MEANT):
            family = family or deployment.family
            if deployment.family != family:
                found = "other_embedding", f"its vectors are not those of {family}"
        if found is None:
            able.append(candidate)
        else:
            rejected.append(Rejection(deployment, *found))
    return able, rejected


def _by_health(fit: Sequence[Candidate], standings: Mapping[str, Standing], now: float) -> tuple[list[Candidate], list[Rejection]]:
    """Those that may be asked now, and those that are ill; of the partially failing ones not too many are left out."""
    spared = _spared(fit, standings, now)
    well: list[Candidate] = []
    ill: list[Rejection] = []
    for candidate in fit:
        standing = standings.get(candidate.deployment.id, FRESH)
        blocked = standing.blocked
        if not blocked or standing.available_at <= now or candidate.deployment.id in spared:
            well.append(candidate)
        else:
            ill.append(_illness(candidate.deployment, blocked, standing, now))
    return well, ill


def _illness(deployment: Deployment, blocked: Reason, standing: Standing, now: float) -> Rejection:
    then = "a probe is under way" if standing.probing else f"to be tried again in {standing.available_at - now:.3g} s"
    at = None if standing.probing else standing.available_at
    return Rejection(deployment, blocked, f"{_BLOCKED_WORDS[blocked]}; {then}", at)


def overtaken(plan: Plan, standings: Mapping[str, Standing], now: float) -> Plan:
    """What has become of a plan when nobody in its order takes a call any more: others have filled them since, or made them ill."""
    found: list[Rejection] = []
    for deployment in (choice.deployment for choice in plan.order):
        standing = standings.get(deployment.id, FRESH)
        blocked = standing.blocked
        if blocked and standing.available_at > now:
            found.append(_illness(deployment, blocked, standing, now))
        elif (said := too_busy(deployment, standing, _ANY)) is not None:
            found.append(Rejection(deployment, "concurrency", said))
    rejected = (*plan.rejected, *found)
    return msgspec.structs.replace(plan, order=(), rejected=rejected, retry_after=_earliest(rejected, now))


def _spared(fit: Sequence[Candidate], standings: Mapping[str, Standing], now: float) -> set[str]:
    """Ids of ejected candidates that are asked all the same, because too many would be left out."""
    ejected: dict[int, list[tuple[float, str]]] = {}
    sizes: dict[int, int] = {}
    for candidate in fit:
        standing = standings.get(candidate.deployment.id, FRESH)
        sizes[candidate.group] = sizes.get(candidate.group, 0) + 1
        if standing.blocked == "ejected" and standing.available_at > now:
            ejected.setdefault(candidate.group, []).append((standing.error_rate, candidate.deployment.id))
    return {id for group, found in ejected.items() for _, id in sorted(found)[: max(0, len(found) - int(sizes[group] * MOST_EJECTED))]}


def _least_ill(ill: Sequence[Rejection]) -> Rejection | None:
    """Whom to try when all are ill: the one that may be well first. A refused key and a wish to wait are respected."""
    tried = [(one.available_at, place) for place, one in enumerate(ill) if one.reason in _TRIABLE and one.available_at is not None]
    return ill[min(tried)[1]] if tried else None


def arranged(
    wish: Wish,
    strategy: Order,
    sticky: Sticky | None,
    candidates: Sequence[Candidate],
    standings: Mapping[str, Standing],
    draw: float,
    turn: int,
) -> list[Choice]:
    """The candidates group by group, each group in the strategy's order."""
    key = sticky_key(sticky, wish)
    choices: list[Choice] = []
    for group in sorted({candidate.group for candidate in candidates}):
        deployments = [candidate.deployment for candidate in candidates if candidate.group == group]
        seen = [standings.get(deployment.id, FRESH) for deployment in deployments]
        found = scores(strategy, deployments, seen, wish)
        places = order(strategy, key, deployments, seen, wish, found, draw, turn)
        choices += [Choice(deployments[place], group, found[place]) for place in places]
    return choices
