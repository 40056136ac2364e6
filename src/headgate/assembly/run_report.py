"""The report on a run: what became of its units, why, and for how much (OCT-152)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from headgate.assembly.run_words import cost_per_valid, cost_text, model_of, name_of, state_word, tokens_text
from headgate.assembly.status import RunStatus, opened_run, status_of
from headgate.assembly.status_json import tokens_json, usd
from headgate.batch.document import Document, Section, Table, percent, share_text
from headgate.batch.outputs import failures, results
from headgate.batch.progress import duration_text
from headgate.batch.report import ErrorCount, Failures, FunnelRow, GroupCount, bias_notes, count_groups, funnel
from headgate.batch.rows import RunRow, last_unit_step, unit_steps
from headgate.batch.signals import by_reason
from headgate.batch.statistics import Interval
from headgate.batch.tables import Tables
from headgate.domain.cost import money
from headgate.domain.printable import counted
from headgate.wire.json import JsonObject

GROUPS = 10
FILES = 20


class Report(msgspec.Struct, frozen=True):
    """What the report says; `groups` are failures by item, or by the field that was asked for; `notes` warn of biased results."""

    status: RunStatus
    funnel: tuple[FunnelRow, ...]
    reasons: dict[str, int]
    field: str | None
    groups: tuple[GroupCount, ...]
    errors: tuple[ErrorCount, ...]
    notes: tuple[str, ...]
    files: tuple[str, ...]


def read_report(folder: Path, failures_by: str | None = None, clock: Callable[[], float] = time.time) -> Report:
    """Read a run and count its failures. With `failures_by` results are read as well, for shares. Raises `StoreError`, `RunError`."""
    with opened_run(folder) as (tables, row):
        return report_of(tables, row, failures_by, clock())


def report_of(tables: Tables, row: RunRow, field: str | None, now: float) -> Report:
    """The report on the run in `tables`."""
    steps, counted = tables.steps(row.key), Failures(field)
    for failure in failures(tables, row.key, steps):
        counted.add(failure)
    passed = None if field is None else count_groups(results(tables, row.key, last_unit_step(steps).idx), field)
    groups = counted.by_group(passed)
    status = status_of(tables, row, now)
    outputs = sorted(path for path in (tables.folder / "outputs").rglob("*") if path.is_file() and not path.name.startswith("."))
    return Report(
        status=status,
        funnel=funnel(unit_steps(status.steps), status.units),
        reasons=by_reason(status.failed),
        field=field,
        groups=groups,
        errors=counted.top_errors(),
        notes=bias_notes(status.valid, status.failures, field, groups),
        files=tuple(str(path.relative_to(tables.folder)) for path in outputs[:FILES]),
    )


def report_json(report: Report) -> JsonObject:
    """The report as plain JSON; intervals are of 95 %, amounts decimal strings of dollars, null where they are not known."""
    status, last = report.status, report.funnel[-1] if report.funnel else None
    return {
        "run": name_of(status),
        "pipeline": status.run.pipeline,
        "model": model_of(status),
        "overridden": list(status.overridden),
        "mode": status.run.mode,
        "state": status.run.state.value,
        "driven": status.driven,
        "duration_seconds": round(status.times.elapsed, 3),
        "chunks": sum(step.chunks for step in status.steps),
        "batches": sum(count for count, _ in status.batches.values()),
        "units": status.units,
        "valid": status.valid,
        "yield": None if last is None else _interval(last.yielded),
        "cost_usd": usd(status.cost),
        "priced_cost_usd": usd(status.spent),
        "unpriced_calls": status.unpriced,
        "cost_per_valid_usd": usd(cost_per_valid(status)),
        "funnel": [_funnel_json(row) for row in report.funnel],
        "failures_by_reason": report.reasons,
        "failures_by": report.field or "item",
        "failures": [
            {"group": group.group, "failed": group.failed, "decided": group.decided, "share": _interval(group.share)}
            for group in report.groups
        ],
        "top_errors": [{"step": error.step, "error": error.text, "count": error.count} for error in report.errors],
        "tokens": tokens_json(status.tallies),
        "notes": list(report.notes),
        "files": list(report.files),
    }


def _interval(interval: Interval | None) -> JsonObject | None:
    return None if interval is None else {"value": interval.value, "low": interval.low, "high": interval.high}


def _funnel_json(row: FunnelRow) -> JsonObject:
    return {
        "step": row.step,
        "valid": row.valid,
        "failed": row.failed,
        "lost": row.lost,
        "pending": row.pending,
        "total": row.started,
        "pass": _interval(row.passed),
        "yield": _interval(row.yielded),
    }


def report_document(report: Report, moment: Callable[[float], str]) -> Document:
    """The report as a page; `moment` words a time in epoch seconds."""
    sections = [_funnel_section(report.funnel), *_failure_sections(report)]
    if report.notes:
        sections.append(Section("Bias", None, report.notes))
    if report.files:
        sections.append(Section("Files", None, report.files))
    return Document(f"Report on {name_of(report.status)}", _facts(report, moment), tuple(sections))


def _facts(report: Report, moment: Callable[[float], str]) -> tuple[tuple[str, str], ...]:
    status, last = report.status, report.funnel[-1] if report.funnel else None
    survived = "" if last is None or last.yielded is None else f", {share_text(last.yielded)}"
    batches = sum(count for count, _ in status.batches.values())
    tokens, again = status.tokens, status.retries
    overhead = f"; retries are {percent(again.tokens / tokens.tokens)} of all tokens" if again.tokens and tokens.tokens else ""
    mark = " (* chosen on the command line)" if status.overridden else ""
    return (
        ("run", name_of(status)),
        ("pipeline", status.run.pipeline),
        ("model", model_of(status) + mark),
        ("mode", status.run.mode),
        ("status", state_word(status)),
        ("started", moment(status.times.started)),
        ("duration", duration_text(status.times.elapsed)),
        ("units", f"{status.units:,} began, {status.valid:,} came through{survived}"),
        ("cost", cost_text(status)),
        ("cost per valid unit", money(cost_per_valid(status))),
        ("tokens", tokens_text(status)),
        ("calls", f"{tokens.calls:,}, of them {counted(again.calls, 'retry')}{overhead}"),
        ("batches", f"{batches:,}"),
        ("chunks", f"{sum(step.chunks for step in status.steps):,}"),
    )


def _funnel_section(rows: tuple[FunnelRow, ...]) -> Section:
    waiting = any(row.pending for row in rows)
    header = ("Step", "Valid", "Failed", "Lost", *(("Pending",) if waiting else ()), "Total", "Pass %", "Yield")
    cells = tuple(
        (
            row.step,
            f"{row.valid:,}",
            f"{row.failed:,}",
            f"{row.lost:,}",
            *((f"{row.pending:,}",) if waiting else ()),
            f"{row.started:,}",
            share_text(row.passed),
            share_text(row.yielded),
        )
        for row in rows
    )
    note = "In parentheses the interval that holds the true share with a confidence of 95 %."
    return Section("Funnel", Table(header, cells, frozenset(range(1, len(header)))), (note,))


def _failure_sections(report: Report) -> list[Section]:
    if not report.reasons:
        return [Section("Failures", None, ("No unit failed.",))]
    reasons = Table(("Reason", "Units"), tuple((reason, f"{count:,}") for reason, count in report.reasons.items()), frozenset({1}))
    errors = Table(("Step", "Units", "Error"), tuple((e.step, f"{e.count:,}", e.text) for e in report.errors), frozenset({1}))
    return [Section("Failures by reason", reasons), _group_section(report), Section("Most frequent errors", errors)]


def _group_section(report: Report) -> Section:
    shown = report.groups[:GROUPS]
    if report.field is None:
        table = Table(("Item", "Failed"), tuple((group.group, f"{group.failed:,}") for group in shown), frozenset({1}))
    else:
        rows = tuple((g.group, f"{g.failed:,}", f"{g.decided or 0:,}", share_text(g.share)) for g in shown)
        table = Table((report.field, "Failed", "Of", "Share"), rows, frozenset({1, 2, 3}))
    hidden = len(report.groups) - len(shown)
    return Section(f"Failures by {report.field or 'item'}", table, (f"and {hidden:,} more",) if hidden else ())
