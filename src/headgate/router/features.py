"""Routing decisions as lines of a log, and what another policy would have decided. Values only: no prompt, no answer, no key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from headgate.config.route_settings import RoutingSettings, Strategy
from headgate.errors import ConfigError, UsageError
from headgate.router.policy import decide
from headgate.router.table import RoutingTable
from headgate.router.values import Plan, Standing, Wants, Wish


class Decided(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line: what was wished for, how the candidates stood (as far as they were not fresh), who answered, and what it took.

    `at` is seconds since the epoch, `now` the moment on the clock the standings speak in, `draw` and `turn` what chance contributed.
    `session` and `prefix` of the wish are digests where they are logged. `cost_nanos` None: unpriced; `first_byte` and `duration` seconds.
    """

    at: float
    wish: Wish
    standings: dict[str, Standing] = {}
    draw: float = 0.5
    turn: int = 0
    now: float = 0.0
    chosen: str | None = None
    strategy: str = ""
    attempts: int = 1
    cost_nanos: int | None = None
    first_byte: float | None = None
    duration: float | None = None


def digest_of(text: str | None) -> str | None:
    """What stands for a key of stickiness in the log: as good for hashing, and nobody's name."""
    return None if text is None else hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()


def decided_line(decided: Decided) -> bytes:
    """A line of the log, with its line feed."""
    return msgspec.json.encode(decided) + b"\n"


def read_decided(lines: Iterable[bytes]) -> list[Decided]:
    """The decisions of a log. Raises `UsageError` naming the line that is none."""
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found.append(msgspec.json.decode(line, type=Decided))
            except msgspec.MsgspecError as error:
                raise UsageError(f"line {number} is no routing decision: {error}", hint="set routing_log, and serve for a while") from error
    return found


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What one deployment got: requests as they were, and as they would be."""

    id: str
    was: int = 0
    would_be: int = 0


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A log against another policy. Costs are nano-dollars at list price for the tokens expected, seconds are means.

    Only requests that both policies can place and price count for `cost_was` and `cost_would_be` (`priced` of them), and only those whose
    deployments have been measured in the log for the seconds (`timed`).
    """

    requests: int
    strategy: Strategy
    unplaced: int
    unknown: int
    moved: int
    shares: tuple[Share, ...]
    priced: int
    cost_was: int
    cost_would_be: int
    timed: int
    seconds_was: float | None
    seconds_would_be: float | None


def simulate(decisions: Iterable[Decided], table: RoutingTable, strategy: Strategy, settings: RoutingSettings) -> Comparison:
    """Decide every logged request anew with `strategy`, by the same function that serves. Names the table does not know are `unknown`."""
    taken = list(decisions)
    changed = msgspec.structs.replace(settings, strategy=strategy)
    pairs: list[tuple[Decided, str | None]] = []
    unknown = 0
    for decided in taken:
        plan = _again(decided, table, strategy, changed)
        if plan is None:
            unknown += 1
        else:
            pairs.append((decided, None if plan.first is None else plan.first.id))
    placed = [(decided, id) for decided, id in pairs if id is not None]
    priced = [both for decided, id in placed if (both := _costs(decided, id, table)) is not None]
    means = _means(taken)
    timed = [(means[d.chosen], means[id]) for d, id in placed if d.chosen in means and id in means]
    return Comparison(
        requests=len(taken),
        strategy=strategy,
        unplaced=len(pairs) - len(placed),
        unknown=unknown,
        moved=sum(decided.chosen != id for decided, id in placed),
        shares=_shares(pairs),
        priced=len(priced),
        cost_was=sum(was for was, _ in priced),
        cost_would_be=sum(would for _, would in priced),
        timed=len(timed),
        seconds_was=sum(was for was, _ in timed) / len(timed) if timed else None,
        seconds_would_be=sum(would for _, would in timed) / len(timed) if timed else None,
    )


def _again(decided: Decided, table: RoutingTable, strategy: Strategy, settings: RoutingSettings) -> Plan | None:
    wants = msgspec.structs.replace(decided.wish.wants or Wants(), strategy=strategy, hint=None)
    wish = msgspec.structs.replace(decided.wish, wants=wants)
    try:
        entry = table.find(wish.model, wish.provider)
    except ConfigError:
        return None
    return decide(wish, entry, decided.standings, settings, decided.draw, decided.now, decided.turn)


def _costs(decided: Decided, id: str, table: RoutingTable) -> tuple[int, int] | None:
    """What the request is expected to cost where it went, and where it would go."""
    found = {one.deployment.id: one.deployment for one in table.find(decided.wish.model, decided.wish.provider).candidates}
    nanos = [
        found[name].estimate(decided.wish.input_tokens or 0, decided.wish.output_tokens) if name in found else None
        for name in (decided.chosen or "", id)
    ]
    return None if nanos[0] is None or nanos[1] is None else (nanos[0], nanos[1])


def _means(decisions: Iterable[Decided]) -> Mapping[str | None, float]:
    """The mean duration of each deployment's answers in the log."""
    took: dict[str | None, list[float]] = {}
    for decided in decisions:
        if decided.duration is not None and decided.chosen is not None:
            took.setdefault(decided.chosen, []).append(decided.duration)
    return {id: sum(times) / len(times) for id, times in took.items()}


def _shares(pairs: Iterable[tuple[Decided, str | None]]) -> tuple[Share, ...]:
    was: dict[str, int] = {}
    would: dict[str, int] = {}
    for decided, id in pairs:
        for counts, name in ((was, decided.chosen), (would, id)):
            if name is not None:
                counts[name] = counts.get(name, 0) + 1
    ids = sorted({*was, *would}, key=lambda id: -was.get(id, 0))
    return tuple(Share(id=id, was=was.get(id, 0), would_be=would.get(id, 0)) for id in ids)
