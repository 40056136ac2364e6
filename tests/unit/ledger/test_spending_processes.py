"""Many processes over one ledger, and processes that are killed: never over, nothing lost, nothing twice, alerts once each and in order."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.config import Secret
from headgate.ledger.rows import decoded
from headgate.ledger.spending import Spending
from headgate.store import Store, open_store

WORKER = Path(__file__).with_name("spending_worker.py")


def start(place: str, folder: Path, name: str, seed: int, requests: int, concurrency: int, limit: int) -> subprocess.Popen[str]:
    arguments = [place, str(folder), name, *map(str, (seed, requests, concurrency, limit))]
    return subprocess.Popen([sys.executable, str(WORKER), *arguments], stdout=subprocess.PIPE, text=True, env={**os.environ})


def place_of(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "ledger.db") if request.param == "sqlite" else request.getfixturevalue("postgres_url").reveal()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return place_of(request, tmp_path)


def open_place(place: str) -> Store:
    return open_store(Secret(place) if "://" in place else place, migrations="ledger")


class Finding:
    """What a ledger says after everything is over."""

    def __init__(self, place: str, limit: int) -> None:
        store = open_place(place)
        read = store.read
        self.receipts = {
            row[0]: decoded(str(row[1]).encode()) for row in read(lambda c: c.execute("SELECT id, detail FROM receipt").fetchall())
        }
        balances = read(lambda c: c.execute("SELECT n, budget, subject, spent, held FROM balance ORDER BY n").fetchall())
        self.alerts = read(lambda c: c.execute("SELECT budget, subject, threshold FROM alert ORDER BY n").fetchall())
        self.processes = read(lambda c: c.execute("SELECT count(*) FROM process").fetchall())[0][0]
        store.close()
        charged: dict[int, int] = {}
        for receipt in self.receipts.values():
            for balance, nanos in receipt.charges:
                charged[balance] = charged.get(balance, 0) + nanos
        for number, budget, _, spent, held in balances:
            most = {"all": limit, "keys": limit // 2}.get(str(budget))
            assert held == 0
            assert int(spent) == charged.get(int(number), 0), "the counter is the sum of the receipts"
            assert most is None or int(spent) <= most, "never over"
        self.spent = {(str(row[1]), str(row[2])): int(row[3]) for row in balances}
        told: dict[tuple[object, object], list[int]] = {}
        for budget, subject, threshold in self.alerts:
            told.setdefault((budget, subject), []).append(int(threshold))
        assert all(found == sorted(set(found)) for found in told.values()), "alerts come once each, in order"
        self.told = told


def race(place: str, folder: Path, processes: int, requests: int, limit: int) -> tuple[Finding, list[dict[str, int]]]:
    running = [start(place, folder, f"p{n}", n, requests, 16, limit) for n in range(processes)]
    counts = [json.loads(process.communicate(timeout=600)[0]) for process in running]
    assert all(process.returncode == 0 for process in running)
    found = Finding(place, limit)
    assert len(found.receipts) == sum(count["admitted"] for count in counts)
    assert found.processes == 0
    return found, counts


def test_processes_that_race_never_spend_more_than_the_limit(place: str, tmp_path: Path) -> None:
    limit = 4 * 300 * 500 // 2
    open_place(place).close()
    found, counts = race(place, tmp_path, 4, 300, limit)
    assert sum(count["denied"] for count in counts) > 0
    assert found.spent["all", "global"] > limit - 2000, "what is left is less than one request"
    assert found.told["all", "global"][:3] == [50, 75, 90]


@pytest.mark.proofs
def test_eight_processes_at_length(place: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    limit = 8 * 10_000 * 500 // 2
    open_place(place).close()
    found, counts = race(place, tmp_path, 8, 10_000, limit)
    record_property("admitted", sum(count["admitted"] for count in counts))
    record_property("denied", sum(count["denied"] for count in counts))
    record_property("spent", found.spent["all", "global"])
    record_property("limit", limit)
    record_property("alerts", len(found.alerts))


def killed(place: str, folder: Path, kills: int, seed: int) -> tuple[Finding, int]:
    """Kill a spending process again and again at random moments, finish what it left, and hold the ledger against the provider's bill."""
    dice = random.Random(seed)
    open_place(place).close()
    limit = 10**12
    for round in range(kills):
        process = start(place, folder, f"k{round}", round, 10**6, 24, limit)
        bill = folder / f"k{round}.bill"
        began = threading.Event()
        while process.poll() is None and (not bill.exists() or not bill.stat().st_size):
            began.wait(0.005)
        began.wait(dice.random() * 0.15)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finish(place, folder)
    found = Finding(place, limit)
    billed: dict[str, list[tuple[str, int, int]]] = {}
    for path in folder.glob("*.bill"):
        for line in path.read_text().splitlines():
            word, id, cost, bound = line.split()
            billed.setdefault(id, []).append((word, int(cost), int(bound)))
    assert set(billed) <= set(found.receipts), "nothing that was sent is lost"
    for id, lines in billed.items():
        cost, bound = lines[0][1:]
        assert found.receipts[id].cost_nanos in ({cost} if len(lines) == 2 else {cost, bound})
    lost = [receipt for id, receipt in found.receipts.items() if id not in billed]
    assert all(receipt.error == "lost" for receipt in lost)
    assert len(lost) <= kills
    return found, len(billed)


def finish(place: str, folder: Path) -> None:
    """What the next process does when it starts."""

    async def once() -> None:
        store = open_place(place)
        spending = Spending(store, folder / "journal")
        await spending.start()
        await spending.stop()
        store.close()

    asyncio.run(once())
    assert not list((folder / "journal").iterdir())


def test_a_killed_process_loses_nothing_and_books_nothing_twice(place: str, tmp_path: Path) -> None:
    found, billed = killed(place, tmp_path, 4, seed=1)
    assert billed > 50
    assert found.processes == 0


@pytest.mark.proofs
def test_two_hundred_kills(place: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    found, billed = killed(place, tmp_path, 200, seed=2)
    record_property("kills", 200)
    record_property("billed", billed)
    record_property("receipts", len(found.receipts))
    record_property("estimated", sum(receipt.error == "lost" for receipt in found.receipts.values()))
