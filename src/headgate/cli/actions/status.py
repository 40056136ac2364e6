"""``headgate status``, ``ls``, ``info`` and ``dump``: how runs stand. Nothing here loads what drives runs."""

from __future__ import annotations

import time
from pathlib import Path

import click

from headgate.assembly.parts import Parts, load_parts
from headgate.assembly.run_dump import home_document, home_dump, run_document, run_dump
from headgate.assembly.run_info import info_document, info_json, read_info
from headgate.assembly.run_places import find_run
from headgate.assembly.run_words import OVERRIDDEN, cost_text, short_cost, state_word, target_text, tokens_text
from headgate.assembly.status import Listed, list_runs, read_status
from headgate.assembly.status_json import status_json
from headgate.cli import sanitize
from headgate.cli.actions.delivery import moment, show
from headgate.cli.actions.output import money, table
from headgate.domain.cost import known_money
from headgate.domain.printable import counted
from headgate.wire.json import Json, encode_text


def status(run: str, as_json: bool) -> int:
    """See `headgate status --help`."""
    parts = load_parts()
    found = read_status(find_run(parts, run))
    if as_json:
        click.echo(encode_text(status_json(found)))
        return 0
    row = found.run
    total = row.total if row.total is not None else f"{row.planned} planned so far"
    click.echo(f"{row.id}: {row.pipeline}, {row.mode}, {found.state}" + (f" ({sanitize(row.reason)})" if row.reason else ""))
    spent = f"{'cost' if found.unpriced else 'spent'} {cost_text(found)}"
    click.echo(f"units {total}, {spent}, set aside {money(found.held)}")
    rows = [
        (
            s.name,
            sanitize(target_text(target)),
            str(s.started),
            str(s.valid),
            str(s.failed),
            str(s.pending),
            known_money(s.cost_nanos, s.unpriced),
        )
        for s, target in zip(found.steps, found.targets, strict=True)
    ]
    click.echo(table(rows, ("step", "target", "started", "valid", "failed", "pending", "cost"), frozenset({2, 3, 4, 5, 6})))
    if found.overridden:
        click.echo(f"{OVERRIDDEN} chosen on the command line, not by the pipeline")
    if found.tokens.calls:
        click.echo(f"[TOKENS] {tokens_text(found)}")
    for submission in found.submissions:
        seen = submission.raw_status or "not looked at yet"
        click.echo(f"batch {submission.batch_id or '—'}: {submission.state.value}, {seen}, {counted(submission.rows, 'row')}")
    unlisted = sum(count for count, _ in found.batches.values()) - len(found.submissions)
    if unlisted:
        click.echo(f"and {counted(unlisted, 'older batch')} over")
    for notice in found.notices:
        click.echo(f"note: {notice}")
    for problem in found.problems:
        click.echo(f"warning: {problem}", err=True)
    return 0


def ls(as_json: bool) -> int:
    """See `headgate ls --help`."""
    parts = load_parts()
    found = list_runs(parts.settings.run_dir)
    if as_json:
        click.echo(encode_text([_listed_json(one) for one in found]))
        return 0
    if not found:
        click.echo(f"no runs in {parts.settings.run_dir}")
        return 0
    header = ("run", "pipeline", "mode", "state", "units", "valid", "failed", "cost", "begun")
    click.echo(table([_listed_row(one) for one in found], header, frozenset({4, 5, 6, 7})))
    read = [one.status for one in found if one.status is not None]
    total = known_money(sum(status.spent for status in read), sum(status.unpriced for status in read))
    click.echo(f"{counted(len(found), 'run')}, {total if total.startswith('$') else f'cost {total}'}")
    for one in found:
        if one.status is None:
            click.echo(f"warning: {sanitize(Path(one.folder).name)} cannot be read: {sanitize(one.problem)}", err=True)
    return 0


def _listed_row(one: Listed) -> tuple[str, ...]:
    name, status = Path(one.folder).name, one.status
    if status is None:
        return (name, "—", "—", "unreadable", "—", "—", "—", "—", "—")
    row = status.run
    return (
        name,
        sanitize(row.pipeline),
        row.mode,
        state_word(status),
        str(row.total if row.total is not None else row.planned),
        str(status.valid),
        str(status.failures),
        short_cost(status),
        time.strftime("%Y-%m-%d %H:%M", time.localtime(row.created_at)),
    )


def _listed_json(one: Listed) -> Json:
    if one.status is None:
        return {"run": Path(one.folder).name, "folder": one.folder, "state": "unreadable", "problem": one.problem}
    return status_json(one.status)


def info(run: str, as_json: bool) -> int:
    """See `headgate info --help`."""
    found = read_info(find_run(load_parts(), run))
    show(as_json, lambda: info_json(found), lambda: info_document(found, moment))
    return 0


def dump(run: str | None, as_json: bool) -> int:
    """See `headgate dump --help`."""
    parts = load_parts()
    return _dump_home(parts, as_json) if run is None else _dump_run(parts, run, as_json)


def _dump_home(parts: Parts, as_json: bool) -> int:
    found = list_runs(parts.settings.run_dir)
    show(as_json, lambda: home_dump(found), lambda: home_document(found, moment))
    return 0


def _dump_run(parts: Parts, run: str, as_json: bool) -> int:
    status = read_status(find_run(parts, run))
    show(as_json, lambda: run_dump(status), lambda: run_document(status, moment))
    return 0
