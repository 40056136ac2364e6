"""``headgate receipt``, ``why``, ``receipts ls`` and ``export``, and ``usage``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import click
import msgspec

from headgate.assembly.parts import load_parts
from headgate.catalog.cards import Catalog, Price
from headgate.catalog.prices import decimal_text
from headgate.cli import sanitize
from headgate.cli.actions.output import money, table
from headgate.domain.cost import usd_text
from headgate.errors import UsageError
from headgate.ledger import Ledger, Receipt, receipt_json
from headgate.ledger.bill import Bill, bill_json, bill_of
from headgate.ledger.csv_text import csv_lines
from headgate.ledger.export import export_text
from headgate.ledger.report import (
    Correction,
    Grouping,
    ReceiptQuery,
    UsageRow,
    corrections_reading,
    every_receipt,
    ids_reading,
    receipt_reading,
    receipts_reading,
    sum_rows,
    usage_reading,
)
from headgate.ledger.story import payer, tell
from headgate.wire.json import Json, JsonObject, encode_text

LAST = "last"


@contextmanager
def open_ledger() -> Iterator[tuple[Ledger, Catalog]]:
    """The ledger of the settings in force, and the catalog beside it."""
    parts = load_parts()
    ledger = parts.ledger()
    try:
        yield ledger, parts.catalog
    finally:
        ledger.close()


def price_records(catalog: Catalog) -> dict[str, Price]:
    """Every price of the catalog, by its digest."""
    return {price.digest: price for card in catalog.cards for price in card.prices}


def find(ledger: Ledger, id: str) -> Receipt:
    """The receipt of an id, of the beginning of one, or the newest. Raises `UsageError`."""
    read = ledger.database.read
    if id == LAST:
        newest = read(receipts_reading(ReceiptQuery(limit=1)))
        if newest:
            return newest[0]
        raise UsageError("there are no receipts yet", hint="headgate ask hello")
    found = read(receipt_reading(id))
    if found is not None:
        return found
    close = read(ids_reading(id))
    if len(close) == 1 and (only := read(receipt_reading(close[0]))) is not None:
        return only
    if close:
        raise UsageError(f"several receipts begin with {id!r}: {', '.join(close)}", hint=f"headgate receipt {close[0]}")
    raise UsageError(f"there is no receipt {id!r}", hint="headgate receipts ls")


def receipt(id: str, as_json: bool) -> int:
    """See `headgate receipt --help`."""
    with open_ledger() as (ledger, catalog):
        found = find(ledger, id)
        corrections = ledger.database.read(corrections_reading(found.id))
    bill = bill_of(found, price_records(catalog).get(found.price_digest))
    if as_json:
        posted = [{"at": one.at, "kind": one.kind, "usd": usd_text(one.nanos)} for one in corrections]
        click.echo(encode_text({**receipt_json(found), "bill": bill_json(bill), "why": tell(found), "corrections": posted}))
        return 0
    click.echo(sanitize("\n".join(receipt_lines(found, bill, corrections))))
    return 0


def why(id: str) -> int:
    """See `headgate why --help`."""
    with open_ledger() as (ledger, _):
        click.echo(sanitize(tell(find(ledger, id))))
    return 0


def receipt_lines(receipt: Receipt, bill: Bill, corrections: tuple[Correction, ...] = ()) -> Iterator[str]:
    """A receipt as a person reads it."""
    answered = f" (answered by {receipt.model_answered})" if receipt.model_answered not in (None, receipt.model) else ""
    yield f"receipt {receipt.id}"
    yield f"{_moment(receipt.at)}  {receipt.status}{f' ({receipt.error})' if receipt.error else ''}"
    yield f"{receipt.provider}/{receipt.model}{answered}, account {receipt.account}"
    yield ", ".join(_how(receipt))
    yield from _labelled(receipt)
    yield ""
    yield from _amounts(receipt, bill)
    for one in corrections:
        yield f"corrected {_moment(one.at)} ({one.kind}): ${usd_text(one.nanos)}"
    if receipt.attempts:
        yield ""
        yield from _attempts(receipt)
    if receipt.notes:
        yield ""
        yield from (f"{note.field}: {note.action} ({note.reason})" for note in receipt.notes)


def _how(receipt: Receipt) -> Iterator[str]:
    yield f"{receipt.face}, {receipt.operation}, {receipt.lane}{', streamed' if receipt.stream else ''}"
    if receipt.dialect_in and receipt.dialect_out:
        yield receipt.dialect_in if receipt.dialect_in == receipt.dialect_out else f"{receipt.dialect_in} → {receipt.dialect_out}"
    if receipt.duration is not None:
        yield f"{receipt.duration:.3f} s"
    if receipt.first_byte is not None:
        yield f"first byte after {receipt.first_byte:.3f} s"


def _labelled(receipt: Receipt) -> Iterator[str]:
    """Who pays, and what the request belongs to."""
    run = " ".join(str(part) for part in (receipt.run, receipt.step, receipt.unit) if part)
    rows = {
        "paid by": payer(receipt),
        "tags": " ".join(receipt.tags),
        "session": receipt.session,
        "run": run,
        "submission": receipt.submission,
        "route": receipt.explanation,
        "price": f"{receipt.price_rule} ({receipt.price_digest})" if receipt.price_rule else "",
    }
    return (f"{name:<11} {value}" for name, value in rows.items() if value)


def _amounts(receipt: Receipt, bill: Bill) -> Iterator[str]:
    if bill.lines:
        rows = [(line.name, f"{line.count:,}", line.price or "unpriced", line.unit, line.text) for line in bill.lines]
        yield table(rows, ("used", "count", "$", "per", "$ in all"), frozenset({1, 2, 4}))
        yield ""
    if bill.exact is not None and bill.lines:
        yield f"exact       ${decimal_text(bill.exact)}"
    source = ", from an estimate of the usage" if receipt.usage.source == "estimated" and receipt.usage.total else ""
    yield f"charged     {'unpriced' if bill.charged_nanos is None else '$' + usd_text(bill.charged_nanos)}{source}"
    if receipt.bound_nanos is not None:
        yield f"reserved    ${usd_text(receipt.bound_nanos)} at most"
    if bill.cache_saved:
        yield f"cache saved ${decimal_text(bill.cache_saved)}"


def _attempts(receipt: Receipt) -> Iterator[str]:
    rows = [
        (
            str(number),
            f"{attempt.provider}/{attempt.model}",
            attempt.account,
            "" if attempt.status is None else str(attempt.status),
            attempt.kind or "",
            "" if attempt.duration is None else f"{attempt.duration:.3f} s",
            "—" if attempt.cost_nanos is None else f"${usd_text(attempt.cost_nanos)}",
            attempt.request_id or "",
        )
        for number, attempt in enumerate(receipt.attempts, 1)
    ]
    yield table(rows, ("", "attempt", "account", "status", "error", "took", "cost", "provider's id"), frozenset({0, 3, 5, 6}))


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def ls(limit: int, as_json: bool, **wanted: float | str | None) -> int:
    """See `headgate receipts ls --help`."""
    with open_ledger() as (ledger, _):
        found = ledger.database.read(receipts_reading(query_of(wanted, limit)))
    if as_json:
        click.echo(encode_text([receipt_json(receipt) for receipt in found]))
        return 0
    if not found:
        click.echo("no receipts", err=True)
        return 0
    rows = [_row(receipt) for receipt in found]
    heads = ("id", "at", "model", "in", "out", "cost", "status", "key", "run")
    click.echo(sanitize(table(rows, heads, frozenset({3, 4, 5}))))
    return 0


def query_of(wanted: dict[str, float | str | None], limit: int = 100) -> ReceiptQuery:
    """The options that filter, as a query."""
    return msgspec.convert({**wanted, "limit": limit}, ReceiptQuery)


def _row(receipt: Receipt) -> tuple[str, ...]:
    usage = receipt.usage
    return (
        receipt.id,
        _moment(receipt.at).removesuffix(" UTC"),
        f"{receipt.provider}/{receipt.model}",
        f"{usage.input_total:,}",
        f"{usage.output_total:,}",
        "unpriced" if receipt.cost_nanos is None else money(receipt.cost_nanos),
        receipt.error or receipt.status,
        receipt.key or "",
        receipt.run or "",
    )


def export(output: str | None, kind: str, excel_safe: bool, **wanted: float | str | None) -> int:
    """See `headgate receipts export --help`."""
    if excel_safe and kind != "csv":
        raise UsageError("--excel-safe is for CSV", hint="headgate receipts export --format csv --excel-safe")
    with open_ledger() as (ledger, _):
        found = every_receipt(ledger.database.read, query_of(wanted))
        lines = csv_lines(found, excel_safe=excel_safe) if kind == "csv" else _json_lines(found)
        if output is None:
            for line in lines:
                click.echo(line, nl=False)
            return 0
        count = export_text(Path(output), lines)
    click.echo(f"{count - (kind == 'csv')} receipts written to {output}", err=True)
    return 0


def _json_lines(found: Iterable[Receipt]) -> Iterator[str]:
    return (encode_text(receipt_json(receipt)) + "\n" for receipt in found)


def usage(by: str, since: float | None, until: float | None, as_json: bool, **wanted: str | None) -> int:
    """See `headgate usage --help`."""
    start, end = since or 0.0, float("inf") if until is None else until
    grouping = cast(Grouping, by)
    with open_ledger() as (ledger, _):
        (rows,) = ledger.database.read(usage_reading((grouping,), since=start, until=end, filters=wanted))
    total = sum_rows(rows)
    if as_json:
        document: JsonObject = {"by": by, "rows": [usage_json(row) for row in rows], "total": usage_json(total)}
        click.echo(encode_text(document))
        return 0
    if not rows:
        click.echo("nothing was used", err=True)
        return 0
    listed = [_usage_row(row, row.label or "—") for row in rows] if by != "total" else []
    heads = (by, "calls", "errors", "in", "cached", "out", "$", "unpriced")
    click.echo(sanitize(table([*listed, _usage_row(total, "total")], heads, frozenset(range(1, len(heads))))))
    return 0


def usage_json(row: UsageRow) -> Json:
    """A row of usage; the amount is a decimal string of dollars, exact."""
    document: JsonObject = msgspec.to_builtins(row)
    document["usd"] = usd_text(document.pop("cost_nanos"))
    return document


def _usage_row(row: UsageRow, label: str) -> tuple[str, ...]:
    counts = (row.calls, row.errors, row.input_tokens, row.cached_tokens, row.output_tokens)
    return (label, *(f"{count:,}" for count in counts), usd_text(row.cost_nanos), f"{row.unpriced:,}")
