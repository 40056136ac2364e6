"""The contract of `headgate.batch_providers` as checks that anybody can run over a class of their own.

With pytest::

    import pytest
    from headgate.testing.batch_contract import BatchCheck, Subject, contract_checks

    SUBJECT = Subject(MyBatchProvider, lambda: MyBatchProvider({"api_key": "…"}), model="my-model")

    @pytest.mark.parametrize("check", contract_checks(SUBJECT), ids=str)
    def test_contract(check: BatchCheck) -> None:
        check.run()

Checks that create jobs need a `finish` that brings a job to its end (the simulator's clock, say); without one they are left out.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

import msgspec

from headgate.batch_providers import (
    BaseBatchProvider,
    BatchMode,
    BatchProviderRegistry,
    BatchStatus,
    PreparedSubmission,
    ProviderError,
    ProviderPermanentError,
    ProviderResultRow,
    ProviderStatus,
    ProviderSubmitResult,
)
from headgate.testing.conformance.case import expect, expect_equal, fail
from headgate.wire.json import Json, encode

BATCH_ID = UUID("9f3b6c1e-5a77-4c39-8f5e-2d1f1a6f0c11")
LOOKS = 50
ASYNC = ("submit", "poll_status", "fetch_results", "cancel")
SYNC = ("supports_model", "prepare_payloads")


def question(number: int) -> dict[str, Json]:
    """A chat request of its own for each number."""
    return {"messages": [{"role": "user", "content": f"Name colour number {number}."}], "max_tokens": 64}


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A class under test. `make` gives an instance that can be used; `requests` is how many requests a job gets at least.

    `finish` brings every job made so far to its end; `refused` gives an instance whose key the provider refuses.
    """

    provider_class: type[BaseBatchProvider]
    make: Callable[[], BaseBatchProvider]
    model: str
    finish: Callable[[], None] | None = None
    refused: Callable[[], BaseBatchProvider] | None = None
    request: Callable[[int], Mapping[str, Json]] = question
    requests: int = 3

    def prepared(self, provider: BaseBatchProvider, mode: BatchMode = BatchMode.CHAT) -> PreparedSubmission:
        """A submission of this subject's requests."""
        asked = [self.request(number) for number in range(self.requests)]
        return provider.prepare_payloads(batch_id=BATCH_ID, model=self.model, mode=mode, requests=asked)


class BatchCheck(msgspec.Struct, frozen=True):
    """One check of one class; `run` raises `Nonconforming`."""

    name: str
    subject: Subject
    check: Callable[[Subject], None]

    def run(self) -> None:
        """Carry out the check."""
        self.check(self.subject)

    def __str__(self) -> str:
        return f"{self.subject.provider_class.PROVIDER_NAME}-{self.name}"


def contract_checks(subject: Subject) -> tuple[BatchCheck, ...]:
    """Every check that applies to the subject."""
    checks = dict(PLAIN)
    if subject.finish is not None:
        checks |= LIVE
    if subject.refused is not None:
        checks |= REFUSED
    return tuple(BatchCheck(name, subject, check) for name, check in checks.items())


def _registers(subject: Subject) -> None:
    """The class has a name, can be registered under it, and is found again."""
    registry = BatchProviderRegistry()
    registry.register(subject.provider_class)
    name = subject.provider_class.PROVIDER_NAME
    expect(registry.get(name) is subject.provider_class, f"{name} is not found under its name")
    expect_equal(registry.list(), [name], "registered names")


def _methods(subject: Subject) -> None:
    """Methods are plain or coroutines as the contract says."""
    for name in (*ASYNC, *SYNC):
        method = getattr(subject.provider_class, name)
        expect_equal(inspect.iscoroutinefunction(method), name in ASYNC, f"{name} is a coroutine function")
    expect_equal(set(BaseBatchProvider.__abstractmethods__), {*ASYNC, *SYNC}, "methods of the contract")


def _configured(subject: Subject) -> None:
    """`config` is a dictionary, and is optional."""
    expect(isinstance(subject.make().config, dict), "config is no dictionary")
    expect_equal(subject.provider_class().config, {}, "config of an instance made without one")


def _models(subject: Subject) -> None:
    """A model is supported or not; one without a name is not."""
    provider = subject.make()
    expect(provider.supports_model(subject.model) is True, f"{subject.model} is not supported")
    expect(provider.supports_model("") is False, "a model without a name is supported")


def _prepared(subject: Subject) -> None:
    """Prepared requests keep what was given, one payload for each, as JSON."""
    made = subject.prepared(subject.make())
    expect(isinstance(made, PreparedSubmission), f"prepare_payloads gave {type(made).__name__}")
    expect_equal((made.batch_id, made.mode), (BATCH_ID, BatchMode.CHAT), "batch id and mode")
    expect_equal(made.provider_name, subject.provider_class.PROVIDER_NAME, "provider name")
    expect_equal(len(made.payloads), subject.requests, "payloads")
    expect_equal((made.chunk_index in (None, 0), made.total_chunks in (None, 1)), (True, True), "a whole batch is one chunk")
    encode(made.payloads)
    expect(made.payloads == subject.prepared(subject.make()).payloads, "the same requests are prepared differently each time")


def _modes(subject: Subject) -> None:
    """A mode is supported, or refused with `ValueError`; so is one that nobody knows, and a batch without requests."""
    provider = subject.make()
    for mode in BatchMode:
        _refused_or_prepared(provider, subject.model, mode)
    try:
        provider.prepare_payloads(BATCH_ID, subject.model, BatchMode.CHAT, [])
    except ValueError:
        return
    fail("a batch without requests was prepared")


def _refused_or_prepared(provider: BaseBatchProvider, model: str, mode: BatchMode) -> None:
    try:
        made = provider.prepare_payloads(BATCH_ID, model, mode, [{"text": "Name a colour."}])
    except ValueError:
        return
    expect(isinstance(made, PreparedSubmission) and len(made.payloads) == 1, f"prepare_payloads gave {made!r}")


def _life_cycle(subject: Subject) -> None:
    """Submitted, looked at until it is over, fetched: every request comes back once, with an answer and its usage."""
    asyncio.run(_live(subject))


async def _live(subject: Subject) -> None:
    provider = subject.make()
    made = await provider.submit(subject.prepared(provider))
    expect(isinstance(made, ProviderSubmitResult), f"submit gave {type(made).__name__}")
    expect(bool(made.provider_batch_id), "a job has no id")
    expect(isinstance(made.submitted_at, datetime), "submitted_at is no datetime")
    expect(isinstance(made.status, BatchStatus), f"the status {made.status!r} is none of the contract's words")
    status = await _ended(subject, provider, made.provider_batch_id)
    expect_equal(status.status, BatchStatus.COMPLETED, "the status of a job that went well")
    rows = await provider.fetch_results(made.provider_batch_id)
    expect(all(isinstance(row, ProviderResultRow) for row in rows), "fetch_results gives other things than rows")
    expect_equal(len({row.request_id for row in rows}), subject.requests, "ids of rows")
    expect_equal(len(rows), subject.requests, "rows")
    for row in rows:
        _answered(row)
    expect(isinstance(await provider.cancel(made.provider_batch_id), bool), "cancel gives no bool")


async def _ended(subject: Subject, provider: BaseBatchProvider, batch: str) -> ProviderStatus:
    """The status once the job is over."""
    early = await provider.poll_status(batch)
    expect(isinstance(early, ProviderStatus), f"poll_status gave {type(early).__name__}")
    expect_equal(early.provider_batch_id, batch, "the id of the job that was looked at")
    expect(bool(early.raw_status), "the provider's own word is lost")
    assert subject.finish is not None
    subject.finish()
    for _ in range(LOOKS):
        status = await provider.poll_status(batch)
        if status.status.is_terminal:
            return status
    fail(f"the job never ended: {status.raw_status!r}")


def _answered(row: ProviderResultRow) -> None:
    expect_equal((row.status, row.error), ("success", None), f"row {row.request_id}")
    expect(isinstance(row.response, dict) and bool(row.response), f"row {row.request_id} has no answer")
    usage = row.usage
    if usage is None:
        fail(f"row {row.request_id} has no usage")
    expect(bool(usage.prompt_tokens) and bool(usage.completion_tokens), f"row {row.request_id} counts no tokens: {usage}")
    expect_equal(usage.total_tokens, (usage.prompt_tokens or 0) + (usage.completion_tokens or 0), "total tokens")


def _cancelled(subject: Subject) -> None:
    """A job under way can be cancelled; fetching then gives rows of the contract, whatever was done."""
    asyncio.run(_cancel(subject))


async def _cancel(subject: Subject) -> None:
    provider = subject.make()
    made = await provider.submit(subject.prepared(provider))
    expect_equal(await provider.cancel(made.provider_batch_id), True, "cancelling a job under way")
    status = await _ended(subject, provider, made.provider_batch_id)
    expect(status.status in (BatchStatus.CANCELLED, BatchStatus.COMPLETED), f"the cancelled job is {status.status}")
    rows = await provider.fetch_results(made.provider_batch_id)
    expect({row.status for row in rows} <= {"success", "error", "cancelled"}, f"rows of a cancelled job: {rows}")


def _unknown_job(subject: Subject) -> None:
    """A job nobody knows is an error of the contract that will not pass."""
    provider = subject.make()
    made = asyncio.run(provider.submit(subject.prepared(provider)))
    gone = made.provider_batch_id[:-4] + "none"
    try:
        asyncio.run(provider.poll_status(gone))
    except ProviderPermanentError as error:
        expect_equal(error.provider_name, subject.provider_class.PROVIDER_NAME, "the provider an error names")
        expect_equal(error.provider_batch_id, gone, "the job an error names")
        return
    fail("a job nobody knows has a status")


def _key_refused(subject: Subject) -> None:
    """A key that is refused is a permanent error."""
    assert subject.refused is not None
    provider = subject.refused()
    try:
        asyncio.run(provider.submit(subject.prepared(provider)))
    except ProviderError as error:
        expect(isinstance(error, ProviderPermanentError), f"a refused key is {type(error).__name__}")
        return
    fail("a job was made with a key that is refused")


PLAIN = {
    "registers": _registers,
    "methods": _methods,
    "configured": _configured,
    "models": _models,
    "prepared": _prepared,
    "modes": _modes,
}
LIVE = {"life-cycle": _life_cycle, "cancelled": _cancelled, "unknown-job": _unknown_job}
REFUSED = {"key-refused": _key_refused}

__all__ = ["BatchCheck", "Subject", "contract_checks"]
