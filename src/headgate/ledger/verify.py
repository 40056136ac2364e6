"""Walking through the whole ledger of a store: is the chain unbroken, does every row hold, is every receipt worth what it says?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, TypeVar

import msgspec

from headgate.catalog.cards import Price
from headgate.ledger import chain
from headgate.ledger.proof import Finding, Head, Link, verify_chain, wrong_columns
from headgate.ledger.recompute import Recomputed, recompute
from headgate.ledger.report import SQL, parse_receipt, whole
from headgate.ledger.rows import named_rows
from headgate.store.connection import Connection, Value

T = TypeVar("T")
PAGE = 1000
FIRST = -(2**63)
"""Before every number there can be."""
PRUNED = "pruned"
"""The row of `chain` that says where the chain begins, once older receipts have been deleted."""


class Readable(Protocol):
    """A store, as far as it is read."""

    def read(self, function: Callable[[Connection], T]) -> T:
        """Run a reading in one snapshot."""
        ...


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What a walk found. `unchained` receipts are from before there was a chain: only their columns could be held against them."""

    receipts: int
    unchained: int
    head: Head
    start: Head
    findings: tuple[Finding, ...]


class _Tally:
    """What is counted on the way."""

    def __init__(self, start: Head) -> None:
        self.receipts = 0
        self.unchained = 0
        self.last = start
        self.rows: list[Finding] = []


def verify(store: Readable, noted: Head | None = None, progress: Callable[[int], None] | None = None) -> Verified:
    """Check every receipt; `noted` is a head that was written down earlier, `progress` is told how many are done.

    The ledger may be written to meanwhile: what comes later than the beginning of the walk is not looked at.
    """
    heads = store.read(_heads)
    start = heads.get(PRUNED, Head(0, chain.START))
    head = heads.get("receipt")
    tally = _Tally(start)
    until = None if head is None else head.seq
    broken = list(verify_chain(_links(store, FIRST, until, tally, progress), start, head, noted))
    if head is None:
        broken.append(Finding("head", tally.last.seq, "the row that says where the chain ends is gone"))
    findings = sorted([*broken, *tally.rows], key=lambda finding: finding.seq)
    return Verified(receipts=tally.receipts, unchained=tally.unchained, head=head or tally.last, start=start, findings=tuple(findings))


def _heads(connection: Connection) -> dict[str, Head]:
    rows = connection.execute(SQL["heads"]).fetchall()
    return {str(name): Head(whole(seq), _bytes(hash) or b"") for name, seq, hash in rows}


def _links(store: Readable, after: int, until: int | None, tally: _Tally, progress: Callable[[int], None] | None) -> Iterator[Link]:
    """The chain's rows, page by page; what is wrong within a row goes into the tally."""
    for row in _rows(store, after):
        seq = whole(row["seq"])
        if until is not None and seq > until and _appended(store, until, seq):
            return
        hash = _bytes(row["hash"])
        tally.receipts += 1
        tally.unchained += hash is None
        tally.last = Head(seq, hash or tally.last.hash)
        tally.rows += _row_findings(seq, row)
        if progress is not None and tally.receipts % PAGE == 0:
            progress(tally.receipts)
        yield Link(seq, hash, _data(row["detail"]))


def _appended(store: Readable, until: int, seq: int) -> bool:
    """Whether rows behind the head were written since: the head must have moved to them."""
    head = store.read(_heads).get("receipt")
    return head is not None and until < seq <= head.seq


def _rows(store: Readable, after: int) -> Iterator[dict[str, Value]]:
    while True:
        page = store.read(_page(after))
        yield from page
        if len(page) < PAGE:
            return
        after = whole(page[-1]["seq"])


def _page(after: int) -> Callable[[Connection], list[dict[str, Value]]]:
    return lambda connection: named_rows(connection.execute(SQL["links"], {"after": after, "limit": PAGE}))


def _row_findings(seq: int, row: dict[str, Value]) -> list[Finding]:
    try:
        receipt = parse_receipt(row["detail"])
    except msgspec.DecodeError as error:
        return [Finding("unreadable", seq, f"the receipt {row['id']!r} cannot be read: {error}")]
    wrong = wrong_columns(receipt, row)
    return [Finding("columns", seq, f"{', '.join(wrong)} of the receipt {receipt.id} contradict what it says")] if wrong else []


def recompute_all(store: Readable, records: Mapping[str, Price], progress: Callable[[int], None] | None = None) -> Iterator[Recomputed]:
    """Every receipt worked out anew, in the order they were written. Those that cannot be read are left to `verify`."""
    for count, row in enumerate(_rows(store, FIRST), 1):
        if progress is not None and count % PAGE == 0:
            progress(count)
        try:
            receipt = parse_receipt(row["detail"])
        except msgspec.DecodeError:
            continue
        yield recompute(receipt, records)


def _bytes(value: Value) -> bytes | None:
    return None if value is None else value if isinstance(value, bytes) else str(value).encode()


def _data(value: Value) -> bytes:
    """The bytes of a detail."""
    return value if isinstance(value, bytes) else str(value).encode()
