"""The demo: one pipeline twice against the built-in simulator, and what came of it beside the theory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from headgate.assembly.parts import Parts
from headgate.assembly.runs import read_run
from headgate.batch.home import Home
from headgate.batch.outputs import results
from headgate.batch.statistics import Interval, WalkTheory, mean_interval, outcome_table, walk_theory
from headgate.batch.tables import Tables
from headgate.catalog.cards import Price
from headgate.catalog.prices import price
from headgate.domain.usage import BUCKETS, Usage, add_usage
from headgate.store import Database
from headgate.wire.json import JsonObject, decode

PIPELINE = "DrunkenSailor"
UNITS = 100
LEGS = (("realtime", "sim-openai"), ("batch", "sim-anthropic"))
"""Mode and provider of the two runs."""
TIME_SCALE = 30.0
"""Simulated seconds per second: a batch that takes over a minute is seen in a few seconds."""


class Outcomes(msgspec.Struct, frozen=True):
    """Shares of the walks' outcomes, and their length, each with an interval of 95 %."""

    walks: int
    shares: tuple[tuple[str, int, Interval], ...]
    steps: Interval
    theory: WalkTheory


class Bill(msgspec.Struct, frozen=True):
    """What the tokens of a run cost (nano-dollars): as it was run, and what the same tokens cost in either lane."""

    calls: int
    usage: Usage
    spent: int
    at_batch: int | None
    at_realtime: int | None


def walk_outcomes(folder: Path) -> Outcomes:
    """The outcome table of a finished run, beside the exact theory of the walk."""
    row, steps = read_run(folder)
    with Database.open(Home(folder).database, migrations="run", read_only=True) as database:
        records = list(results(Tables(database, folder), row.key, steps[-1].idx))
    lengths = [float(record["steps_taken"]) for record in records]
    start = int(records[0]["start_position"])
    row_of_all = outcome_table(records, None, "outcome").rows[0]
    shares = tuple((name, row_of_all.counts[name], row_of_all.shares[name]) for name in sorted(row_of_all.counts))
    return Outcomes(len(records), shares, mean_interval(lengths), walk_theory(start, 10))


def run_bill(folder: Path) -> Bill:
    """The run's tokens priced in both lanes, with the prices frozen when it was planned."""
    row, steps = read_run(folder)
    records = {step.idx: msgspec.json.decode(step.price, type=Price) for step in steps if step.price is not None}
    with Database.open(Home(folder).database, migrations="run", read_only=True) as database:
        attempts = [a for a in Tables(database, folder).attempts(row.key) if a["usage"] is not None]
    usages = [(records.get(a["step"]), usage_of(decode(a["usage"]))) for a in attempts]
    total = Usage()
    for _, usage in usages:
        total = add_usage(total, usage)
    return Bill(
        calls=len(attempts),
        usage=total,
        spent=sum(a["cost_nanos"] or 0 for a in attempts),
        at_batch=_sum([price(record, usage, "batch").nanos for record, usage in usages]),
        at_realtime=_sum([price(record, usage, "realtime").nanos for record, usage in usages]),
    )


def _sum(amounts: Sequence[int | None]) -> int | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None


def usage_of(stored: JsonObject) -> Usage:
    """Usage as an attempt's row keeps it."""
    return Usage(**{name: stored[name] for name in BUCKETS if name in stored}, fees=stored.get("fees", {}), source=stored["source"])


def simulated(parts: Parts, url: str) -> Parts:
    """The same parts, with the simulated providers at `url`."""
    return msgspec.structs.replace(parts, settings=msgspec.structs.replace(parts.settings, sim_url=url))
