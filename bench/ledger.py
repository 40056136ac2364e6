#!/usr/bin/env python3
"""What money costs a request: reserving, noting that it was sent, closing, and its share of committing, as CPU of the whole process.

    bench/ledger.py             # 10^5 requests a column
    bench/ledger.py --smoke     # 2,000 requests

The goals are shown; nothing is judged, because such small figures follow the machine's load.

Microseconds of `time.process_time` per request, all threads of the process together, journal, encoding, hashing and SQLite included. The
receipts are made beforehand, because every face makes them anyway. Columns: no budget; two hard budgets (one key's, one for all); the same
with SQLite's synchronous=FULL. "one core" is how many requests a second that leaves room for if a process did nothing else. 64 attempts
are open at any time, and 100 requests are committed together, as at 5,000 a second. As a yardstick: one receipt of the same size inserted
by a bare `executemany` in transactions of 100.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Literal

from headgate.domain.usage import Usage
from headgate.ledger import Attempt, Receipt, new_id
from headgate.ledger.budgets import Bound, Budget
from headgate.ledger.intent import Intent
from headgate.ledger.principal import Principal
from headgate.ledger.rows import encoded
from headgate.ledger.spending import Hold, Spending
from headgate.store.database import Database

OUT = Path(__file__).resolve().parent / "out"
WHO = Principal(key_id="k_7f3a", team="search", subjects=("global", "key:k_7f3a", "team:search"))
HARD = (
    Budget(id="all", scope="global", limit_nanos=10**15, window="month"),
    Budget(id="keys", scope="key:*", limit_nanos=10**15, window="day"),
)
COLUMNS: dict[str, tuple[tuple[Budget, ...], Literal["NORMAL", "FULL"], float | None]] = {
    "no budget": ((), "NORMAL", 12.0),
    "2 hard budgets": (HARD, "NORMAL", 14.0),
    "2 hard budgets, FULL": (HARD, "FULL", None),
}
OPEN = 64
TOGETHER = 100


def receipt(at: float) -> Receipt:
    """A receipt as the gateway makes them."""
    tried = {"provider": "openai", "model": "gpt-5-mini", "status": 200, "request_id": "req_9a1b", "cost_nanos": 71_000}
    attempt = Attempt(**tried, started=at, duration=0.512)
    return Receipt(
        id=new_id(at, os.urandom(10)),
        at=at,
        face="gateway",
        provider="openai",
        model="gpt-5-mini",
        model_answered="gpt-5-mini-2025-08-07",
        dialect_in="openai_chat",
        dialect_out="openai_chat",
        finish="stop",
        attempts=(attempt,),
        usage=Usage(input_uncached=148, output_text=17),
        cost_nanos=71_000,
        price_rule="openai/gpt-5-mini@2026-10-14",
        price_digest="0123456789abcdef",
        unit_prices={"input_uncached": "0.25", "output_text": "2"},
        request_id="req_9a1b",
        duration=0.512,
        first_byte=0.31,
        key=WHO.key_id,
        team=WHO.team,
        tenant=WHO.tenant,
        explanation="openai/gpt-5-mini: asked for by name",
    )


async def run(spending: Spending, receipts: list[Receipt]) -> float:
    """CPU seconds for all receipts."""
    bound = Bound(4_000_000)
    under_way: deque[tuple[Receipt, Hold]] = deque()
    began = time.process_time()
    for index, each in enumerate(receipts):
        at = time.time()
        intent = Intent(id=each.id, at=at, principal=WHO, provider="openai", model="gpt-5-mini", bound=bound, request_bytes=900)
        hold = spending.reserve_now(intent) or await spending.reserve(intent)
        if not isinstance(hold, Hold):
            raise RuntimeError(hold.message())
        spending.sent(hold)
        under_way.append((each, hold))
        if len(under_way) == OPEN:
            spending.close(*pair(under_way.popleft()))
        if index % TOGETHER == 0:
            await spending.drain()
    while under_way:
        spending.close(*pair(under_way.popleft()))
    await spending.drain()
    return time.process_time() - began


def pair(open_one: tuple[Receipt, Hold]) -> tuple[Receipt, list[tuple[Hold, int | None]]]:
    """The arguments of `close`."""
    return open_one[0], [(open_one[1], open_one[0].cost_nanos)]


async def measure(folder: Path, budgets: tuple[Budget, ...], synchronous: Literal["NORMAL", "FULL"], count: int) -> dict[str, float]:
    """One column."""
    store = Database.open(folder / "ledger.db", migrations="ledger", synchronous=synchronous)
    spending = Spending(store, folder / "journal", budgets)
    await spending.start()
    await run(spending, [receipt(time.time()) for _ in range(count // 20)])
    receipts = [receipt(time.time()) for _ in range(count)]
    gc.collect()
    gc.freeze()  # no server holds so many receipts: looking through them is not part of the price
    commits, began = store.transactions, time.perf_counter()
    cpu = await run(spending, receipts)
    wall = time.perf_counter() - began
    commits = store.transactions - commits
    await spending.stop()
    kept = store.read(lambda connection: connection.execute("SELECT count(*) FROM receipt").fetchone())
    store.close()
    if kept is None or kept[0] != count + count // 20:
        raise RuntimeError("receipts are missing")
    return {
        "us_per_request": round(cpu / count * 1e6, 2),
        "one_core": round(count / cpu),
        "requests_per_second": round(count / wall),
        "requests_per_commit": round(count / commits, 1),
    }


def bare(folder: Path, count: int) -> float:
    """Microseconds of CPU for one receipt, inserted by SQLite alone."""
    rows = [(each.id, each.at, encoded(each).decode()) for each in (receipt(1e9 + n) for n in range(count))]
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE receipt (id TEXT NOT NULL PRIMARY KEY, at REAL, detail TEXT)")
    began = time.process_time()
    for start in range(0, count, 100):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO receipt VALUES (?, ?, ?)", rows[start : start + 100])
        connection.execute("COMMIT")
    cpu = time.process_time() - began
    connection.close()
    return cpu / count * 1e6


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="2,000 requests")
    options = parser.parse_args()
    count = 2_000 if options.smoke else 100_000
    with tempfile.TemporaryDirectory() as folder:
        yardstick = bare(Path(folder), count)
        print(f"bare SQLite: {yardstick:.1f} us a receipt")
        print(f"{'':<22}{'us/request':>11}{'x bare':>8}{'goal':>7}{'one core':>10}{'commit of':>10}")
        columns = {}
        for name, (budgets, synchronous, goal) in COLUMNS.items():
            place = Path(folder) / name.replace(" ", "-")
            place.mkdir()
            found = asyncio.run(measure(place, budgets, synchronous, count))
            found["ratio"] = round(found["us_per_request"] / yardstick, 2)
            columns[name] = found
            shown = "-" if goal is None else f"{goal:.0f}"
            print(
                f"{name:<22}{found['us_per_request']:>11}{found['ratio']:>8}{shown:>7}{found['one_core']:>10}{found['requests_per_commit']:>10}"
            )
    OUT.mkdir(exist_ok=True)
    (OUT / "ledger.json").write_text(json.dumps({"bare_us": round(yardstick, 2), "columns": columns}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
