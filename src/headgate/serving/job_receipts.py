"""Receipts for a batch job that was sent without a run: one for each row that came back, booked once, however often it is fetched."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.catalog.cards import Price, day_of
from headgate.catalog.prices import price, unit_prices
from headgate.client import Target
from headgate.client.jobs import JobRow, distinct
from headgate.config import Settings
from headgate.domain.cost import UNPRICED, Cost
from headgate.domain.estimate import estimate_usage
from headgate.domain.usage import Usage, add_usage
from headgate.ledger import Ledger, Receipt
from headgate.ledger.receipt import Settlement
from headgate.serving.metering import error_kind, lists_price

BATCH_TIER = "batch"
"""What Anthropic calls the service tier of a batch's answers: the one batch prices are for."""


def row_usage(row: JobRow) -> Usage:
    """What a row consumed: the provider's count, an estimate of an answer that came without one, nothing for a row that failed."""
    if row.usage is not None:
        return row.usage
    return Usage() if row.response is None else estimate_usage(0, row.response)


def row_cost(target: Target, row: JobRow, at: float) -> Cost:
    """What a row costs at the batch price of the day of `at` (epoch seconds); unpriced when that is not known."""
    if row.response is None and row.usage is None:
        return Cost(0) if row.row.outcome != "succeeded" else UNPRICED
    return price(_record(target, row, at), row_usage(row), "batch")


def job_receipts(target: Target, job: str, rows: Sequence[JobRow], at: float) -> tuple[Receipt, ...]:
    """The receipts of a job's rows, named after provider, account, job and custom id. `at` is when the job was made (epoch seconds)."""
    return tuple(_receipt(target, job, row, at) for row in distinct(rows) if row.row.custom_id is not None)


async def settle_job(ledger: Ledger, target: Target, job: str, rows: Sequence[JobRow], at: float) -> bool:
    """Book a job that is over. False when it had been booked before, or has no rows: nothing is changed then. Raises `StoreError`."""
    receipts = job_receipts(target, job, rows, at)
    if not receipts:
        return False
    usage = Usage()
    for receipt in receipts:
        usage = add_usage(usage, receipt.usage)
    totals = Settlement(
        at=at,
        provider=target.provider.name,
        account=target.credential.account,
        model=target.model,
        calls=len(receipts),
        usage=usage,
        cost_nanos=sum(receipt.cost_nanos or 0 for receipt in receipts),
        unpriced=sum(receipt.cost_nanos is None for receipt in receipts),
        face="library",
    )
    return await ledger.settle(_key(target, job), totals, receipts)


async def book_job(settings: Settings, target: Target, job: str, rows: Sequence[JobRow], at: float) -> bool:
    """As `settle_job`, in the ledger of the settings' data folder, which is opened and closed here."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    ledger = Ledger.open(settings.ledger_place)
    try:
        return await settle_job(ledger, target, job, rows, at)
    finally:
        ledger.close()


def _key(target: Target, job: str) -> str:
    return f"job/{target.provider.name}/{target.credential.account}/{job}"


def _record(target: Target, row: JobRow, at: float) -> Price | None:
    tier = row.response.service_tier if row.response is not None else None
    listed = tier == BATCH_TIER or lists_price(tier)
    return target.card.price_on(day_of(at)) if target.card is not None and listed else None


def _receipt(target: Target, job: str, row: JobRow, at: float) -> Receipt:
    usage, cost = row_usage(row), row_cost(target, row, at)
    return Receipt(
        id=f"{_key(target, job)}/{row.row.custom_id}",
        at=at,
        face="library",
        provider=target.provider.name,
        account=target.credential.account,
        model=target.model,
        model_answered=(row.response.model or None) if row.response is not None else None,
        dialect_out=target.chat.name,
        lane="batch",
        status="ok" if row.error is None else "error",
        finish=row.response.finish.value if row.response is not None and row.response.finish is not None else None,
        error=error_kind(row.error),
        usage=usage,
        cost_nanos=cost.nanos,
        price_rule=cost.rule,
        price_digest=cost.digest,
        unit_prices=unit_prices(_record(target, row, at), usage, "batch"),
        request_id=row.row.request_id,
    )
