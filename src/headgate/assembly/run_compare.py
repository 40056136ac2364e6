"""Runs side by side: what each was, how much came through and for how much, and where their results differ (OCT-153, OCT-154)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from headgate.assembly.run_export import run_rows
from headgate.assembly.run_words import cost_per_valid, model_of, name_of, short_cost, state_word
from headgate.assembly.status import RunStatus, read_status
from headgate.assembly.status_json import usd
from headgate.batch.comparison import Agreement, match_units
from headgate.batch.document import Document, Section, Table, clip, percent, share_text
from headgate.batch.significance import Difference, two_proportions
from headgate.batch.statistics import Interval, wilson
from headgate.domain.cost import money
from headgate.errors import UsageError
from headgate.wire.json import JsonObject, encode_text


class Side(msgspec.Struct, frozen=True):
    """One run: its status, its pass rate among the units that are decided, and how that differs from the first run's.

    Both are None where there is nothing to go by. `agreement` compares its units with the first run's, where fields were named.
    """

    status: RunStatus
    decided: int
    passed: Interval | None
    difference: Difference | None
    agreement: Agreement | None


class Comparison(msgspec.Struct, frozen=True):
    """The runs, the first one being what the others are compared with; `warnings` say why they may not be comparable."""

    sides: tuple[Side, ...]
    warnings: tuple[str, ...]


def compare_runs(
    folders: Sequence[Path], fields: Sequence[str] = (), step: str | None = None, sample: int = 5, clock: Callable[[], float] = time.time
) -> Comparison:
    """Compare runs with the first. Raises `UsageError` for fewer than two, `StoreError`, `RunError`."""
    if len(folders) < 2:
        raise UsageError("at least two runs are needed", hint="headgate compare RUN RUN")
    statuses = [read_status(folder, clock) for folder in folders]
    sides = [_side(statuses[0], status, _agreement(folders[0], folders[i], fields, step, sample)) for i, status in enumerate(statuses)]
    return Comparison(tuple(sides), tuple(_warnings(statuses, bool(fields))))


def _agreement(first: Path, other: Path, fields: Sequence[str], step: str | None, sample: int) -> Agreement | None:
    if not fields or first == other:
        return None
    with ExitStack() as stack:
        mine, theirs = (stack.enter_context(run_rows(folder, "results", step)) for folder in (first, other))
        return match_units(mine, theirs, fields, sample)


def _side(first: RunStatus, status: RunStatus, agreement: Agreement | None) -> Side:
    decided = status.valid + status.failures
    before = first.valid + first.failures
    difference = None if status is first else two_proportions(first.valid, before, status.valid, decided)
    return Side(status, decided, wilson(status.valid, decided) if decided else None, difference, agreement)


def _warnings(statuses: Sequence[RunStatus], matched: bool) -> list[str]:
    first = statuses[0]
    found = []
    for status in statuses[1:]:
        pair = f"{name_of(first)} and {name_of(status)}"
        if status.run.pipeline_digest != first.run.pipeline_digest:
            found.append(f"{pair} are runs of different pipelines, or of different states of one")
        if matched and status.run.seed != first.run.seed:
            found.append(f"{pair} have different seeds: units of the same id need not have had the same input (--seed gives both the same)")
    return [*found, *(f"{name_of(status)} is not complete: {state_word(status)}" for status in statuses if status.run.state != "complete")]


def comparison_json(comparison: Comparison) -> JsonObject:
    """The comparison as plain JSON; amounts are decimal strings of dollars, null where they are not known."""
    return {"runs": [_side_json(side) for side in comparison.sides], "warnings": list(comparison.warnings)}


def _side_json(side: Side) -> JsonObject:
    status = side.status
    return {
        "run": name_of(status),
        "pipeline": status.run.pipeline,
        "model": model_of(status),
        "overridden": list(status.overridden),
        "mode": status.run.mode,
        "state": status.run.state.value,
        "seed": status.run.seed,
        "total": status.units,
        "valid": status.valid,
        "failed": status.failures,
        "pass_rate": None if side.passed is None else msgspec.to_builtins(side.passed),
        "difference": None if side.difference is None else msgspec.to_builtins(side.difference),
        "cost_usd": usd(status.cost),
        "priced_cost_usd": usd(status.spent),
        "unpriced_calls": status.unpriced,
        "cost_per_valid_usd": usd(cost_per_valid(status)),
        "agreement": None if side.agreement is None else msgspec.to_builtins(side.agreement),
    }


HEADER = ("Run", "Model", "Mode", "Total", "Valid", "Pass rate", "Against the first", "p", "Cost", "Per valid unit")


def comparison_document(comparison: Comparison) -> Document:
    """The comparison as a page."""
    rows = tuple(_row(side) for side in comparison.sides)
    tests = sorted({side.difference.test for side in comparison.sides if side.difference is not None})
    notes = ["In parentheses the interval that holds the true value with a confidence of 95 %.", *(f"p: {test}." for test in tests)]
    sections = [Section("Runs", Table(HEADER, rows, frozenset({3, 4, 5, 6, 7, 8, 9})), (*notes, *comparison.warnings))]
    first = name_of(comparison.sides[0].status)
    for side in comparison.sides:
        if side.agreement is not None:
            sections += _agreement_sections(first, name_of(side.status), side.agreement)
    return Document("Comparison of runs", (), tuple(sections))


def _row(side: Side) -> tuple[str, ...]:
    status, difference = side.status, side.difference
    apart, chance = "—", "—"
    if difference is not None:
        interval = difference.interval
        apart = f"{100 * interval.value:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"
        chance = ("<0.0001" if difference.p_value < 0.0001 else f"{difference.p_value:.4f}") + (" *" if difference.significant() else "")
    return (
        name_of(status),
        model_of(status),
        status.run.mode,
        f"{status.units:,}",
        f"{status.valid:,}",
        share_text(side.passed),
        apart,
        chance,
        short_cost(status),
        money(cost_per_valid(status)),
    )


def _agreement_sections(first: str, other: str, found: Agreement) -> list[Section]:
    rows = tuple((field.field, f"{field.equal:,}", share_text(field.share)) for field in found.fields)
    notes = [f"{found.matched:,} units are in both; {found.only_first:,} only in {first}, {found.only_other:,} only in {other}."]
    if found.matched:
        notes.append(f"In all fields the same: {found.whole:,} ({percent(found.whole / found.matched)}).")
    if found.repeated:
        notes.append(f"{found.repeated:,} results have the id of an earlier one, and were left out.")
    sections = [Section(f"{first} and {other}", Table(("Field", "Same", "Share"), rows, frozenset({1, 2})), tuple(notes))]
    if found.sample:
        cells = tuple(
            (differing.unit, field, clip(encode_text(a), 60), clip(encode_text(b), 60))
            for differing in found.sample
            for field, (a, b) in differing.values.items()
        )
        sections.append(Section("Units that differ", Table(("Unit", "Field", first, other), cells)))
    return sections
