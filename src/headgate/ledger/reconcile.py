"""The ledger against a provider's invoice, by day and model (faults E21). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Literal, TypeAlias

import msgspec

from headgate.ledger.invoice import InvoiceLine

DRIFT = Fraction(5, 1000)
"""The share by which ledger and invoice may differ: 0.5 %."""
Verdict: TypeAlias = Literal["agrees", "differs", "only_invoice", "only_ledger", "unpriced"]
BAD: frozenset[Verdict] = frozenset({"differs", "only_invoice", "only_ledger", "unpriced"})
MEASURES = ("nanos", "input_tokens", "output_tokens", "requests")


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What one side says of a day and a model. None: it does not say. `unpriced` calls of the ledger are in no amount."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    nanos: int | None = None
    requests: int | None = None
    unpriced: int = 0


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger has of one model on one day."""

    day: str
    model: str
    figures: Figures


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One day and model on both sides. `drift` is the greatest share by which a measure differs, None where one side has nothing."""

    day: str
    model: str
    verdict: Verdict
    invoice: Figures | None
    ledger: Figures | None
    drift: Fraction | None = None
    measure: str = ""


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """Every day and model, and all of them together."""

    rows: tuple[Difference, ...]
    total: Difference

    @property
    def agrees(self) -> bool:
        """Whether nothing is further off than is allowed."""
        return self.total.verdict == "agrees" and all(row.verdict == "agrees" for row in self.rows)


def reconcile(
    lines: Iterable[InvoiceLine], booked: Iterable[Booked], canonical: Callable[[str], str], allowed: Fraction = DRIFT
) -> Reconciled:
    """Compare the two. `canonical` gives the one name of a model that either side may write differently.

    An invoice without models is compared day by day. Rounding of the invoice's own amounts is no drift.
    """
    billed: dict[tuple[str, str], InvoiceLine] = {}
    for line in lines:
        key = (line.day, canonical(line.model) if line.model else "")
        billed[key] = _sum_lines(billed[key], line) if key in billed else line
    by_model = any(model for _, model in billed)
    ledger: dict[tuple[str, str], Figures] = {}
    for entry in booked:
        key = (entry.day, canonical(entry.model) if by_model else "")
        ledger[key] = _sum_figures(ledger[key], entry.figures) if key in ledger else entry.figures
    keys = sorted(billed.keys() | ledger.keys())
    rows = tuple(_compare(key, billed.get(key), ledger.get(key), allowed) for key in keys)
    return Reconciled(rows=rows, total=_total(billed, ledger, allowed))


def _total(billed: dict[tuple[str, str], InvoiceLine], ledger: dict[tuple[str, str], Figures], allowed: Fraction) -> Difference:
    line: InvoiceLine | None = None
    for each in billed.values():
        line = each if line is None else _sum_lines(line, each)
    figures: Figures | None = None
    for entry in ledger.values():
        figures = entry if figures is None else _sum_figures(figures, entry)
    return _compare(("all days", "all models"), line, figures, allowed)


def _compare(key: tuple[str, str], line: InvoiceLine | None, ledger: Figures | None, allowed: Fraction) -> Difference:
    day, model = key
    invoice = None if line is None else _figures(line)
    if line is None or invoice is None or ledger is None:
        verdict: Verdict = _one_sided(invoice, ledger)
        return Difference(day=day, model=model, verdict=verdict, invoice=invoice, ledger=ledger)
    drifts = {name: drift for name in MEASURES if (drift := _drift(name, line, ledger)) is not None}
    measure = max(drifts, key=lambda name: drifts[name], default="")
    worst = drifts.get(measure, Fraction(0))
    verdict = "differs" if worst > allowed else "agrees"
    if invoice.nanos is not None and ledger.unpriced:
        verdict = "unpriced"
    return Difference(day=day, model=model, verdict=verdict, invoice=invoice, ledger=ledger, drift=worst, measure=measure)


def _one_sided(invoice: Figures | None, ledger: Figures | None) -> Verdict:
    """Nothing on one side agrees with nothing but zeros on the other."""
    there = invoice if invoice is not None else ledger
    if there is None or not any(getattr(there, name) for name in (*MEASURES, "unpriced")):
        return "agrees"
    return "only_invoice" if ledger is None else "only_ledger"


def _drift(name: str, line: InvoiceLine, ledger: Figures) -> Fraction | None:
    """By what share of the invoice the ledger differs in one measure; None where one of them does not say."""
    said: int | None = getattr(line, name)
    booked: int | None = getattr(ledger, name)
    if said is None or booked is None:
        return None
    off = max(0, abs(booked - said) - (line.slack if name == "nanos" else 0))
    return Fraction(off, abs(said) or abs(booked) or 1)


def _figures(line: InvoiceLine) -> Figures:
    return Figures(input_tokens=line.input_tokens, output_tokens=line.output_tokens, nanos=line.nanos, requests=line.requests)


def _sum_lines(one: InvoiceLine, other: InvoiceLine) -> InvoiceLine:
    sums = {name: _plus(getattr(one, name), getattr(other, name)) for name in MEASURES}
    return msgspec.structs.replace(one, **sums, slack=one.slack + other.slack)


def _sum_figures(one: Figures, other: Figures) -> Figures:
    sums = {name: _plus(getattr(one, name), getattr(other, name)) for name in MEASURES}
    return Figures(**sums, unpriced=one.unpriced + other.unpriced)


def _plus(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
