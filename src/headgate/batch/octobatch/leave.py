"""A run of ours written as a folder that Octobatch, and whoever reads its folders, understands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby, islice
from pathlib import Path

import msgspec

from headgate.batch.octobatch.index import METADATA, RAW_TEXT, REASON, SUFFIXES, Kind
from headgate.batch.octobatch.manifest import FAILED, MANIFEST, PENDING, VALIDATED
from headgate.batch.pipeline import Pipeline, StepKind
from headgate.batch.pipeline_files import safe_relative
from headgate.batch.plan import UNIT_ID
from headgate.batch.readings import Readings
from headgate.batch.reasons import Reason, policy
from headgate.batch.rows import RunRow, StepRow, UnitRow
from headgate.batch.run import record_of
from headgate.batch.states import PENDING_UNITS, RUN_SCOPE, Outcome, RunState, UnitState
from headgate.batch.tables import Tables
from headgate.batch.tally import total
from headgate.errors import StoreError, UsageError
from headgate.wire.json import Json, JsonObject, decode, encode

KINDS = frozenset({StepKind.LLM, StepKind.EXPRESSION, StepKind.FAN_OUT, StepKind.RUN})
"""Kinds of steps that Octobatch has."""
GROUP = 200
STATUS = {
    RunState.COMPLETE: "complete",
    RunState.FAILED: "failed",
    RunState.PAUSED: "paused",
    RunState.RUNNING: "paused",
    RunState.PLANNING: "pending",
}
Place = tuple[int, int]
Shelf = tuple[int, int, int | None]
"""What makes a chunk: how often its units became others before, their number divided by the size, and the step they wait for."""


class _Chunk(msgspec.Struct):
    name: str
    waits: int | None
    items: int = 0
    valid: int = 0
    failed: int = 0


class FolderWriter:
    """Writes the folder of one run that nobody drives."""

    def __init__(self, tables: Tables, run: RunRow, pipeline: Pipeline, folder: Path) -> None:
        self._tables = tables
        self._run = run
        self._pipeline = pipeline
        self._folder = folder
        self._steps = tables.steps(run.key)
        self._names = [step for step in self._steps if step.kind != RUN_SCOPE]
        self._size = pipeline.processing.chunk_size
        self._chunks: dict[Shelf, _Chunk] = {}
        self._waits: dict[tuple[int, int], int] = {}
        self._attempts = _Peeked(tables.each_attempt(run.key))
        self._readings = Readings(tables, run.key)

    def write(self) -> None:
        """Everything. Raises `UsageError` for a run with steps that Octobatch does not have, `StoreError`."""
        odd = [step.name for step in self._steps if step.kind not in KINDS]
        if odd:
            raise UsageError(f"step {odd[0]!r} is of a kind that Octobatch does not have", hint="--format jsonl takes the results")
        generations = list(self._generations())
        for step, generation in zip(self._names, generations, strict=True):
            for unit in self._readings.units(step.idx):
                if unit.state in PENDING_UNITS:
                    self._waits[generation, unit.seq] = step.idx
        for step, generation in zip(self._names, generations, strict=True):
            first = step.idx == 0 or generation != generations[step.idx - 1]
            self._step(step, generation, first)
        self._unplanned()
        for path, data in self._pipeline.files.items():
            self._put(f"config/{safe_relative(path)}", [data], mode="wb")
        self._put(MANIFEST, [encode(self._manifest()), b"\n"], mode="wb")

    def _generations(self) -> Iterator[int]:
        """How often units became others before each step."""
        number = 0
        for step in self._names:
            yield number
            number += step.kind == StepKind.FAN_OUT

    def _step(self, step: StepRow, generation: int, first: bool) -> None:
        for _, block in groupby(self._readings.units(step.idx), lambda unit: unit.seq // self._size):
            while units := list(islice(block, GROUP)):
                self._group(step, generation, first, [unit for unit in units if unit.state is not UnitState.AWAY])

    def _group(self, step: StepRow, generation: int, first: bool, units: Sequence[UnitRow]) -> None:
        tries = {unit.seq: list(self._attempts.take(step.idx, unit.seq)) for unit in units}
        lines = self._tables.read_lines(_places(units, tries))
        files: dict[str, list[Json]] = {}
        for unit in units:
            chunk = self._chunk(generation, unit.seq)
            record = record_of(lines[unit.input_segment, unit.input_row])
            if first:
                chunk.items += 1
                self._first(step, chunk, record, files)
            for name, row in self._rows(step, unit, record, tries[unit.seq], lines):
                files.setdefault(f"chunks/{chunk.name}/{name}", []).append(row)
            chunk.failed += unit.state is UnitState.FAILED
            chunk.valid += unit.state is UnitState.VALID and step is self._names[-1]
        for path, rows in files.items():
            self._put(path, (encode(row) + b"\n" for row in rows))

    def _first(self, step: StepRow, chunk: _Chunk, record: JsonObject, files: dict[str, list[Json]]) -> None:
        """A unit where it begins: the run's own, or what one of them became."""
        if step.idx == 0:
            files.setdefault(f"chunks/{chunk.name}/units.jsonl", []).append(record)
            files.setdefault("input/units.jsonl", []).append(record)
        else:
            before = self._names[self._names.index(step) - 1].name
            files.setdefault(f"chunks/{chunk.name}/{before}{SUFFIXES[Kind.VALID]}", []).append(record)

    def _rows(
        self, step: StepRow, unit: UnitRow, record: JsonObject, tries: Sequence[JsonObject], lines: Mapping[Place, Json]
    ) -> Iterator[tuple[str, JsonObject]]:
        """What a unit adds to the files of a step: tries that were not the last, and what became of it."""
        final = tries[-1] if tries and unit.state in (UnitState.VALID, UnitState.FAILED) else None
        for tried in tries:
            if tried is not final and tried["outcome"] != Outcome.VALID:
                yield f"{step.name}{SUFFIXES[Kind.ARCHIVED]}", _failure(step, record, tried, lines)
        if final is None or (step.kind == StepKind.FAN_OUT and step is not self._names[-1]):
            return
        if unit.state is UnitState.FAILED:
            yield f"{step.name}{SUFFIXES[Kind.FAILED]}", _failure(step, record, final, lines)
        elif step.kind == StepKind.FAN_OUT:
            for child in _children(unit):
                yield f"{step.name}{SUFFIXES[Kind.VALID]}", record_of(lines[child])
        else:
            line = lines[unit.segment or 0, unit.row or 0]
            yield f"{step.name}{SUFFIXES[Kind.VALID]}", _with_call(record_of(line), _call(step, final, line))
        if step.kind == StepKind.LLM and final["segment"] is not None:
            line = lines[final["segment"], final["row"]]
            yield f"{step.name}_results.jsonl", {UNIT_ID: record[UNIT_ID], **_call(step, final, line)}

    def _chunk(self, generation: int, seq: int) -> _Chunk:
        waits = self._waits.get((generation, seq))
        shelf = (generation, seq // self._size, waits)
        found = self._chunks.get(shelf)
        if found is None:
            found = self._chunks[shelf] = _Chunk(f"chunk_{len(self._chunks):03d}", waits)
        return found

    def _unplanned(self) -> None:
        """Units that the run has not made yet: they wait for the first step."""
        if self._run.total is not None:
            return
        most: int | None = decode(self._run.options).get("max_units")
        for unit in self._pipeline.units(most, start=self._run.planned):
            self._waits[0, unit.seq] = 0
            chunk = self._chunk(0, unit.seq)
            chunk.items += 1
            for path in (f"chunks/{chunk.name}/units.jsonl", "input/units.jsonl"):
                self._put(path, [encode(unit.fields) + b"\n"])

    def _put(self, path: str, parts: Iterable[bytes], mode: str = "ab") -> None:
        target = self._folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open(mode) as file:
                file.writelines(parts)
        except OSError as error:
            raise StoreError(f"cannot write {target}: {error.strerror}") from error

    def _manifest(self) -> JsonObject:
        run, tallies = self._run, self._readings.tallies()
        asked = next((step for step in self._steps if step.provider is not None), None)
        finished = self._tables.finished_steps(run.key)
        first, again = total(tallies, retry=False), total(tallies, retry=True)
        unpriced = first.unpriced + again.unpriced
        ended = run.finished_at or self._readings.last_event() or run.created_at
        return {
            "config": "config/config.yaml",
            "created": _moment(run.created_at),
            "updated": _moment(ended),
            "status": STATUS[run.state],
            "pipeline": [step.name for step in self._names],
            "chunks": {chunk.name: self._entry(chunk) for chunk in self._chunks.values()},
            "completed_run_steps": [step.name for step in self._steps if step.kind == RUN_SCOPE and step.idx in finished],
            "metadata": {
                "pipeline_name": run.pipeline,
                "start_time": _moment(run.created_at),
                "end_time": _moment(ended),
                "provider": None if asked is None else asked.provider,
                "model": None if asked is None else asked.model,
                "mode": run.mode,
                "cli_provider_override": any(step.overridden for step in self._steps),
                "cli_model_override": any(step.overridden for step in self._steps),
                "initial_input_tokens": first.input_tokens,
                "initial_output_tokens": first.output_tokens,
                "retry_input_tokens": again.input_tokens,
                "retry_output_tokens": again.output_tokens,
                "cost_estimate": None if unpriced else (first.cost_nanos + again.cost_nanos) / 1e9,
            },
        }

    def _entry(self, chunk: _Chunk) -> JsonObject:
        state = VALIDATED if chunk.failed < chunk.items else FAILED
        return {
            "state": state if chunk.waits is None else f"{self._steps[chunk.waits].name}_{PENDING}",
            "batch_id": None,
            "items": chunk.items,
            "valid": chunk.valid,
            "failed": chunk.failed,
            "retries": 0,
        }


class _Peeked:
    """Attempts in order, taken unit by unit."""

    def __init__(self, attempts: Iterator[JsonObject]) -> None:
        self._attempts = attempts
        self._next = next(attempts, None)

    def take(self, step: int, seq: int) -> Iterator[JsonObject]:
        """Those of one unit; earlier ones are passed over."""
        while self._next is not None and (self._next["step"], self._next["seq"]) <= (step, seq):
            found, self._next = self._next, next(self._attempts, None)
            if (found["step"], found["seq"]) == (step, seq):
                yield found


def _children(unit: UnitRow) -> Iterator[Place]:
    for at in range(unit.children or 0):
        yield unit.segment or 0, (unit.row or 0) + 1 + at


def _places(units: Sequence[UnitRow], tries: Mapping[int, Sequence[JsonObject]]) -> Iterator[Place]:
    for unit in units:
        yield unit.input_segment, unit.input_row
        yield from _children(unit)
        if unit.segment is not None and unit.row is not None:
            yield unit.segment, unit.row
        yield from ((tried["segment"], tried["row"]) for tried in tries[unit.seq] if tried["segment"] is not None)


def _call(step: StepRow, tried: JsonObject, line: Mapping[str, Json]) -> JsonObject:
    """What a record says of the call it came of; nothing for a step that computes."""
    if step.kind != StepKind.LLM:
        return {}
    usage: JsonObject = {} if tried["usage"] is None else decode(tried["usage"])
    told = {
        "input_tokens": usage.get("input_total", 0),
        "output_tokens": usage.get("output_total", 0),
        "model": tried["model"],
        "finish_reason": "STOP",
    }
    return {RAW_TEXT: line.get("raw", ""), METADATA: told}


def _with_call(record: JsonObject, call: JsonObject) -> JsonObject:
    """A record with what is said of its call; what a step that computes has put into the same place stays."""
    own = record.get(METADATA)
    if not call or not isinstance(own, dict):
        return record | call
    return record | call | {METADATA: own | call[METADATA]}


def _failure(step: StepRow, record: JsonObject, tried: JsonObject, lines: Mapping[Place, Json]) -> JsonObject:
    line: JsonObject = {} if tried["segment"] is None else lines[tried["segment"], tried["row"]]
    reason = Reason(tried["reason"]) if tried["reason"] is not None else Reason.LOST
    return {
        UNIT_ID: record[UNIT_ID],
        "failure_stage": policy(reason).stage,
        "step": step.name,
        "input": record,
        "raw_response": line.get("raw", ""),
        "errors": line.get("errors", []),
        "retry_count": tried["n"] - 1,
        REASON: reason.value,
        **{name: value for name, value in _call(step, tried, line).items() if name == METADATA},
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
