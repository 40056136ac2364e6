"""Receipts are written once, settlements are idempotent, totals are exact."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.dialects.base import Note
from headgate.domain.usage import BUCKETS, Usage, add_usage
from headgate.ledger import Attempt, Filter, Ledger, Receipt, Settlement, Total, new_id
from headgate.ledger.receipt import sum_totals, total_json


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    yield opened
    opened.close()


def receipt(number: int, **changes: object) -> Receipt:
    base = Receipt(id=f"r{number:04d}", at=1000.0 + number, face="gateway", provider="openai", model="gpt-5", cost_nanos=number)
    return msgspec.structs.replace(base, **changes)


FULL = Receipt(
    id="01FULL",
    at=1_763_700_000.25,
    face="gateway",
    provider="anthropic",
    account="work",
    model="claude-sonnet-5-5",
    model_answered="claude-sonnet-5-5",
    dialect_in="openai_chat",
    dialect_out="anthropic_messages",
    stream=True,
    status="error",
    finish="stop",
    error="overloaded",
    attempts=(
        Attempt(provider="openai", model="gpt-5", status=529, kind="overloaded", started=1.5, duration=0.25),
        Attempt(provider="anthropic", model="claude-sonnet-5-5", status=200, request_id="req_1", cost_nanos=12),
    ),
    usage=Usage(
        **{bucket: index for index, bucket in enumerate(BUCKETS)}, fees={"web_search": 2}, source="estimated", native={"input_tokens": 3}
    ),
    cost_nanos=2**62,
    price_rule="anthropic/claude-sonnet-5-5@2026-10-14",
    price_digest="abcd",
    unit_prices={"output_text": "10"},
    notes=(Note("seed", "dropped", "not supported"),),
    run="run1",
    step="play",
    unit="u7",
    attempt=2,
    request_id="req_1",
    duration=1.25,
    first_byte=0.5,
)


def test_everything_comes_back(ledger: Ledger) -> None:
    assert ledger.record_now(FULL)
    assert ledger.get("01FULL") == FULL
    assert ledger.get("other") is None
    unpriced = receipt(1, cost_nanos=None)
    assert asyncio.run(ledger.record(unpriced))
    assert ledger.get(unpriced.id) == unpriced
    assert not unpriced.cost.priced
    assert FULL.cost.rule == FULL.price_rule


def test_a_receipt_is_written_once(ledger: Ledger) -> None:
    assert ledger.record_now(receipt(1))
    assert not ledger.record_now(receipt(1, cost_nanos=999))
    assert not asyncio.run(ledger.record(receipt(1, cost_nanos=999)))
    assert sum_totals(ledger.totals()).cost_nanos == 1


def test_pages_go_from_new_to_old(ledger: Ledger) -> None:
    for number in range(25):
        ledger.record_now(receipt(number, at=1000.0 + number // 3))
    seen: list[str] = []
    page = ledger.list(Filter(limit=7))
    while page:
        seen += [entry.id for entry in page]
        page = ledger.list(Filter(limit=7, before=(page[-1].at, page[-1].id)))
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 25


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Filter(), {"r0001", "r0002", "r0003"}),
        (Filter(since=1002.0), {"r0002", "r0003"}),
        (Filter(until=1002.0), {"r0001"}),
        (Filter(provider="gemini"), {"r0002"}),
        (Filter(model="m"), {"r0003"}),
        (Filter(face="run"), {"r0003"}),
        (Filter(lane="batch"), {"r0003"}),
        (Filter(status="cancelled"), {"r0002"}),
        (Filter(run="x"), {"r0003"}),
        (Filter(provider="gemini", run="x"), set()),
        (Filter(limit=1), {"r0003"}),
    ],
)
def test_filters(ledger: Ledger, wanted: Filter, ids: set[str]) -> None:
    ledger.record_now(receipt(1))
    ledger.record_now(receipt(2, provider="gemini", status="cancelled"))
    ledger.record_now(receipt(3, face="run", lane="batch", run="x", model="m"))
    assert {entry.id for entry in ledger.list(wanted)} == ids


def settlement(**changes: object) -> Settlement:
    base = Settlement(at=2000.0, provider="sim-openai", model="sim-small", calls=2, usage=Usage(output_text=3), cost_nanos=30, run="run1")
    return msgspec.structs.replace(base, **changes)


def test_settling_twice_changes_nothing(ledger: Ledger) -> None:
    parts = [receipt(1, cost_nanos=10, lane="batch"), receipt(2, cost_nanos=20, lane="batch")]
    assert not ledger.settled("k")
    assert ledger.settle_now("k", settlement(), parts)
    assert ledger.settled("k")
    assert not asyncio.run(ledger.settle("k", settlement(cost_nanos=999), [receipt(3, cost_nanos=990), receipt(4, cost_nanos=9)]))
    assert [entry.submission for entry in ledger.list()] == ["k", "k"]
    assert {entry.id for entry in ledger.list(Filter(submission="k"))} == {"r0001", "r0002"}
    assert ledger.totals() == (
        Total(provider="sim-openai", account="default", model="sim-small", lane="batch", calls=2, output_tokens=3, cost_nanos=30),
    )


def test_racing_settlements_book_one(ledger: Ledger) -> None:
    async def race() -> list[bool]:
        return await asyncio.gather(*(ledger.settle("k", settlement()) for _ in range(20)))

    assert sorted(asyncio.run(race())) == [False] * 19 + [True]
    assert sum_totals(ledger.totals()).cost_nanos == 30


def test_a_settlement_needs_no_receipts_but_those_it_has_must_add_up(ledger: Ledger) -> None:
    assert ledger.settle_now("plain", settlement(unpriced=1))
    wrong = [
        [receipt(1, cost_nanos=30)],
        [receipt(1, cost_nanos=30), receipt(2, cost_nanos=1)],
        [receipt(1, cost_nanos=30), receipt(2, cost_nanos=None)],
    ]
    for parts in wrong:
        with pytest.raises(ValueError, match="k:"):
            ledger.settle_now("k", settlement(), parts)
    assert not ledger.settled("k")
    assert ledger.settle_now("k", settlement(unpriced=1), wrong[2])
    assert sum_totals(ledger.totals(Filter(run="run1"))) == Total(
        provider="sim-openai", account="default", model="sim-small", lane="batch", calls=4, output_tokens=6, cost_nanos=60, unpriced=2
    )


costs = st.none() | st.integers(0, 10**15)
calls = st.lists(
    st.tuples(st.sampled_from(["openai", "gemini"]), st.sampled_from(["a", "b"]), costs, st.integers(0, 9), st.integers(0, 9)), max_size=12
)


@given(calls, st.integers(0, 12))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_totals_equal_the_sum_of_what_was_booked(tmp_path: Path, made: list[tuple[str, str, int | None, int, int]], split: int) -> None:
    """The first `split` calls are booked one by one, the others as one settlement for each provider and model."""
    path = tmp_path / f"{new_id(0.0, bytes(10))}-{abs(hash((tuple(made), split)))}.db"
    booked = [
        receipt(number, provider=provider, model=model, cost_nanos=cost, usage=Usage(cache_read=read, output_reasoning=thought))
        for number, (provider, model, cost, read, thought) in enumerate(made)
    ]
    ledger = Ledger.open(path)
    for entry in booked[:split]:
        ledger.record_now(entry)
    for key in {(entry.provider, entry.model) for entry in booked[split:]}:
        group = [entry for entry in booked[split:] if (entry.provider, entry.model) == key]
        usage = Usage()
        for entry in group:
            usage = add_usage(usage, entry.usage)
        known = [entry.cost_nanos for entry in group if entry.cost_nanos is not None]
        whole = Settlement(
            at=5000.0,
            provider=key[0],
            model=key[1],
            calls=len(group),
            usage=usage,
            cost_nanos=sum(known),
            unpriced=len(group) - len(known),
        )
        for _ in range(2):
            ledger.settle_now("/".join(key), whole, group)
    total = sum_totals(ledger.totals())
    ledger.close()
    path.unlink()
    assert total.calls == len(made)
    assert total.cost_nanos == sum(cost or 0 for _, _, cost, _, _ in made)
    assert total.unpriced == sum(cost is None for _, _, cost, _, _ in made)
    assert (total.input_tokens, total.cached_tokens) == (sum(call[3] for call in made),) * 2
    assert (total.output_tokens, total.reasoning_tokens) == (sum(call[4] for call in made),) * 2


def test_totals_as_json() -> None:
    total = Total(provider="p", cost_nanos=1_500_000_000, unpriced=1)
    assert total.usd == "1.50"
    assert total_json(total)["usd"] == "1.50"
    assert "cost_nanos" not in total_json(total)
    assert sum_totals(()) == Total()
