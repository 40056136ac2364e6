"""A hard budget over HTTP, several processes on one ledger: never over at any look, closed while the ledger is away, alerts once each."""

from __future__ import annotations

import asyncio
import resource
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import msgspec
import pytest

from headgate.config import Secret
from headgate.domain.cost import usd_text
from headgate.sim.settings import SimSettings
from headgate.store.connection import Connection
from headgate.testing.books import opened_ledger, read_books
from headgate.testing.cut_wire import CutWire
from headgate.testing.simulators import wait_for
from headgate.testing.traffic import CHAT, Line, chat_body

if TYPE_CHECKING:
    from tests.proofs.conftest import MakeGate, MakeSimulator, Record

    from headgate.sim.server import Simulator
    from headgate.testing.served import Served

LINES = 32
ASKED = chat_body("hello", most=40)
COST = 18_900
"""Nano-dollars that the simulator bills for `ASKED`; what has to be reserved for it is some six times that."""
DENIED = 402
USED = "SELECT coalesce(sum(spent + held), 0), coalesce(sum(held), 0) FROM balance WHERE budget = :budget"


def settings(limit: int, watched: int) -> str:
    """A budget that blocks, and one that only warns."""
    return f"""budgets:
  - {{scope: global, limit_usd: "{usd_text(limit)}", window: total, action: block}}
  - {{scope: "provider:sim-openai", limit_usd: "{usd_text(watched)}", window: total, action: warn}}
"""


class Looks(msgspec.Struct):
    """What was seen of a budget by somebody who looked again and again."""

    count: int = 0
    most: int = 0
    held: int = 0


@contextmanager
def looking(gate: Served, budget: str = "global/total") -> Iterator[Looks]:
    """Look at the budget in the ledger as often as that goes, while the block runs."""
    looks, over = Looks(), threading.Event()

    def used(connection: Connection) -> tuple[int, int]:
        row = connection.execute(USED, {"budget": budget}).fetchone()
        assert row is not None
        return int(str(row[0])), int(str(row[1]))

    def look() -> None:
        with opened_ledger(gate.place) as store:
            while not over.wait(0.005):
                used_now, looks.held = store.read(used)
                looks.most = max(looks.most, used_now)
                looks.count += 1

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join()


async def load(gate: Served, requests: int) -> Counter[int]:
    """Ask so many times, over `LINES` connections at once. Gives how often each status came."""
    found: Counter[int] = Counter()

    async def ask(count: int) -> None:
        async with Line(gate.port) as line:
            for _ in range(count):
                found[(await line.ask(CHAT, ASKED)).status] += 1

    await asyncio.gather(*(ask(requests // LINES) for _ in range(LINES)))
    return found


async def to_the_end(gate: Served) -> Counter[int]:
    """Ask until there is nothing left."""
    found: Counter[int] = Counter()
    async with Line(gate.port) as line:
        while not found[DENIED]:
            found[(await line.ask(CHAT, ASKED)).status] += 1
    return found


def raced(make_gate: MakeGate, simulator: Simulator, database: Secret | None, workers: int, requests: int, record: Record) -> None:
    limit, watched = requests * COST // 2, requests * COST // 3
    gate = make_gate(simulator, settings=settings(limit, watched), workers=workers, database=database)
    with looking(gate) as looks:
        found = asyncio.run(load(gate, requests))
        assert wait_for(lambda: looks.held == 0, 20), "what lies idle is given back"
        found += asyncio.run(to_the_end(gate))
    assert gate.stop() == 0, gate.said
    books, bill = read_books(gate.place), simulator.bill
    assert set(found) == {200, DENIED}, found
    assert looks.most <= limit and looks.count > 10
    assert books.contradictions() == []
    assert len(bill) == len(books.receipts) == found[200]
    spent = {one.budget: one.spent for one in books.balances}
    assert spent == {"global/total": bill.total, "provider:sim-openai/total": bill.total}
    assert limit * 9 // 10 < bill.total <= limit, "what is left lies in slabs that come back idle"
    told = [(budget, threshold) for budget, _, threshold in books.alerts]
    assert [threshold for budget, threshold in told if budget == "global/total"][:2] == [75, 90]
    assert [threshold for budget, threshold in told if budget == "provider:sim-openai/total"] == [75, 90, 100]
    figures = {"processes": workers, "admitted": found[200], "denied": found[DENIED], "limit": limit, "spent": bill.total}
    for name, value in (*figures.items(), ("looks", looks.count), ("most_seen", looks.most), ("over", max(0, looks.most - limit))):
        record(name, value)


def test_processes_never_spend_more_than_a_budget(
    make_simulator: MakeSimulator, make_gate: MakeGate, database: Secret | None, record_property: Record
) -> None:
    raced(make_gate, make_simulator(SimSettings(seed=7)), database, 4, 4 * 200, record_property)


@pytest.mark.proofs
def test_eight_processes_never_spend_more_than_a_budget(
    make_simulator: MakeSimulator, make_gate: MakeGate, database: Secret | None, record_property: Record
) -> None:
    raced(make_gate, make_simulator(SimSettings(seed=7)), database, 8, 8 * 10_000, record_property)


# The ledger is away


@contextmanager
def no_disk(gate: Served) -> Iterator[None]:
    """Nothing can be written to the ledger's files while the block runs, as on a full disk."""
    pids = gate.worker_pids()
    before = [resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids]
    for pid, (_, hard) in zip(pids, before, strict=True):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (32 << 10, hard))
    yield
    for pid, limits in zip(pids, before, strict=True):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def no_server(wire: CutWire) -> Iterator[None]:
    """The database cannot be reached while the block runs."""
    wire.cut()
    yield
    wire.mend()


def closed_meanwhile(gate: Served, simulator: Simulator, away: object) -> None:
    """Some requests before, some while the ledger is away, some after."""

    async def ask(count: int) -> list[int]:
        async with Line(gate.port) as line:
            return [(await line.ask(CHAT, ASKED)).status for _ in range(count)]

    def refused() -> bool:
        return asyncio.run(ask(1)) == [503]

    assert set(asyncio.run(ask(20))) == {200}
    with away:  # type: ignore[attr-defined]
        assert wait_for(lambda: all(refused() for _ in range(8)), 20), "every process has noticed"
        billed = len(simulator.bill)
        assert set(asyncio.run(load(gate, 320))) == {503}
        assert len(simulator.bill) == billed, "0 admitted"
    assert wait_for(lambda: not refused(), 30)
    assert wait_for(lambda: asyncio.run(ask(8)) == [200] * 8, 30)
    assert gate.stop() == 0, gate.said
    books = read_books(gate.place)
    assert books.contradictions() == []
    assert len(books.receipts) == len(simulator.bill), "what was under way is written afterwards"
    assert {one.spent for one in books.balances} == {simulator.bill.total} == {books.cost}


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_admitted_while_the_disk_is_full(make_simulator: MakeSimulator, make_gate: MakeGate, workers: int) -> None:
    simulator = make_simulator(SimSettings(seed=7))
    gate = make_gate(simulator, settings=settings(10**12, 10**12), workers=workers)
    closed_meanwhile(gate, simulator, no_disk(gate))


@pytest.mark.service
def test_nothing_is_admitted_while_the_database_is_away(make_simulator: MakeSimulator, make_gate: MakeGate, postgres_url: Secret) -> None:
    parts = urlsplit(postgres_url.reveal())
    with CutWire(parts.hostname or "", parts.port or 5432) as wire:
        login = parts.netloc.rpartition("@")[0]
        through = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{wire.port}"))
        simulator = make_simulator(SimSettings(seed=7))
        gate = make_gate(simulator, settings=settings(10**12, 10**12), workers=2, database=Secret(through))
        closed_meanwhile(gate, simulator, no_server(wire))
