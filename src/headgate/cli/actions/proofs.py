"""``headgate receipts verify``, ``recompute``, ``reconcile`` and ``prune``."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import click

from headgate.catalog.cards import Catalog
from headgate.catalog.prices import decimal_text
from headgate.cli import sanitize
from headgate.cli.actions.output import table
from headgate.cli.actions.receipts import open_ledger, price_records
from headgate.domain.cost import usd_text
from headgate.errors import UsageError
from headgate.ledger.invoice import InvoiceLine, custom_format, read_invoice
from headgate.ledger.moments import DAY, iso, start_of
from headgate.ledger.proof import Head, head_text, read_head
from headgate.ledger.recompute import Recomputed
from headgate.ledger.reconcile import Difference, Figures, Reconciled
from headgate.ledger.reconcile import reconcile as compare
from headgate.ledger.report import booked_reading
from headgate.ledger.retention import prune as delete_old
from headgate.ledger.verify import Verified, recompute_all
from headgate.ledger.verify import verify as walk
from headgate.wire.json import JsonObject, encode_text

DRIFTED = 7
SHOWN = 20


def verify(head: str | None, as_json: bool) -> int:
    """See `headgate receipts verify --help`."""
    noted = None if head is None else _head(head)
    with open_ledger() as (ledger, _):
        found = walk(ledger.database, noted, _progress("verified"))
    if as_json:
        click.echo(encode_text(_verified_json(found)))
    else:
        click.echo(sanitize("\n".join(_verified_lines(found))))
    return 1 if found.findings else 0


def _head(text: str) -> Head:
    try:
        return read_head(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no head of a chain; write SEQ:HASH as it was printed", hint="headgate receipts verify") from error


def _verified_lines(found: Verified) -> list[str]:
    lines = [f"{finding.seq}: {finding.kind}: {finding.text}" for finding in found.findings[:SHOWN]]
    if len(found.findings) > SHOWN:
        lines.append(f"… and {len(found.findings) - SHOWN} more")
    begun = f" (those up to {found.start.seq} have been pruned)" if found.start.seq else ""
    lines.append(f"{found.receipts:,} receipts, {len(found.findings)} findings{begun}")
    if found.unchained:
        lines.append(f"{found.unchained:,} of them are from before there was a chain: only their columns were checked")
    lines.append(f"head {head_text(found.head)}")
    return lines


def _verified_json(found: Verified) -> JsonObject:
    return {
        "receipts": found.receipts,
        "unchained": found.unchained,
        "head": head_text(found.head),
        "pruned_to": found.start.seq,
        "findings": [{"kind": one.kind, "seq": one.seq, "text": one.text} for one in found.findings],
    }


def recompute(as_json: bool) -> int:
    """See `headgate receipts recompute --help`."""
    verdicts: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    problems: list[Recomputed] = []
    with open_ledger() as (ledger, catalog):
        for found in recompute_all(ledger.database, price_records(catalog), _progress("recomputed")):
            verdicts[found.verdict] += 1
            if not found.known:
                unknown[found.digest] += 1
            if not found.sound:
                problems.append(found)
    if as_json:
        document = {"verdicts": verdicts, "unknown_digests": unknown, "problems": [_problem_json(one) for one in problems]}
        click.echo(encode_text(document))
    else:
        click.echo(sanitize("\n".join(_recomputed_lines(verdicts, unknown, problems))))
    return 1 if problems else 0


def _recomputed_lines(verdicts: Counter[str], unknown: Counter[str], problems: list[Recomputed]) -> list[str]:
    lines = [f"{one.id}: {one.verdict}: {_usd(one.stored)} is stored, {_usd(one.computed)} computed" for one in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"… and {len(problems) - SHOWN} more")
    counted = ", ".join(f"{count:,} {verdict}" for verdict, count in verdicts.most_common())
    lines.append(f"{verdicts.total():,} receipts: {counted or 'none'}")
    lines += [f"price record {digest} of {count:,} receipts is not in this catalog" for digest, count in unknown.most_common()]
    return lines


def _problem_json(one: Recomputed) -> JsonObject:
    return {"id": one.id, "verdict": one.verdict, "stored_nanos": one.stored, "computed_nanos": one.computed, "digest": one.digest}


def reconcile(file: str, provider: str | None, account: str | None, columns: tuple[str, ...], tolerance: float, as_json: bool) -> int:
    """See `headgate receipts reconcile --help`."""
    custom = custom_format(columns, provider or "") if columns else None
    try:
        with Path(file).open(encoding="utf-8-sig", newline="") as lines:
            chosen, billed = read_invoice(lines, custom)
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: {error}", hint=f"iconv -t UTF-8 {file}") from error
    whose = provider or chosen.provider
    if not whose:
        raise UsageError("whose invoice is it?", hint=f"headgate receipts reconcile {file} -p openai")
    if not billed:
        raise UsageError(f"{file} bills nothing", hint="headgate receipts reconcile --help")
    with open_ledger() as (ledger, catalog):
        reading = booked_reading(whose, account, start_of(billed[0].day), start_of(billed[-1].day) + DAY)
        found = compare(billed, ledger.database.read(reading), namer(catalog, whose), Fraction(str(tolerance)) / 100)
    if as_json:
        click.echo(encode_text({"format": chosen.name, "provider": whose, **_reconciled_json(found)}))
    else:
        click.echo(sanitize("\n".join(_reconciled_lines(found, chosen.name, whose, billed))))
    return 0 if found.agrees else DRIFTED


def namer(catalog: Catalog, provider: str) -> Callable[[str], str]:
    """The catalog's id of a model that an invoice may call by id, snapshot or display name; an unknown one keeps its name."""
    shown = {card.display_name.casefold(): card.id for card in catalog.cards if card.provider == provider}

    def name(text: str) -> str:
        card = catalog.find(provider, text)
        return card.id if card is not None else shown.get(text.casefold(), text)

    return name


def _reconciled_lines(found: Reconciled, kind: str, provider: str, billed: tuple[InvoiceLine, ...]) -> list[str]:
    off = [row for row in found.rows if row.verdict != "agrees"]
    rows = [_difference(row) for row in (*off, found.total)]
    heads = ("day", "model", "invoice", "ledger", "drift", "verdict")
    return [
        f"{provider}, {kind}, {billed[0].day} to {billed[-1].day}: {len(found.rows) - len(off)} of {len(found.rows)} lines agree",
        "",
        table(rows, heads, frozenset({2, 3, 4})),
    ]


def _difference(row: Difference) -> tuple[str, ...]:
    drift = "—" if row.drift is None else f"{float(row.drift):.2%}"
    measure = row.measure or ("nanos" if row.invoice is None or row.invoice.nanos is not None else "input_tokens")
    return (row.day, row.model or "all models", _figure(row.invoice, measure), _figure(row.ledger, measure), drift, row.verdict)


def _figure(figures: Figures | None, measure: str) -> str:
    """What one side says, in the measure that differs most."""
    if figures is None:
        return "nothing"
    value: int | None = getattr(figures, measure)
    if measure == "nanos":
        return _usd(value)
    return "—" if value is None else f"{value:,} {measure.removesuffix('_tokens')}"


def _reconciled_json(found: Reconciled) -> JsonObject:
    return {"agrees": found.agrees, "total": _difference_json(found.total), "rows": [_difference_json(row) for row in found.rows]}


def _difference_json(row: Difference) -> JsonObject:
    return {
        "day": row.day,
        "model": row.model,
        "verdict": row.verdict,
        "measure": row.measure,
        "drift": None if row.drift is None else decimal_text(Fraction(round(row.drift * 10**9), 10**9)),
        "invoice": _figures_json(row.invoice),
        "ledger": _figures_json(row.ledger),
    }


def _figures_json(figures: Figures | None) -> JsonObject | None:
    if figures is None:
        return None
    counts = {name: getattr(figures, name) for name in ("input_tokens", "output_tokens", "requests", "unpriced")}
    return {**counts, "usd": None if figures.nanos is None else usd_text(figures.nanos)}


def prune(before: float, yes: bool) -> int:
    """See `headgate receipts prune --help`."""
    if not yes:
        click.confirm(f"Delete every receipt from before {iso(before)}?", abort=True, err=True)
    with open_ledger() as (ledger, _):
        done = delete_old(ledger.database, before, time.time(), _progress("deleted"))
    click.echo(f"{done.receipts:,} receipts deleted")
    return 0


def _usd(nanos: int | None) -> str:
    return "unpriced" if nanos is None else f"${usd_text(nanos)}"


def _progress(word: str) -> Callable[[int], None] | None:
    """A line that rewrites itself, on a terminal."""
    if not sys.stderr.isatty():
        return None
    return lambda count: click.echo(f"\r{count:,} {word}", err=True, nl=False)
