"""Receipts: what is charged for answers, failures, and answers nobody waited for (faults D5–D8, E9, E13)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from headgate.client import Target
from headgate.dialects.base import Note
from headgate.domain.content import Text, Thinking
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, HeadgateError, ProviderError, StoreError, Truncated
from headgate.ledger import Filter, Ledger, Receipt
from headgate.serving.metering import Call, Meter, Outcome, Tab, charged_usage, make_receipt
from headgate.testing.gateway import fresh_id, sim_resolver

SIM = "http://127.0.0.1:1"
SEEN = Usage(input_uncached=100, cache_read=20, output_text=3)


@pytest.fixture(scope="module")
def target() -> Target:
    return sim_resolver(SIM)("sim-openai/sim-small")


def call_to(target: Target) -> Call:
    return Call(id="r1", at=1_790_000_000.0, clock=5.0, face="gateway", target=target, dialect_in="openai_chat", request_bytes=400)


def saying(text: str, usage: Usage | None = None, finish: Finish | None = None) -> Response:
    return Response(model="sim-small", choices=(Choice(0, (Text(text),), finish),), usage=usage)


def refused(status: int) -> ProviderError:
    return ProviderError(ErrorKind.SERVER, "no", status=status)


CHARGES: dict[str, tuple[Outcome, int, int, str]] = {
    "whole, counted": (Outcome(response=saying("x" * 40, SEEN, Finish.STOP), whole=True), 120, 3, "provider"),
    "whole, not counted": (Outcome(response=saying("x" * 40), whole=True), 100, 10, "estimated"),
    "cut, counted": (Outcome(response=saying("x" * 40, SEEN), error=Truncated("cut")), 120, 10, "estimated"),
    "cut, the count is more than the text": (Outcome(response=saying("x" * 4, SEEN), cancelled=True), 120, 3, "estimated"),
    "cut, not counted": (Outcome(response=saying("x" * 40), cancelled=True), 100, 10, "estimated"),
    "gone before a word": (Outcome(cancelled=True), 100, 0, "estimated"),
    "not called": (Outcome(called=False, error=HeadgateError("no")), 0, 0, "provider"),
    "refused": (Outcome(error=refused(500)), 0, 0, "provider"),
    "never sent": (Outcome(error=ProviderError(ErrorKind.CONNECTION, "refused", sent=False)), 0, 0, "provider"),
    "sent, no answer": (Outcome(error=ProviderError(ErrorKind.TIMEOUT, "late")), 100, 0, "estimated"),
    "half a reply": (Outcome(error=Truncated("cut")), 100, 0, "estimated"),
    "HTML with 200": (Outcome(error=refused(200)), 100, 0, "estimated"),
    "whole, counted as nothing": (Outcome(response=saying("x" * 40, Usage()), whole=True), 100, 10, "estimated"),
    "whole, output counted as nothing": (Outcome(response=saying("x" * 40, Usage(input_uncached=7)), whole=True), 7, 10, "estimated"),
    "whole, input counted as nothing": (Outcome(response=saying("x" * 40, Usage(output_text=7)), whole=True), 100, 10, "estimated"),
    "whole, nothing was said": (Outcome(response=saying("", Usage(input_uncached=7)), whole=True), 7, 0, "provider"),
    "whole, an absurd count": (Outcome(response=saying("x" * 40, Usage(input_uncached=10**30)), whole=True), 100, 10, "estimated"),
    "whole, an absurd fee": (Outcome(response=saying("x" * 40, Usage(output_text=1, fees={"a": 2**63})), whole=True), 100, 10, "estimated"),
    "could not be read": (Outcome(response=saying("x" * 4), unheard=400), 100, 101, "estimated"),
    "could not be read, but was counted": (Outcome(response=saying("", SEEN), whole=True, unheard=400), 120, 3, "provider"),
    "more than can have been written": (Outcome(unheard=1 << 40), 100, 16_384, "estimated"),
    "error status after a count": (Outcome(response=Response(usage=SEEN), error=refused(529)), 120, 3, "estimated"),
    "error status after content": (Outcome(response=saying("x" * 40, SEEN), error=refused(529)), 120, 10, "estimated"),
}


@pytest.mark.parametrize("name", sorted(CHARGES))
def test_charges(target: Target, name: str) -> None:
    outcome, into, out, source = CHARGES[name]
    usage = charged_usage(call_to(target), outcome)
    assert (usage.input_total, usage.output_total, usage.source) == (into, out, source)
    receipt = make_receipt(call_to(target), outcome)
    assert receipt.cost_nanos is not None
    assert (receipt.cost_nanos == 0) is (usage.total == 0)


def test_thinking_is_estimated_as_thinking(target: Target) -> None:
    response = Response(choices=(Choice(0, (Thinking("y" * 80), Text("x" * 40))),), usage=Usage(input_uncached=7, output_text=1))
    usage = charged_usage(call_to(target), Outcome(response=response, cancelled=True))
    assert (usage.output_reasoning, usage.output_text) == (20, 10)


def test_what_a_receipt_says(target: Target) -> None:
    notes = (Note("temperature", "approximated", "clamped"),)
    call = msgspec.structs.replace(call_to(target), notes=notes, stream=True)
    whole = Outcome(response=saying("hi", SEEN, Finish.STOP), whole=True, status=200, upstream_id="req_1", first_byte=0.5, finished=7.0)
    receipt = make_receipt(call, whole)
    assert (receipt.provider, receipt.model, receipt.account, receipt.model_answered) == ("sim-openai", "sim-small", "default", "sim-small")
    assert (receipt.dialect_in, receipt.dialect_out, receipt.face, receipt.stream) == ("openai_chat", "openai_chat", "gateway", True)
    assert (receipt.status, receipt.finish, receipt.error, receipt.notes) == ("ok", "stop", None, notes)
    assert (receipt.duration, receipt.first_byte, receipt.request_id) == (2.0, 0.5, "req_1")
    assert receipt.cost_nanos == 100 * 150 + 20 * 75 + 3 * 600
    assert receipt.price_rule.startswith("sim-openai/sim-small@") and receipt.price_digest
    assert {bucket: float(price) for bucket, price in receipt.unit_prices.items()} == {
        "input_uncached": 0.15,
        "cache_read": 0.075,
        "output_text": 0.6,
    }
    assert len(receipt.attempts) == 1 and receipt.attempts[0].cost_nanos == receipt.cost_nanos


def test_an_unpriced_model_is_never_free(target: Target) -> None:
    call = msgspec.structs.replace(call_to(target), target=msgspec.structs.replace(target, card=None))
    assert make_receipt(call, Outcome(response=saying("hi", Usage(), Finish.STOP), whole=True)).cost_nanos is None
    assert make_receipt(call, Outcome(cancelled=True)).cost_nanos is None
    assert make_receipt(call, Outcome(called=False)).cost_nanos == 0


class BrokenLedger(Ledger):
    """A ledger whose disk is full while `full` holds."""

    full = True

    async def record(self, receipt: Receipt) -> bool:
        if self.full:
            raise StoreError("the disk is full")
        return await super().record(receipt)


def test_what_cannot_be_booked_is_not_called(target: Target, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = BrokenLedger.open(tmp_path / "ledger.db")
    assert isinstance(ledger, BrokenLedger)

    async def main() -> None:
        meter = Meter(ledger, lambda: 1_790_000_000.0, fresh_id)
        await meter.ready()
        receipt = meter.settle(call_to(target), Outcome(cancelled=True))
        with pytest.raises(StoreError):
            await meter.drain()
        with pytest.raises(StoreError):
            await meter.ready()
        ledger.full = False
        await meter.ready()
        assert ledger.get(receipt.id) == receipt

    try:
        asyncio.run(main())
    finally:
        ledger.close()
    assert "could not be written" in caplog.text


@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit, ProviderError, ZeroDivisionError])
def test_a_tab_is_settled_once_however_it_ends(target: Target, tmp_path: Path, kind: type[BaseException]) -> None:
    ledger = Ledger.open(tmp_path / "ledger.db")
    error = refused(500) if kind is ProviderError else kind()

    async def main() -> None:
        meter = Meter(ledger, lambda: 1_790_000_000.0, fresh_id)
        tab = Tab(meter.call("gateway", target))
        tab.called = True
        with pytest.raises(kind), tab.settled_by(meter):
            raise error
        await meter.drain()

    try:
        asyncio.run(main())
        (receipt,) = ledger.list(Filter())
    finally:
        ledger.close()
    assert receipt.status == ("cancelled" if kind in (asyncio.CancelledError, GeneratorExit) else "error")


@pytest.mark.parametrize(
    ("tier", "priced"), [(None, True), ("default", True), ("SERVICE_TIER_STANDARD", True), ("priority", False), ("flex", False)]
)
def test_list_prices_are_those_of_the_usual_tier(target: Target, tier: str | None, priced: bool) -> None:
    response = msgspec.structs.replace(saying("hi", SEEN, Finish.STOP), service_tier=tier)
    receipt = make_receipt(call_to(target), Outcome(response=response, whole=True))
    assert (receipt.cost_nanos is not None, bool(receipt.unit_prices)) == (priced, priced)
    assert receipt.usage == SEEN


def test_an_absurd_count_is_booked_all_the_same(target: Target, tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.db")
    response = saying("x" * 40, Usage(input_uncached=2**62, output_text=2**62, native={"prompt_tokens": 10**30}), Finish.STOP)

    async def main() -> Receipt:
        meter = Meter(ledger, lambda: 1_790_000_000.0, fresh_id)
        receipt = meter.settle(call_to(target), Outcome(response=response, whole=True))
        await meter.drain()
        return receipt

    try:
        receipt = asyncio.run(main())
        assert ledger.get(receipt.id) == receipt
    finally:
        ledger.close()


def test_requests_that_write_old_receipts_together_lose_none(target: Target, tmp_path: Path) -> None:
    ledger = BrokenLedger.open(tmp_path / "ledger.db")
    assert isinstance(ledger, BrokenLedger)

    async def main() -> None:
        meter = Meter(ledger, lambda: 1_790_000_000.0, fresh_id)
        for n in range(5):
            meter.settle(msgspec.structs.replace(call_to(target), id=f"r{n}"), Outcome(cancelled=True))
        with pytest.raises(StoreError):
            await meter.drain()
        ledger.full = False
        await asyncio.gather(*(meter.ready() for _ in range(8)))

    try:
        asyncio.run(main())
        assert {receipt.id for receipt in ledger.list()} == {f"r{n}" for n in range(5)}
    finally:
        ledger.close()
