"""The money of processes: whatever happens in whatever order, a hard budget is never exceeded, and nothing is booked twice or lost."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from headgate.config import Secret
from headgate.ledger import Receipt
from headgate.ledger.budgets import Action, Bound, Budget, Denied, window_at
from headgate.ledger.intent import Intent
from headgate.ledger.old_balances import SLACK, delete_balances, unreachable
from headgate.ledger.principal import Principal
from headgate.ledger.rows import receipt_of
from headgate.ledger.spending import Hold, Spending
from headgate.ledger.spending_settings import SpendingSettings
from headgate.store import open_store
from headgate.store.base import Store
from headgate.store.connection import Connection

QUIET = SpendingSettings(flush_interval=0.0, patience=0.05, refusal=0.0, reap_interval=0.0, tick=3600.0, slots=64)


def principal(name: str, **changes: object) -> Principal:
    """A bearer of a key of that name, in team blue."""
    return Principal(key_id=name, team="blue", subjects=("global", f"key:{name}", "team:blue"), **changes)


def intent(id: str, at: float, bound: int | None, who: Principal, provider: str = "openai") -> Intent:
    """An attempt of `who`."""
    return Intent(id=id, at=at, principal=who, provider=provider, model="m", bound=Bound(bound, "no price"), request_bytes=40)


def receipt(id: str, at: float, cost: int | None, who: Principal, provider: str = "openai") -> Receipt:
    """Its receipt."""
    return Receipt(id=id, at=at, face="gateway", provider=provider, model="m", cost_nanos=cost, key=who.key_id)


def crash(spending: Spending) -> None:
    """End a process as `kill -9` does: nothing is written any more, its journal stays, unlocked."""
    if spending._tender is not None and spending._tender._task is not None:
        spending._tender._task.cancel()
    if spending._flusher is not None:
        spending._flusher.stop()
        spending._flusher._loop = asyncio.new_event_loop()
        spending._flusher._loop.close()
    if spending._journal is not None:
        spending._journal.leave()


async def opened(store: Store, folder: Path, budgets: tuple[Budget, ...], now: list[float], **changes: object) -> Spending:
    """A process."""
    settings = changes.pop("settings", QUIET)
    spending = Spending(store, folder, budgets, settings=settings, now=lambda: now[0], **changes)
    await spending.start()
    return spending


async def spend(spending: Spending, id: str, at: float, bound: int, cost: int, who: Principal) -> bool:
    """One request, from the reservation to its receipt. False: it was denied."""
    hold = await spending.reserve(intent(id, at, bound, who))
    if not isinstance(hold, Hold):
        return False
    spending.sent(hold)
    spending.close(receipt(id, at, cost, who), [(hold, cost)])
    return True


def sums(connection: Connection) -> dict[tuple[str, str, float], tuple[int, int]]:
    """Spent and held of every balance."""
    rows = connection.execute("SELECT budget, subject, starts, spent, held FROM balance").fetchall()
    return {(str(row[0]), str(row[1]), float(row[2])): (int(row[3]), int(row[4])) for row in rows}


def window(budget: Budget, key: tuple[str, str, float], found: Iterable[tuple[str, str, float]]) -> list[tuple[str, str, float]]:
    """Those of the balances `found` that count in the window of balance `key`."""
    since = window_at(budget.window, key[2]).counts_from
    return [each for each in found if each[:2] == key[:2] and since <= each[2] <= key[2]]


def check(
    store: Store, budgets: tuple[Budget, ...], allowed: dict[tuple[str, str, float], int] | None = None
) -> dict[tuple[str, str, float], tuple[int, int]]:
    """The laws of every commit. Returns spent and held of every balance.

    `allowed`: what may be used after a change, with what was under way then.
    """

    def look(connection: Connection) -> dict[tuple[str, str, float], tuple[int, int]]:
        found = sums(connection)
        slabs = connection.execute(
            "SELECT balance.budget, balance.subject, balance.starts, sum(slab.amount) FROM slab"
            " JOIN balance ON balance.n = slab.balance JOIN process ON process.id = slab.process"
            " WHERE process.state = 'live' GROUP BY balance.budget, balance.subject, balance.starts"
        ).fetchall()
        amounts = {(str(row[0]), str(row[1]), float(row[2])): int(row[3]) for row in slabs}
        assert {key: held for key, (_, held) in found.items() if held} == {key: amount for key, amount in amounts.items() if amount}
        for budget in budgets:
            if budget.hard:
                for key in found:
                    if key[0] == budget.id:
                        within = window(budget, key, found)
                        before = max((allowed or {}).get(each, 0) for each in within)
                        assert sum(sum(found[each]) for each in within) <= max(budget.limit_nanos, before), (budget, found)
        charged = _charged(connection)
        assert charged == {key: spent for key, (spent, _) in found.items() if spent}
        return found

    return store.read(look)


def _charged(connection: Connection) -> dict[tuple[str, str, float], int]:
    """What receipts and postings say was spent of the balances there are."""
    names = {
        int(row[0]): (str(row[1]), str(row[2]), float(row[3]))
        for row in connection.execute("SELECT n, budget, subject, starts FROM balance").fetchall()
    }
    found: dict[tuple[str, str, float], int] = {}
    for row in connection.execute("SELECT at, detail FROM receipt").fetchall():
        for balance, nanos in receipt_of(row).charges:
            if balance in names:
                found[names[balance]] = found.get(names[balance], 0) + nanos
    for row in connection.execute("SELECT balance, nanos FROM posting WHERE balance IS NOT NULL").fetchall():
        if int(row[0]) in names:
            found[names[int(row[0])]] = found.get(names[int(row[0])], 0) + int(row[1])
    return {key: nanos for key, nanos in found.items() if nanos}


DAY0 = 1_800_000_000.0 // 86400 * 86400
ANN, BOB = principal("ann"), principal("bob")
HARD = (
    Budget(id="all", scope="global", limit_nanos=1000, window="day"),
    Budget(id="keys", scope="key:*", limit_nanos=600, window="rolling:7200"),
    Budget(id="blue", scope="team:blue", limit_nanos=300, window="week", action="warn"),
    Budget(id="openai", scope="provider:openai", limit_nanos=1500, window="total", action="degrade"),
)


class Machine(RuleBasedStateMachine):
    """Two processes over one store, that reserve, send, refund, close, pause, crash and come back, in any order."""

    place: Callable[[Path], Store]
    schema = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.now = [DAY0 + 3600.0]
        self.store = type(self).place(self.folder)
        self.processes: list[Spending | None] = [None, None]
        self.budgets = HARD
        self.allowed: dict[tuple[str, str, float], int] = {}
        self.holds: list[list[tuple[Hold, list[tuple[Budget, tuple[str, str, float]]], Receipt]]] = [[], []]
        self.expected: dict[tuple[str, str, float], int] = {}
        self.receipts: dict[str, int] = {}
        self.gone: set[tuple[str, str, float]] = set()
        self.count = 0

    def run(self, coroutine: object) -> object:
        return self.loop.run_until_complete(coroutine)

    def up(self, which: int) -> Spending:
        found = self.processes[which]
        if found is None:
            found = self.processes[which] = self.run(opened(self.store, self.folder / "journal", self.budgets, self.now))
        return found

    def counted(self, at: float, who: Principal, provider: str) -> list[tuple[Budget, tuple[str, str, float]]]:
        """The budgets that count for a request, each with the balance it is to be charged to."""
        subjects = {"all": "global", "keys": f"key:{who.key_id}", "blue": "team:blue"} | (
            {"openai": "provider:openai"} if provider == "openai" else {}
        )
        return [(one, (one.id, subjects[one.id], window_at(one.window, at).starts)) for one in self.budgets if one.id in subjects]

    def book(self, counted: list[tuple[Budget, tuple[str, str, float]]], id: str, cost: int) -> None:
        for _, key in counted:
            self.expected[key] = self.expected.get(key, 0) + cost
        self.receipts[id] = cost

    @rule(
        which=st.integers(0, 1), bound=st.integers(0, 400), who=st.sampled_from([ANN, BOB]), provider=st.sampled_from(["openai", "local"])
    )
    def reserve(self, which: int, bound: int, who: Principal, provider: str) -> None:
        spending = self.up(which)
        self.count += 1
        wanted = intent(f"r{self.count}", self.now[0], bound, who, provider)
        found = spending.reserve_now(wanted) or self.run(spending.reserve(wanted))
        if isinstance(found, Hold):
            noted = receipt(found.id, self.now[0], None, who, provider)
            self.holds[which].append((found, self.counted(self.now[0], who, provider), noted))
        else:
            assert isinstance(found, Denied)
            assert found.reason == "exceeded"

    @rule(which=st.integers(0, 1), who=st.sampled_from([ANN, BOB]))
    def unbounded(self, which: int, who: Principal) -> None:
        found = self.run(self.up(which).reserve(intent("never", self.now[0], None, who)))
        if isinstance(found, Hold):
            assert not any(budget.hard for budget, _ in self.counted(self.now[0], who, "openai"))
            self.up(which).refund(found)
        else:
            assert found.reason == "unbounded"

    @precondition(lambda self: any(self.holds))
    @rule(which=st.integers(0, 1), pick=st.integers(0, 99))
    def send(self, which: int, pick: int) -> None:
        fresh = [hold for hold, *_ in self.holds[which] if hold.state == 0]
        if fresh:
            self.up(which).sent(fresh[pick % len(fresh)])

    @precondition(lambda self: any(self.holds))
    @rule(which=st.integers(0, 1), pick=st.integers(0, 99), share=st.integers(0, 100))
    def close(self, which: int, pick: int, share: int) -> None:
        if self.holds[which]:
            hold, counted, noted = self.holds[which].pop(pick % len(self.holds[which]))
            cost = hold.bound * share // 100
            self.up(which).close(msgspec.structs.replace(noted, cost_nanos=cost), [(hold, cost)])
            self.book(counted, hold.id, cost)

    @precondition(lambda self: any(self.holds))
    @rule(which=st.integers(0, 1), pick=st.integers(0, 99))
    def refund(self, which: int, pick: int) -> None:
        if self.holds[which]:
            self.up(which).refund(self.holds[which].pop(pick % len(self.holds[which]))[0])

    @rule(which=st.integers(0, 1))
    def flush(self, which: int) -> None:
        if self.processes[which] is not None:
            self.run(self.up(which).drain())

    @rule(which=st.integers(0, 1))
    def tend(self, which: int) -> None:
        if self.processes[which] is not None:
            self.run(self.up(which)._tender.tend())

    @rule()
    def prune(self) -> None:
        """Delete the balances that no window reaches any more; nothing else is different."""

        def delete(connection: Connection) -> list[dict[tuple[str, str, float], tuple[int, int]]]:
            before = sums(connection)
            delete_balances(connection, unreachable(connection, self.now[0]))
            return [before, sums(connection)]

        before, after = self.store.write_now(delete)
        assert after.items() <= before.items()
        gone = before.keys() - after.keys()
        assert all(before[key][1] == 0 and key[2] < self.now[0] - SLACK - 7200 for key in gone)
        self.gone |= gone

    @rule(hours=st.sampled_from([0.01, 0.1, 1.0, 3.0, 24.0]))
    def wait(self, hours: float) -> None:
        self.now[0] += hours * 3600

    @rule(which=st.integers(0, 1))
    def crash(self, which: int) -> None:
        spending = self.processes[which]
        if spending is not None:
            crash(spending)
            self.processes[which] = None
            for hold, counted, _ in self.holds[which]:
                if hold.state == 1:
                    self.book(counted, hold.id, hold.bound)
            self.holds[which] = []

    @rule(
        which=st.integers(0, len(HARD) - 1),
        share=st.sampled_from([30, 100, 200]),
        action=st.sampled_from(["block", "warn"]),
        out=st.booleans(),
    )
    def change(self, which: int, share: int, action: Action, out: bool) -> None:
        """Other settings are read while slabs are out: another limit, another action, or no such budget any more."""
        changed = msgspec.structs.replace(HARD[which], limit_nanos=HARD[which].limit_nanos * share // 100, action=action)
        self.budgets = tuple(one for one in (*self.budgets, changed) if one.id != changed.id or (one is changed and not out))
        self.up(0)
        for spending in self.processes:
            if spending is not None:
                spending.configure(self.budgets)
                self.run(spending._tender.tend())
                self.run(spending.drain())
        found = self.store.read(sums)
        for key in [key for key in found if key[0] == changed.id]:
            within = window(changed, key, found)
            open_ones = [hold.bound for holds in self.holds for hold, counted, _ in holds for _, each in counted if each in within]
            used = sum(sum(found[each]) for each in within)
            self.allowed[key] = max(changed.limit_nanos, used) + sum(open_ones)  # what is under way was admitted by the old rules

    @invariant()
    def never_over(self) -> None:
        check(self.store, self.budgets, self.allowed)

    def teardown(self) -> None:
        try:
            last = self.up(0)
            for which in (0, 1):
                spending = self.processes[which]
                for hold, *_ in self.holds[which]:
                    spending.refund(hold)
            self.run(last.drain())
            self.run(last._tender.reap())
            for spending in self.processes:
                if spending is not None:
                    self.run(spending.stop())
            found = check(self.store, self.budgets, self.allowed)
            assert {key: value for key, value in self.expected.items() if value and key not in self.gone} == {
                key: spent for key, (spent, _) in found.items() if spent
            }
            assert not any(held for _, held in found.values())
            rows = self.store.read(lambda connection: connection.execute("SELECT id, cost_nanos FROM receipt").fetchall())
            assert dict(rows) == self.receipts
            assert not list((self.folder / "journal").iterdir())
        finally:
            self.store.close()
            self.loop.close()
            shutil.rmtree(self.folder)


QUICK = settings(max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(QUICK, max_examples=400, stateful_step_count=50)


class OverSqlite(Machine):
    place = staticmethod(lambda folder: open_store(folder / "ledger.db", migrations="ledger"))


def over_postgres(server: str) -> type[Machine]:
    """The machine over schemas of a server, each dropped when the next is made."""
    schema = f"test_{secrets.token_hex(6)}"

    def place(folder: Path) -> Store:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())
        return open_store(Secret(f"{server}?schema={schema}"), migrations="ledger")

    return type("OverPostgres", (Machine,), {"place": staticmethod(place), "schema": schema})


def drop(server: str, schema: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())


def test_model_over_sqlite() -> None:
    run_state_machine_as_test(OverSqlite, settings=QUICK)


@pytest.mark.service
def test_model_over_postgresql(service_url: Callable[[str], str]) -> None:
    machine = over_postgres(service_url("postgresql"))
    run_state_machine_as_test(machine, settings=settings(QUICK, max_examples=4))
    drop(service_url("postgresql"), machine.schema)


@pytest.mark.proofs
def test_model_over_sqlite_at_length(record_property: Callable[[str, object], None]) -> None:
    run_state_machine_as_test(OverSqlite, settings=LONG)
    record_property("examples", LONG.max_examples)


@pytest.mark.proofs
@pytest.mark.service
def test_model_over_postgresql_at_length(service_url: Callable[[str], str], record_property: Callable[[str, object], None]) -> None:
    machine = over_postgres(service_url("postgresql"))
    run_state_machine_as_test(machine, settings=settings(LONG, max_examples=60))
    drop(service_url("postgresql"), machine.schema)
    record_property("examples", 60)
