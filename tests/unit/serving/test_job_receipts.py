"""Receipts of a job without a run: one for each row, at batch prices, written once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.catalog.load import load_catalog
from headgate.client.jobs import JobRow
from headgate.client.target import Credential, Target
from headgate.config import Secret
from headgate.dialects.batch import BatchRow
from headgate.domain.content import Text
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, ProviderError, WireError
from headgate.ledger import Ledger
from headgate.providers import PROVIDERS
from headgate.serving.job_receipts import job_receipts, row_cost, settle_job
from headgate.transport.settings import Origin

AT = 1_780_000_000.0
TARGET = Target(
    PROVIDERS["sim-openai"],
    "sim-small",
    Credential("default", Secret("")),
    Origin("http", "127.0.0.1", 1),
    load_catalog().find("sim-openai", "sim-small"),
)


def answered(id: str, usage: Usage | None, tier: str | None = None) -> JobRow:
    """A row with an answer."""
    response = Response(
        id="r", model="sim-small", choices=(Choice(content=(Text("x" * 400),), finish=Finish.STOP),), usage=usage, service_tier=tier
    )
    return JobRow(BatchRow(id, "succeeded", 1, 200, b"{}"), response=response, usage=usage)


def failed(id: str | None) -> JobRow:
    """A row that failed."""
    return JobRow(BatchRow(id, "errored", 2, 500), error=ProviderError(ErrorKind.SERVER, "oops"))


ROWS = [answered("a", Usage(input_uncached=1000, output_text=500)), failed("b"), failed(None), answered("a", Usage(input_uncached=9))]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    opened = Ledger.open(tmp_path / "ledger.db")
    yield opened
    opened.close()


def test_each_row_has_one_receipt_and_a_row_without_id_or_come_twice_none() -> None:
    receipts = job_receipts(TARGET, "batch_1", ROWS, AT)
    assert [(receipt.id, receipt.status, receipt.error) for receipt in receipts] == [
        ("job/sim-openai/default/batch_1/a", "ok", None),
        ("job/sim-openai/default/batch_1/b", "error", "server"),
    ]
    assert [receipt.cost_nanos for receipt in receipts] == [(1000 * 75 + 500 * 300), 0]
    assert {receipt.lane for receipt in receipts} == {"batch"}


def test_an_answer_without_a_count_is_estimated() -> None:
    (receipt,) = job_receipts(TARGET, "batch_1", [answered("a", None)], AT)
    assert (receipt.usage.output_text, receipt.usage.source) == (100, "estimated")


def test_the_tier_of_batches_has_the_batch_price_and_others_none() -> None:
    usage = Usage(input_uncached=1000)
    assert row_cost(TARGET, answered("a", usage, "batch"), AT).nanos == 75_000
    assert row_cost(TARGET, answered("a", usage, "priority"), AT).nanos is None


def test_an_answer_nobody_can_read_is_unpriced_never_free() -> None:
    row = JobRow(BatchRow("a", "succeeded", 1, 200, b"{}"), error=WireError("no answer"))
    assert row_cost(TARGET, row, AT).nanos is None


def test_a_job_is_booked_once(ledger: Ledger) -> None:
    assert asyncio.run(settle_job(ledger, TARGET, "batch_1", ROWS, AT)) is True
    assert asyncio.run(settle_job(ledger, TARGET, "batch_1", ROWS, AT + 5)) is False
    assert len(ledger.list()) == 2
    assert sum(total.cost_nanos for total in ledger.totals()) == 225_000


def test_a_job_without_rows_is_not_booked(ledger: Ledger) -> None:
    assert asyncio.run(settle_job(ledger, TARGET, "batch_1", [], AT)) is False
    assert ledger.list() == ()
