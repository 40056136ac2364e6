"""Reading the ledger: receipts by filters, sums by any dimension. Each reading is a function of a connection, for any store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Literal, TypeAlias, TypeVar

import msgspec

from headgate.ledger.moments import day_text
from headgate.ledger.receipt import Receipt
from headgate.ledger.reconcile import Booked, Figures
from headgate.ledger.rows import decoded
from headgate.ledger.viewer import EVERYTHING, Viewer
from headgate.store.connection import Connection, Row, Value
from headgate.store.statements import Statements

T = TypeVar("T")
Reading: TypeAlias = Callable[[Connection], T]
Grouping: TypeAlias = Literal["total", "provider", "model", "account", "lane", "face", "key", "team", "user", "run", "day"]

RECEIPT_FILTERS = ("provider", "account", "model", "face", "run", "submission", "key", "team", "user")
USAGE_FILTERS = ("provider", "model", "key", "team", "run")
PAGE = 1000
SQL = Statements.load("usage")


class ReceiptQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which receipts. None means any; `since` is included, `until` is not; `before` is (at, id) of the last one of the page before."""

    since: float | None = None
    until: float | None = None
    provider: str | None = None
    account: str | None = None
    model: str | None = None
    face: str | None = None
    lane: str | None = None
    status: str | None = None
    run: str | None = None
    submission: str | None = None
    key: str | None = None
    team: str | None = None
    user: str | None = None
    before: tuple[float, str] | None = None
    limit: int = 100

    def row(self) -> dict[str, Value]:
        """The parameters of `receipts`."""
        ceiling, before_id = self.before or (inf, "")
        if self.until is not None and self.until <= ceiling:
            ceiling, before_id = self.until, ""
        names = (*RECEIPT_FILTERS, "lane", "status", "limit")
        return {**{name: getattr(self, name) for name in names}, "since": self.since or 0.0, "ceiling": ceiling, "before_id": before_id}


class UsageRow(msgspec.Struct, frozen=True):
    """A sum. `cost_nanos` is what the priced calls cost, `unpriced` counts the others. `label` is a value of the dimension summed by."""

    label: str = ""
    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanos: int = 0
    unpriced: int = 0


class Correction(msgspec.Struct, frozen=True):
    """What was posted about a receipt after it was written: `nanos` more (or less) than it says."""

    at: float
    kind: str
    nanos: int


def receipt_reading(id: str, viewer: Viewer = EVERYTHING) -> Reading[Receipt | None]:
    """The receipt `id`, if `viewer` may see it."""

    def read(connection: Connection) -> Receipt | None:
        row = connection.execute(SQL["receipt"], {"id": id, **viewer.row()}).fetchone()
        return None if row is None else parse_receipt(row[0])

    return read


def receipts_reading(wanted: ReceiptQuery, viewer: Viewer = EVERYTHING) -> Reading[tuple[Receipt, ...]]:
    """A page of receipts, newest first."""

    def read(connection: Connection) -> tuple[Receipt, ...]:
        rows = connection.execute(SQL["receipts"], {**wanted.row(), **viewer.row()}).fetchall()
        return tuple(parse_receipt(row[0]) for row in rows)

    return read


def ids_reading(beginning: str) -> Reading[tuple[str, ...]]:
    """Up to three receipts whose ids begin with a text."""
    following = beginning[:-1] + chr(ord(beginning[-1]) + 1) if beginning else "\U0010ffff"
    values = {"id": beginning, "next_id": following}
    return lambda connection: tuple(str(row[0]) for row in connection.execute(SQL["ids_like"], values).fetchall())


def corrections_reading(id: str) -> Reading[tuple[Correction, ...]]:
    """What was posted about a receipt, in order."""
    return lambda connection: tuple(map(_correction, connection.execute(SQL["corrections"], {"id": id}).fetchall()))


def every_receipt(read: Callable[[Reading[tuple[Receipt, ...]]], tuple[Receipt, ...]], wanted: ReceiptQuery) -> Iterator[Receipt]:
    """All receipts of a query, newest first, read page by page with `read` (a store's own), so that no memory holds them all."""
    page = read(receipts_reading(msgspec.structs.replace(wanted, limit=PAGE)))
    while page:
        yield from page
        last = page[-1]
        page = read(receipts_reading(msgspec.structs.replace(wanted, limit=PAGE, before=(last.at, last.id))))


def usage_reading(
    groupings: Sequence[Grouping],
    viewer: Viewer = EVERYTHING,
    *,
    since: float = 0.0,
    until: float = inf,
    filters: dict[str, str | None] | None = None,
) -> Reading[tuple[tuple[UsageRow, ...], ...]]:
    """The sums over [since, until) by each of `groupings`, all of one moment. `filters` are some of `USAGE_FILTERS`. Days are dates."""
    named = dict.fromkeys(USAGE_FILTERS) | (filters or {})
    values: dict[str, Value] = {**named, **viewer.row(), "since": since, "until": until}

    def read(connection: Connection) -> tuple[tuple[UsageRow, ...], ...]:
        return tuple(_sums(connection, values, grouping) for grouping in groupings)

    return read


def _sums(connection: Connection, values: dict[str, Value], grouping: Grouping) -> tuple[UsageRow, ...]:
    found = connection.execute(SQL["usage"], {**values, "dimension": grouping}).fetchall()
    rows = tuple(sorted(map(_usage_row, found), key=lambda row: row.label))
    return tuple(msgspec.structs.replace(row, label=day_text(int(row.label))) for row in rows) if grouping == "day" else rows


def recent_reading(viewer: Viewer, since: float, width: int) -> Reading[tuple[tuple[UsageRow, ...], tuple[UsageRow, ...]]]:
    """The sums from `since` on by provider, and in buckets of `width` seconds, whose labels are their numbers since the epoch."""
    by_provider = usage_reading(("provider",), viewer, since=since)

    def read(connection: Connection) -> tuple[tuple[UsageRow, ...], tuple[UsageRow, ...]]:
        rows = connection.execute(SQL["usage_over_time"], {**viewer.row(), "since": since, "width": float(width)}).fetchall()
        return by_provider(connection)[0], tuple(map(_usage_row, rows))

    return read


def spent_reading(run: str, viewer: Viewer) -> Reading[int]:
    """What a run has cost so far, in nano-dollars."""

    def read(connection: Connection) -> int:
        row = connection.execute(SQL["run_spent"], {"run": run, **viewer.row()}).fetchone()
        return whole(row[0]) if row is not None else 0

    return read


def booked_reading(provider: str, account: str | None, since: float, until: float) -> Reading[tuple[Booked, ...]]:
    """What a provider should bill by day and model over [since, until)."""
    values: dict[str, Value] = {"provider": provider, "account": account, "since": since, "until": until}
    return lambda connection: tuple(map(_booked, connection.execute(SQL["booked"], values).fetchall()))


def sum_rows(rows: Sequence[UsageRow]) -> UsageRow:
    """All of them together."""
    names = UsageRow.__struct_fields__[1:]
    return UsageRow("", *(sum(getattr(row, name) for row in rows) for name in names))


def parse_receipt(detail: Value) -> Receipt:
    """The receipt a row holds. Raises `msgspec.MsgspecError` when the row is no receipt of ours any more."""
    return decoded(detail if isinstance(detail, bytes) else str(detail).encode())


def whole(value: Value) -> int:
    """An integer of a row."""
    assert isinstance(value, int)
    return value


def _correction(row: Row) -> Correction:
    at, kind, nanos = row
    return Correction(float(at or 0), str(kind), whole(nanos))


def _usage_row(row: Row) -> UsageRow:
    return UsageRow(str(row[0]), *map(whole, row[1:]))


def _booked(row: Row) -> Booked:
    day, model, calls, tokens_in, tokens_out, nanos, unpriced = row
    figures = Figures(
        input_tokens=whole(tokens_in), output_tokens=whole(tokens_out), nanos=whole(nanos), requests=whole(calls), unpriced=whole(unpriced)
    )
    return Booked(day=day_text(whole(day)), model=str(model), figures=figures)
