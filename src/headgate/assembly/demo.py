"""The demo: a pipeline against the built-in simulator, and what its calls cost; `demo_results` has what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from headgate.assembly.parts import Parts
from headgate.assembly.runs import read_run
from headgate.batch.home import Home
from headgate.batch.tables import Tables
from headgate.catalog.cards import Price
from headgate.catalog.prices import price
from headgate.domain.usage import BUCKETS, Usage, add_usage
from headgate.store import Database
from headgate.wire.json import JsonObject, decode

TIME_SCALE = 30.0
"""Simulated seconds per second: a batch that takes over a minute is seen in a few seconds."""


class Demo(msgspec.Struct, frozen=True):
    """How a shipped pipeline is shown: the runs, each with its mode and provider, and how many units (None: all)."""

    legs: tuple[tuple[str, str], ...]
    units: int | None = None


DEMOS = {
    "DrunkenSailor": Demo((("realtime", "sim-openai"), ("batch", "sim-anthropic")), 100),
    "Blackjack": Demo((("realtime", "sim-openai"),)),
    "NPCDialog": Demo((("batch", "sim-gemini"),)),
}


class Bill(msgspec.Struct, frozen=True):
    """What the tokens of a run cost (nano-dollars): as it was run, and what the same tokens cost in either lane."""

    calls: int
    usage: Usage
    spent: int
    at_batch: int | None
    at_realtime: int | None


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
