"""``headgate verify``, ``repair``, ``retry`` and ``revalidate``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from headgate.assembly.mending import Repaired, repair_run, retry_run, revalidate_run
from headgate.assembly.parts import load_parts
from headgate.assembly.runs import find_run
from headgate.assembly.verifying import audit_json, verify_run
from headgate.batch.audit import Audit
from headgate.batch.repair import Plan
from headgate.cli import sanitize
from headgate.cli.actions.output import table
from headgate.cli.actions.runs import short
from headgate.cli.actions.steering import Resuming, go_on
from headgate.domain.printable import counted
from headgate.errors import UsageError
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
    click.echo(f"{sanitize(row.id)}: {sanitize(row.pipeline)}, {row.state.value}{driven}, {counted(found.facts.total, 'unit')}")
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


def retry(run: str, step: str | None, reasons: tuple[str, ...], everything: bool, go: bool, quiet: bool, as_json: bool) -> int:
    """See `headgate retry --help`."""
    parts = load_parts()
    folder = find_run(parts, run)
    done = asyncio.run(retry_run(folder, step, reasons, everything))
    if go and done.units:
        click.echo(f"new tries for {counted(done.units, 'failed unit')}", err=True)
        return go_on(parts, folder, Resuming(yes=True, quiet=quiet, as_json=as_json))
    if as_json:
        click.echo(encode_text({**msgspec.structs.asdict(done), "folder": str(folder)}))
        return 0
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(done.reasons.items()))
    click.echo(
        f"new tries for {counted(done.units, 'failed unit')} in {counted(done.chunks, 'new chunk')}"
        + (f" ({sanitize(why)})" if why else "")
    )
    if done.left:
        click.echo(f"{counted(done.left, 'failed unit')} left as before; --all takes every one", err=True)
    if done.units:
        go_on_with(done.pipeline, folder)
    return 0


def go_on_with(pipeline: str, folder: Path) -> None:
    """Say which command goes on with a run."""
    click.echo(f"go on with: headgate run {sanitize(pipeline)} --run-dir {short(folder)}", err=True)


def revalidate(run: str, step: str | None, source: bool, dry_run: bool, as_json: bool) -> int:
    """See `headgate revalidate --help`."""
    folder = find_run(load_parts(), run)
    done = asyncio.run(revalidate_run(folder, step, source=source, dry_run=dry_run))
    if as_json:
        click.echo(encode_text({**msgspec.to_builtins(done), "passing": done.passing, "folder": str(folder)}))
        return 0
    rows = [
        (sanitize(s.step), str(s.failed), str(s.judged), str(s.passing), ", ".join(f"{n} {why}" for why, n in sorted(s.reasons.items())))
        for s in done.steps
    ]
    if rows:
        click.echo(table(rows, ("step", "failed", "judged", "valid now", "still wrong"), frozenset({1, 2, 3})))
    would = "would be valid" if dry_run else "valid now"
    click.echo(f"{would}: {counted(done.passing, 'unit')}, judged by {sanitize(done.source)}")
    if done.opened:
        go_on_with(done.pipeline, folder)
    return 0


def repair(run: str, again: bool, deep: bool, yes: bool, as_json: bool) -> int:
    """See `headgate repair --help`."""
    parts = load_parts()
    folder = find_run(parts, run)

    def agree(found: Audit, plan: Plan) -> bool:
        for sentence in plan.sentences:
            click.echo(f"• {sentence}", err=True)
        if yes:
            return True
        if not sys.stdin.isatty():
            raise UsageError("nobody can be asked whether to do this", hint=f"headgate repair {short(folder)} --yes")
        return click.confirm("Do it?", err=True)

    done = asyncio.run(repair_run(parts, folder, agree, again=again, deep=deep))
    if as_json:
        click.echo(encode_text(_repaired_json(done, folder)))
    else:
        _tell_repaired(done, folder)
    return 0 if done.after.whole else WRONG


def _repaired_json(done: Repaired, folder: Path) -> dict[str, object]:
    return {
        "run": done.run,
        "folder": str(folder),
        "done": list(done.plan.sentences) if done.agreed else [],
        "not_mended": list(done.plan.unmended),
        "needs_again": done.plan.needs_again > 0,
        "before": audit_json(done.before, folder),
        "after": audit_json(done.after, folder),
    }


def _tell_repaired(done: Repaired, folder: Path) -> None:
    for text in done.plan.unmended:
        click.echo(f"not mended: {sanitize(text)}", err=True)
    if done.plan.needs_again:
        click.echo("answers cannot be read; their units must be asked again, which costs what it costs", err=True)
        click.echo(f"hint: headgate repair {short(folder)} --again", err=True)
    if done.plan.empty and done.after.whole:
        click.echo(f"{sanitize(done.run)}: nothing to mend")
    else:
        click.echo(f"{sanitize(done.run)}: {'mended' if done.agreed else 'not changed'}, integrity {'OK' if done.after.whole else 'WARN'}")
    if done.agreed and done.left:
        go_on_with(done.pipeline, folder)
