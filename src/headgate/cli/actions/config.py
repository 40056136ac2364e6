"""``headgate config`` and ``headgate reload``."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from headgate.assembly.config_check import examine_names
from headgate.assembly.config_init import schema_text, write_first
from headgate.assembly.parts import load_parts
from headgate.assembly.reloading import ask_reload, current_settings
from headgate.cli import sanitize
from headgate.cli.actions.output import table
from headgate.config import read_environment
from headgate.config.leaves import rows
from headgate.config.settings import settings_file
from headgate.wire.json import encode_text

WRONG = 3


def show(origins: bool, changed: bool, as_json: bool) -> int:
    """See `headgate config show --help`."""
    found = [row for row in rows(current_settings()) if not changed or row.origin != "default"]
    if as_json:
        click.echo(encode_text([{"name": row.name, "value": row.text, "origin": row.origin} for row in found]))
    elif origins:
        click.echo(sanitize(table([(row.name, row.text, row.origin) for row in found], ("setting", "value", "origin"))))
    else:
        for row in found:
            click.echo(sanitize(f"{row.name} = {row.text}".rstrip()))
    return 0


def check(file: str | None, strict: bool, as_json: bool) -> int:
    """See `headgate config check --help`."""
    here = Path.cwd()
    named = Path(file) if file is not None else None
    path = settings_file(read_environment(os.environ, here), here, named)
    findings = examine_names(load_parts(config_file=named))
    bad = [finding for finding in findings if strict or finding.level == "error"]
    if as_json:
        click.echo(encode_text({"file": None if path is None else str(path), "findings": findings}))
        return WRONG if bad else 0
    for finding in findings:
        click.echo(sanitize(f"{finding.where}: {finding.level}: {finding.message}"))
    if not bad:
        click.echo("no settings file; the defaults and variables are right" if path is None else f"{path}: right")
    return WRONG if bad else 0


def schema() -> int:
    """See `headgate config schema --help`."""
    click.echo(schema_text(), nl=False)
    return 0


def init(file: str) -> int:
    """See `headgate config init --help`."""
    for path in write_first(Path(file)):
        click.echo(f"wrote {path}")
    click.echo(f"next: headgate config check {file}")
    return 0


def reload(port: int | None, wait: float) -> int:
    """See `headgate reload --help`."""
    settings = current_settings()
    before, after = ask_reload(settings.data_dir, port or settings.gateway_port, wait, time.sleep)
    state = after.reload
    if state.attempts == before.reload.attempts:
        click.echo(f"process {before.pid} was asked to read its settings; it has not said how that went")
        return 0
    if state.error is not None:
        click.echo(f"error: not reloaded, the settings in force stay: {sanitize(state.error)}", err=True)
        return WRONG
    click.echo(f"reloaded: generation {state.generation}" if state.generation != before.reload.generation else "nothing changed")
    if state.restart:
        click.echo(f"these take a restart: {', '.join(state.restart)}")
    return 0
