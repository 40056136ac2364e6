"""What came of a demo's run, beside what had to be expected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from headgate.assembly.runs import SNAPSHOT, read_run
from headgate.batch.home import Home
from headgate.batch.outputs import results
from headgate.batch.pipeline_load import load_snapshot
from headgate.batch.rows import last_unit_step
from headgate.batch.statistics import Interval, WalkTheory, mean_interval, outcome_table, walk_theory
from headgate.batch.tables import Tables
from headgate.store import Database
from headgate.wire.json import JsonObject

PIER = 10


class Outcomes(msgspec.Struct, frozen=True):
    """Shares of the walks' outcomes, and their length, each with an interval of 95 %."""

    walks: int
    shares: tuple[tuple[str, int, Interval], ...]
    steps: Interval
    theory: WalkTheory


def result_records(folder: Path) -> list[JsonObject]:
    """The records that came through the last step of a run."""
    row, steps = read_run(folder)
    with Database.open(Home(folder).database, migrations="run", read_only=True) as database:
        return list(results(Tables(database, folder), row.key, last_unit_step(steps).idx))


def walk_outcomes(folder: Path) -> Outcomes:
    """The outcome table of a finished run of DrunkenSailor, beside the exact theory of the walk."""
    records = result_records(folder)
    lengths = [float(record["steps_taken"]) for record in records]
    row = outcome_table(records, None, "outcome").rows[0]
    shares = tuple((name, row.counts[name], row.shares[name]) for name in sorted(row.counts))
    return Outcomes(len(records), shares, mean_interval(lengths), walk_theory(int(records[0]["start_position"]), PIER))


class HandTheory(msgspec.Struct, frozen=True):
    """What a strategy's hands of Blackjack come to: the shares of results and of first actions, and hands won less hands lost, of each."""

    results: dict[str, float]
    first_actions: dict[str, float]
    net: float


def _theory(won: float, lost: float, even: float, actions: tuple[float, float, float], net_of_300: int) -> HandTheory:
    hit, stand, double = actions
    return HandTheory(
        {"player_wins": won, "dealer_wins": lost, "push": even},
        {"hit": hit, "stand": stand, "double_down": double},
        net_of_300 / 300,
    )


HANDS = {
    "The Pro": _theory(0.430, 0.477, 0.092, (0.473, 0.480, 0.047), -14),
    "The Gambler": _theory(0.391, 0.523, 0.086, (0.645, 0.266, 0.089), -39),
    "The Coward": _theory(0.413, 0.520, 0.068, (0.212, 0.788, 0.0), -32),
}
"""By the name of the strategy: 600,000 hands each from a shoe of 24 times 13 ranks, standard error 0.0006 (OCT-195)."""

WORTH = {"player_wins": 1, "dealer_wins": -1}


def net_by_strategy(records: Iterable[JsonObject]) -> dict[str, Interval]:
    """Hands won less hands lost, of each hand, by strategy, with an interval of 95 %."""
    worth: dict[str, list[float]] = {}
    for record in records:
        worth.setdefault(str(record["strategy_name"]), []).append(WORTH.get(record["result"], 0))
    return {name: mean_interval(values) for name, values in sorted(worth.items())}


class Rework(msgspec.Struct, frozen=True):
    """How often the units of a group were asked for at a step: `once` are the units that needed a single call."""

    group: str
    units: int
    once: int
    calls: int
    most: int


def rework(folder: Path, step: str, group: Callable[[JsonObject], str]) -> tuple[Rework, ...]:
    """The calls of a run's step by `group`, a function of a unit's first fields. Units that were never asked for are left out."""
    row, steps = read_run(folder)
    index = next(one.idx for one in steps if one.name == step)
    with Database.open(Home(folder).database, migrations="run", read_only=True) as database:
        calls = Counter(attempt["seq"] for attempt in Tables(database, folder).attempts(row.key) if attempt["step"] == index)
    grouped: dict[str, list[int]] = {}
    for unit in load_snapshot((folder / SNAPSHOT).read_bytes()).units():
        if unit.seq in calls:
            grouped.setdefault(group(unit.fields), []).append(calls[unit.seq])
    return tuple(Rework(name, len(counts), counts.count(1), sum(counts), max(counts)) for name, counts in sorted(grouped.items()))
