"""What comes after all units: steps of scope `run`, once each, and `post_process`."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

from headgate.batch.analysis import analysis_text, analyze
from headgate.batch.analysis_args import parse_args
from headgate.batch.compiled import CompiledPipeline
from headgate.batch.extract import extract_units
from headgate.batch.outputs import results
from headgate.batch.pipeline import PostProcess, Script
from headgate.batch.programs import BUILT_IN, built_in, run_program
from headgate.batch.rows import last_unit_step
from headgate.batch.run import Run, StepPlan
from headgate.errors import HeadgateError, RunError, StoreError
from headgate.wire.json import JsonObject

OUTPUTS = "outputs"


class After:
    """The end of one run. `compiled` has the expressions of its run steps."""

    def __init__(self, run: Run, compiled: CompiledPipeline) -> None:
        self.run = run
        self.compiled = compiled
        self.outputs = run.folder / OUTPUTS

    async def run_steps(self) -> None:
        """Do every `run` step that was not done yet. Raises `RunError`, `StoreError`; those before the one that failed stay done."""
        run = self.run
        done = run.tables.finished_steps(run.row.key)
        for plan in run.steps:
            if plan.step.script is not None and plan.row.idx not in done:
                await self._run_step(plan, plan.step.script)
                await run.tables.finish_step(run.row.key, plan.row.idx, run.clock())

    async def _run_step(self, plan: StepPlan, script: Script) -> None:
        name = built_in(script.script)
        if name == "extract_units":
            count = await asyncio.to_thread(self._extract, plan, script)
            data: JsonObject = {"step": plan.step.name, "units": count, "folder": script.output_dir}
            await self.run.tables.event(self.run.row.key, "info", "extracted", data, self.run.clock())
        elif name is not None:
            raise RunError(f"step {plan.step.name!r} cannot be {name}", hint=f"put {name} under post_process")
        else:
            folder = Path(self.run.pipeline.folder)
            args = ["--run-dir", str(self.run.folder), "--step-name", plan.step.name, "--config", str(folder / "config.yaml")]
            await self._program(script.script, args)

    def _extract(self, plan: StepPlan, script: Script) -> int:
        def seed(record: JsonObject) -> int:
            return self.run.seed(record, plan.step.name, "extract")

        expressions = self.compiled.script_expressions.get(plan.step.name, ())
        return extract_units(self._results(), script, expressions, self.outputs, seed)

    def _results(self) -> Iterator[JsonObject]:
        last = last_unit_step([plan.row for plan in self.run.steps])
        return self.run.control.heeded(results(self.run.tables, self.run.row.key, last.idx))

    async def _program(self, script: str, args: Sequence[str]) -> bytes:
        run = self.run
        if not run.options.allow_scripts:
            raise RunError(f"{script} is a program of the pipeline's own", hint="add --allow-scripts to let it be run")
        work = run_program(script, args, Path(run.pipeline.folder), run.pipeline.api.script_seconds)
        return await run.control.finish(work, run.options.stop_grace)

    async def post_process(self) -> tuple[dict[str, Path], list[str]]:
        """Do every entry in turn. Returns the files written, by entry, and a sentence for each entry that failed."""
        written: dict[str, Path] = {}
        problems: list[str] = []
        for entry in self.run.pipeline.post_process:
            try:
                path = await self._process(entry)
            except HeadgateError as error:
                problems.append(f"post_process {entry.name!r} failed: {error.message}")
                data: JsonObject = {"entry": entry.name, "error": error.message}
                await self.run.tables.event(self.run.row.key, "warning", "post_process", data, self.run.clock())
            else:
                if path is not None:
                    written[entry.name] = path
        return written, problems

    async def _process(self, entry: PostProcess) -> Path | None:
        if entry.script is None:
            return await asyncio.to_thread(compress, self.outputs, entry)
        name = built_in(entry.script)
        if name == "analyze_results":
            text = await asyncio.to_thread(self._analyzed, entry)
            return self._write(entry, text.encode())
        if name is not None:
            known = ", ".join(sorted(BUILT_IN - {name}))
            raise RunError(f"{name} is no post_process; it is a step of scope run", hint=f"known here: {known}")
        return self._write(entry, await self._program(entry.script, [str(self.run.folder), *entry.args]))

    def _analyzed(self, entry: PostProcess) -> str:
        wanted = parse_args(entry.args)
        return analysis_text(analyze(self._results(), wanted.options), wanted.kind)

    def _write(self, entry: PostProcess, data: bytes) -> Path | None:
        """Keep what an entry printed, whole or not at all."""
        if entry.output is None:
            return None
        path = self.outputs / entry.output
        draft = path.with_name(f".{path.name}.draft")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(data)
            draft.replace(path)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}") from error
        return path


def compress(outputs: Path, entry: PostProcess) -> Path | None:
    """Compress the files below `outputs` that the entry's patterns match. Raises `RunError` when none does, and none ever did."""
    found = sorted({path for pattern in entry.files for path in outputs.glob(pattern) if path.is_file() and path.suffix != ".gz"})
    if not found and any(path for pattern in entry.files for path in outputs.glob(f"{pattern}.gz")):
        return outputs
    if not found:
        raise RunError(f"no file below {outputs} matches {', '.join(entry.files)}")
    for path in found:
        target = path.with_name(f"{path.name}.gz")
        draft = path.with_name(f".{path.name}.gz.draft")
        try:
            with path.open("rb") as source, gzip.GzipFile(draft, "wb", mtime=0) as packed:
                while block := source.read(1 << 20):
                    packed.write(block)
            draft.replace(target)
            if not entry.keep_originals:
                path.unlink()
        except OSError as error:
            raise StoreError(f"cannot compress {path}: {error.strerror}") from error
    return outputs
