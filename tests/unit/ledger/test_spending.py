"""What one process's money does: refunds, multi-attempt requests, overshoot, failing closed, lost slabs, power cuts, invoices, alerts."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest

from headgate.config import Secret
from headgate.domain.usage import Usage
from headgate.errors import ConfigError, HeadgateError, StoreError
from headgate.ledger import Attempt, Ledger, Receipt
from headgate.ledger.alerts import Deliverer
from headgate.ledger.balances import Alert
from headgate.ledger.budget_book import BudgetBook
from headgate.ledger.budgets import Action, Bound, Budget, Denied
from headgate.ledger.chain import START, link
from headgate.ledger.intent import Intent, asker_of
from headgate.ledger.journal import STALE, Journal, claim, remains, sweep
from headgate.ledger.principal import Principal
from headgate.ledger.receipt import sum_totals
from headgate.ledger.settling import reap
from headgate.ledger.spending import Hold, Spending
from headgate.ledger.spending_settings import SpendingSettings
from headgate.ledger.webhook import SIGNATURE, Webhook, alert_json
from headgate.store import Store, open_store
from headgate.store.connection import Connection

AT = 1_800_000_000.0
WHO = Principal(key_id="k", team="t", user="u", tags=("x",), owner="o", subjects=("global", "key:k", "team:t"))
DAY = Budget(id="day", scope="global", limit_nanos=1000, window="day")
FAST = SpendingSettings(flush_interval=0.001, patience=0.02, refusal=0.0, tick=3600.0, slots=256)


def intent(id: str, bound: int | None = 100, **changes: object) -> Intent:
    given = {"id": id, "at": AT, "principal": WHO, "provider": "openai", "model": "m", "bound": Bound(bound, "no price")}
    return Intent(**{**given, **changes})


def receipt(id: str, cost: int | None, **changes: object) -> Receipt:
    return Receipt(**{"id": id, "at": AT, "face": "gateway", "provider": "openai", "model": "m", "cost_nanos": cost, **changes})


def within(
    store: Store, folder: Path, test: Callable[[Spending], Coroutine[object, object, None]], *budgets: Budget, **changes: object
) -> None:
    """Run `test` with a process that is started before and stopped after."""

    async def run() -> None:
        spending = Spending(store, folder / "journal", budgets, **{"settings": FAST, "now": lambda: AT, **changes})
        await spending.start()
        await test(spending)
        await spending.stop()

    asyncio.run(run())


def balances(store: Store) -> dict[str, tuple[int, int]]:
    rows = store.read(lambda connection: connection.execute("SELECT budget, spent, held FROM balance ORDER BY n").fetchall())
    return {str(row[0]): (int(row[1]), int(row[2])) for row in rows}


async def until(true: Callable[[], bool]) -> None:
    """Let others run until something holds."""
    for _ in range(20_000):
        if true():
            return
        await asyncio.sleep(0.001)
    raise TimeoutError


async def held(spending: Spending, wanted: Intent) -> Hold:
    found = spending.reserve_now(wanted) or await spending.reserve(wanted)
    assert isinstance(found, Hold), found
    return found


def test_without_budgets_a_request_is_journalled_and_recorded(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        hold = spending.reserve_now(intent("r", None))
        assert isinstance(hold, Hold)
        assert spending._journal is not None
        assert spending._journal.used == 1
        spending.sent(hold)
        await spending.close_durably(receipt("r", None), [(hold, None)])
        assert spending._journal.used == 0
        assert spending.headroom(WHO, "openai", "m") is None

    within(store, tmp_path, test)
    assert Ledger(store).get("r") == receipt("r", None)
    assert not list((tmp_path / "journal").iterdir())


def test_the_chain_holds_and_names_the_stored_bytes(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        for number in range(150):
            hold = await held(spending, intent(f"r{number}", 1))
            spending.close(receipt(f"r{number}", 1, explanation="é" * number), [(hold, 1)])
        await spending.drain()

    ledger = Ledger(store)
    ledger.record_now(receipt("first", 1))
    within(store, tmp_path, test, DAY)
    ledger.record_now(receipt("last", 1))
    hash = START
    rows = store.read(lambda connection: connection.execute("SELECT seq, hash, detail FROM receipt ORDER BY seq").fetchall())
    assert [row[0] for row in rows] == list(range(1, 153))
    for row in rows:
        hash = link(hash, str(row[2]).encode())
        assert hash == row[1]


def test_an_attempt_that_nobody_can_account_for_is_booked_at_its_bound_once(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        lost, never = await held(spending, intent("r", 600)), await held(spending, intent("n", 300))
        spending.sent(lost)
        found = spending.lose(lost)
        assert found is not None
        assert (found.id, found.error, found.cost_nanos, found.bound_nanos) == ("r", "lost", 600, 600)
        assert spending.lose(never) is None  # it was not sent
        assert (spending.lose(lost), spending.lose(never), spending.under_way) == (None, None, 0)
        await spending.drain()
        assert spending.journal_depth == 0

    within(store, tmp_path, test, DAY)
    assert balances(store) == {"day": (600, 0)}


def test_an_attempt_that_was_refused_is_refunded_and_the_next_one_paid(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        first = await held(spending, intent("r", 900))
        spending.refund(first)
        second = await held(spending, intent("r", 600, provider="other"))
        third = await held(spending, intent("r", 300))
        spending.sent(second)
        spending.sent(third)
        await spending.close_durably(receipt("r", 40), [(second, 30), (third, 10)])
        for ended in (first, second):
            with pytest.raises(RuntimeError):
                spending.refund(ended)
            with pytest.raises(RuntimeError):
                spending.close(receipt("r2", 1), [(ended, 1)])

    within(store, tmp_path, test, DAY, Budget(id="other", scope="provider:other", limit_nanos=900, window="total"))
    assert balances(store) == {"day": (40, 0), "other": (30, 0)}
    found = Ledger(store).get("r")
    assert found is not None
    assert sorted(nanos for _, nanos in found.charges) == [30, 40]


def test_a_request_that_was_never_attempted_has_its_receipt(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        await spending.close_durably(receipt("r", 0, status="error", error="bad_request"))

    within(store, tmp_path, test, DAY)
    assert Ledger(store).get("r") is not None


def test_a_cost_that_is_not_known_is_booked_at_its_bound(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        await spending.close_durably(receipt("r", None), [(await held(spending, intent("r", 70)), None)])

    within(store, tmp_path, test, DAY)
    assert balances(store) == {"day": (70, 0)}


def test_what_a_provider_bills_above_the_bound_is_booked_whole(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test(spending: Spending) -> None:
        hold = await held(spending, intent("r", 100))
        other = await held(spending, intent("o", 900))
        spending.close(receipt("r", 150, bound_nanos=100), [(hold, 150)])
        await spending.drain()
        assert spending.overshoots == 1
        spending.close(receipt("o", 900), [(other, 900)])
        denied = await spending.reserve(intent("d", 1))
        assert isinstance(denied, Denied)
        assert isinstance(await spending.reserve(intent("f", 0)), Hold), "what costs nothing always fits"

    within(store, tmp_path, test, DAY)
    assert balances(store) == {"day": (1050, 0)}
    assert "its bound was 100" in caplog.text


def test_denials_say_what_is_left_and_unbounded_requests_are_refused(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        await spending.close_durably(receipt("r", 300), [(await held(spending, intent("r", 400)), 300)])
        kept = await held(spending, intent("k", 500))
        denied = await spending.reserve(intent("d", 250))
        assert isinstance(denied, Denied)
        assert (denied.spent_nanos, denied.reserved_nanos, denied.left_nanos, denied.needed_nanos) == (300, 500, 200, 250)
        assert denied.resets_at is not None
        assert isinstance(await spending.reserve(intent("e", 200)), Hold)
        refused = spending.reserve_now(intent("u", None))
        assert isinstance(refused, Denied)
        assert refused.reason == "unbounded"
        assert "no price" in refused.message()
        spending.refund(kept)

    within(store, tmp_path, test, DAY)


def test_a_denial_is_repeated_for_a_moment_without_asking(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        assert isinstance(await spending.reserve(intent("a", 2000)), Denied)
        assert isinstance(spending.reserve_now(intent("b", 2000)), Denied)
        assert spending.reserve_now(intent("c", 10)) is None, "a smaller one is asked for"

    within(store, tmp_path, test, DAY, settings=SpendingSettings(refusal=60.0, tick=3600.0))


def test_a_clock_that_is_set_back_prolongs_no_denial_and_keeps_no_slab(store: Store, tmp_path: Path) -> None:
    now = [AT]

    async def test(spending: Spending) -> None:
        assert isinstance(await spending.reserve(intent("a", 2000)), Denied)
        spending.refund(await held(spending, intent("b", 10)))
        now[0] -= 3600.0
        back = AT - 3600.0
        assert isinstance(spending.reserve_now(intent("c", 2000, at=AT + 0.5)), Denied), "for as long as it holds"
        assert spending.reserve_now(intent("d", 2000, at=back)) is None, "an hour ago it had not been said"
        assert balances(store)["day"][1] > 0
        assert spending._tender is not None
        await spending._tender.tend()
        await spending.drain()
        assert balances(store) == {"day": (0, 0)}, "what lies idle is given back"

    within(store, tmp_path, test, DAY, settings=SpendingSettings(refusal=60.0, tick=3600.0), now=lambda: now[0])


def test_a_request_given_up_while_it_reserves_holds_nothing(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        for number in range(20):
            task = asyncio.ensure_future(spending.reserve(intent(f"r{number}", 900)))
            for _ in range(number % 4):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        assert spending._tender is not None
        await asyncio.wait(
            asyncio.all_tasks() - {asyncio.current_task(), spending._tender._task} or {asyncio.ensure_future(asyncio.sleep(0))}
        )
        assert isinstance(await spending.reserve(intent("last", 1000)), Hold)

    async def run() -> None:
        spending = Spending(store, tmp_path / "journal", (DAY,), settings=FAST, now=lambda: AT)
        await spending.start()
        await test(spending)
        assert spending._open == 1

    asyncio.run(run())


def test_reservations_of_many_at_once_share_what_is_there(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        found = await asyncio.gather(*(spending.reserve(intent(f"r{number}", 30)) for number in range(50)))
        holds = [each for each in found if isinstance(each, Hold)]
        assert len(holds) == 33
        for hold in holds:
            spending.refund(hold)

    within(store, tmp_path, test, DAY)
    assert balances(store) == {"day": (0, 0)}


def test_what_another_process_holds_idle_is_had_for_the_asking(store: Store, tmp_path: Path) -> None:
    quick = SpendingSettings(flush_interval=0.001, patience=5.0, refusal=0.0, tick=0.01, idle=3600.0)

    async def run() -> None:
        one, two = (Spending(store, tmp_path / "journal", (DAY,), settings=quick, now=lambda: AT) for _ in range(2))
        await one.start()
        await two.start()
        spent = await held(one, intent("a", 1))
        one.refund(spent)
        assert balances(store)["day"][1] > 1
        found = await two.reserve(intent("b", 1000))
        assert isinstance(found, Hold)
        two.refund(found)
        await one.stop()
        await two.stop()

    asyncio.run(run())
    assert balances(store) == {"day": (0, 0)}


def test_what_is_wanted_is_heard_of_though_the_clock_of_the_database_was_set_back(store: Store, tmp_path: Path) -> None:
    def wanted(at: float) -> Callable[[Connection], int]:
        return lambda connection: connection.execute("UPDATE balance SET wanted = :at", {"at": at}).rowcount

    async def test(spending: Spending) -> None:
        assert spending._tender is not None
        for at in (store.now() + 3600.0, store.now() + 60.0):
            spending.refund(await held(spending, intent("r", 10)))
            await store.write(wanted(at))
            await spending._tender.tend()
            await spending.drain()
            assert balances(store) == {"day": (0, 0)}

    within(store, tmp_path, test, DAY, settings=SpendingSettings(tick=3600.0, idle=3600.0))


def test_a_full_journal_is_waited_for_and_then_an_error(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        holds = [await held(spending, intent(f"r{number}", 0)) for number in range(4)]
        with pytest.raises(StoreError, match="more than 4 attempts"):
            await spending.reserve(intent("more", 0))
        waiting = asyncio.ensure_future(spending.reserve(intent("more", 0)))
        await asyncio.sleep(0)
        spending.refund(holds.pop())
        spending.refund(await waiting)
        for hold in holds:
            spending.refund(hold)

    within(store, tmp_path, test, DAY, settings=SpendingSettings(slots=4, patience=0.05, tick=3600.0))


class Broken:
    """A store whose writes can be made to fail, before or after they are committed."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.fault: str | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def submit(self, function: Callable[..., object]) -> Future[object]:
        if self.fault == "down":
            raise StoreError("the ledger is down")
        done = self.inner.submit(function)
        if self.fault != "unheard":
            return done
        told: Future[object] = Future()
        done.add_done_callback(lambda _: told.set_exception(StoreError("nobody knows whether it was written")))
        return told

    async def write(self, function: Callable[..., object]) -> object:
        return await asyncio.wrap_future(self.submit(function))


def test_a_commit_that_comes_after_the_stop_is_left_to_the_journal(store: Store, tmp_path: Path) -> None:
    """The ledger takes longer than a stop may: the process ends all the same, quietly, and the next one books nothing twice."""
    gate, troubles = threading.Event(), []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: troubles.append(context))
        spending = Spending(store, tmp_path / "journal", (DAY,), settings=FAST, now=lambda: AT)
        await spending.start()
        hold = await held(spending, intent("r", 100))
        late = await held(spending, intent("late", 100))
        store.submit(lambda connection: gate.wait(20))
        spending.sent(hold)
        spending.close(receipt("r", 60), [(hold, 60)])
        await spending.stop(within=0.05)
        for act in (lambda: spending.refund(late), lambda: spending.sent(late), lambda: spending.close(receipt("x", 1))):
            with pytest.raises(StoreError, match="closed"):
                act()
        gate.set()
        await store.write(lambda connection: None)
        await asyncio.sleep(0)
        await orphans_finished()

    async def orphans_finished() -> None:
        live = Spending(store, tmp_path / "journal", (DAY,), settings=FAST, now=lambda: AT)
        await live.start()
        await live.stop()

    asyncio.run(run())
    assert troubles == []
    assert balances(store) == {"day": (60, 0)}
    assert not list((tmp_path / "journal").iterdir())


@pytest.mark.parametrize("fault", ["down", "unheard"])
def test_nothing_is_admitted_while_the_ledger_fails_and_nothing_is_lost_or_booked_twice(store: Store, tmp_path: Path, fault: str) -> None:
    broken = Broken(store)

    async def test(spending: Spending) -> None:
        hold = await held(spending, intent("r", 100))
        broken.fault = fault
        spending.close(receipt("r", 60), [(hold, 60)])
        await until(lambda: not spending.ready)
        assert spending.reserve_now(intent("no", 0)) is None
        with pytest.raises(StoreError):
            await spending.reserve(intent("no", 0))
        broken.fault = None
        await spending.drain()
        assert spending.ready
        assert isinstance(await spending.reserve(intent("yes", 0)), Hold)

    async def run() -> None:
        spending = Spending(broken, tmp_path / "journal", (DAY,), settings=FAST, now=lambda: AT)
        await spending.start()
        await test(spending)
        spending._open = 0
        await spending.stop()

    asyncio.run(run())
    assert balances(store) == {"day": (60, 0)}
    assert len(Ledger(store).list()) == 1


def test_what_was_granted_unheard_is_given_back_once_it_can_be_told_apart(store: Store, tmp_path: Path) -> None:
    """The ledger sets something aside and the answer is lost: nobody is admitted on it, and it comes back before the process ends."""
    broken = Broken(store)

    async def test(spending: Spending) -> None:
        assert spending._tender is not None
        busy = await held(spending, intent("busy", 300))
        broken.fault = "unheard"
        with pytest.raises(StoreError, match="nobody knows"):
            await spending.reserve(intent("unheard", 400, run="one"))
        broken.fault = None
        assert balances(store) == {"day": (0, 700), "one": (0, 400)}
        await spending._tender.tend()
        assert balances(store) == {"day": (0, 700), "one": (0, 0)}, "only where nothing is open it can be told"
        assert isinstance(await spending.reserve(intent("denied", 600)), Denied)
        spending.close(receipt("busy", 200), [(busy, 200)])
        await spending.drain()
        await spending._tender.tend()
        hold = await held(spending, intent("all", 800))
        await spending._tender.tend()
        spending.refund(hold)

    within(broken, tmp_path, test, DAY, Budget(id="one", scope="run:one", limit_nanos=10**4, window="total"))
    assert balances(store) == {"day": (200, 0), "one": (0, 0)}


def test_a_ledger_that_is_absent_at_the_start_is_waited_for(store: Store, tmp_path: Path) -> None:
    broken = Broken(store)
    broken.fault = "down"

    async def run() -> None:
        settings = SpendingSettings(tick=0.005, patience=0.02)
        spending = Spending(broken, tmp_path / "journal", (DAY,), settings=settings, now=lambda: AT)
        await spending.start()
        assert not spending.ready
        assert spending.trouble is not None
        with pytest.raises(StoreError, match="down"):
            await spending.reserve(intent("r"))
        broken.fault = None
        await until(lambda: spending.ready)
        spending.refund(await held(spending, intent("r")))
        await spending.stop()

    asyncio.run(run())


def test_a_receipt_whose_id_is_known_holds_up_no_other(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Ledger(store).record_now(receipt("twice", 5))

    async def test(spending: Spending) -> None:
        for id in ("a", "twice", "b"):
            spending.close(receipt(id, 10), [(await held(spending, intent(id, 20)), 10)])
        await spending.drain()

    within(store, tmp_path, test, DAY)
    assert {entry.id: entry.cost_nanos for entry in Ledger(store).list()} == {"a": 10, "twice": 5, "b": 10}
    assert balances(store) == {"day": (20, 0)}
    assert "one by one" in caplog.text


def gone(spending: Spending) -> Path:
    """End a process as `kill -9` does."""
    assert spending._tender is not None
    assert spending._tender._task is not None
    assert spending._flusher is not None
    assert spending._journal is not None
    spending._tender._task.cancel()
    spending._flusher.stop()
    spending._journal.leave()
    return spending._journal.path


async def orphan(store: Store, folder: Path) -> Path:
    """A process that dies with one attempt reserved, one sent, and one closed that is not committed."""
    dead = Spending(store, folder, (DAY,), settings=SpendingSettings(flush_interval=3600.0, tick=3600.0), now=lambda: AT)
    await dead.start()
    await held(dead, intent("reserved", 200))
    dead.sent(await held(dead, intent("sent", 150, request_bytes=400, run="run1")))
    closed = await held(dead, intent("closed", 100))
    dead.sent(closed)
    dead.close(receipt("closed", 30, notes=(), explanation="x" * 5000), [(closed, 30)])
    return gone(dead)


def test_the_next_process_finishes_what_a_dead_one_left(store: Store, tmp_path: Path) -> None:
    async def run() -> None:
        await orphan(store, tmp_path / "journal")
        live = Spending(store, tmp_path / "journal", (DAY,), settings=FAST, now=lambda: AT)
        await live.start()
        await live.stop()

    asyncio.run(run())
    assert balances(store) == {"day": (180, 0)}
    ledger = Ledger(store)
    lost, closed = ledger.get("sent"), ledger.get("closed")
    assert closed is not None
    assert closed.explanation == "x" * 5000
    assert ledger.get("reserved") is None
    assert lost == Receipt(
        id="sent",
        at=AT,
        face="gateway",
        provider="openai",
        model="m",
        status="cancelled",
        error="lost",
        attempts=(Attempt(provider="openai", model="m", kind="lost", started=AT, cost_nanos=150),),
        usage=Usage(input_uncached=100, source="estimated"),
        cost_nanos=150,
        bound_nanos=150,
        price_rule="bound",
        run="run1",
        key="k",
        team="t",
        user="u",
        tags=("x",),
        tenant="team:t",
        charges=lost.charges if lost is not None else (),
    )
    assert not list((tmp_path / "journal").iterdir())


def test_after_a_power_cut_the_rest_of_a_slab_counts_as_spent(store: Store, tmp_path: Path) -> None:
    async def run() -> None:
        path = await orphan(store, tmp_path / "journal")
        amount = balances(store)["day"][1]
        file = claim(path, lambda process: False)
        assert file is not None
        found = remains(file, boot="another start of the machine")
        assert not found.whole
        outcome = await store.write(lambda connection: reap(connection, found))
        assert outcome is not None
        assert balances(store) == {"day": (amount, 0)}
        assert await store.write(lambda connection: reap(connection, found)) == ([], ()), "a second time there is nothing to do"
        assert balances(store) == {"day": (amount, 0)}

    asyncio.run(run())


def test_a_silent_process_elsewhere_counts_as_spent_until_it_is_heard_of(store: Store, tmp_path: Path) -> None:
    async def run() -> None:
        far = Spending(
            store, tmp_path / "far", (DAY,), settings=SpendingSettings(lease=-1.0, tick=3600.0, flush_interval=0.001), now=lambda: AT
        )
        await far.start()
        hold = await held(far, intent("r", 100))
        amount = balances(store)["day"][1]
        near = Spending(store, tmp_path / "near", (DAY,), settings=FAST, now=lambda: AT)
        await near.start()
        assert balances(store) == {"day": (amount, 0)}
        await far.close_durably(receipt("r", 30), [(hold, 30)])
        assert balances(store) == {"day": (30, amount - 30)}
        await far.stop()
        await near.stop()

    asyncio.run(run())
    assert balances(store) == {"day": (30, 0)}
    kinds = store.read(lambda connection: connection.execute("SELECT kind, nanos FROM posting ORDER BY n").fetchall())
    assert [row[0] for row in kinds] == ["lost", "found"]
    assert sum(int(row[1]) for row in kinds) == 0


def test_whoever_dies_after_it_finished_a_journal_and_before_it_deleted_it_leaves_no_riddle(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        path = await orphan(store, tmp_path / "journal")
        file = claim(path, lambda process: False)
        assert file is not None
        assert await store.write(lambda connection: reap(connection, remains(file))) is not None
        os.close(file)
        live = Spending(store, tmp_path / "journal", settings=FAST, now=lambda: AT)
        await live.start()
        await live.stop()

    asyncio.run(run())
    assert balances(store) == {"day": (180, 0)}
    assert not list((tmp_path / "journal").iterdir())
    assert "another ledger" not in caplog.text


def test_a_journal_that_cannot_be_read_keeps_no_other_from_being_finished(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    (folder / "0.journal").write_bytes(b"no journal at all")
    (folder / "00.journal").mkdir()

    async def run() -> None:
        await orphan(store, folder)
        live = Spending(store, folder, settings=FAST, now=lambda: AT)
        await live.start()
        assert live.ready
        assert live._tender is not None
        await live._tender.reap()
        await live.stop()

    asyncio.run(run())
    assert balances(store) == {"day": (180, 0)}
    assert sorted(path.name for path in folder.iterdir()) == ["0.journal", "00.journal"]
    assert sum("is left alone" in record.message for record in caplog.records) == 4, "each is told once by each of the two processes"


def test_the_journal_of_another_ledger_is_left_alone(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = open_store(tmp_path / "other.db", migrations="ledger")

    async def run() -> None:
        path = await orphan(other, tmp_path / "journal")
        live = Spending(store, tmp_path / "journal", settings=FAST, now=lambda: AT)
        await live.start()
        await live.stop()
        assert path.exists()

    asyncio.run(run())
    other.close()
    assert "another ledger" in caplog.text


def test_an_invoice_corrects_a_receipt_by_postings(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        await spending.close_durably(receipt("r", 400), [(await held(spending, intent("r", 400)), 400)])
        await spending.close_durably(receipt("u", None), [(await held(spending, intent("u", 200)), None)])
        assert await spending.true_up("r", 250) == -150
        assert await spending.true_up("r", 250) == 0
        assert await spending.true_up("u", 50) == 50
        assert await spending.true_up("u", 60) == 10
        assert await spending.true_up("absent", 1) is None

    within(store, tmp_path, test, DAY)
    assert balances(store) == {"day": (310, 0)}
    total = sum_totals(Ledger(store).totals())
    assert (total.calls, total.cost_nanos, total.unpriced) == (2, 310, 0)
    assert Ledger(store).get("r") is not None


def test_budgets_change_while_a_process_runs(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        book = BudgetBook(store)
        with pytest.raises(ConfigError):
            await book.set_budget(Budget(id="x", scope="nobody", limit_nanos=1, window="day"))
        await book.set_budget(Budget(id="run", scope="run:one", limit_nanos=50, window="total"))
        assert spending._tender is not None
        await spending._tender._look()
        assert isinstance(await spending.reserve(intent("a", 60, run="one")), Denied)
        assert spending.headroom(WHO, "openai", "m") == 1000
        hold = await held(spending, intent("b", 40, run="one"))
        await spending.close_durably(receipt("b", 10), [(hold, 10)])
        (day, run) = await book.standings(("global", "run:one"), AT)
        assert (day.budget, run.budget, run.spent_nanos, run.ends) == ("day", "run", 10, None)
        assert run.limit_nanos == 50
        assert await book.end_budget("run")
        assert not await book.end_budget("run")
        await spending._tender._look()
        spending.refund(await held(spending, intent("c", 60, run="one")))
        assert [budget.id for budget in await book.budgets()] == ["day"]

    within(store, tmp_path, test, DAY)


async def admitted(spending: Spending, prefix: str, count: int, each: int) -> int:
    """How many of so many requests that cost `each` are let through, one after the other, with everything committed."""
    found = 0
    for number in range(count):
        wanted = intent(f"{prefix}{number}", each)
        hold = spending.reserve_now(wanted) or await spending.reserve(wanted)
        if isinstance(hold, Hold):
            spending.close(receipt(wanted.id, each), [(hold, each)])
            found += 1
    async with asyncio.timeout(10):
        await spending.drain()
    return found


@pytest.mark.parametrize(
    ("actions", "let_through"), [(("block", "warn"), [1, 20, 20]), (("warn", "block"), [1, 8, 0]), (("warn", "degrade"), [1, 8, 0])]
)
def test_a_budget_that_begins_or_ceases_to_block_does_so_while_slabs_are_out(
    store: Store, tmp_path: Path, actions: tuple[Action, Action], let_through: list[int]
) -> None:
    total = Budget(id="day", scope="global", limit_nanos=1000, window="total", action=actions[0])

    async def test(spending: Spending) -> None:
        found = [await admitted(spending, "a", 1, 100)]
        kept = await held(spending, intent("kept", 100))
        spending.configure((msgspec.structs.replace(total, action=actions[1]),))
        assert spending._tender is not None
        await spending._tender.tend()
        found += [await admitted(spending, "b", 20, 100) if actions[1] == "warn" else await admitted(spending, "b", 8, 100)]
        spending.close(receipt("kept", 100), [(kept, 100)])
        await spending.drain()
        found += [await admitted(spending, "c", 20, 100)]
        assert found == let_through
        assert spending.ready

    within(store, tmp_path, test, total)
    assert balances(store) == {"day": ((sum(let_through) + 1) * 100, 0)}


@pytest.mark.parametrize("window", ["rolling:86400", "rolling:7200", "day", "week", "month", "total"])
@pytest.mark.parametrize("before", ["rolling:3600", "rolling:60"])
def test_another_window_counts_what_was_spent_in_it_before(store: Store, tmp_path: Path, before: str, window: str) -> None:
    at = AT // 86_400 * 86_400 + 11 * 3600.0 + 59 * 60.0

    async def test(spending: Spending) -> None:
        hold = await held(spending, intent("a", 900, at=at - 30.0))
        await spending.close_durably(receipt("a", 900), [(hold, 900)])
        spending.configure((msgspec.structs.replace(DAY, window=window),))
        assert spending._tender is not None
        await spending._tender.tend()
        assert isinstance(await spending.reserve(intent("b", 200, at=at)), Denied)
        spending.refund(await held(spending, intent("c", 100, at=at)))
        (found,) = await BudgetBook(store).standings(("global",), at)
        assert found.spent_nanos == 900

    within(store, tmp_path, test, msgspec.structs.replace(DAY, window=before), now=lambda: at)


def test_a_limit_that_is_lowered_counts_at_once_but_for_what_is_reserved(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        kept = await held(spending, intent("kept", 1000))
        more = spending.reserve_now(intent("more", 1))
        assert isinstance(more, Hold), "there is more in the slab"
        spending.configure((msgspec.structs.replace(large, limit_nanos=1000),))
        assert spending._tender is not None
        await spending._tender.tend()
        assert await admitted(spending, "a", 3, 1) == 0
        spending.close(receipt("kept", 900), [(kept, 900)])
        await spending._tender.tend()
        await spending.drain()
        assert await admitted(spending, "b", 3, 50) == 1
        spending.refund(more)

    large = msgspec.structs.replace(DAY, limit_nanos=10**9)
    within(store, tmp_path, test, large, settings=FAST)


def test_alerts_are_told_once_delivered_in_order_and_signed(store: Store, tmp_path: Path) -> None:
    told: list[int] = []
    sent: list[tuple[bytes, Mapping[str, str]]] = []
    answers = iter([500, 200, 200, 200])

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        assert url == "https://hooks.example/x"
        status = next(answers)
        if status == 200:
            sent.append((body, headers))
        return status

    hook = Webhook("https://hooks.example/x", post, Secret("s3cret"))

    async def test(spending: Spending) -> None:
        for number, cost in enumerate((740, 20, 10, 140, 90)):
            await spending.close_durably(receipt(f"r{number}", cost), [(await held(spending, intent(f"r{number}", cost)), cost)])
        deliverer = Deliverer(store, hook.deliver)
        assert await deliverer.run() == 0
        assert await deliverer.run() == 0, "the alert that failed is claimed for a while"
        await store.write(lambda connection: connection.execute("UPDATE alert SET claimed = 0").rowcount)
        assert await deliverer.run() == 3

    within(store, tmp_path, test, DAY, on_alert=lambda alert: told.append(alert.threshold))
    assert told == [75, 90, 100]
    documents = [json.loads(body) for body, _ in sent]
    assert [document["threshold"] for document in documents] == [75, 90, 100]
    assert documents[0].items() >= {"type": "budget_warning", "level": "warning", "budget_type": "daily", "action_taken": "warn"}.items()
    assert (
        documents[2].items() >= {"type": "budget_exceeded", "action_taken": "block", "percentage": 100.0, "limit_usd": "0.000001"}.items()
    )
    body, headers = sent[0]
    assert headers[SIGNATURE] == "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()


def test_a_webhook_that_never_answers_is_given_up(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        raise HeadgateError("nobody answers")

    async def test(spending: Spending) -> None:
        await spending.close_durably(receipt("r", 800), [(await held(spending, intent("r", 800)), 800)])
        deliverer = Deliverer(store, Webhook("http://127.0.0.1:1/", post).deliver)
        for _ in range(20):
            await deliverer.run()
            await store.write(lambda connection: connection.execute("UPDATE alert SET claimed = 0").rowcount)

    within(store, tmp_path, test, DAY)
    assert "given up after 20" in caplog.text


@pytest.mark.parametrize("url", ["ftp://x/", "https:///x", "https://user:pw@host/", "hooks", "https://host/#f"])
def test_webhooks_that_are_none(url: str) -> None:
    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        return 200

    with pytest.raises(ConfigError):
        Webhook(url, post)
    with pytest.raises(ConfigError):
        Webhook("https://host/", post, Secret(""))


def test_an_alert_of_a_budget_of_nothing() -> None:
    alert = Alert(
        at=AT,
        budget="b",
        subject="global",
        scope="global",
        period="rolling:60",
        starts=AT,
        threshold=100,
        action="degrade",
        limit_nanos=0,
        spent_nanos=5,
    )
    assert alert_json(alert).items() >= {"percentage": 100.0, "budget_type": "rolling:60", "action_taken": "fallback"}.items()


def test_every_part_of_a_torn_journal_is_noticed(tmp_path: Path) -> None:
    """Whatever byte is changed: the attempt is gone as a whole, or is settled at its bound, and the journal counts as not whole."""
    journal = Journal(tmp_path, "p", slots=8)
    context = b'{"face":"gateway","provider":"p","account":"a","model":"m"}'
    slot, size = journal.reserve("id", AT, 7, 3, context, (5).to_bytes(8, "little"))
    stored = b"{" + b"x" * 3000 + b"}"
    journal.sent(slot)
    assert journal.close(slot, size, stored)
    journal.leave()
    file = claim(tmp_path / "p.journal", lambda process: False)
    assert file is not None
    whole = remains(file)
    assert whole.closed == (stored,)
    assert whole.whole
    raw = (tmp_path / "p.journal").read_bytes()
    for place in range(2048 + 1, len(raw), 97):
        torn = bytearray(raw)
        torn[place] ^= 0xFF
        (tmp_path / "torn").write_bytes(torn)
        with (tmp_path / "torn").open("rb") as stream:
            found = remains(stream.fileno())
        if torn != raw and found.closed != (stored,):
            assert not found.closed
            assert not found.whole or [[entry.bound for entry in entries] for entries in found.sent] == [[7]]


def test_a_journal_has_room_for_long_receipts_and_says_when_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "p", slots=4)
    slot, size = journal.reserve("id", AT, 7, 3, b"{}", b"")
    assert not journal.close(slot, size, b"x" * 9000)
    assert journal.used == 1
    assert journal.close(slot, size, b"x" * 7000)
    assert journal.used == 4
    journal.free(slot)
    assert journal.used == 0
    with pytest.raises(StoreError, match="names take"):
        journal.reserve("i" * 3000, AT, 7, 3, b"{}", b"")
    journal.remove()
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be made"):
        Journal(tmp_path / "file", "q")


def test_journals_that_were_never_finished_are_swept_once_they_are_old(tmp_path: Path) -> None:
    sweep(tmp_path / "absent", AT)
    for name, age in (("old.new", STALE + 1), ("young.new", 1.0), ("old.journal", STALE + 1)):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (AT - age, AT - age))
    sweep(tmp_path, AT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.journal", "young.new"]


def test_a_journal_with_an_owner_cannot_be_claimed(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "p", slots=2)
    assert claim(journal.path, lambda process: False) is None
    assert claim(journal.path, lambda process: process == "p") is None
    journal.remove()
    assert claim(journal.path, lambda process: False) is None


def test_texts_no_database_holds_lose_no_receipt(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        hold = await held(spending, intent("r", 10))
        odd = receipt(
            "r",
            5,
            model_answered="m\ud800",
            usage=Usage(output_text=1, native={"a": "\ud800"}),
            attempts=(Attempt(provider="p", model="\ud800"),),
        )
        await spending.close_durably(odd, [(hold, 5)])

    within(store, tmp_path, test, DAY)
    found = Ledger(store).get("r")
    assert found is not None
    assert (found.model_answered, found.usage.output_text) == ("m?", 1)


def test_who_asked_in_the_words_of_a_receipt() -> None:
    assert asker_of(WHO).tenant == "team:t"
    assert asker_of(Principal()).tenant is None
    assert asker_of(Principal(owner="o")).tenant == "owner:o"


def test_the_database_itself_keeps_what_is_held_from_falling_below_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "ledger.db", migrations="ledger")
    with pytest.raises(sqlite3.IntegrityError):
        store.write_now(
            lambda connection: connection.execute("INSERT INTO balance (budget, subject, starts, held) VALUES ('b', 's', 0, -1)").rowcount
        )
    store.close()


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


# Drawing ahead

ROOMY = msgspec.structs.replace(FAST, slots=4096)


def test_who_draws_ahead_never_waits_for_the_ledger(store: Store, tmp_path: Path) -> None:
    ample = msgspec.structs.replace(DAY, limit_nanos=10**12)

    async def test(spending: Spending) -> None:
        first = await spending.reserve(intent("first"))
        assert isinstance(first, Hold)
        draws, holds = 0, [first]
        for number in range(1000):
            hold = spending.reserve_now(intent(f"r{number}"))
            assert isinstance(hold, Hold)
            holds.append(hold)
            if spending.ahead is not None:
                draws += 1
                await spending.ahead
        assert 1 < draws < 20
        for hold in holds:
            spending.sent(hold)
            spending.close(receipt(hold.id, 50), [(hold, 50)])

    within(store, tmp_path, test, ample, settings=ROOMY)
    assert balances(store) == {"day": (1001 * 50, 0)}


def test_nothing_is_drawn_ahead_near_the_limit(store: Store, tmp_path: Path) -> None:
    async def test(spending: Spending) -> None:
        for number in range(10):
            assert isinstance(await spending.reserve(intent(f"r{number}")), Hold)
            assert spending.ahead is None
        assert isinstance(await spending.reserve(intent("more")), Denied)

    within(store, tmp_path, test, DAY)


def test_a_draw_ahead_that_fails_leaves_the_rest_to_whoever_needs_it(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ample = msgspec.structs.replace(DAY, limit_nanos=10**12)

    async def test(spending: Spending) -> None:
        assert isinstance(await spending.reserve(intent("first")), Hold)
        spending.store = Unreachable(store)
        number = 0
        while isinstance(hold := spending.reserve_now(intent(f"r{number}")), Hold):
            spending.refund(hold) if number % 2 else None
            number += 1
            if spending.ahead is not None:
                await spending.ahead
        assert number > 128
        spending.store = store
        assert isinstance(await spending.reserve(intent("last")), Hold)

    with caplog.at_level(logging.INFO, "headgate.ledger"):
        within(store, tmp_path, test, ample, settings=ROOMY)
    assert sum("drawn ahead" in record.message for record in caplog.records) == 1


class Unreachable:
    """A store that cannot be written to."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def write(self, function: object) -> None:
        """Fail."""
        raise StoreError("the disk is gone")


def test_a_late_settlement_of_a_rolling_budget_tells_nothing_twice(store: Store, tmp_path: Path) -> None:
    """Requests do not end in the order in which they began."""
    told: list[int] = []
    rolling = msgspec.structs.replace(DAY, window="rolling:7200")

    async def test(spending: Spending) -> None:
        for id, at, cost in (("a", AT, 700), ("b", AT + 600, 200), ("c", AT, 60)):
            hold = await spending.reserve(intent(id, cost, at=at))
            assert isinstance(hold, Hold)
            spending.sent(hold)
            spending.close(receipt(id, cost, at=at), [(hold, cost)])
            await spending.drain()

    within(store, tmp_path, test, rolling, on_alert=lambda alert: told.append(alert.threshold))
    assert told == [75, 90]
