"""A run of Octobatch taken over: its folder is read, and a run of ours that stands where it stood is written."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import msgspec

from headgate.assembly.mending import pinned
from headgate.assembly.parts import Parts
from headgate.assembly.run_places import RUN_NAME, run_folder
from headgate.assembly.runs import SNAPSHOT, pipeline_roots
from headgate.assembly.status import opened_run
from headgate.batch.compiled import compile_pipeline, unit_seed
from headgate.batch.engine import ENGINE_VERSION
from headgate.batch.evaluate import Judged, judge_text
from headgate.batch.home import Home
from headgate.batch.items import with_own_items
from headgate.batch.octobatch.decisions import Arrived, Decider, Judge, cleaned
from headgate.batch.octobatch.findings import Finding, Findings, Odd
from headgate.batch.octobatch.folder import OldRun, Spool
from headgate.batch.octobatch.index import read_index
from headgate.batch.octobatch.leave import KINDS, FolderWriter
from headgate.batch.octobatch.manifest import Manifest
from headgate.batch.octobatch.write import SQL, RunWriter, Written
from headgate.batch.outputs import write_outputs
from headgate.batch.pipeline import Pipeline, SeedMode, Step, StepKind
from headgate.batch.pipeline_files import CONFIG, FolderFiles, safe_relative, snapshot
from headgate.batch.pipeline_load import build_pipeline, find_pipeline
from headgate.batch.plan import UNIT_ID
from headgate.batch.rows import RunRow, StepRow
from headgate.batch.run import RunOptions
from headgate.batch.states import RUN_SCOPE, RunState
from headgate.batch.tables import Tables
from headgate.batch.worker import Plan, step_row
from headgate.catalog.cards import Catalog
from headgate.catalog.resolve import Target as Resolved
from headgate.catalog.resolve import resolve_step
from headgate.client import Target
from headgate.domain.cost import money, usd_text
from headgate.errors import ConfigError, StoreError, UsageError
from headgate.store import Database
from headgate.wire.json import JsonObject, encode, encode_text

REPORT = "import.json"
"""The file in the run's folder that says what was taken over, and from where."""


class ImportRequest(msgspec.Struct, frozen=True):
    """What a user asked for. `source` is the old folder, `name` the new run's name (None: called as it was).

    `pipeline` is a folder or name to be used in place of the run's own copy of its configuration; `provider` and `model` are where all
    calls go from now on (None: where they went).
    """

    source: Path
    name: str | None = None
    pipeline: str | None = None
    provider: str | None = None
    model: str | None = None


class StepTaken(msgspec.Struct, frozen=True):
    """A step that was taken over, in numbers. `calls` are first tries and retries."""

    name: str
    kind: str
    valid: int
    failed: int
    pending: int
    calls: tuple[int, int]


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken over. `tokens` are those of first tries in and out, then of retries, as the answers say, and `told` as the manifest
    does; `estimate_nanos` is the cost the manifest names, None where it names none."""

    run: str
    folder: Path
    source: Path
    pipeline: str
    state: RunState
    status: str
    units: int
    steps: tuple[StepTaken, ...]
    tokens: tuple[int, int, int, int]
    told: tuple[int, int, int, int]
    estimate_nanos: int | None
    findings: tuple[Finding, ...]
    serious: bool
    notes: tuple[str, ...]

    @property
    def left(self) -> int:
        """Units that wait for a step."""
        return sum(step.pending for step in self.steps)

    @property
    def calls(self) -> int:
        """Calls that were made by Octobatch, and whose cost is not known."""
        return sum(sum(step.calls) for step in self.steps if step.kind == StepKind.LLM)


def imported_json(done: Imported) -> JsonObject:
    """The same as plain JSON."""
    return {
        "run": done.run,
        "folder": str(done.folder),
        "source": str(done.source),
        "pipeline": done.pipeline,
        "state": done.state.value,
        "units": done.units,
        "left": done.left,
        "steps": [
            {
                "step": step.name,
                "kind": step.kind,
                "valid": step.valid,
                "failed": step.failed,
                "pending": step.pending,
                "first_tries": step.calls[0],
                "retries": step.calls[1],
            }
            for step in done.steps
        ],
        "tokens": _tokens_json(done.tokens),
        "manifest": {
            "status": done.status,
            "tokens": _tokens_json(done.told),
            "cost_estimate_usd": None if done.estimate_nanos is None else usd_text(done.estimate_nanos),
        },
        "unpriced_calls": done.calls,
        "findings": [finding.as_json() for finding in done.findings],
        "notes": list(done.notes),
    }


def _tokens_json(tokens: tuple[int, int, int, int]) -> JsonObject:
    return {"initial": {"input": tokens[0], "output": tokens[1]}, "retry": {"input": tokens[2], "output": tokens[3]}}


async def import_run(parts: Parts, request: ImportRequest) -> Imported:
    """Take over a run. Raises `ConfigError` for a folder that cannot be read, `UsageError` where there is a run of that name."""
    findings = Findings()
    old = OldRun(request.source, findings)
    manifest = old.manifest()
    found = _pipeline(old, manifest, request.pipeline)
    folder = _target_folder(parts, old.root, request.name)
    targets = Targets(parts, manifest, found, request)
    with draft_beside(folder) as draft:
        with Database.open(Home(draft).database, migrations="run", synchronous="FULL") as database, Spool(draft.parent / "lines") as spool:
            taking = Taking(parts, old, manifest, targets, Tables(database, draft), spool, findings)
            done = await taking.take(folder)
        own = with_own_items(found, draft)
        Home(draft).write(SNAPSHOT, snapshot(own))
        Home(draft).write(REPORT, encode(imported_json(done)) + b"\n")
        moved(draft, folder)
    return done


def export_folder(folder: Path, target: Path) -> None:
    """Write the run in `folder` as a folder of Octobatch's. Raises `UsageError`, `RunError`, `StoreError`."""
    if target.exists():
        raise UsageError(f"{target} is there already", hint="choose another name")
    if Home(folder).locked():
        raise UsageError(f"{folder} is driven by a process", hint=f"headgate pause {folder.name}")
    with draft_beside(target.absolute()) as draft, opened_run(folder) as (tables, row):
        FolderWriter(tables, row, pinned(folder), draft).write()
        moved(draft, target)


def moved(draft: Path, target: Path) -> None:
    """Put a folder that is whole in its place. Raises `StoreError`."""
    try:
        draft.rename(target)
    except OSError as error:
        raise StoreError(f"cannot make {target}: {error.strerror}") from error


@contextmanager
def draft_beside(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that is not taken for a run, and gone afterwards."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        outer = Path(tempfile.mkdtemp(prefix=".importing-", dir=folder.parent))
        (outer / "run").mkdir()
    except OSError as error:
        raise StoreError(f"cannot write in {folder.parent}: {error.strerror}", hint="choose another place") from error
    try:
        yield outer / "run"
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def _pipeline(old: OldRun, manifest: Manifest, name: str | None) -> Pipeline:
    """The run's pipeline, whose steps are those of the manifest. Raises `ConfigError`."""
    if name is not None:
        found = find_pipeline(name, pipeline_roots())
    else:
        files = FolderFiles(old.inside(str(PurePosixPath(safe_relative(manifest.config)).parent)))
        files.name = manifest.metadata.pipeline_name or old.root.name
        try:
            found = build_pipeline(files)
        except ConfigError as error:
            hint = f"{error.hint}; " if error.hint else ""
            raise ConfigError(
                error.message, where=error.where, hint=f"{hint}or give a pipeline with the same steps by --pipeline"
            ) from error
    odd = [step.name for step in found.steps if step.kind not in KINDS]
    if odd:
        raise ConfigError(f"step {odd[0]!r} is of a kind that Octobatch does not have")
    names = tuple(step.name for step in found.unit_steps)
    if names != manifest.pipeline:
        raise ConfigError(
            f"the manifest names the steps {', '.join(manifest.pipeline)}; {CONFIG} has {', '.join(names)}",
            hint="give a pipeline with the same steps by --pipeline",
        )
    return found


def _target_folder(parts: Parts, source: Path, name: str | None) -> Path:
    """Where the new run will lie. Raises `UsageError` when something is there."""
    if name is not None:
        folder = run_folder(parts, name)
    else:
        own = source.name if RUN_NAME.fullmatch(source.name) else "imported"
        folder = parts.settings.run_dir.absolute() / own
        if folder.resolve() == source:
            folder = folder.with_name(f"{own[:90]}-imported")
    if folder.exists():
        raise UsageError(f"{folder} is there already", hint="choose another name with --as")
    if folder.resolve().is_relative_to(source):
        raise UsageError(f"{folder} lies in the folder that is read", hint="choose another place")
    return folder


class Targets:
    """Where the calls of a run went, and will go. `retired` says of models that are gone why nothing can go there any more."""

    def __init__(self, parts: Parts, manifest: Manifest, pipeline: Pipeline, request: ImportRequest) -> None:
        """No key is needed. Raises `ConfigError` where no provider is named, or one that there is not."""
        said = manifest.metadata
        asked = request.provider is not None or request.model is not None
        self.pipeline = pipeline
        self.chosen = asked or bool(said.cli_provider_override or said.cli_model_override)
        self.retired: dict[str, None] = {}
        self._parts = parts
        self._api = (pipeline.api.provider or said.provider, pipeline.api.model or said.model)
        overridden = (said.provider, said.model) if self.chosen else (None, None)
        self._first = (request.provider, request.model) if asked else overridden
        self.known = {step.name: self._target(step) for step in pipeline.llm_steps}

    def _target(self, step: Step) -> Target:
        parts = self._parts
        try:
            found = self._resolved(step, parts.catalog)
        except ConfigError as error:
            found = self._resolved(step, _revived(parts.catalog))
            self.retired[error.message] = None
        own = parts.settings.providers.get(found.provider)
        account = parts.account or (own.account if own is not None else None)
        return msgspec.structs.replace(parts, account=account).keyless_target(found)

    def _resolved(self, step: Step, catalog: Catalog) -> Resolved:
        return resolve_step(
            cli_provider=self._first[0],
            cli_model=self._first[1],
            step_provider=step.provider,
            step_model=step.model,
            api_provider=self._api[0],
            api_model=self._api[1],
            default_provider=self._parts.settings.default_provider,
            catalog=catalog,
            default_models=self._parts.default_models,
            with_keys=self._parts.with_keys(),
        )


def _revived(catalog: Catalog) -> Catalog:
    """The catalog as it was before any model was retired: what has been called there can be named."""
    entries = tuple(
        msgspec.structs.replace(entry, models=tuple(msgspec.structs.replace(card, status="active") for card in entry.models))
        for entry in catalog.providers.values()
    )
    return Catalog(entries, catalog.digest)


class Taking:
    """One run being taken over."""

    def __init__(
        self, parts: Parts, old: OldRun, manifest: Manifest, targets: Targets, tables: Tables, spool: Spool, findings: Findings
    ) -> None:
        self._parts = parts
        self._old = old
        self._manifest = manifest
        self._targets = targets
        self._pipeline = targets.pipeline
        self._tables = tables
        self._spool = spool
        self._findings = findings
        self._began = manifest.began or time.time()
        self._ended = max(self._began, manifest.ended or self._began)
        self._seed = str(self._pipeline.processing.seed)

    async def take(self, folder: Path) -> Imported:
        """Read everything, and write the run that will lie in `folder`."""
        index = read_index(self._old, self._manifest, self._pipeline.unit_steps, self._spool, self._findings)
        row, steps = await self._create(folder.name)
        writer = RunWriter(self._tables, row.key, steps, self._pipeline.processing.chunk_size, self._ended)
        decider = Decider(index, self._pipeline.unit_steps, self._spool, self._judge(), self._findings)
        units = await writer.begin(index.units.items(), lambda place: cleaned(self._spool.get(place)))
        written = await self._steps(writer, decider, units)
        state, reason = await self._end(row, steps, len(units), written)
        done = self._imported(folder, state, len(units), steps, written)
        data: JsonObject = {"from": str(self._old.root), "units": done.units, "left": done.left, "reason": reason}
        await self._tables.event(row.key, "info", "imported", data, time.time())
        if state is RunState.COMPLETE:
            write_outputs(self._tables, row, steps)
        return done

    async def _steps(self, writer: RunWriter, decider: Decider, units: list[Arrived]) -> list[Written]:
        written = []
        count = len(self._pipeline.unit_steps)
        for step in range(count):
            done, units = await writer.step(step, decider.decide(step, units), last=step == count - 1)
            written.append(done)
        return written

    def _judge(self) -> Judge:
        """What judges answers that nobody judged: the run's own schemas and rules."""
        validators = compile_pipeline(self._pipeline).validators
        steps = self._pipeline.unit_steps

        def judged(step: int, record: JsonObject, raw: str, cut: bool) -> Judged:
            name = steps[step].name
            seed = unit_seed(self._pipeline, str(record[UNIT_ID]), record, name, "rules", run_seed=self._seed)
            return judge_text(raw, validators[name], record, seed, cut=cut)

        return judged

    async def _create(self, run_id: str) -> tuple[RunRow, list[StepRow]]:
        plan = self._plan(run_id)
        said = self._manifest.metadata
        imported: JsonObject = {
            "from": str(self._old.root),
            "status": self._manifest.status,
            "cost_estimate_nanos": self._manifest.estimate_nanos,
            "display_name": said.display_name,
        }
        options: JsonObject = {"max_units": said.max_units, "deadline": None, "items": None, "only": None, "cache": False}
        fields: JsonObject = {
            "id": run_id,
            "mark": secrets.token_hex(6),
            "pipeline": self._pipeline.name,
            "pipeline_digest": self._pipeline.digest,
            "mode": plan.options.mode,
            "state": RunState.PAUSED.value,
            "created_at": self._began,
            "seed": self._seed,
            "cost_cap_nanos": self._pipeline.api.cost_cap_nanos,
            "price_digest": self._parts.catalog.digest,
            "engine_version": ENGINE_VERSION,
            "options": encode_text({**options, "imported": imported}),
        }
        await self._tables.create_run(fields, [step_row(plan, at, step, time.time()) for at, step in enumerate(self._pipeline.steps)])
        row = self._tables.find_run(run_id)
        if row is None:
            raise StoreError(f"the run in {self._tables.folder} vanished while it was written")
        return row, self._tables.steps(row.key)

    def _plan(self, run_id: str) -> Plan:
        """The run as one that is begun today, at today's prices."""
        return Plan(
            run_id=run_id,
            pipeline=self._pipeline,
            targets=self._targets.known,
            options=RunOptions(mode="realtime" if self._manifest.metadata.mode == "realtime" else "batch"),
            overridden=frozenset(self._targets.known) if self._targets.chosen else frozenset(),
        )

    async def _end(self, row: RunRow, steps: list[StepRow], units: int, written: list[Written]) -> tuple[RunState, str]:
        """Say how the run stands: complete only when nothing at all is left to do."""
        left = sum(step.pending for step in written)
        scripts = [step for step in steps if step.kind == RUN_SCOPE]
        open_scripts = [step for step in scripts if left or step.name not in self._manifest.completed_run_steps]
        for step in scripts:
            if step not in open_scripts:
                await self._tables.finish_step(row.key, step.idx, self._ended)
        state, reason = RunState.COMPLETE, "imported from Octobatch"
        if left or open_scripts:
            state = RunState.FAILED if self._manifest.status == "failed" else RunState.PAUSED
            what = f"{left} units are left" if left else f"{len(open_scripts)} steps after all units are left"
            reason = f"imported from Octobatch: {what}"
            if self._manifest.error_message:
                reason += f"; it said: {self._manifest.error_message[:500]}"
        fields = {"run": row.key, "state": state.value, "reason": reason, "finished_at": self._ended, "total": units}

        await self._tables.db.write(lambda db: db.execute(SQL["put_end"], fields).close())
        return state, reason

    def _imported(self, folder: Path, state: RunState, units: int, steps: list[StepRow], written: list[Written]) -> Imported:
        tokens = tuple(sum(column) for column in zip(*(step.tokens for step in written), strict=True))
        told = self._manifest.tokens
        for what, here, there in (
            ("input", tokens[0] + tokens[2], told[0] + told[2]),
            ("output", tokens[1] + tokens[3], told[1] + told[3]),
        ):
            if there and here != there:
                self._findings.add(Odd.TOKENS, f"{what}: the manifest says {there:,}, the answers {here:,}")
        taken = tuple(
            StepTaken(step.name, step.kind, done.valid, done.failed, done.pending, (done.calls[0], done.calls[1]))
            for step, done in zip((step for step in steps if step.kind != RUN_SCOPE), written, strict=True)
        )
        return Imported(
            run=folder.name,
            folder=folder,
            source=self._old.root,
            pipeline=self._pipeline.name,
            state=state,
            status=self._manifest.status,
            units=units,
            steps=taken,
            tokens=(tokens[0], tokens[1], tokens[2], tokens[3]),
            told=told,
            estimate_nanos=self._manifest.estimate_nanos,
            findings=self._findings.found(),
            serious=self._findings.serious,
            notes=tuple(self._notes(taken)),
        )

    def _notes(self, taken: tuple[StepTaken, ...]) -> Iterator[str]:
        if self._manifest.status == "running":
            yield "its manifest says that it is running: let no process of Octobatch go on with it, or both will ask, and pay"
        calls = sum(sum(step.calls) for step in taken if step.kind == StepKind.LLM)
        estimate = self._manifest.estimate_nanos
        if calls:
            told = "names no cost" if estimate is None else f"estimates {money(estimate)}, which is kept as a remark"
            yield f"what its {calls:,} calls cost is not known here: they are booked without a price, and the manifest {told}"
        drawing = [step.name for step in taken if step.pending and step.kind == StepKind.EXPRESSION]
        if drawing and self._pipeline.processing.seed_mode is not SeedMode.OCTOBATCH:
            yield (
                f"units that wait for {', '.join(drawing)} will draw other random numbers than Octobatch would have; "
                "processing.seed_mode: octobatch in the configuration keeps its own"
            )
        if any(step.pending for step in taken):
            yield from (f"{why}; import it with --model to let it go on elsewhere" for why in self._targets.retired)
        if any(step.pending for step in taken) and self._pipeline.api.cost_cap_nanos is not None:
            yield "a cost cap counts only what is spent from now on"
