"""``headgate report``, ``compare``, ``analyze`` and ``export``: what runs hold."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from headgate.assembly.parts import load_parts
from headgate.assembly.run_compare import compare_runs, comparison_document, comparison_json
from headgate.assembly.run_export import ExportRequest, export_file, export_pieces, run_rows
from headgate.assembly.run_places import find_run
from headgate.assembly.run_report import Report, read_report, report_document, report_json
from headgate.batch.analysis import Options, analysis_text
from headgate.batch.analysis import analyze as analyze_records
from headgate.batch.document import as_html, as_markdown, as_text
from headgate.cli import sanitize
from headgate.cli.actions.delivery import deliver, echo_pieces, json_line, moment, show
from headgate.errors import UsageError
from headgate.wire.json import Json

REPORTS: dict[str, Callable[[Report], str]] = {
    "text": lambda found: as_text(report_document(found, moment)),
    "md": lambda found: as_markdown(report_document(found, moment)),
    "html": lambda found: as_html(report_document(found, moment)),
    "json": lambda found: json_line(report_json(found)),
}


def report(run: str, failures_by: str | None, kind: str, as_json: bool, output: Path | None) -> int:
    """See `headgate report --help`."""
    found = read_report(find_run(load_parts(), run), failures_by)
    form = "json" if as_json else kind
    deliver(REPORTS[form](found), form, output)
    return 0


def compare(runs: tuple[str, ...], fields: str | None, step: str | None, sample: int, as_json: bool, output: Path | None) -> int:
    """See `headgate compare --help`."""
    parts = load_parts()
    named = tuple(dict.fromkeys(field.strip() for field in (fields or "").split(",") if field.strip()))
    found = compare_runs([find_run(parts, run) for run in runs], named, step, sample)
    for warning in found.warnings if as_json or output is not None else ():  # the page itself has them
        click.echo(f"warning: {sanitize(warning)}", err=True)
    if output is not None:
        deliver(as_markdown(comparison_document(found)), "md", output)
    if as_json or output is None:
        show(as_json, lambda: comparison_json(found), lambda: comparison_document(found))
    return 0


def analyze(run: str, step: str | None, kind: str, as_json: bool, output: Path | None, custom_stat: tuple[str, ...], **asked: Json) -> int:
    """See `headgate analyze --help`."""
    options = Options(**asked, custom_stats=tuple(map(_stat, custom_stat)))
    with run_rows(find_run(load_parts(), run), "results", step) as rows:
        found = analyze_records(rows, options)
    form = "json" if as_json else kind
    deliver(analysis_text(found, form), form, output)
    return 0


def _stat(text: str) -> tuple[str, str]:
    name, equals, source = text.partition("=")
    if not equals or not name.strip() or not source.strip():
        raise UsageError(f"{text!r} is not a name and an expression", hint="--custom-stat 'CV=stdev / mean'")
    return name.strip(), source.strip()


def export(run: str, what: str, step: str | None, kind: str, as_json: bool, excel_safe: bool, output: Path | None) -> int:
    """See `headgate export --help`."""
    request = ExportRequest(what=what, format="jsonl" if as_json else kind, step=step, excel_safe=excel_safe)
    if excel_safe and request.format != "csv":
        raise UsageError("--excel-safe is for CSV", hint=f"headgate export {run} --format csv --excel-safe")
    folder = find_run(load_parts(), run)
    if output is None:
        echo_pieces(export_pieces(folder, request, moment), sanitize if sys.stdout.isatty() else str)
    else:
        export_file(folder, request, output, moment)
        click.echo(f"written to {sanitize(str(output))}", err=True)
    return 0
