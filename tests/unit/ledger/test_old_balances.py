"""Balances of rolling budgets are deleted when no window reaches them any more, and no window ever notices."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.ledger import Receipt
from headgate.ledger.balances import Want, draw, move
from headgate.ledger.budget_book import put_budget, standing
from headgate.ledger.budgets import Bound, Budget, window_at
from headgate.ledger.intent import Intent
from headgate.ledger.moves import Move
from headgate.ledger.old_balances import BATCH, SLACK, delete_balances, unreachable
from headgate.ledger.principal import Principal
from headgate.ledger.spending import Hold, Spending
from headgate.ledger.spending_settings import SpendingSettings
from headgate.store import Store
from headgate.store.statements import load_migrations
from headgate.testing.books import read_books

SPANS = (60, 3_600, 7_201, 86_400, 604_800)
WHO = Principal(key_id="k", subjects=("global", "key:k"))


def memory() -> sqlite3.Connection:
    """A ledger in memory, with one process."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for migration in load_migrations("ledger"):
        for statement in migration.statements:
            connection.execute(statement)
    connection.execute("INSERT INTO process (id, host, state, started, expires) VALUES ('p', '', 'live', 0, 1e12)")
    return connection


def delete_all(connection: sqlite3.Connection, now: float) -> int:
    """Delete whatever can be; returns how many."""
    total = 0
    while done := delete_balances(connection, unreachable(connection, now)):
        total += done
    return total


spans = st.sampled_from([*(f"rolling:{span}" for span in SPANS), "day", "total"])
events = st.lists(st.tuples(st.floats(0, 3.0), st.sampled_from(["key:a", "key:b"]), st.integers(1, 90), st.booleans()), max_size=40)


@given(spans, events, st.floats(0, 3.0))
@settings(deadline=None)
def test_no_window_that_can_still_be_asked_for_ever_counts_anything_else(
    window: str, script: list[tuple[float, str, int, bool]], ago: float
) -> None:
    """Whatever was spent and is held when, at whatever moment it is done: every window of the last day and of later counts what it did."""
    connection, limit = memory(), 10**9
    budget = Budget(id="b", scope="key:*", limit_nanos=limit, window=window, thresholds=())
    put_budget(connection, budget, "api")
    span = int(window.partition(":")[2] or 86_400)
    end = 1_800_000_000.0
    now = end - ago * span
    for back, subject, cost, over in sorted(script, reverse=True):
        at = end - back * (span + SLACK)
        (grant,) = draw(connection, "p", [Want(budget, subject, window_at(window, at), 100, 100)])
        move(connection, "p", [Move(grant.number, cost, grant.amount if over else cost)])
    moments = [now - SLACK + step * (span / 7 + SLACK / 5) for step in range(12)]
    asked = [(subject, at) for subject in ("key:a", "key:b") for at in moments]
    before = [standing(connection, budget, *one) for one in asked]
    held = connection.execute("SELECT sum(held), (SELECT sum(amount) FROM slab), max(n) FROM balance").fetchone()
    deleted = delete_all(connection, now)
    assert [standing(connection, budget, *one) for one in asked] == before
    assert connection.execute("SELECT sum(held), (SELECT sum(amount) FROM slab), max(n) FROM balance").fetchone() == held
    assert window.startswith("rolling") or not deleted
    last = held[2]
    left = connection.execute(
        "SELECT n FROM balance WHERE held = 0 AND starts < ?", (window_at(window, now - SLACK).counts_from,)
    ).fetchall()
    assert not window.startswith("rolling") or {row[0] for row in left} <= {last}


def test_a_number_is_never_given_again() -> None:
    connection = memory()
    budget = Budget(id="b", scope="global", limit_nanos=10, window="rolling:60")
    put_budget(connection, budget, "api")
    numbers = []
    for day in range(0, 20, 4):
        numbers += [draw(connection, "p", [Want(budget, "global", window_at("rolling:60", day * SLACK), 0, 0)])[0].number]
        delete_all(connection, day * SLACK + 3 * SLACK)
    assert len(set(numbers)) == 5
    assert connection.execute("SELECT count(*) FROM balance").fetchone() == (1,)


def test_a_process_deletes_them_and_goes_on_booking_what_comes_late(store: Store, place: object, tmp_path: Path) -> None:
    """A request that began before its balance went, and an invoice for one that ended before: in the receipts, and in no balance."""
    rolling = Budget(id="keys", scope="key:*", limit_nanos=10**6, window="rolling:60")
    counting = Budget(id="all", scope="global", limit_nanos=10**6, window="rolling:48", action="warn")
    settings, first = SpendingSettings(flush_interval=0.001, tick=3600.0), time.time() - 3 * SLACK
    now = [first]

    async def reserved(spending: Spending, id: str) -> Hold:
        wanted = Intent(id=id, at=now[0], principal=WHO, provider="p", model="m", bound=Bound(100))
        hold = spending.reserve_now(wanted) or await spending.reserve(wanted)
        assert isinstance(hold, Hold)
        return hold

    def receipt(id: str, cost: int) -> Receipt:
        return Receipt(id=id, at=now[0], face="gateway", provider="p", model="m", cost_nanos=cost)

    async def run() -> None:
        spending = Spending(store, tmp_path / "journal", (rolling, counting), settings=settings, now=lambda: now[0])
        await spending.start()
        assert spending._tender is not None
        for number in range(BATCH + 20):
            now[0] = first + number * 60.0
            await spending.close_durably(receipt(f"r{number}", 3), [(await reserved(spending, f"r{number}"), 3)])
        late = await reserved(spending, "late")
        now[0] = time.time()
        last = await reserved(spending, "last")
        await spending._tender.tend()
        await spending.drain()
        assert await spending._tender.prune() == 2 * (BATCH + 20) - 1, "all but the one that the late request holds a part of"
        assert await spending._tender.prune() == 0
        spending.close(receipt("late", 40), [(late, 40)])
        spending.close(receipt("last", 2), [(last, 2)])
        await spending.drain()
        assert spending.ready
        assert await spending.true_up("r0", 5) == 2
        await spending._tender.tend()
        await spending.drain()
        assert await spending._tender.prune() == 1
        await spending.stop()

    asyncio.run(run())
    books = read_books(place)
    assert books.contradictions() == []
    assert books.cost == 3 * (BATCH + 20) + 2 + 40 + 2
    assert [(one.budget, one.spent) for one in books.balances] == [("all", 2), ("keys", 2)]
    assert len(books.receipts) == BATCH + 22
