"""What a ledger says of its money once all is over, and what in it contradicts itself or the provider's bill."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from headgate.config import Secret
from headgate.ledger import Receipt
from headgate.ledger.rows import decoded
from headgate.ledger.settling import ESTIMATED
from headgate.ledger.verify import verify
from headgate.sim.bill import Line
from headgate.store import Store, open_store
from headgate.store.connection import Connection


class Balance(msgspec.Struct, frozen=True):
    """One subject's account in one window of a budget."""

    n: int
    budget: str
    subject: str
    spent: int
    held: int


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is about money in a ledger: receipts by id, corrections by receipt and by balance, what is still open."""

    receipts: dict[str, Receipt]
    balances: tuple[Balance, ...]
    corrected: dict[str, int]
    charged: dict[int, int]
    alerts: tuple[tuple[str, str, int], ...]
    processes: int
    slabs: int
    findings: tuple[str, ...]

    @property
    def cost(self) -> int:
        """What all receipts cost, corrections included."""
        return sum(self.cost_of(id) for id in self.receipts)

    def cost_of(self, id: str) -> int:
        """What one receipt costs, corrections included."""
        return (self.receipts[id].cost_nanos or 0) + self.corrected.get(id, 0)

    @property
    def estimated(self) -> list[Receipt]:
        """Receipts of requests whose end nobody saw."""
        return [receipt for receipt in self.receipts.values() if receipt.price_rule == ESTIMATED]

    def contradictions(self) -> list[str]:
        """What cannot be: empty while all is in order and nobody is at work."""
        found = list(self.findings)
        found += [f"{one.budget} of {one.subject} still holds {one.held}" for one in self.balances if one.held]
        if self.slabs or self.processes:
            found.append(f"{self.slabs} slabs of {self.processes} processes are left")
        for one in self.balances:
            booked = self.charged.get(one.n, 0)
            if booked != one.spent:
                found.append(f"{one.budget} of {one.subject} has spent {one.spent}, its receipts and postings say {booked}")
        told: dict[tuple[str, str], list[int]] = {}
        for budget, subject, threshold in self.alerts:
            told.setdefault((budget, subject), []).append(threshold)
        found += [f"alerts of {key}: {thresholds}" for key, thresholds in told.items() if thresholds != sorted(set(thresholds))]
        return found


@contextmanager
def opened_ledger(place: Secret | Path) -> Iterator[Store]:
    """The ledger at `place`, while the block runs."""
    store = open_store(place, migrations="ledger")
    try:
        yield store
    finally:
        store.close()


def read_books(place: Secret | Path) -> Books:
    """The books of the ledger at `place`, chain included."""
    with opened_ledger(place) as store:
        findings = tuple(f"{one.seq}: {one.kind}: {one.text}" for one in verify(store).findings)
        return store.read(_reading(findings))


def _reading(findings: tuple[str, ...]) -> Callable[[Connection], Books]:
    def read(connection: Connection) -> Books:
        def rows(sql: str) -> Iterable[tuple[object, ...]]:
            return connection.execute(sql).fetchall()

        receipts = {str(id): decoded(str(detail).encode()) for id, detail in rows("SELECT id, detail FROM receipt")}
        corrected: dict[str, int] = {}
        charged: dict[int, int] = {}
        for receipt in receipts.values():
            for balance, nanos in receipt.charges:
                charged[balance] = charged.get(balance, 0) + nanos
        for to, of, posted in rows("SELECT balance, receipt, nanos FROM posting"):
            if to is not None:
                charged[int(str(to))] = charged.get(int(str(to)), 0) + int(str(posted))
            elif of is not None:
                corrected[str(of)] = corrected.get(str(of), 0) + int(str(posted))
        balances = rows("SELECT n, budget, subject, spent, held FROM balance ORDER BY n")
        (processes,) = (row[0] for row in rows("SELECT count(*) FROM process"))
        (slabs,) = (row[0] for row in rows("SELECT count(*) FROM slab WHERE amount > 0"))
        return Books(
            receipts=receipts,
            balances=tuple(_balance(row) for row in balances),
            corrected=corrected,
            charged=charged,
            alerts=tuple((str(b), str(s), int(str(t))) for b, s, t in rows("SELECT budget, subject, threshold FROM alert ORDER BY n")),
            processes=int(str(processes)),
            slabs=int(str(slabs)),
            findings=findings,
        )

    return read


def _balance(row: tuple[object, ...]) -> Balance:
    n, budget, subject, spent, held = map(str, row)
    return Balance(int(n), budget, subject, int(spent), int(held))


def invoice_of(lines: Iterable[Line]) -> dict[str, int]:
    """What a simulator charged, by our request id."""
    found: dict[str, int] = {}
    for line in lines:
        assert line.client_request_id is not None, f"line {line.seq} of the bill names no request of ours"
        found[line.client_request_id] = found.get(line.client_request_id, 0) + line.nanos
    return found
