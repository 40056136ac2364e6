"""``headgate doctor``: is everything in place?"""

from __future__ import annotations

import click

from headgate.assembly.doctor import examine
from headgate.assembly.parts import load_parts
from headgate.cli import sanitize
from headgate.wire.json import encode_text

MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}


def doctor(as_json: bool, strict: bool) -> int:
    """See `headgate doctor --help`."""
    checks = examine(load_parts())
    if as_json:
        click.echo(encode_text(checks))
    else:
        for check in checks:
            click.echo(f"{MARKS[check.level]} {check.name}: {sanitize(check.message)}")
            if check.level != "ok" and check.fix:
                click.echo(f"    → {check.fix}")
    bad = {"fail", "warn"} if strict else {"fail"}
    return 1 if any(check.level in bad for check in checks) else 0
