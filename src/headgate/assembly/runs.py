"""Starting, resuming and finding runs."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib import resources
from pathlib import Path

import msgspec

from headgate.assembly.limits import run_limits
from headgate.assembly.parts import Parts, new_run_id
from headgate.assembly.run_log import Logged
from headgate.assembly.run_places import find_run as find_run
from headgate.assembly.run_places import read_run as read_run
from headgate.assembly.run_places import run_folder as run_folder
from headgate.batch.answer_cache import MIGRATIONS, AnswerCache
from headgate.batch.chosen import given_file, given_items, read_unit_ids, require_units
from headgate.batch.control import Control
from headgate.batch.home import Home
from headgate.batch.item_file import INPUT
from headgate.batch.items import with_own_items
from headgate.batch.lanes import Deadline
from headgate.batch.pipeline import Pipeline, Step, StepKind
from headgate.batch.pipeline_files import snapshot
from headgate.batch.pipeline_load import find_pipeline, load_snapshot
from headgate.batch.programs import own_programs
from headgate.batch.progress import Progress
from headgate.batch.request import cannot
from headgate.batch.rows import Posting, RunRow, StepRow
from headgate.batch.run import RunOptions
from headgate.batch.states import RunState
from headgate.batch.tables import Tables
from headgate.batch.worker import OnProgress, Plan, Result, execute
from headgate.catalog.resolve import Target as Resolved
from headgate.catalog.resolve import resolve, resolve_step
from headgate.client import Target
from headgate.client.target import missing_variable
from headgate.domain.usage import BUCKETS, Usage
from headgate.errors import ConfigError, RunError, UsageError
from headgate.ledger import Ledger, Settlement
from headgate.store import Database
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import TransportSettings
from headgate.wire.json import JsonObject, decode, encode

if sys.platform != "win32":
    import resource

SNAPSHOT = "pipeline.snapshot"
REQUEST = "request.json"
"""What the run was asked with, for going on with it in the same way."""
ANSWERS = "run-answers.db"
"""The file in the data folder with the answers of earlier runs."""
SPARE_FILES = 256
"""Files a run has open beside its connections, amply."""


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a user asked for. `run` is a run's name or folder (None: a new one is named after the pipeline).

    `mode` is realtime unless said, or the run's when it has begun; `deadline` is seconds from now.
    `cache` says whether answers of earlier runs may be taken (None: as the pipeline says, or the run began).
    `items` is a file in place of the pipeline's own items, `units_file` one with the ids of the units to be run.
    """

    pipeline: str
    provider: str | None = None
    model: str | None = None
    mode: str | None = None
    max_units: int | None = None
    run: str | None = None
    max_cost_nanos: int | None = None
    seed: str | None = None
    concurrency: int | None = None
    grace: float | None = None
    allow_scripts: bool = False
    deadline: float | None = None
    items: str | None = None
    units_file: str | None = None
    cache: bool | None = None


class Opened(msgspec.Struct, frozen=True):
    """A run ready to be driven: its folder, its plan, whether it existed before, and what the user should be told."""

    home: Home
    plan: Plan
    resumed: bool
    notes: tuple[str, ...]

    @property
    def summary(self) -> str:
        """What is about to be driven, in a line."""
        plan = self.plan
        targets = ", ".join(sorted({target.name for target in plan.targets.values()})) or "no provider"
        return f"{'resuming' if self.resumed else 'run'} {plan.run_id}: {plan.pipeline.name}, {plan.options.mode}, {targets}"


def pipeline_roots() -> list[Path]:
    """Where pipelines are looked for by name: ``./pipelines``, then those that ship with the package."""
    return [Path.cwd() / "pipelines", Path(str(resources.files("headgate") / "pipelines"))]


Approve = Callable[[Opened], None]
"""Looks at a run that nothing is written of yet, and raises to keep it from being made."""


def open_run(parts: Parts, request: RunRequest, approve: Approve = lambda opened: None) -> Opened:
    """Find or make the run. An existing folder is gone on with, from its own copy of the pipeline; a new one must be approved of.

    Raises `ConfigError`, `UsageError`, and what `approve` raises.
    """
    check_mode_word(request.mode)
    home = Home(run_folder(parts, request.run)) if request.run is not None else None
    if home is not None and home.exists:
        with held(home):
            if _begun(home):
                return _resume(parts, request, home)
    pipeline = _found(request)
    if home is None:
        run_dir = parts.settings.run_dir
        home = Home(run_dir / new_run_id(pipeline.name, time.time(), run_dir))
    return _start(parts, request, home, pipeline, approve)


def check_mode_word(mode: str | None) -> None:
    """Raise `UsageError` unless `mode` is one, or left open."""
    if mode not in (None, "batch", "realtime"):
        raise UsageError(f"unknown mode {mode!r}", hint="use --mode batch or --mode realtime")


def _found(request: RunRequest) -> Pipeline:
    """The pipeline a new run is of, with the inputs that the request names."""
    items = None if request.items is None else given_items(request.items)
    chosen = None if request.units_file is None else given_file(request.units_file, "--units-file")
    only = () if chosen is None else read_unit_ids(chosen)
    pipeline = find_pipeline(request.pipeline, pipeline_roots(), items, only)
    if chosen is not None:
        require_units(pipeline, chosen)
    return pipeline


def abandon(opened: Opened) -> None:
    """Give up a run that was opened and is not to be driven; its copy of a large items file goes."""
    if not opened.resumed:
        shutil.rmtree(opened.home.folder / INPUT, ignore_errors=True)
    opened.home.release()


@contextmanager
def held(home: Home) -> Iterator[None]:
    """The lock of `home`, kept when the block ends well and given back when it fails."""
    home.acquire()
    try:
        yield
    except BaseException:
        home.release()
        raise


def _begun(home: Home) -> bool:
    """Whether the folder holds a run; False when a process ended before it had written one. The caller holds the lock."""
    with Database.open(home.database, migrations="run") as database:
        return Tables(database, home.folder).find_run() is not None


def draft_run(parts: Parts, request: RunRequest) -> Opened:
    """A new run as `open_run` would make it, to be looked at: nothing is written, and no key is needed. Raises `ConfigError`."""
    check_mode_word(request.mode)
    pipeline = _found(request)
    return _drafted(parts, request, Home(parts.settings.run_dir / pipeline.name), pipeline, parts.keyless_target)


def _start(parts: Parts, request: RunRequest, home: Home, pipeline: Pipeline, approve: Approve) -> Opened:
    try:
        left_out = refused_programs(pipeline, request.allow_scripts)
        drafted = _drafted(parts, request, home, pipeline, parts.target)
        opened = msgspec.structs.replace(drafted, notes=tuple(dict.fromkeys((*left_out, *drafted.notes))))
        if home.locked():
            home.acquire()
        approve(opened)
    except BaseException:
        home.release()
        raise
    with held(home):
        pipeline = with_own_items(pipeline, home.folder)
        home.write(SNAPSHOT, snapshot(pipeline))
        home.write(REQUEST, encode(request))
    return msgspec.structs.replace(opened, plan=msgspec.structs.replace(opened.plan, pipeline=pipeline))


def _drafted(parts: Parts, request: RunRequest, home: Home, pipeline: Pipeline, reach: Callable[[Resolved], Target]) -> Opened:
    resolved = {step.name: _resolved(parts, request, pipeline, step) for step in pipeline.llm_steps}
    targets = {name: reach(found) for name, found in resolved.items()}
    mode = request.mode or "realtime"
    _check_mode(mode, targets)
    _check_params(pipeline, targets)
    plan = Plan(
        run_id=home.folder.name,
        pipeline=pipeline,
        targets=targets,
        options=options(request, pipeline, mode, targets, time.time()),
        max_units=request.max_units,
        cost_cap_nanos=_cap(request, pipeline),
        seed=request.seed or (str(pipeline.processing.seed) if pipeline.processing.seed else secrets.token_hex(8)),
        overridden=frozenset(resolved) if request.provider or request.model else frozenset(),
        price_digest=parts.catalog.digest,
    )
    notes = [note for found in resolved.values() for note in found.notes]
    notes += _small_batches(mode, pipeline, targets, request.max_units)
    return Opened(home, plan, False, tuple(dict.fromkeys((*pipeline.warnings, *notes))))


def refused_programs(pipeline: Pipeline, allowed: bool) -> tuple[str, ...]:
    """Notes on what will be left out because it is a program of the pipeline's own, and those need the user's word.

    Raises `ConfigError` when it is a step: a run without it would not be whole.
    """
    if allowed:
        return ()
    steps = {f"step {step.name!r}" for step in pipeline.steps if step.kind is StepKind.RUN}
    found = own_programs(pipeline)
    for what, script in found:
        if what in steps:
            message = f"{what} runs {script}, a program of the pipeline's own"
            raise ConfigError(message, hint="look at it, then add --allow-scripts to let it be run")
    own = "a program of the pipeline's own; --allow-scripts lets it"
    return tuple(f"{what} is left out: it runs {script}, {own}" for what, script in found)


def _resume(parts: Parts, request: RunRequest, home: Home) -> Opened:
    row, steps = read_run(home.folder)
    path = home.folder / SNAPSHOT
    if not path.exists():
        raise RunError(f"{path} is missing: the run cannot go on without its copy of the pipeline")
    pipeline = load_snapshot(path.read_bytes(), home.folder)
    if request.pipeline not in (pipeline.name, pipeline.folder) and Path(request.pipeline).name != pipeline.name:
        raise UsageError(
            f"{home.folder} is a run of {pipeline.name!r}, not of {request.pipeline!r}",
            hint=f"headgate run {pipeline.name} --run-dir {home.folder}",
        )
    stored: JsonObject = decode(row.options)
    wants_cache = stored.get("cache", False) if request.cache is None else request.cache
    targets = {step.name: stored_target(parts, step) for step in steps if step.provider is not None}
    mode = request.mode or row.mode
    _check_mode(mode, targets)
    chosen = options(request, pipeline, mode, targets, time.time())
    if request.deadline is None and stored.get("deadline") is not None:
        chosen = msgspec.structs.replace(chosen, deadline=msgspec.convert(stored["deadline"], Deadline))
    plan = Plan(
        run_id=row.id,
        pipeline=pipeline,
        targets=targets,
        options=msgspec.structs.replace(chosen, cache=wants_cache),
        max_units=stored.get("max_units"),
        cost_cap_nanos=request.max_cost_nanos if request.max_cost_nanos is not None else row.cost_cap_nanos,
        seed=row.seed,
        price_digest=row.price_digest,
    )
    other = parts.account if any(target.credential.account != parts.account for target in targets.values()) else None
    return Opened(home, plan, True, _ignored(request, row, other))


def _ignored(request: RunRequest, row: RunRow, account: str | None) -> tuple[str, ...]:
    """What was asked for and cannot be changed in a run that has begun; `account` when it is another than the run's."""
    asked = {
        "--account": account,
        "--provider": request.provider,
        "--model": request.model,
        "--seed": request.seed if request.seed != row.seed else None,
        "--max-units": request.max_units,
        "--items": request.items,
        "--units-file": request.units_file,
    }
    return tuple(f"{name} {value} is left out: the run goes on as it was planned" for name, value in asked.items() if value is not None)


def stored_target(parts: Parts, step: StepRow) -> Target:
    """Where a step of a run that was begun sends its calls. Raises `ConfigError` when its account has no key any more."""
    assert step.provider is not None and step.model is not None
    bound = msgspec.structs.replace(parts, account=step.account)
    target = bound.target(resolve(step.model, step.provider, parts.catalog, parts.providers))
    if target.credential.account != step.account:
        raise ConfigError(
            f"the run goes on with the account {step.account!r} of {step.provider}, which has no key any more",
            hint="see providers: in headgate.yaml, or set the key",
        )
    return target


def _resolved(parts: Parts, request: RunRequest, pipeline: Pipeline, step: Step) -> Resolved:
    return resolve_step(
        cli_provider=request.provider,
        cli_model=request.model,
        step_provider=step.provider,
        step_model=step.model,
        api_provider=pipeline.api.provider,
        api_model=pipeline.api.model,
        default_provider=parts.settings.default_provider,
        catalog=parts.catalog,
        default_models=parts.default_models,
        with_keys=parts.with_keys(),
    )


def _check_mode(mode: str, targets: dict[str, Target]) -> None:
    for step, target in targets.items():
        if mode == "batch":
            _check_batch(step, target)


def _check_params(pipeline: Pipeline, targets: dict[str, Target]) -> None:
    """Raise `ConfigError` for parameters that a step's model cannot follow at all."""
    for step in pipeline.llm_steps:
        target = targets[step.name]
        why = cannot(step, target.capabilities)
        if why is not None:
            raise ConfigError(f"step {step.name!r}: {target.name} {why}", where=step.where or None, hint="use another --model")


def _check_batch(step: str, target: Target) -> None:
    """Raise `ConfigError` if the target has no batches, or needs what is not set for them."""
    provider, refused = target.provider, f"step {step!r}: {target.name} cannot be used in batch mode"
    if provider.batch is None:
        raise ConfigError(f"{refused}: {provider.label} has no batches", hint="use --mode realtime, or another --provider")
    if target.card is not None and not target.capabilities.batch:
        raise ConfigError(f"{refused}: the model has no batches", hint="use --mode realtime, or another --model")
    for name in provider.batch_variables:
        if not target.variables.get(name):
            raise missing_variable(provider, name)


def _small_batches(mode: str, pipeline: Pipeline, targets: dict[str, Target], max_units: int | None) -> list[str]:
    """What is known before the start of units that no batch will take: those of chunks smaller than a provider's batches must be."""
    units, size = pipeline.unit_count(max_units), pipeline.processing.chunk_size
    notes: list[str] = []
    for step, target in targets.items():
        least = target.provider.batch.limits.min_rows if mode == "batch" and target.provider.batch is not None else 1
        few = units if size < least else units % size
        if 0 < few < least or size < least:
            notes.append(
                f"step {step!r}: {few} of {units} units make no batch of {target.provider.label}, which has at least {least} rows: "
                "they are asked one by one, at realtime prices"
            )
    return notes


def _cap(request: RunRequest, pipeline: Pipeline) -> int | None:
    return request.max_cost_nanos if request.max_cost_nanos is not None else pipeline.api.cost_cap_nanos


SIMULATED: JsonObject = {"turnaround": 0.0, "cancel": 0.0, "call_seconds": 0.1}
"""What is expected of simulated providers, which are as fast as their clock."""


def options(request: RunRequest, pipeline: Pipeline, mode: str, targets: Mapping[str, Target], now: float) -> RunOptions:
    """How this invocation drives the run."""
    chosen = RunOptions(
        mode=mode,
        max_age=pipeline.api.batch_max_age,
        on_stuck=pipeline.api.on_stuck,
        allow_scripts=request.allow_scripts,
        cache=pipeline.api.cache if request.cache is None else request.cache,
    )
    changes: JsonObject = dict(SIMULATED) if all(target.provider.simulated for target in targets.values()) else {}
    if request.deadline is not None:
        changes["deadline"] = Deadline(now + request.deadline, now)
    concurrency = request.concurrency or pipeline.api.concurrency
    if concurrency is not None:
        changes["concurrency"] = concurrency
    if request.grace is not None:
        changes["grace"] = request.grace
    return msgspec.structs.replace(chosen, **changes)


async def drive_run(parts: Parts, opened: Opened, on_progress: OnProgress, control: Control) -> Result:
    """Drive a run to its end or to `control`'s stop; releases the home."""
    ledger = parts.ledger()
    try:

        async def settle(postings: Sequence[Posting]) -> None:
            await book(ledger, opened.plan.run_id, postings)

        with Logged(opened.home, opened.summary) as log:

            def told(progress: Progress) -> None:
                log.look()
                on_progress(progress)

            roomy = _roomy(parts.transport, opened.plan.options.concurrency)
            async with (
                HttpClient(roomy) as http,
                earlier_answers(parts, opened.plan) as answers,
                run_limits(parts, ledger) as limits,
            ):
                plan = msgspec.structs.replace(opened.plan, answers=answers, limits=limits)
                result = await execute(opened.home, plan, http, settle, told, control)
            log.end(f"exit code {result.exit_code}: {result.progress.valid} valid, {result.progress.failed} failed")
            return result
    finally:
        ledger.close()
        opened.home.release()


@asynccontextmanager
async def earlier_answers(parts: Parts, plan: Plan) -> AsyncIterator[AnswerCache | None]:
    """The answers of earlier runs, where the run wants them, without those that are too old or too many. Raises `StoreError`."""
    if not plan.options.cache:
        yield None
        return
    parts.settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with Database.open(parts.settings.data_dir / ANSWERS, migrations=MIGRATIONS) as database:
        answers = AnswerCache(database)
        await answers.purge(time.time())
        yield answers


def _roomy(transport: TransportSettings, calls: int) -> TransportSettings:
    """Bounds with a connection for each of `calls` at once; the process may open as many files, as far as the system lets it."""
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = calls + SPARE_FILES
        if soft not in (-1, resource.RLIM_INFINITY) and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    most = max(transport.max_connections, calls)
    return msgspec.structs.replace(transport, max_connections=most, max_idle=max(transport.max_idle, calls))


async def book(ledger: Ledger, run: str, postings: Sequence[Posting]) -> None:
    """Hand postings to the ledger, several to a transaction; one it has already changes nothing."""
    await asyncio.gather(*(ledger.settle(posting.key, settlement(run, posting)) for posting in postings))


async def book_postings(parts: Parts, tables: Tables, run: str) -> None:
    """Hand what a run has not handed over yet to the ledger, outside of a drive. The caller holds the home's lock."""
    ledger = parts.ledger()
    try:
        postings = tables.open_postings()
        await book(ledger, run, postings)
        await tables.settled([posting.key for posting in postings], time.time())
    finally:
        ledger.close()


def settlement(run: str, posting: Posting) -> Settlement:
    """A run's posting as the ledger books it. A correction (`true_up`) has no calls, and an amount that may be negative."""
    stored: JsonObject = decode(posting.usage)
    buckets = {name: stored[name] for name in BUCKETS if name in stored}
    usage = Usage(**buckets, fees=stored.get("fees", {}), source=stored["source"])
    return Settlement(
        at=posting.at,
        provider=posting.provider,
        account=posting.account,
        model=posting.model,
        lane="batch" if posting.lane == "batch" else "realtime",
        calls=posting.calls,
        usage=usage,
        cost_nanos=posting.cost_nanos or 0,
        unpriced=posting.unpriced,
        run=run,
    )


def ask_for_mode(parts: Parts, folder: Path, mode: str) -> bool:
    """Let a run go on in another mode; True when a process drives it and will do so at once. Raises `ConfigError`, `UsageError`."""
    row, steps = read_run(folder)
    if row.state is RunState.COMPLETE:
        raise UsageError(f"{row.id} is complete: there is nothing left to do in any mode")
    _check_mode(mode, {step.name: stored_target(parts, step) for step in steps if step.provider is not None})
    home = Home(folder)
    home.ask_for_mode(mode)
    return home.locked()
