"""What a finished (or paused) run leaves for people: results, failures and receipts as JSON lines, written whole or not at all."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from headgate.batch.rows import RunRow, StepRow, StepTotals, last_unit_step
from headgate.batch.run import record_of
from headgate.batch.tables import PAGE, Tables
from headgate.domain.cost import usd_text
from headgate.errors import StoreError
from headgate.wire.json import Json, JsonObject, Raw, decode, encode

S = TypeVar("S", StepRow, StepTotals)
LOCAL = "local"
"""The lane of an attempt that judged a stored answer again: nothing was called."""


def write_outputs(
    tables: Tables, run: RunRow, steps: list[StepRow], heeded: Callable[[Iterable[Json]], Iterable[Json]] = iter
) -> dict[str, Path]:
    """Write ``outputs/results.jsonl``, ``failures.jsonl`` and ``receipts.jsonl`` in the run's folder; returns their paths.

    The lines of each go through `heeded`, which may end them by an exception.
    """
    folder = tables.folder / "outputs"
    sources = {
        "results": raw_results(tables, run.key, last_unit_step(steps).idx),
        "failures": failures(tables, run.key, steps),
        "receipts": receipts(tables, run, steps),
    }
    return {name: write_lines(folder / f"{name}.jsonl", heeded(lines)) for name, lines in sources.items()}


def results(tables: Tables, run: int, step: int) -> Iterator[JsonObject]:
    """The records that came through `step`, in unit order; of a unit that became several, or none, those records instead."""
    for text in raw_results(tables, run, step):
        yield decode(text, what="a stored record")


def raw_results(tables: Tables, run: int, step: int) -> Iterator[Raw]:
    """As `results`, each as the JSON text it was stored as."""
    for page in tables.valid_pages(run, step):
        places = [place for unit in page for place in _places(*unit)]
        for start in range(0, len(places), PAGE):
            group = places[start : start + PAGE]
            records = tables.read_raw_records(group)
            for place in group:
                yield Raw(records[place])


def _places(_seq: int, segment: int, row: int, children: int | None) -> list[tuple[int, int]]:
    return [(segment, row)] if children is None else [(segment, row + 1 + index) for index in range(children)]


def results_differ(tables: Tables, run: int, step: int) -> list[str]:
    """How the results file, plain or gzipped, differs from the database; nothing where there is no file."""
    plain = tables.folder / "outputs" / "results.jsonl"
    path = plain if plain.exists() else plain.with_name("results.jsonl.gz")
    if not path.exists():
        return []
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            pairs = zip_longest((encode(record) + b"\n" for record in results(tables, run, step)), lines)
            differing = next((n for n, (stored, written) in enumerate(pairs, 1) if stored != written), None)
    except (OSError, EOFError, StoreError) as error:
        return [f"{path.name} cannot be compared with the database: {error}"]
    return [] if differing is None else [f"{path.name} differs from the database in line {differing}"]


def failures(tables: Tables, run: int, steps: list[StepRow]) -> Iterator[JsonObject]:
    """A record for each unit that failed: where, why, after how many tries, its input and the last raw answer (OCT-93)."""
    for group in tables.failure_pages(run):
        answers = [(segment, row) for *_, segment, row, _, _ in group if segment is not None]
        lines = tables.read_lines([*answers, *((segment, row) for *_, segment, row in group)])
        for step, seq, reason, tries, attempts, segment, row, input_segment, input_row in group:
            answer: JsonObject = lines.get((segment, row), {})
            record = record_of(lines[input_segment, input_row])
            yield {
                "unit_id": record.get("unit_id"),
                "seq": seq,
                "step": steps[step].name,
                "failure_stage": reason,
                "errors": answer.get("errors", []),
                "raw_response": answer.get("raw", ""),
                "retry_count": max(0, attempts - 1),
                "tries": tries,
                "input": record,
            }


def receipts(tables: Tables, run: RunRow, steps: list[StepRow]) -> Iterator[JsonObject]:
    """A receipt for every call of the run. No prompts and no answers."""
    reasons = tables.lane_reasons(run.key)
    for attempt in tables.each_attempt(run.key):
        step = steps[attempt["step"]]
        if step.provider is None or attempt["lane"] == LOCAL:
            continue
        nanos = attempt["cost_nanos"]
        called = attempt["cost_source"] != "none" or attempt["usage"] is not None
        usage = Raw(attempt["usage"].encode()) if attempt["usage"] is not None else None
        yield {
            "id": f"{run.id}/{step.name}/{attempt['seq']}/{attempt['n']}",
            "face": "run",
            "run": run.id,
            "step": step.name,
            "unit": attempt["seq"],
            "attempt": attempt["n"],
            "at": attempt["at"],
            "provider": step.provider,
            "account": step.account,
            "model": step.model,
            "model_answered": attempt["model"],
            "lane": attempt["lane"],
            "lane_reason": reasons.get(attempt["chunk"]),
            "outcome": attempt["outcome"],
            "reason": attempt["reason"],
            "usage": usage,
            "cost_usd": usd_text(nanos) if nanos is not None else None,
            "cost_source": "unpriced" if called and nanos is None else attempt["cost_source"],
            "price_rule": attempt["price_rule"],
            "price_digest": run.price_digest,
            "duration": attempt["duration"],
            "request_id": attempt["request_id"],
            "upstream_id": attempt["upstream_id"],
            "submission": attempt["submission"],
        }


def write_lines(path: Path, lines: Iterable[Json]) -> Path:
    """Write JSON lines to a temporary file, then rename it. Whoever writes holds the home's lock. Raises `StoreError`."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as handle:
            for line in lines:
                handle.write(encode(line) + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}", hint="free some disk space, then run the same command again") from error
    return path
