"""Shares or numbers of a field by the groups of another, as a table (OCT-156). Pure: records and options in, a value and its texts out."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import sqrt

import msgspec

from headgate.batch.document import Document, Section, Table, as_markdown, as_text, clip, share_text
from headgate.batch.expression_guards import MAX_OPS
from headgate.batch.expressions import CompiledExpression, ExpressionFailure, Scope, compile_expression
from headgate.batch.report import field_of
from headgate.batch.statistics import (
    Interval,
    NumberSummary,
    OutcomeRow,
    normal_quantile,
    number_table,
    outcome_table,
    wilson,
)
from headgate.domain.printable import counted
from headgate.errors import UsageError
from headgate.ledger.csv_text import safe_cell
from headgate.wire.json import Json, JsonObject, encode_text

MOST_VALUES = 100
"""Different values of a counted field, each of which is a column."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked: groups, and one of a field to count (with values that add to, and take from, the net) or a numeric field.

    `custom_stats` are names and expressions over ``data``, ``count``, ``mean``, ``median``, ``stdev``, ``variance``, ``min_val``,
    ``max_val`` and ``sum_val`` of a group's numbers; ``sqrt``, ``log`` and ``exp`` are at hand.
    """

    group_by: str
    count_field: str | None = None
    numeric_field: str | None = None
    net_positive: tuple[str, ...] = ()
    net_negative: tuple[str, ...] = ()
    custom_stats: tuple[tuple[str, str], ...] = ()
    title: str | None = None

    @property
    def field(self) -> str:
        """The field that is looked at."""
        return self.count_field or self.numeric_field or ""


class CountRow(msgspec.Struct, frozen=True):
    """A group: records, and each value's count and share; the net share with its interval where nets were asked for."""

    group: str
    total: int
    counts: dict[str, int]
    shares: dict[str, Interval]
    net: Interval | None


class NumberRow(msgspec.Struct, frozen=True):
    """A group's numbers, the interval of their mean, and its custom statistics (None where an expression gave no number)."""

    group: str
    summary: NumberSummary
    mean: Interval
    custom: dict[str, float | None]


class Analysis(msgspec.Struct, frozen=True):
    """The table: its `rows` are of counts or of numbers. `skipped` records lacked a field; `notes` say what else to know."""

    options: Options
    values: tuple[str, ...]
    rows: tuple[CountRow | NumberRow, ...]
    total: int
    skipped: int
    notes: tuple[str, ...]

    @property
    def top(self) -> str | None:
        """The group with the highest net, or the highest mean; None where neither is there."""
        first = self.rows[0] if self.rows else None
        ranked = isinstance(first, NumberRow) or (first is not None and first.net is not None)
        return first.group if first is not None and ranked else None


def analyze(records: Iterable[Mapping[str, Json]], options: Options) -> Analysis:
    """Make the table. Raises `UsageError` for options that do not fit together, `ConfigError` for an expression that cannot be used."""
    if (options.count_field is None) == (options.numeric_field is None):
        raise UsageError("either a field to count or a numeric field is needed", hint="--count-field FIELD, or --numeric-field FIELD")
    if options.count_field is not None and options.custom_stats:
        raise UsageError("custom statistics are of a numeric field", hint="use --numeric-field")
    if options.numeric_field is not None and (options.net_positive or options.net_negative):
        raise UsageError("nets are of a counted field", hint="use --count-field")
    pairs = ({"group": field_of(record, options.group_by), "value": field_of(record, options.field)} for record in records)
    return _numbers(pairs, options) if options.count_field is None else _counts(pairs, options)


def _counts(pairs: Iterable[Mapping[str, Json]], options: Options) -> Analysis:
    table = outcome_table(pairs, "group", "value")
    if len(table.outcomes) > MOST_VALUES:
        raise UsageError(
            f"{options.field} has {len(table.outcomes):,} different values, too many for columns",
            hint="use --numeric-field, or another field",
        )
    positive, negative = (frozenset(map(str.lower, names)) for names in (options.net_positive, options.net_negative))
    rows = [CountRow(row.group, row.total, row.counts, row.shares, _net(row, positive, negative)) for row in table.rows]
    rows.sort(key=lambda row: (0.0 if row.net is None else -row.net.value, row.group))
    known = {value.lower() for value in table.outcomes}
    asked = (*options.net_positive, *options.net_negative)
    notes = tuple(f"no result has the value {value!r}, which the net asks for" for value in asked if value.lower() not in known)
    return Analysis(options, table.outcomes, tuple(rows), sum(row.total for row in rows), table.skipped, notes)


def _net(row: OutcomeRow, positive: frozenset[str], negative: frozenset[str]) -> Interval | None:
    """The share of the positive values less that of the negative ones: of both with the adjusted interval of Bonett and Price (2012)."""
    if not positive and not negative:
        return None
    up = sum(count for value, count in row.counts.items() if value.lower() in positive)
    down = sum(count for value, count in row.counts.items() if value.lower() in negative)
    if not negative:
        return wilson(up, row.total)
    if not positive:
        share = wilson(down, row.total)
        return Interval(0.0 - share.value, 0.0 - share.high, 0.0 - share.low)
    more, less = (up + 1) / (row.total + 2), (down + 1) / (row.total + 2)
    spread = normal_quantile(0.95) * sqrt(max(0.0, more + less - (more - less) ** 2) / (row.total + 2))
    return Interval((up - down) / row.total, max(-1.0, more - less - spread), min(1.0, more - less + spread))


def _numbers(pairs: Iterable[Mapping[str, Json]], options: Options) -> Analysis:
    compiled = [compile_expression(source, name=name, where="--custom-stat") for name, source in options.custom_stats]
    groups: dict[str, list[float]] = {}
    table = number_table(_kept(pairs, groups), "group", "value")
    rows, notes = [], []
    for group, summary in table.rows.items():
        custom, faults = _custom(compiled, groups[group], summary)
        notes += [f"{group}: {fault.name}: {fault.message}" for fault in faults]
        spread = normal_quantile(0.95) * summary.stdev / sqrt(summary.count)
        rows.append(NumberRow(group, summary, Interval(summary.mean, summary.mean - spread, summary.mean + spread), custom))
    rows.sort(key=lambda row: (-row.summary.mean, row.group))
    return Analysis(options, (), tuple(rows), sum(row.summary.count for row in rows), table.skipped, tuple(notes))


def _kept(pairs: Iterable[Mapping[str, Json]], groups: dict[str, list[float]]) -> Iterator[Mapping[str, Json]]:
    """Pass records on, and keep the numbers of each group for the expressions."""
    for pair in pairs:
        value = pair["value"]
        if pair["group"] is not None and isinstance(value, int | float) and not isinstance(value, bool):
            groups.setdefault(str(pair["group"]), []).append(value)
        yield pair


def _custom(
    compiled: list[CompiledExpression], data: list[float], summary: NumberSummary
) -> tuple[dict[str, float | None], list[ExpressionFailure]]:
    names: JsonObject = {
        "data": data,
        "count": summary.count,
        "mean": summary.mean,
        "median": summary.median,
        "stdev": summary.stdev,
        "variance": summary.stdev**2,
        "min_val": summary.least,
        "max_val": summary.most,
        "sum_val": sum(data),
    }
    custom: dict[str, float | None] = {}
    faults = []
    for expression in compiled:
        value = Scope(names, 0, ops=MAX_OPS + 100 * len(data)).evaluate(expression)
        if isinstance(value, int | float):
            custom[expression.name] = float(value)
            continue
        custom[expression.name] = None
        none = ExpressionFailure(expression.name, "error", "the value is no number")
        faults.append(value if isinstance(value, ExpressionFailure) else none)
    return custom, faults


# As text

NUMBERS = ("Count", "Mean", "Median", "StdDev", "Min", "Max")


def analysis_text(analysis: Analysis, kind: str) -> str:
    """The table as ``table`` (plain text), ``md``, ``csv`` or ``json``; ends with a line feed."""
    return _WRITERS[kind](analysis)


def analysis_document(analysis: Analysis) -> Document:
    """The table as a page."""
    options = analysis.options
    title = options.title or f"{options.field} by {options.group_by}"
    notes = [f"Total: {counted(analysis.total, 'result')}" + _skipped(analysis)]
    if analysis.top is not None:
        notes.append(f"Top: {analysis.top}")
    if analysis.rows:
        notes.append("In parentheses the interval that holds the true value with a confidence of 95 %.")
    header = _header(analysis)
    table = Table(header, tuple(_text_row(analysis, row) for row in analysis.rows), frozenset(range(1, len(header))))
    return Document(title, (), (Section("", table, (*notes, *analysis.notes)),))


def _skipped(analysis: Analysis) -> str:
    if not analysis.skipped:
        return ""
    options = analysis.options
    number = ", or is no number" if options.numeric_field is not None else ""
    return f", {analysis.skipped:,} skipped: {options.group_by} or {options.field} is missing{number}"


def _header(analysis: Analysis) -> tuple[str, ...]:
    options = analysis.options
    if options.numeric_field is not None:
        return ("Group", *NUMBERS, *(name for name, _ in options.custom_stats))
    return ("Group", "Total", *(clip(value, 40) for value in analysis.values), *_nets(options))


def _nets(options: Options) -> tuple[str, ...]:
    return ("Net",) if options.net_positive or options.net_negative else ()


def _text_row(analysis: Analysis, row: CountRow | NumberRow) -> tuple[str, ...]:
    if isinstance(row, NumberRow):
        found = row.summary
        mean = f"{found.mean:.2f} ({row.mean.low:.2f}–{row.mean.high:.2f})"
        others = (f"{value:.2f}" for value in (found.median, found.stdev, found.least, found.most))
        return (row.group, f"{found.count:,}", mean, *others, *("—" if value is None else f"{value:.2f}" for value in row.custom.values()))
    nets = () if row.net is None else (f"{100 * row.net.value:+.1f}% ({100 * row.net.low:+.1f} to {100 * row.net.high:+.1f})",)
    return (row.group, f"{row.total:,}", *(share_text(row.shares[value]) for value in analysis.values), *nets)


def analysis_csv(analysis: Analysis) -> str:
    """CSV: shares and nets as decimals with two places, behind them the bounds of their intervals."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    counts = analysis.options.count_field is not None
    header = ("Group", "Total", *analysis.values, *_nets(analysis.options)) if counts else _header(analysis)
    bounds = analysis.values if counts else ("Mean",)
    writer.writerow([safe_cell(cell) for cell in (*header, *(f"{name}_{end}" for name in bounds for end in ("low", "high")))])
    for row in analysis.rows:
        writer.writerow(_csv_row(analysis, row))
    return buffer.getvalue()


def _csv_row(analysis: Analysis, row: CountRow | NumberRow) -> list[str | int]:
    if isinstance(row, NumberRow):
        found = row.summary
        numbers = (found.mean, found.median, found.stdev, found.least, found.most)
        custom = ("" if value is None else f"{value:.6g}" for value in row.custom.values())
        return [safe_cell(row.group), found.count, *(f"{value:.6g}" for value in numbers), *custom, *_bounds(row.mean)]
    shares = [row.shares[value] for value in analysis.values]
    nets = () if row.net is None else (f"{row.net.value:.2f}",)
    ends = (end for share in shares for end in _bounds(share))
    return [safe_cell(row.group), row.total, *(f"{share.value:.2f}" for share in shares), *nets, *ends]


def _bounds(interval: Interval) -> tuple[str, str]:
    return f"{interval.low:.4g}", f"{interval.high:.4g}"


def analysis_json(analysis: Analysis) -> JsonObject:
    """The table as plain JSON."""
    options = analysis.options
    return {
        "title": options.title,
        "group_by": options.group_by,
        "field": options.field,
        "kind": "count" if options.numeric_field is None else "numeric",
        "values": list(analysis.values),
        "rows": [msgspec.to_builtins(row) for row in analysis.rows],
        "total": analysis.total,
        "skipped": analysis.skipped,
        "top": analysis.top,
        "notes": list(analysis.notes),
    }


_WRITERS: dict[str, Callable[[Analysis], str]] = {
    "table": lambda analysis: as_text(analysis_document(analysis)),
    "md": lambda analysis: as_markdown(analysis_document(analysis)),
    "csv": analysis_csv,
    "json": lambda analysis: encode_text(analysis_json(analysis)) + "\n",
}
