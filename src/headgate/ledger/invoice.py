"""What a provider says it billed: its usage and cost exports as CSV, summed by day and model. Pure.

Columns as the consoles write them (seen in published exports of 2025 and 2026): OpenAI's *usage* (``start_time``, ``model``,
``input_tokens``, ``output_tokens``, ``num_model_requests``) and *costs* (``start_time``, ``amount_value``, ``line_item``), Anthropic's
*tokens* (``usage_date_utc``, ``model_version``, ``usage_…_tokens…``) and *cost* (``usage_date_utc``, ``model``, ``cost_usd``). Anything
else by naming its columns.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

import msgspec

from headgate.catalog.cards import day_of
from headgate.domain.cost import NANO
from headgate.errors import UsageError

Row: TypeAlias = Mapping[str, str | None]
ROLES = ("day", "model", "input", "output", "cost", "requests")


class InvoiceFormat(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns of a file say what. Several columns of tokens are added up; an empty name: the file does not say."""

    name: str
    provider: str = ""
    day: str
    model: str = ""
    input: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    cost: str = ""
    requests: str = ""
    currency: str = ""

    @property
    def columns(self) -> frozenset[str]:
        """Every column it needs."""
        named = (self.day, self.model, self.cost, self.requests, self.currency, *self.input, *self.output)
        return frozenset(name for name in named if name)


FORMATS = (
    InvoiceFormat(
        name="anthropic-tokens",
        provider="anthropic",
        day="usage_date_utc",
        model="model_version",
        input=(
            "usage_input_tokens_no_cache",
            "usage_input_tokens_cache_write_5m",
            "usage_input_tokens_cache_write_1h",
            "usage_input_tokens_cache_read",
        ),
        output=("usage_output_tokens",),
    ),
    InvoiceFormat(name="anthropic-cost", provider="anthropic", day="usage_date_utc", model="model", cost="cost_usd"),
    InvoiceFormat(
        name="openai-usage",
        provider="openai",
        day="start_time",
        model="model",
        input=("input_tokens",),
        output=("output_tokens",),
        requests="num_model_requests",
    ),
    InvoiceFormat(
        name="openai-costs", provider="openai", day="start_time", model="line_item", cost="amount_value", currency="amount_currency"
    ),
)


class InvoiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """What was billed for one model on one day (UTC, ``YYYY-MM-DD``). None: the file does not say.

    `slack` are the nano-dollars by which the rounding of the amounts that were added up may be off.
    """

    day: str
    model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    nanos: int | None = None
    requests: int | None = None
    slack: int = 0


def read_invoice(lines: Iterable[str], custom: InvoiceFormat | None = None) -> tuple[InvoiceFormat, tuple[InvoiceLine, ...]]:
    """The format of a CSV (or tab-separated) file and its lines by day and model. Raises `UsageError` that names the line."""
    source = iter(lines)
    head = next(source, "").removeprefix("\ufeff")
    delimiter = "\t" if "\t" in head else ","
    names = next(csv.reader([head], delimiter=delimiter), [])
    chosen = custom or _recognised(names)
    missing = sorted(chosen.columns - set(names))
    if missing:
        raise UsageError(f"the file has no column {', '.join(missing)}; it has {', '.join(names)}", hint=_HINT)
    rows = csv.DictReader(source, names, delimiter=delimiter)
    sums: dict[tuple[str, str], InvoiceLine] = {}
    for line in _lines(chosen, rows):
        known = sums.get((line.day, line.model))
        sums[line.day, line.model] = line if known is None else _added(known, line)
    return chosen, tuple(sums[key] for key in sorted(sums))


def custom_format(columns: Iterable[str], provider: str) -> InvoiceFormat:
    """A format from words such as ``day=Date`` and ``input=Prompt+Cached``. Raises `UsageError`."""
    found: dict[str, str] = {}
    for word in columns:
        role, equals, column = word.partition("=")
        if role not in ROLES or not equals or not column:
            raise UsageError(f"{word!r} maps no column; write ROLE=COLUMN with a role out of {', '.join(ROLES)}", hint=_HINT)
        found[role] = column
    if "day" not in found or not found.keys() & {"input", "output", "cost", "requests"}:
        raise UsageError("a day and at least one of input, output, cost and requests must be mapped", hint=_HINT)
    return InvoiceFormat(
        name="custom",
        provider=provider,
        day=found["day"],
        model=found.get("model", ""),
        input=_columns(found.get("input")),
        output=_columns(found.get("output")),
        cost=found.get("cost", ""),
        requests=found.get("requests", ""),
    )


def read_charges(lines: Iterable[str], columns: Iterable[str]) -> Iterator[tuple[str, int]]:
    """What a CSV file bills for each request: our id of it, nano-dollars. `columns` are ``id=COLUMN`` and ``cost=COLUMN``.

    Raises `UsageError` that names the line.
    """
    named = dict(word.partition("=")[::2] for word in columns)
    if named.keys() != {"id", "cost"}:
        raise UsageError("an id and a cost must be mapped, and nothing else", hint=_CHARGES_HINT)
    rows = csv.DictReader(lines)
    missing = sorted(set(named.values()) - set(rows.fieldnames or ()))
    if missing:
        raise UsageError(f"the file has no column {', '.join(missing)}; it has {', '.join(rows.fieldnames or ())}", hint=_CHARGES_HINT)
    for row in rows:
        try:
            yield (row[named["id"]] or "").strip(), _money((row[named["cost"]] or "").strip())[0]
        except (ValueError, InvalidOperation) as error:
            raise UsageError(f"line {rows.line_num} of the file cannot be read: {error}", hint=_CHARGES_HINT) from error


_CHARGES_HINT = "headgate receipts true-up FILE -p openai --column id=Request --column cost=Amount"
_HINT = "headgate receipts reconcile FILE -p openai --column day=Date --column model=Model --column cost=Amount"


def _columns(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(text.split("+"))


def _recognised(names: list[str]) -> InvoiceFormat:
    fitting = [known for known in FORMATS if known.columns <= set(names)]
    if not fitting:
        kinds = ", ".join(known.name for known in FORMATS)
        raise UsageError(f"this is none of the exports that are known ({kinds}): map its columns", hint=_HINT)
    return fitting[0]


def _lines(chosen: InvoiceFormat, rows: csv.DictReader[str]) -> Iterator[InvoiceLine]:
    for row in rows:
        try:
            line = _line(chosen, row)
        except (ValueError, InvalidOperation) as error:
            raise UsageError(f"line {rows.line_num + 1} of the file cannot be read: {error}", hint=_HINT) from error
        if line is not None:
            yield line


def _line(chosen: InvoiceFormat, row: Row) -> InvoiceLine | None:
    """The line of a row; None for one of a day on which nothing happened."""
    amount = (row.get(chosen.cost) or "").strip()
    counts = [row.get(name) for name in (*chosen.input, *chosen.output, chosen.requests) if name]
    if not amount and not any(counts):
        return None
    currency = (row.get(chosen.currency) or "usd").lower()
    if currency != "usd":
        raise ValueError(f"the amount is in {currency}, not in dollars")
    nanos, slack = _money(amount) if chosen.cost else (None, 0)
    return InvoiceLine(
        day=_day(row.get(chosen.day) or ""),
        model=(row.get(chosen.model) or "").partition(",")[0].strip(),
        input_tokens=_sum(row, chosen.input),
        output_tokens=_sum(row, chosen.output),
        nanos=nanos,
        requests=_sum(row, (chosen.requests,) if chosen.requests else ()),
        slack=slack,
    )


def _sum(row: Row, columns: tuple[str, ...]) -> int | None:
    return sum(_count(row.get(column) or "0") for column in columns) if columns else None


def _count(text: str) -> int:
    number = Decimal(text.strip().replace(",", ""))
    if not number.is_finite() or number != int(number):
        raise ValueError(f"{text!r} is no whole number")
    return int(number)


def _money(text: str) -> tuple[int, int]:
    """Nano-dollars, and half a unit in the last place that is printed."""
    amount = Decimal(text.replace("$", "").replace(",", "") or "0")
    if not amount.is_finite():
        raise ValueError(f"{text!r} is no amount")
    exponent = amount.as_tuple().exponent
    unit = Decimal(1).scaleb(exponent if isinstance(exponent, int) else 0)
    return int((amount * NANO).to_integral_value()), int(unit * NANO / 2)


def _day(text: str) -> str:
    """The UTC day of a date, a time in ISO 8601, or seconds since the epoch. A time without a zone is UTC."""
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) >= 9:
        return day_of(float(text))
    when = datetime.fromisoformat(text)
    return (when if when.tzinfo is None else when.astimezone(UTC)).strftime("%Y-%m-%d")


def _added(one: InvoiceLine, other: InvoiceLine) -> InvoiceLine:
    return InvoiceLine(
        day=one.day,
        model=one.model,
        input_tokens=_both(one.input_tokens, other.input_tokens),
        output_tokens=_both(one.output_tokens, other.output_tokens),
        nanos=_both(one.nanos, other.nanos),
        requests=_both(one.requests, other.requests),
        slack=one.slack + other.slack,
    )


def _both(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
