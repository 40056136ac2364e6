"""Changing a run that nobody drives: new tries for what failed, stored answers judged again, what is missing made anew."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import msgspec

from headgate.assembly.parts import Parts
from headgate.assembly.runs import SNAPSHOT, book_postings, pipeline_roots
from headgate.batch.again import choose, failed_units, step_index, still_open, try_again
from headgate.batch.audit import Audit, audit
from headgate.batch.compiled import compile_pipeline, unit_seed
from headgate.batch.home import Home
from headgate.batch.outputs import write_outputs
from headgate.batch.pipeline import Pipeline
from headgate.batch.pipeline_files import CONFIG
from headgate.batch.pipeline_load import find_pipeline, load_pipeline, load_snapshot
from headgate.batch.reasons import Reason
from headgate.batch.rejudge import Rejudged, accept, rejudge
from headgate.batch.repair import Plan, make_plan
from headgate.batch.repair_writes import mend
from headgate.batch.rows import RunRow, StepRow
from headgate.batch.states import RunState
from headgate.batch.tables import Tables
from headgate.batch.validate import StepValidator
from headgate.errors import RunError, UsageError
from headgate.store import Database
from headgate.wire.json import JsonObject, decode


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
    return load_snapshot(path.read_bytes(), folder)


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
        pipeline = pinned(folder)
        blaming = frozenset(one.name for one in pipeline.steps if one.retry_from is not None)
        wanted = choose(failed, steps, step_index(steps, step), frozenset(reasons), everything, blaming)
        chosen, size = still_open(wanted, steps, tables.finished_steps(row.key)), pipeline.processing.chunk_size
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


class StepRejudged(msgspec.Struct, frozen=True):
    """The failed units of a step: how many answers were judged, how many hold now, and why the others do not."""

    step: str
    failed: int
    judged: int
    passing: int
    reasons: dict[str, int]


class Revalidated(msgspec.Struct, frozen=True):
    """What judging stored answers again came to. `opened` chunks wait at later steps, so that the run has to be gone on with."""

    run: str
    pipeline: str
    source: str
    dry_run: bool
    steps: tuple[StepRejudged, ...]
    opened: int

    @property
    def passing(self) -> int:
        """Units whose answer holds."""
        return sum(step.passing for step in self.steps)


async def revalidate_run(folder: Path, step: str | None = None, *, source: bool = True, dry_run: bool = False) -> Revalidated:
    """Judge the stored answers of failed units again: by the pipeline as it is now (`source`), or as the run has it. Nothing is called.

    Raises `HomeLocked` while a process drives the run, `ConfigError` when the pipeline cannot be loaded, `UsageError` for an unknown step.
    """
    own = pinned(folder)
    judging = present(own) if source else own
    with taken(folder) as (tables, row):
        steps, now = tables.steps(row.key), time.time()
        only = step_index(steps, step)
        validators = _validators(judging, steps)
        failed = [unit for unit in failed_units(tables, row.key) if only in (None, unit.step)]
        units = still_open(failed, steps, tables.finished_steps(row.key))

        def seed_of(fields: JsonObject, at: int) -> int:
            return unit_seed(own, str(fields["unit_id"]), fields, steps[at].name, "rules", run_seed=row.seed)

        found = list(rejudge(tables, units, validators, seed_of))
        opened = 0 if dry_run else await _accept(tables, row, steps, found, own.processing.chunk_size, now)
    told = tuple(_told(name, [one for one in found if steps[one.unit.step].name == name]) for name in (s.name for s in steps))
    used = judging.folder if source else "the run's own copy"
    return Revalidated(row.id, row.pipeline, used, dry_run, tuple(one for one in told if one.failed), opened)


def present(own: Pipeline) -> Pipeline:
    """A run's pipeline as it is now, where it was or by its name. Raises `ConfigError`."""
    folder = Path(own.folder)
    return load_pipeline(folder) if (folder / CONFIG).is_file() else find_pipeline(own.name, pipeline_roots())


def _validators(pipeline: Pipeline, steps: Sequence[StepRow]) -> dict[int, StepValidator]:
    """How to judge the answers of each step that asks a model, as far as `pipeline` still has it."""
    compiled = compile_pipeline(pipeline).validators
    asking = {step.name for step in pipeline.llm_steps}
    return {step.idx: compiled[step.name] for step in steps if step.name in asking and step.name in compiled}


async def _accept(tables: Tables, row: RunRow, steps: Sequence[StepRow], found: Sequence[Rejudged], size: int, now: float) -> int:
    """Store what holds, step by step; a run that was complete and has nothing left to do is complete again, with its outputs."""
    passing = [one for one in found if one.judged is not None and one.judged.reason is None]
    lanes, opened = [step.lane for step in steps], 0
    for _, group in groupby(passing, lambda one: one.unit.step):
        members = list(group)
        for start in range(0, len(members), size):
            opened += len(await accept(tables, row.key, members[start : start + size], lanes, now))
    if passing and row.state is RunState.COMPLETE and not tables.open_chunks(row.key):
        write_outputs(tables, row, list(steps))
        await tables.set_run_state(row.key, RunState.COMPLETE, None, now, now)
    return opened


def _told(name: str, found: Sequence[Rejudged]) -> StepRejudged:
    judged = [one.judged for one in found if one.judged is not None]
    reasons = Counter(one.reason.value for one in judged if one.reason is not None)
    return StepRejudged(name, len(found), len(judged), sum(one.reason is None for one in judged), dict(reasons))


class Repaired(msgspec.Struct, frozen=True):
    """What a repair found, what it did about it (or would do: `agreed` is False when it was not let), and what was found afterwards.

    `left` says that there is work to go on with.
    """

    run: str
    pipeline: str
    before: Audit
    plan: Plan
    agreed: bool
    after: Audit
    left: bool


async def repair_run(
    parts: Parts, folder: Path, agree: Callable[[Audit, Plan], bool], *, again: bool = False, deep: bool = False
) -> Repaired:
    """Mend what `verify` finds, as far as it can be mended; `again` puts units whose answers cannot be read back to be asked.

    `agree` is shown what was found and what will be done, and may refuse. Raises `HomeLocked` while a process drives the run.
    """
    with taken(folder) as (tables, row):
        steps = tables.steps(row.key)
        before = audit(tables, row, steps, driven=False, deep=deep)
        plan = make_plan(tables, before, again)
        if plan.empty or not agree(before, plan):
            return Repaired(row.id, row.pipeline, before, plan, False, before, bool(tables.open_chunks(row.key)))
        wanted = {*plan.inputs, *(one.seq for one in plan.restore if one.place is None)}
        left = await mend(tables, row, steps, plan, before.facts, _records(folder, row, wanted), time.time())
        if plan.settle:
            await book_postings(parts, tables, row.id)
        if row.state is RunState.COMPLETE and not left:
            write_outputs(tables, row, steps)
        after = audit(tables, tables.find_run() or row, steps, driven=False, deep=deep)
        return Repaired(row.id, row.pipeline, before, plan, True, after, left)


def _records(folder: Path, row: RunRow, wanted: Collection[int]) -> dict[int, JsonObject]:
    """Inputs of the first step, made from the run's own pipeline as they were."""
    if not wanted:
        return {}
    units = pinned(folder).units(decode(row.options).get("max_units"))
    found = {unit.seq: unit.fields for unit in units if unit.seq in wanted}
    if len(found) != len(wanted):
        raise RunError(f"the run's pipeline makes only {len(found)} of the {len(wanted)} units that are missing")
    return found
