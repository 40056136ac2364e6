"""Changing a run that nobody drives: new tries for what failed, stored answers judged again, what is missing made anew."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from headgate.assembly.runs import SNAPSHOT
from headgate.batch.again import choose, failed_units, step_index, try_again
from headgate.batch.home import Home
from headgate.batch.pipeline import Pipeline
from headgate.batch.pipeline_load import load_snapshot
from headgate.batch.reasons import Reason
from headgate.batch.rows import RunRow
from headgate.batch.tables import Tables
from headgate.errors import RunError, UsageError
from headgate.store import Database


@contextmanager
def taken(folder: Path) -> Iterator[tuple[Tables, RunRow]]:
    """The tables of the run in `folder`, open for writing under its lock. Raises `HomeLocked` while a process drives it, `RunError`."""
    home = Home(folder)
    if not home.exists:
        raise RunError(f"{folder} holds no run", hint="headgate ls")
    with home, Database.open(home.database, migrations="run", synchronous="FULL") as database:
        tables = Tables(database, folder)
        row = tables.find_run()
        if row is None:
            raise RunError(f"{folder} holds no run yet")
        yield tables, row


def pinned(folder: Path) -> Pipeline:
    """The run's own copy of its pipeline. Raises `RunError`, `ConfigError`."""
    path = folder / SNAPSHOT
    if not path.exists():
        raise RunError(f"{path} is missing: the run cannot go on without its copy of the pipeline")
    return load_snapshot(path.read_bytes())


class Retried(msgspec.Struct, frozen=True):
    """What got new tries: units in so many new chunks, counted by step and by the reason of their failure. `left` failed units did not."""

    run: str
    pipeline: str
    units: int
    chunks: int
    steps: dict[str, int]
    reasons: dict[str, int]
    left: int


async def retry_run(folder: Path, step: str | None = None, reasons: Collection[str] = (), everything: bool = False) -> Retried:
    """Give failed units new tries: those for `reasons`, else those another try can help, else `everything`; of one step or of all.

    The run is paused afterwards; nothing is asked here. Raises `HomeLocked` while a process drives it, `UsageError` for unknown names.
    """
    unknown = [name for name in reasons if name not in set(Reason)]
    if unknown:
        raise UsageError(f"{unknown[0]!r} is no reason of a failure", hint=f"one of {', '.join(Reason)}")
    with taken(folder) as (tables, row):
        steps, failed = tables.steps(row.key), failed_units(tables, row.key)
        chosen = choose(failed, steps, step_index(steps, step), frozenset(reasons), everything)
        size = pinned(folder).processing.chunk_size
        chunks = await try_again(tables, row.key, chosen, steps, size, time.time()) if chosen else 0
    return Retried(
        run=row.id,
        pipeline=row.pipeline,
        units=len(chosen),
        chunks=chunks,
        steps=dict(Counter(steps[unit.step].name for unit in chosen)),
        reasons=dict(Counter(unit.reason or "" for unit in chosen)),
        left=len(failed) - len(chosen),
    )
