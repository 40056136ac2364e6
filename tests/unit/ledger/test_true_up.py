"""An invoice of single requests: receipts and budgets follow it, by provider, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.domain.usage import Usage
from headgate.errors import UsageError
from headgate.ledger import Attempt, Ledger, Receipt
from headgate.ledger.invoice import read_charges
from headgate.ledger.settling import ESTIMATED
from headgate.ledger.true_up import AT_ONCE, Corrected, Span, total_of, true_up_all
from headgate.testing.books import Books, read_books

COLUMNS = ("id=request", "cost=usd")
ALL = Span(0, 10**10)


def receipt(id: str, cost: int | None, *, at: float = 100.0, rule: str = "a/b@2026-01-01", also: int | None = None) -> Receipt:
    attempts = [Attempt(provider="one", model="m", cost_nanos=cost)]
    if also is not None:
        attempts.insert(0, Attempt(provider="two", model="m", cost_nanos=also))
    whole = None if cost is None else cost + (also or 0)
    usage = Usage(input_uncached=10, source="estimated" if rule == ESTIMATED else "provider")
    return Receipt(
        id=id, at=at, face="gateway", provider="one", model="m", attempts=tuple(attempts), usage=usage, cost_nanos=whole, price_rule=rule
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with_file = Ledger.open(tmp_path / "ledger.db")
    yield with_file
    with_file.close()


def write(ledger: Ledger, *receipts: Receipt) -> None:
    for each in receipts:
        ledger.record_now(each)


def books(ledger: Ledger) -> Books:
    return read_books(Path(ledger.database.place))


def test_receipts_follow_the_invoice_once(ledger: Ledger) -> None:
    write(ledger, receipt("a", 100), receipt("b", 900, rule=ESTIMATED), receipt("c", 900, rule=ESTIMATED), receipt("d", None))
    invoice = {"a": 100, "b": 40, "d": 7, "nobody": 5}
    assert true_up_all(ledger.database, invoice) == Corrected(2, 40 - 900 + 7, ("nobody",))
    found = books(ledger)
    assert [found.cost_of(id) for id in "abcd"] == [100, 40, 900, 7]
    assert true_up_all(ledger.database, invoice) == Corrected(0, 0, ("nobody",))


def test_what_a_complete_invoice_does_not_bill_cost_nothing(ledger: Ledger) -> None:
    write(ledger, receipt("a", 100), receipt("b", 900, rule=ESTIMATED), receipt("late", 900, rule=ESTIMATED, at=200.0))
    assert true_up_all(ledger.database, {}, covers=Span(50, 150)) == Corrected(1, -900)
    found = books(ledger)
    assert [found.cost_of(id) for id in ("a", "b", "late")] == [100, 0, 900]


def test_other_providers_keep_what_they_got(ledger: Ledger) -> None:
    write(ledger, receipt("a", 100, also=30), receipt("b", 900, rule=ESTIMATED))
    assert true_up_all(ledger.database, {"a": 90}, "one", ALL) == Corrected(2, -10 - 900)
    assert books(ledger).cost_of("a") == 120
    assert true_up_all(ledger.database, {"a": 31}, "two", ALL) == Corrected(1, 11)
    assert books(ledger).cost_of("a") == 131


def test_long_invoices_are_corrected_part_by_part(ledger: Ledger) -> None:
    count = AT_ONCE + 1
    write(ledger, *(receipt(f"r{number:04}", 10) for number in range(count)))
    before = ledger.database.transactions
    assert true_up_all(ledger.database, {f"r{number:04}": 11 for number in range(count)}).delta_nanos == count
    assert ledger.database.transactions - before == 2


def test_reading() -> None:
    lines = ["request,usd,else\n", "a,0.000001,x\n", "b,$1.5,x\n", "a,0.000002,x\n"]
    assert total_of(read_charges(lines, COLUMNS)) == {"a": 3_000, "b": 1_500_000_000}


@pytest.mark.parametrize(
    ("lines", "columns"),
    [(["request,usd\n", "a,much\n"], COLUMNS), (["request\n"], COLUMNS), (["request,usd\n"], ("id=request",)), ([], COLUMNS)],
)
def test_what_cannot_be_read(lines: list[str], columns: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        list(read_charges(lines, columns))
