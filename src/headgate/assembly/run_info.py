"""Everything about one run on a page (OCT-45): its status, and the chunks its units travel in."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from headgate.assembly.run_words import cost_text, imported_facts, imported_of, model_of, name_of, state_word, tokens_text
from headgate.assembly.status import RunStatus, opened_run, status_of
from headgate.assembly.status_json import status_json, step_state
from headgate.batch.document import Document, Section, Table, percent
from headgate.batch.progress import duration_text
from headgate.batch.readings import Readings
from headgate.batch.rows import ChunkRow, StepTotals
from headgate.batch.states import CLOSED_CHUNKS, ChunkState
from headgate.domain.cost import usd_text
from headgate.wire.json import JsonObject

CHUNKS = 1000
"""Chunks up to which all are listed; of more, those that are open."""
SHOWN = 20


class RunInfo(msgspec.Struct, frozen=True):
    """A run's status and its chunks: how many by step number and state, and those that are `listed` (all, or the open ones)."""

    status: RunStatus
    chunks: dict[tuple[int, ChunkState], int]
    listed: tuple[ChunkRow, ...]

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return sum(self.chunks.values())

    @property
    def by_state(self) -> dict[ChunkState, int]:
        """How many chunks there are in each state."""
        found: dict[ChunkState, int] = {}
        for (_, state), count in self.chunks.items():
            found[state] = found.get(state, 0) + count
        return found


def read_info(folder: Path, clock: Callable[[], float] = time.time) -> RunInfo:
    """Read a run. Raises `StoreError`, `RunError`."""
    with opened_run(folder) as (tables, row):
        readings = Readings(tables, row.key)
        chunks = readings.chunks()
        few = sum(chunks.values()) <= CHUNKS
        listed = readings.listed_chunks(CHUNKS) if few else tuple(tables.open_chunks(row.key))
        return RunInfo(status_of(tables, row, clock()), chunks, listed)


def info_json(info: RunInfo) -> JsonObject:
    """The status as plain JSON, with the chunks."""
    names = [step.name for step in info.status.steps]
    return status_json(info.status) | {
        "model": model_of(info.status),
        "seed": info.status.run.seed,
        "pipeline_digest": info.status.run.pipeline_digest,
        "engine_version": info.status.run.engine_version,
        "imported": imported_of(info.status),
        "chunks": {
            "count": info.count,
            "by_state": {state.value: count for state, count in info.by_state.items()},
            "complete_list": len(info.listed) == info.count,
            "listed": [_chunk_json(chunk, names[chunk.step]) for chunk in info.listed],
        },
    }


def _chunk_json(chunk: ChunkRow, step: str) -> JsonObject:
    return {
        "id": chunk.id,
        "step": step,
        "lane": chunk.lane,
        "state": chunk.state.value,
        "round": chunk.round,
        "units": chunk.n,
        "valid": chunk.valid,
        "failed": chunk.failed,
        "retried": chunk.retry,
        "cost_usd": usd_text(chunk.cost_nanos),
    }


def info_document(info: RunInfo, moment: Callable[[float], str]) -> Document:
    """The page; `moment` words a time in epoch seconds."""
    status = info.status
    process = f"{status.pid or 'a process'} drives it" if status.driven else "none drives it"
    counts = f"{status.units:,}: {status.valid:,} valid, {status.failures:,} failed, {status.pending:,} pending"
    eta = f", {duration_text(status.remaining)} left" if status.driven else ""
    facts = (
        ("run", name_of(status)),
        ("pipeline", status.run.pipeline),
        ("model", model_of(status)),
        ("mode", status.run.mode),
        ("status", state_word(status) + (f" ({status.run.reason})" if status.run.reason else "")),
        ("process", process),
        ("started", moment(status.times.started)),
        ("duration", f"{duration_text(status.times.elapsed)}, driven {duration_text(status.times.driven)}"),
        ("progress", percent(status.done) + eta),
        ("units", counts),
        ("cost", cost_text(status)),
        ("tokens", tokens_text(status)),
        *imported_facts(status),
    )
    marked = "* chosen on the command line, not by the pipeline"
    steps = Table(("", "step", "valid", "of", ""), tuple(_step_row(status, step) for step in status.steps), frozenset({2, 3}))
    notes = (marked,) if status.overridden else ()
    return Document(f"run {name_of(status)}", facts, (Section("Steps", steps, notes), _chunk_section(info)))


def _step_row(status: RunStatus, step: StepTotals) -> tuple[str, ...]:
    current = status.current == step.idx
    failed = f"{step.failed:,} failed" if step.failed else ""
    note = ", ".join(part for part in (failed, "current" if current else "") if part)
    return (GLYPHS[step_state(status, step)], step.name, f"{step.valid:,}", f"{step.started:,}", note)


GLYPHS = {"done": "✓", "running": "●", "waiting": "●", "pending": "○"}
"""How the states of steps are shown: every unit is decided, there is work, nothing came yet."""


def _chunk_section(info: RunInfo) -> Section:
    open_ = [chunk for chunk in info.listed if chunk.state not in CLOSED_CHUNKS]
    names = [step.name for step in info.status.steps]
    rows = tuple(
        (f"#{chunk.id}", names[chunk.step], chunk.state.value, str(chunk.round), f"{chunk.n:,}", f"{chunk.valid:,}", f"{chunk.failed:,}")
        for chunk in open_[:SHOWN]
    )
    table = Table(("chunk", "step", "state", "round", "units", "valid", "failed"), rows, frozenset({3, 4, 5, 6})) if rows else None
    counts = ", ".join(f"{count:,} {state.value}" for state, count in info.by_state.items()) or "none"
    more = (f"and {len(open_) - SHOWN:,} more that are open; --json lists them",) if len(open_) > SHOWN else ()
    return Section(f"Chunks: {counts}", table, more)
