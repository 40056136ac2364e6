"""``headgate verify``, ``repair``, ``retry`` and ``revalidate``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from headgate.assembly.parts import load_parts
from headgate.assembly.runs import find_run
from headgate.assembly.verifying import audit_json, verify_run
from headgate.batch.audit import Audit
from headgate.cli import sanitize
from headgate.cli.actions.output import table
from headgate.wire.json import encode_text

WRONG = 4
"""The exit code of `verify` when something is wrong (OCT-42)."""
SHOWN = 10


def verify(run: str, deep: bool, as_json: bool) -> int:
    """See `headgate verify --help`."""
    folder = find_run(load_parts(), run)
    found = verify_run(folder, deep)
    if as_json:
        click.echo(encode_text(audit_json(found, folder)))
    else:
        tell_audit(found)
    return 0 if found.whole else WRONG


def tell_audit(found: Audit) -> None:
    """The steps as a table, then what is wrong."""
    row = found.run
    driven = ", a process drives it" if found.driven else ""
    click.echo(f"{sanitize(row.id)}: {sanitize(row.pipeline)}, {row.state.value}{driven}, {found.facts.total} units")
    header = ("step", "expected", "valid", "failed", "pending", "missing", "twice", "orphaned")
    rows = [
        (sanitize(s.step), *(str(n) for n in (s.expected, s.valid, s.failed, s.pending, s.missing, s.duplicated, s.orphaned)))
        for s in found.steps
    ]
    click.echo(table(rows, header, frozenset(range(1, len(header)))))
    for step in found.steps:
        for word, ids in (("missing", step.missing_ids), ("twice", step.duplicated_ids), ("orphaned", step.orphaned_ids)):
            if ids:
                click.echo(f"✗ {word} at {sanitize(step.step)}: {few(ids)}")
    for fault in found.faults:
        click.echo(f"✗ {sanitize(fault.message)}" + (f": {few(fault.ids)}" if fault.ids else ""))
    click.echo("integrity OK" if found.whole else "integrity WARN")
    if not found.whole and not found.driven:
        click.echo(f"hint: headgate repair {sanitize(row.id)}", err=True)


def few(ids: Sequence[str]) -> str:
    """The first ids, and how many more there are."""
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return sanitize(", ".join(ids[:SHOWN])) + more
