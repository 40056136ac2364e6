"""What a screen of all runs, or of one, would show, without a screen (OCT-182)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headgate.assembly.run_words import name_of, short_cost, state_word
from headgate.assembly.status import Listed, RunStatus
from headgate.assembly.status_json import step_state
from headgate.batch.document import Document, Section, Table, percent
from headgate.batch.progress import duration_text
from headgate.domain.cost import usd_text
from headgate.wire.json import JsonObject, Raw


def run_row(status: RunStatus) -> JsonObject:
    """One run. `cost` is dollars as an exact number, null when a call's price is not known; `progress` 0 to 1; `duration` seconds."""
    return {
        "name": name_of(status),
        "status": state_word(status),
        "progress": round(status.done, 4),
        "total_units": status.units,
        "valid_units": status.valid,
        "failed_units": status.failures,
        "cost": None if status.cost is None else Raw(usd_text(status.cost).encode()),
        "total_tokens": status.tokens.tokens,
        "mode": status.run.mode,
        "duration": round(status.times.elapsed, 3),
        "pipeline_name": status.run.pipeline,
        "started": status.times.started,
    }


def run_dump(status: RunStatus) -> JsonObject:
    """One run with its steps."""
    steps = [{"name": step.name, "valid": step.valid, "total": step.started, "state": step_state(status, step)} for step in status.steps]
    return run_row(status) | {"steps": steps}


def home_dump(found: Sequence[Listed]) -> list[JsonObject]:
    """Every run that can be read; of the others, name and problem."""
    return [
        {"name": listed.folder.rpartition("/")[2], "status": "unreadable", "problem": listed.problem}
        if listed.status is None
        else run_row(listed.status)
        for listed in found
    ]


HEADER = ("run", "progress", "units", "valid", "failed", "cost", "tokens", "duration", "mode", "pipeline", "started", "status")


def home_document(found: Sequence[Listed], moment: Callable[[float], str]) -> Document:
    """All runs as a page; `moment` words a time in epoch seconds."""
    statuses = [listed.status for listed in found if listed.status is not None]
    rows = tuple(_row(status, moment) for status in statuses)
    broken = tuple(f"{listed.folder.rpartition('/')[2]} cannot be read: {listed.problem}" for listed in found if listed.status is None)
    facts = (
        ("runs", f"{len(found):,}"),
        ("tokens", f"{sum(status.tokens.tokens for status in statuses):,}"),
        ("pipelines", f"{len({status.run.pipeline for status in statuses}):,}"),
    )
    table = Table(HEADER, rows, frozenset(range(1, 8))) if rows else None
    return Document("Runs", facts, (Section("Newest first, those a process drives before the others", table, broken),))


def run_document(status: RunStatus, moment: Callable[[float], str]) -> Document:
    """One run as a page."""
    facts = tuple(zip(HEADER, _row(status, moment), strict=True))
    rows = tuple((step.name, f"{step.valid:,}", f"{step.started:,}", step_state(status, step)) for step in status.steps)
    return Document(
        f"Run {name_of(status)}", facts, (Section("Steps", Table(("step", "valid", "total", "state"), rows, frozenset({1, 2}))),)
    )


def _row(status: RunStatus, moment: Callable[[float], str]) -> tuple[str, ...]:
    return (
        name_of(status),
        percent(status.done, 0),
        f"{status.units:,}",
        f"{status.valid:,}",
        f"{status.failures:,}",
        short_cost(status),
        f"{status.tokens.tokens:,}",
        duration_text(status.times.elapsed),
        status.run.mode,
        status.run.pipeline,
        moment(status.times.started),
        state_word(status),
    )
