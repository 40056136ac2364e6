"""``headgate receipts true-up``."""

from __future__ import annotations

from pathlib import Path

import click

from headgate.cli import sanitize
from headgate.cli.actions.receipts import open_ledger
from headgate.domain.cost import usd_text
from headgate.errors import UsageError
from headgate.ledger.invoice import read_charges
from headgate.ledger.true_up import Corrected, Span, total_of, true_up_all
from headgate.wire.json import encode_text

SHOWN = 20


def true_up(file: str, provider: str | None, columns: tuple[str, ...], since: float | None, until: float | None, as_json: bool) -> int:
    """See `headgate receipts true-up --help`."""
    if (since is None) != (until is None):
        raise UsageError("an invoice is complete from one moment to another", hint="give both --since and --until, or neither")
    try:
        with Path(file).open(encoding="utf-8-sig", newline="") as lines:
            invoice = total_of(read_charges(lines, columns))
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: {error}", hint=f"iconv -t UTF-8 {file}") from error
    covers = None if since is None or until is None else Span(since, until)
    with open_ledger() as (ledger, _):
        found = true_up_all(ledger.database, invoice, provider, covers)
    if as_json:
        document = {"receipts": found.receipts, "usd": usd_text(found.delta_nanos), "unknown": list(found.unknown)}
        click.echo(encode_text(document))
    else:
        click.echo(sanitize("\n".join(_lines(found))))
    return 0


def _lines(found: Corrected) -> list[str]:
    lines = [f"{id}: billed, but there is no receipt of it" for id in found.unknown[:SHOWN]]
    if len(found.unknown) > SHOWN:
        lines.append(f"… and {len(found.unknown) - SHOWN} more")
    lines.append(f"{found.receipts:,} receipts corrected, by ${usd_text(found.delta_nanos)} together")
    return lines
