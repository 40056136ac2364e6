"""Drives one run in one process: opens the home, plans what is not planned, lets the engine work, watches, and closes in order."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from math import ceil
from pathlib import Path
from random import SystemRandom

import msgspec

from headgate.batch.after import After
from headgate.batch.answer_cache import AnswerCache
from headgate.batch.books import check_books
from headgate.batch.compiled import CompiledPipeline, compile_pipeline
from headgate.batch.control import INTERRUPTED, Control, Pausing, Stop
from headgate.batch.engine import ENGINE_VERSION, Engine, QueueSettings
from headgate.batch.home import Home
from headgate.batch.lanes import BATCH, REALTIME
from headgate.batch.limiter import Limiter
from headgate.batch.notices import notices
from headgate.batch.outputs import write_outputs
from headgate.batch.pipeline import BARRIERS, Pipeline, Step, StepKind
from headgate.batch.progress import Progress, projected_cost, remaining_seconds, share_done, waiting_text
from headgate.batch.rows import ChunkRow, Posting, RunRow, StepRow
from headgate.batch.run import Run, RunOptions, StepPlan
from headgate.batch.runner import Runner, workflow_id
from headgate.batch.segments import SegmentWriter
from headgate.batch.states import AFTER, ChunkState, RunState, SubmissionState
from headgate.batch.steps import barrier
from headgate.batch.steps.barrier import BARRIER
from headgate.batch.steps.lanes import moved
from headgate.batch.steps.realtime import settle_orphans
from headgate.batch.tables import NewUnit, Tables
from headgate.batch.templates import RenderPool
from headgate.catalog.cards import Price, day_of
from headgate.client import Target
from headgate.errors import HeadgateError, RunError, StoreError
from headgate.ledger.limiter import Limiter as CallLimits
from headgate.store import Database
from headgate.transport.http1 import HttpClient
from headgate.wire.json import JsonObject, encode_text

Settle = Callable[[Sequence[Posting]], Awaitable[None]]
OnProgress = Callable[[Progress], None]

NOTHING_VALID = Stop("no unit came through; outputs/failures.jsonl says why", 1)
"""A run that ended without a single result is loud about it (USR-12)."""

LOCAL_LANES = {StepKind.EXPRESSION: "expression", StepKind.FAN_OUT: "expression", StepKind.RUN: AFTER}
"""The lanes of steps that call nobody; all others wait at a barrier."""

DEAD_WORKFLOWS = frozenset({"ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED", "SUCCESS"})
"""States in which a workflow will not take its chunk any further."""


AGAIN = "run the same command again"
STILL = 6
"""Looks, a few seconds apart, between which nobody worked on any chunk, before something is done about it."""

MOST_REALTIME = 64
"""Chunks of realtime calls worked on at once at most."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to run: a checked pipeline, where each LLM step goes, and the choices of this invocation.

    `targets` is by step name; `overridden` names the steps whose provider or model came from the command line. `answers` are those of
    earlier runs, None when they are not wanted.
    """

    run_id: str
    pipeline: Pipeline
    targets: dict[str, Target]
    options: RunOptions
    max_units: int | None = None
    cost_cap_nanos: int | None = None
    seed: str = "0"
    overridden: frozenset[str] = frozenset()
    price_digest: str = ""
    answers: AnswerCache | None = None
    limits: CallLimits | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How an invocation ended. `exit_code` follows OCT-42; `outputs` are the files written, `notices` what users should hear of it."""

    state: RunState
    exit_code: int
    progress: Progress
    outputs: dict[str, Path]
    reason: str | None = None
    hint: str | None = None
    notices: tuple[str, ...] = ()


async def execute(home: Home, plan: Plan, http: HttpClient, settle: Settle, on_progress: OnProgress, control: Control) -> Result:
    """Run `plan` in `home`, or go on with what is there, until it is complete or `control` stops it. The caller holds the home's lock."""
    database = Database.open(home.database, migrations="run", synchronous="FULL")
    try:
        tables = Tables(database, home.folder)
        row = tables.find_run() or await create_run(tables, plan, time.time())
        if row.id != plan.run_id:
            raise RunError(f"{home.folder} holds the run {row.id!r}, not {plan.run_id!r}", exit_code=2)
        await tables.set_run_options(row.key, plan.cost_cap_nanos, row.engine_version)
        row = _again(tables)
        pipeline = plan.pipeline
        async with RenderPool(pipeline.templates, pipeline.template_of) as renderer:
            compiled = compile_pipeline(pipeline)
            steps = make_steps(plan, compiled, tables.steps(row.key), control)
            values = compiled.prompt_values
            run = Run(row, pipeline, steps, tables, http, renderer, control, plan.options, time.time, SystemRandom(), values)
            run.answers = plan.answers
            if plan.limits is not None:
                run.limit_calls(plan.limits)
            return await Driver(home, run, settle, on_progress, plan, After(run, compiled)).drive()
    finally:
        database.close()


def _again(tables: Tables) -> RunRow:
    row = tables.find_run()
    if row is None:
        raise StoreError(f"the run in {tables.folder} vanished while it was opened")
    return row


async def create_run(tables: Tables, plan: Plan, now: float) -> RunRow:
    """Write the run and its steps, prices frozen as they are today."""
    fields = {
        "id": plan.run_id,
        "mark": secrets.token_hex(6),
        "pipeline": plan.pipeline.name,
        "pipeline_digest": plan.pipeline.digest,
        "mode": plan.options.mode,
        "state": RunState.PLANNING.value,
        "created_at": now,
        "seed": plan.seed,
        "cost_cap_nanos": plan.cost_cap_nanos,
        "price_digest": plan.price_digest,
        "engine_version": ENGINE_VERSION,
        "options": encode_text(_options(plan)),
    }
    await tables.create_run(fields, [step_row(plan, idx, step, now) for idx, step in enumerate(plan.pipeline.steps)])
    return _again(tables)


def _options(plan: Plan) -> JsonObject:
    """The choices of the first invocation that hold for the whole run."""
    only = len(plan.pipeline.only) or None
    return {
        "max_units": plan.max_units,
        "deadline": plan.options.deadline,
        "items": plan.pipeline.replaced,
        "only": only,
        "cache": plan.options.cache,
    }


def step_row(plan: Plan, idx: int, step: Step, now: float) -> StepRow:
    """A step as it is written when a run begins: where its calls go, and what they cost on that day."""
    if step.kind is not StepKind.LLM:
        return StepRow(idx, step.name, step.kind.value, LOCAL_LANES.get(step.kind, BARRIER))
    target = plan.targets[step.name]
    record = None if target.card is None else target.card.price_on(day_of(now))
    return StepRow(
        idx=idx,
        name=step.name,
        kind=step.kind.value,
        lane=plan.options.mode,
        provider=target.provider.name,
        account=target.credential.account,
        model=target.model,
        price=None if record is None else encode_text(record),
        overridden=step.name in plan.overridden,
    )


def make_steps(plan: Plan, compiled: CompiledPipeline, rows: list[StepRow], control: Control) -> tuple[StepPlan, ...]:
    """The steps made ready, with the prices frozen when the run was planned."""
    limiters: dict[tuple[str, str, str], Limiter] = {}
    steps = []
    for step, row in zip(plan.pipeline.steps, rows, strict=True):
        validator, condition = compiled.validators.get(step.name), compiled.conditions.get(step.name)
        tries = plan.pipeline.max_attempts(step)
        if step.kind is not StepKind.LLM:
            expressions = compiled.expression_steps.get(step.name)
            steps.append(StepPlan(step, row, validator=validator, compiled=expressions, max_tries=tries, condition=condition))
            continue
        price = None if row.price is None else msgspec.json.decode(row.price, type=Price)
        target = _frozen(plan.targets[step.name], price)
        key = (target.provider.name, target.credential.account, target.model)
        limiter = limiters.setdefault(key, Limiter(plan.options.concurrency, control))
        schema = plan.pipeline.schemas.get(step.name)
        steps.append(
            StepPlan(
                step,
                row,
                validator=validator,
                schema=schema,
                target=target,
                price=price,
                limiter=limiter,
                max_tries=tries,
                condition=condition,
            )
        )
        steps[-1].images = compiled.images[step.name]
    return tuple(steps)


def _frozen(target: Target, price: Price | None) -> Target:
    """The target with the run's own price in place of today's catalog, so that bounds and costs follow the same prices."""
    if target.card is None:
        return target
    card = msgspec.structs.replace(target.card, prices=() if price is None else (price,))
    return msgspec.structs.replace(target, card=card)


def queue_settings(pipeline: Pipeline, options: RunOptions) -> QueueSettings:
    """How many chunks of a lane are worked on at once: enough realtime ones for all the calls that may be under way."""
    known = QueueSettings()
    needed = 1 + ceil(options.concurrency / pipeline.processing.chunk_size)
    return QueueSettings(batch=pipeline.api.max_inflight_batches, realtime=min(MOST_REALTIME, max(known.realtime, needed)))


class Driver:
    """One invocation of one run."""

    def __init__(self, home: Home, run: Run, settle: Settle, on_progress: OnProgress, plan: Plan, after: After) -> None:
        self.after = after
        self.home = home
        self.run = run
        self.settle = settle
        self.on_progress = on_progress
        self.plan = plan
        self.runner = Runner(run)
        self.engine = Engine(home.folder, home.id, self.runner, queue_settings(run.pipeline, run.options))
        self._began = time.monotonic()
        self._before = 0.0
        self._pulse = self._still = 0
        self._last_event = max((event[0] for event in run.tables.events(run.row.key, limit=1)), default=0)
        self._known_failures: frozenset[str] = frozenset()

    async def drive(self) -> Result:
        """Until the end of the run or of the invocation."""
        run = self.run
        if run.row.state is RunState.COMPLETE:
            return await self._over()
        shutil.rmtree(run.folder / "downloads", ignore_errors=True)
        await settle_orphans(run)
        await run.tables.set_run_state(run.row.key, RunState.RUNNING, None, None, run.clock())
        self._before = self.progress("running").done
        try:
            await self.engine.start()
            await self._work()
        except HeadgateError as error:
            run.control.stop(Stop(error.message, 1, failed=True, hint=error.hint))
        finally:
            await self.engine.stop()
        return await self._finish()

    async def _over(self) -> Result:
        """A run that was complete before: what it leaves is written anew, and it stays complete when that is interrupted."""
        await self.settle_outbox()
        try:
            return self._completed(*await self._outputs())
        except Pausing:
            stop = self.run.control.stopped or INTERRUPTED
            return self._result(RunState.COMPLETE, stop.exit_code, {}, stop)

    async def _heed_mode(self, otherwise: str | None = None) -> None:
        """Go on in the mode that somebody asked for, if anybody did."""
        asked = self.home.mode_asked_for()
        await self._go_on_as(asked or otherwise or self.run.mode)
        if asked is not None:
            self.home.mode_followed()

    async def _go_on_as(self, mode: str) -> None:
        """Take another mode, if it is one and every step's provider knows it; say so when it is not."""
        run = self.run
        if mode == run.mode:
            return
        targets = [plan.target for plan in run.steps if plan.target is not None]
        if mode == REALTIME or (mode == BATCH and all(target.provider.batch is not None for target in targets)):
            await run.set_mode(mode)
            await self._move_waiting()
        else:
            await run.tables.event(run.row.key, "warning", "mode_refused", {"mode": mode}, run.clock())

    async def _move_waiting(self) -> None:
        """Chunks of calls that wait for their turn take the lane they should be in now."""
        run = self.run
        for chunk in run.tables.open_chunks(run.row.key):
            if chunk.lane not in (BATCH, REALTIME) or chunk.id in self.runner.busy:
                continue
            async with self.runner.alone(chunk.id):
                now = run.tables.chunk(chunk.id)
                went = self._untouched(now) and await moved(run, now)
            if went:
                await self._enqueue(chunk.id)

    def _untouched(self, chunk: ChunkRow) -> bool:
        """No job of the chunk is, or may be, at the provider."""
        last = self.run.tables.last_submission(chunk.id)
        return chunk.state in (ChunkState.OPEN, ChunkState.BUILT) and (last is None or last.state is SubmissionState.REFUSED)

    async def _work(self) -> None:
        """Plan, feed and watch until nothing is left to do or the run stops; then see that every phase has come to rest."""
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._heed_mode(self.run.options.mode)
            await self._adopt_chunks()
            tasks += [asyncio.create_task(self._plan_units()), asyncio.create_task(self._feed())]
            await self._watch(*tasks)
        except BaseException as error:
            message = error.message if isinstance(error, HeadgateError) else "internal error"
            self.run.control.stop(Stop(message, 1, failed=True, hint=getattr(error, "hint", None)))
            raise
        finally:
            await self.runner.quiet(self.run.options.stop_grace + 2.0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _adopt_chunks(self) -> None:
        """Make sure that every open chunk has a workflow that will take it further."""
        run = self.run
        stale = run.row.engine_version != ENGINE_VERSION
        self._known_failures = frozenset(name for name, _ in await self.engine.failures())
        for chunk in run.tables.open_chunks(run.row.key):
            if chunk.lane == BARRIER:
                continue
            name = workflow_id(run.row.id, chunk)
            status = await self.engine.status(name)
            if stale and status is not None:
                await self.engine.cancel(name)
            if status is not None and (stale or status in DEAD_WORKFLOWS):
                await run.tables.set_chunk_epoch(chunk.id, chunk.epoch + 1)
                chunk = run.tables.chunk(chunk.id)
            await self._enqueue(chunk.id)
        if stale:
            await run.tables.set_run_options(run.row.key, run.row.cost_cap_nanos, ENGINE_VERSION)

    async def _plan_units(self) -> None:
        """Make the units that are not made yet, a chunk at a time."""
        run, size = self.run, self.run.pipeline.processing.chunk_size
        if run.row.total is not None:
            return
        segment = await run.tables.segment(run.row.key, "segments/input.jsonl.zst")
        writer = run.tables.writer(segment)
        pending: list[NewUnit] = []
        count = run.row.planned
        try:
            for unit in run.pipeline.units(self.plan.max_units, start=count):
                count += 1
                pending.append(NewUnit(unit.seq, unit.fields))
                if len(pending) == size:
                    await self._plan_chunk(pending, writer, segment.id)
                    pending = []
            if pending:
                await self._plan_chunk(pending, writer, segment.id)
        finally:
            writer.close()
        await run.tables.set_total(run.row.key, count)

    async def _plan_chunk(self, units: list[NewUnit], writer: SegmentWriter, segment: int) -> None:
        run = self.run
        run.control.check()
        chunk = await run.tables.plan_units(run.row.key, run.steps[0].row.lane, units, writer, segment, run.clock())
        await self._enqueue(chunk)

    async def _feed(self) -> None:
        """Hand the chunks that phases open to the engine."""
        while True:
            await self._enqueue(await self.runner.opened.get())

    async def _enqueue(self, chunk_id: int) -> None:
        """Hand a chunk to the engine; safe to repeat."""
        chunk = self.run.tables.chunk(chunk_id)
        if chunk.lane == BARRIER:
            return
        await self.engine.enqueue(workflow_id(self.run.row.id, chunk), chunk.lane, chunk.id)

    async def _watch(self, planner: asyncio.Task[None], feeder: asyncio.Task[None]) -> None:
        """Settle, report and look for the end, a few times a second."""
        run, looks = self.run, 0
        while not run.control.stopping:
            for task in (planner, feeder):
                if task.done():
                    task.result()
            await self.settle_outbox()
            await self._heed_mode()
            if planner.done() and not await self._go_through():
                return
            self.on_progress(self.progress("running"))
            looks += 1
            if looks % 10 == 0:
                await self._check_engine()
                if planner.done():
                    await self._check_pulse()
                if run.options.deadline is not None and run.mode == BATCH:
                    await self._move_waiting()
            await self._pause(0.1 if looks < 50 else 0.5)

    async def _go_through(self) -> bool:
        """Whether anything is left to do. When all that is left waits at a barrier, the first one is opened."""
        run = self.run
        if not any(plan.step.kind in BARRIERS for plan in run.steps):
            return run.tables.has_open_chunks(run.row.key)
        left = run.tables.open_chunks(run.row.key)
        if not left:
            return False
        if any(chunk.lane != BARRIER for chunk in left):
            return True
        first = min(chunk.step for chunk in left)
        try:
            opened = await barrier.close(run, first, [chunk for chunk in left if chunk.step == first])
        except Pausing:
            return True
        for chunk in opened:
            await self._enqueue(chunk)
        return True

    async def _pause(self, seconds: float) -> None:
        stop = asyncio.ensure_future(self.run.control.wait())
        try:
            await asyncio.wait({stop}, timeout=seconds)
        finally:
            stop.cancel()
            await asyncio.gather(stop, return_exceptions=True)

    async def _check_engine(self) -> None:
        """A workflow that ended in an error is a defect of ours: stop with its words instead of waiting for ever."""
        for name, error in await self.engine.failures():
            if name not in self._known_failures:
                self.run.control.stop(Stop(f"internal error in {name}: {error}", 1, failed=True, hint=AGAIN))

    async def _check_pulse(self) -> None:
        """Chunks that nobody has worked on for long, though nothing keeps them, get a workflow; when that does not help, the run stops."""
        alive = bool(self.runner.busy) or self.runner.begun != self._pulse
        self._pulse, self._still = self.runner.begun, 0 if alive else self._still + 1
        if self._still == STILL:
            await self._adopt_chunks()
        elif self._still >= 2 * STILL:
            self.run.control.stop(Stop("nothing goes on any more; this is a defect, please report it", 1, failed=True, hint=AGAIN))

    async def settle_outbox(self) -> None:
        """Hand postings to the ledger, then mark them; a posting the ledger already has is not counted again."""
        postings = self.run.tables.open_postings()
        if postings:
            await self.settle(postings)
            await self.run.tables.settled([p.key for p in postings], self.run.clock())

    async def _finish(self) -> Result:
        run, stop = self.run, self.run.control.stopped
        if stop is not None:
            return await self._stopped(stop)
        await self.settle_outbox()
        await asyncio.to_thread(self._verify)
        try:
            await self.after.run_steps()
            result = self._completed(*await self._outputs())
        except Pausing:
            return await self._stopped(run.control.stopped or INTERRUPTED)
        except HeadgateError as error:
            return await self._stopped(Stop(error.message, 1, failed=True, hint=error.hint))
        await run.tables.set_run_state(run.row.key, RunState.COMPLETE, result.reason, run.clock(), run.clock())
        return result

    async def _outputs(self) -> tuple[dict[str, Path], list[str]]:
        """Write what a whole run leaves, and do what its pipeline wants done with it; also what went wrong with that."""
        run = self.run
        outputs = await asyncio.to_thread(write_outputs, run.tables, run.row, run.tables.steps(run.row.key), run.control.heeded)
        made, problems = await self.after.post_process()
        return {**outputs, **made}, problems

    def _completed(self, outputs: dict[str, Path], problems: Sequence[str] = ()) -> Result:
        """The end of a whole run: good if anything came through."""
        if self.progress("complete").valid:
            return self._result(RunState.COMPLETE, 0, outputs, problems=problems)
        return self._result(RunState.COMPLETE, NOTHING_VALID.exit_code, outputs, NOTHING_VALID, problems)

    async def _stopped(self, stop: Stop) -> Result:
        """Say that the run stopped, and why; when not even that can be written, the reason is still told."""
        run = self.run
        state = RunState.FAILED if stop.failed else RunState.PAUSED
        try:
            await run.tables.set_run_state(run.row.key, state, stop.reason, run.clock(), run.clock())
            await self.settle_outbox()
        except StoreError as error:
            if not stop.failed:
                stop = Stop(f"{stop.reason}; then {error.message}", 1, failed=True, hint=error.hint)
            state = RunState.FAILED
        return self._result(state, stop.exit_code, {}, stop)

    def _verify(self) -> None:
        """The conservation law, counted unit by unit: nothing may be missing when a run is called complete."""
        problems = check_books(self.run.tables, self.run.row.key)
        if problems:
            raise StoreError("the run's books do not balance: " + "; ".join(problems))

    def progress(self, state: str) -> Progress:
        """The run now."""
        run = self.run
        row = run.tables.find_run()
        total = None if row is None else row.total
        steps = tuple(run.tables.totals(run.row.key))
        done, elapsed = share_done(total, steps), time.monotonic() - self._began
        return Progress(
            state=state,
            units=total,
            steps=steps,
            done=done,
            elapsed=elapsed,
            eta=remaining_seconds(done, self._before, elapsed),
            spent=sum(step.cost_nanos for step in steps),
            held=run.held,
            projected=projected_cost(total, steps),
            cap=run.row.cost_cap_nanos,
            waiting=waiting_text(*run.tables.under_way(run.row.key), run.clock()),
        )

    def _result(
        self, state: RunState, code: int, outputs: dict[str, Path], stop: Stop | None = None, problems: Sequence[str] = ()
    ) -> Result:
        reason, hint = (None, None) if stop is None else (stop.reason, stop.hint)
        progress = self.progress(state.value)
        self.on_progress(progress)
        told = (*notices(self.run.tables.warnings(self.run.row.key, self._last_event)), *problems)
        return Result(state=state, exit_code=code, progress=progress, outputs=outputs, reason=reason, hint=hint, notices=told)
