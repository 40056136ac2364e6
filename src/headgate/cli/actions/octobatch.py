"""``headgate import octobatch``, and ``headgate export`` in its form."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from headgate.assembly.octobatch_runs import REPORT, Imported, ImportRequest, export_folder, import_run, imported_json
from headgate.assembly.parts import load_parts
from headgate.assembly.run_places import find_run
from headgate.batch.states import RunState
from headgate.cli import sanitize
from headgate.cli.actions.imports import DROPPED
from headgate.cli.actions.output import table
from headgate.errors import UsageError
from headgate.wire.json import encode_text

SHOWN = 3
"""Places that are shown of each kind of oddity."""


def octobatch(run_dir: str, name: str | None, pipeline: str | None, provider: str | None, model: str | None, as_json: bool) -> int:
    """See `headgate import octobatch --help`."""
    done = asyncio.run(import_run(load_parts(), ImportRequest(Path(run_dir), name, pipeline, provider, model)))
    if as_json:
        click.echo(encode_text(imported_json(done)))
    else:
        tell(done)
    return DROPPED if done.serious else 0


def tell(done: Imported) -> None:
    """The steps as a table, then what is odd, and how to go on."""
    click.echo(f"{sanitize(done.run)}: {sanitize(done.pipeline)}, {done.state.value}, {done.units:,} units, {done.left:,} left")
    header = ("step", "valid", "failed", "pending", "first tries", "retries")
    rows = [(sanitize(step.name), *(f"{n:,}" for n in (step.valid, step.failed, step.pending, *step.calls))) for step in done.steps]
    click.echo(table(rows, header, frozenset(range(1, len(header)))))
    initial, again = done.tokens[:2], done.tokens[2:]
    click.echo(f"tokens: input {initial[0]:,}, output {initial[1]:,}; for retries: input {again[0]:,}, output {again[1]:,}")
    for finding in done.findings:
        click.echo(f"✗ {finding.sentence}")
        for place in finding.places[:SHOWN]:
            click.echo(f"    {sanitize(place)}")
        if finding.count > SHOWN:
            click.echo(f"    … all of them: {sanitize(str(done.folder / REPORT))}")
    for note in done.notes:
        click.echo(f"note: {sanitize(note)}", err=True)
    if done.state is not RunState.COMPLETE:
        click.echo(f"hint: headgate run {sanitize(done.pipeline)} --run-dir {sanitize(str(done.folder))} goes on with it", err=True)


def export(run: str, what: str, step: str | None, kind: str, as_json: bool, excel_safe: bool, output: Path | None) -> int:
    """See `headgate export --help`."""
    if what != "results" or step is not None or as_json or excel_safe:
        raise UsageError(f"a folder of {kind} holds the whole run: it cannot be of a part, or in another form")
    if output is None:
        raise UsageError(f"a folder of {kind} needs a name", hint="add --output FOLDER")
    export_folder(find_run(load_parts(), run), output)
    click.echo(f"written to {sanitize(str(output))}", err=True)
    return 0
