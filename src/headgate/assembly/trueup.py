"""Truing up: calls whose answers were lost are booked at the most they can have cost, until the provider's invoice says what they did."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from headgate.assembly.mending import taken
from headgate.assembly.parts import Parts
from headgate.assembly.runs import book_postings
from headgate.batch.outputs import receipts, write_lines


class TrueUp(msgspec.Struct, frozen=True):
    """What an invoice changed: calls that had been booked at a bound, and the sum of the differences in nano-dollars."""

    calls: int
    delta_nanos: int
    receipts: Path | None


async def true_up_run(parts: Parts, folder: Path, invoice: Mapping[str, int]) -> TrueUp:
    """Replace the bounds in the run in `folder` by what `invoice` says: our request id (``x-client-request-id``) → nano-dollars.

    A call that is absent from the invoice counts as not billed, so the invoice must cover the whole time of the run. The ledger is given
    the differences, and ``outputs/receipts.jsonl`` is written anew if it exists. Doing it again changes nothing. Raises `HomeLocked` while
    a process drives the run, `RunError` when there is none.
    """
    with taken(folder) as (tables, row):
        calls, delta = await tables.true_up(row, invoice, time.time())
        await book_postings(parts, tables, row.id)
        path = folder / "outputs" / "receipts.jsonl"
        if not path.exists():
            return TrueUp(calls, delta, None)
        return TrueUp(calls, delta, write_lines(path, receipts(tables, row, tables.steps(row.key))))
