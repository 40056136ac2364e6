"""Reading the ledger: sums that are exact, pages that are complete, and nobody's receipts but one's own."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.domain.usage import Usage
from headgate.ledger import Ledger, Receipt, Settlement
from headgate.ledger.moments import day_text
from headgate.ledger.principal import CALLER, Principal
from headgate.ledger.report import (
    Grouping,
    ReceiptQuery,
    UsageRow,
    booked_reading,
    corrections_reading,
    every_receipt,
    ids_reading,
    receipt_reading,
    receipts_reading,
    recent_reading,
    spent_reading,
    sum_rows,
    usage_reading,
)
from headgate.ledger.viewer import EVERYTHING, Viewer, viewer_of
from headgate.testing.receipts import START, USAGE, priced_receipt

RED, BLUE = Viewer("team:red"), Viewer("team:blue")
OWN = viewer_of(CALLER)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    yield opened
    opened.close()


def filled(ledger: Ledger) -> list[Receipt]:
    """Twelve receipts: of red, of blue and of nobody in turn."""
    whose = ({"tenant": "team:red", "team": "red", "key": "k1"}, {"tenant": "team:blue", "team": "blue", "key": "k2", "run": "r"}, {})
    made = [priced_receipt(number, **whose[number % 3]) for number in range(12)]
    for receipt in made:
        ledger.record_now(receipt)
    return made


def test_a_receipt_is_found_by_those_whose_it_is(ledger: Ledger) -> None:
    made = filled(ledger)
    read = ledger.database.read
    for receipt in made:
        seen = {viewer.tenant for viewer in (RED, BLUE, OWN, EVERYTHING) if read(receipt_reading(receipt.id, viewer)) == receipt}
        assert seen == {receipt.tenant or "key:", None}
    assert read(receipt_reading("nothing")) is None


def test_who_may_see_what() -> None:
    admin = Principal(key_id="a", team="red", scopes=frozenset({"admin"}))
    assert viewer_of(admin) == EVERYTHING
    assert viewer_of(Principal(key_id="a", team="red", owner="ann")) == RED
    assert viewer_of(Principal(key_id="a", owner="ann")) == Viewer("owner:ann")
    assert viewer_of(Principal(key_id="a")) == Viewer("key:a")


def test_pages_hold_every_receipt_once(ledger: Ledger) -> None:
    made = [priced_receipt(number, at=START + number // 4) for number in range(13)]
    for receipt in made:
        ledger.record_now(receipt)
    newest_first = sorted(made, key=lambda receipt: (receipt.at, receipt.id), reverse=True)
    found: list[Receipt] = []
    before = None
    while page := ledger.database.read(receipts_reading(ReceiptQuery(limit=3, before=before))):
        found += page
        before = (page[-1].at, page[-1].id)
    assert found == newest_first
    assert list(every_receipt(ledger.database.read, ReceiptQuery())) == newest_first


def test_filters(ledger: Ledger) -> None:
    made = filled(ledger)
    read = ledger.database.read

    def numbers(**wanted: object) -> list[int]:
        return sorted(int(receipt.id[2:]) for receipt in read(receipts_reading(ReceiptQuery(**wanted))))

    assert numbers(team="red") == numbers(key="k1") == [0, 3, 6, 9]
    assert numbers(run="r") == [1, 4, 7, 10]
    assert numbers(provider="anthropic") == numbers(model="x") == numbers(status="error") == numbers(lane="batch") == []
    assert numbers(since=made[3].at, until=made[5].at) == [3, 4]
    assert numbers(until=made[2].at, before=(made[11].at, made[11].id)) == [0, 1]
    assert numbers(until=made[11].at, before=(made[2].at, made[2].id)) == [0, 1]


def test_everything_shares_one_snapshot_and_can_be_awaited(ledger: Ledger) -> None:
    filled(ledger)
    groups, days = asyncio.run(ledger.database.read_async(usage_reading(("team", "day"), EVERYTHING)))
    assert [(row.label, row.calls) for row in groups] == [("", 4), ("blue", 4), ("red", 4)]
    assert sum_rows(days).calls == 12


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.lists(
        st.tuples(
            st.floats(0, 2e9, allow_nan=False) | st.integers(0, 23_000).map(lambda day: day * 86400.0),
            st.sampled_from(["openai", "anthropic"]),
            st.sampled_from([None, "k1", "k2"]),
            st.none() | st.integers(0, 10**13),
            st.integers(0, 10**6),
        ),
        max_size=25,
    )
)
def test_sums_are_those_of_the_receipts(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[float, str, str | None, int | None, int]]
) -> None:
    ledger = Ledger.open(tmp_path_factory.mktemp("sums") / "ledger.db")
    try:
        expected: dict[tuple[Grouping, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for number, (at, provider, key, cost, tokens) in enumerate(entries):
            usage = Usage(input_uncached=tokens)
            ledger.record_now(priced_receipt(number, usage, at=at, provider=provider, key=key, cost_nanos=cost))
            labels: dict[Grouping, str] = {"day": day_text(int(at // 86400)), "provider": provider, "key": key or "", "total": ""}
            for grouping, label in labels.items():
                sums = expected[grouping, label]
                for position, value in enumerate((1, tokens, cost or 0, cost is None)):
                    sums[position] += value
        groupings: tuple[Grouping, ...] = ("day", "provider", "key", "total")
        found = ledger.database.read(usage_reading(groupings))
        assert {
            (grouping, row.label): [row.calls, row.input_tokens, row.cost_nanos, row.unpriced]
            for grouping, rows in zip(groupings, found, strict=True)
            for row in rows
        } == expected
    finally:
        ledger.close()


def test_a_submission_counts_by_its_totals(ledger: Ledger) -> None:
    part = priced_receipt(1, lane="batch")
    totals = Settlement(at=START, provider="openai", model="gpt-5", calls=1, usage=USAGE, cost_nanos=part.cost_nanos or 0, run="nightly")
    ledger.settle_now("batch1", totals, (part,))
    (rows,) = ledger.database.read(usage_reading(("lane",)))
    assert rows == (UsageRow("batch", 1, 0, 2000, 800, 300, 0, part.cost_nanos or 0, 0),)
    assert ledger.database.read(spent_reading("nightly", OWN)) == part.cost_nanos
    assert ledger.database.read(spent_reading("nightly", RED)) == 0


def test_corrections_count_on_their_own_day(ledger: Ledger) -> None:
    ledger.record_now(priced_receipt(1, cost_nanos=100))
    posting = {"at": START + 86400, "id": priced_receipt(1).id}
    sql = "INSERT INTO posting (at, kind, receipt, nanos) VALUES (:at, 'true_up', :id, -30)"
    ledger.database.write_now(lambda connection: connection.execute(sql, posting).rowcount)
    (days,) = ledger.database.read(usage_reading(("day",)))
    assert [(row.label, row.calls, row.cost_nanos) for row in days] == [("2026-11-30", 1, 100), ("2026-12-01", 0, -30)]
    (posted,) = ledger.database.read(corrections_reading(priced_receipt(1).id))
    assert (posted.kind, posted.nanos) == ("true_up", -30)


def test_more_than_ten_thousand_are_counted(ledger: Ledger) -> None:
    rows = [priced_receipt(number, cost_nanos=1) for number in range(10_050)]
    ledger.database.write_now(ledger._insertion(rows))
    (found,) = ledger.database.read(usage_reading(("total",)))
    assert [(row.calls, row.cost_nanos) for row in found] == [(10_050, 10_050)]


def test_buckets_of_time(ledger: Ledger) -> None:
    for number in (0, 1, 1, 5):
        ledger.record_now(priced_receipt(number, id=f"r{number}{ledger.database.transactions}", tenant="team:red"))
    providers, buckets = ledger.database.read(recent_reading(RED, START, 60))
    assert [(row.label, row.calls) for row in providers] == [("openai", 4)]
    assert [(int(row.label) * 60 - START, row.calls) for row in buckets] == [(0, 1), (60, 2), (300, 1)]
    assert ledger.database.read(recent_reading(BLUE, START, 60)) == ((), ())


def test_what_a_provider_should_bill(ledger: Ledger) -> None:
    filled(ledger)
    ledger.record_now(priced_receipt(50, provider="anthropic"))
    ledger.record_now(priced_receipt(51, account="eu", cost_nanos=None))
    (day,) = ledger.database.read(booked_reading("openai", None, START - 43200, START + 43200))
    assert (day.day, day.model, day.figures.requests, day.figures.unpriced) == ("2026-11-30", "gpt-5", 13, 1)
    (eu,) = ledger.database.read(booked_reading("openai", "eu", START - 43200, START + 43200))
    assert eu.figures.requests == 1


def test_ids_by_their_beginning(ledger: Ledger) -> None:
    filled(ledger)
    assert len(ledger.database.read(ids_reading("01"))) == 3
    assert ledger.database.read(ids_reading(priced_receipt(11).id[:-1])) == (priced_receipt(10).id, priced_receipt(11).id)
    assert ledger.database.read(ids_reading("02")) == ()
