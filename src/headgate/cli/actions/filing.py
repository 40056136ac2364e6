"""``headgate archive``, ``unarchive``, ``rename`` and ``delete``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click
import msgspec

from headgate.assembly.filing import Filed, archive_run, delete_run, rename_run, unarchive_run
from headgate.assembly.parts import load_parts
from headgate.assembly.run_words import short_cost
from headgate.assembly.runs import find_run
from headgate.assembly.status import read_status
from headgate.cli import sanitize
from headgate.cli.actions.runs import short
from headgate.domain.printable import counted
from headgate.errors import UsageError
from headgate.wire.json import encode_text


def archive(run: str, as_json: bool) -> int:
    """See `headgate archive --help`."""
    return _told(archive_run(load_parts(), run), as_json)


def unarchive(run: str, as_json: bool) -> int:
    """See `headgate unarchive --help`."""
    return _told(unarchive_run(load_parts(), run), as_json)


def rename(run: str, new: str, as_json: bool) -> int:
    """See `headgate rename --help`."""
    return _told(rename_run(load_parts(), run, new), as_json)


def _told(filed: Filed, as_json: bool) -> int:
    if as_json:
        click.echo(encode_text(msgspec.structs.asdict(filed)))
    else:
        click.echo(f"{sanitize(filed.run)} lies in {short(Path(filed.folder))}")
    return 0


def delete(run: str, provider: bool, yes: bool, as_json: bool) -> int:
    """See `headgate delete --help`."""
    parts = load_parts()
    folder = find_run(parts, run)
    if not yes:
        _confirm(folder, provider)
    done = asyncio.run(delete_run(parts, folder, provider=provider))
    left = (*done.left_at_provider, *(f"{folder / name} is no file of the run" for name in done.left_behind))
    if as_json:
        click.echo(encode_text({**msgspec.structs.asdict(done)}))
        return 1 if left else 0
    batches = f", and {counted(done.at_provider, 'batch')} at providers" if provider else ""
    click.echo(f"{sanitize(done.run)} is deleted{batches}")
    for text in left:
        click.echo(f"left: {sanitize(text)}", err=True)
    return 1 if left else 0


def _confirm(folder: Path, provider: bool) -> None:
    """Ask before a run is deleted. Raises `UsageError` where nobody can be asked."""
    found = read_status(folder)
    at = " and what providers keep of it" if provider else ""
    question = f"Delete {sanitize(found.run.id)} ({sanitize(found.state)}, {counted(found.valid, 'result')}, cost {short_cost(found)}){at}"
    if not sys.stdin.isatty():
        raise UsageError(f"{question}? Nobody can be asked", hint="add --yes")
    click.confirm(f"{question}?", abort=True, err=True)
