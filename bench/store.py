#!/usr/bin/env python3
"""How fast receipts are written: into a SQLite file, and into PostgreSQL where one answers.

    bench/store.py             # 20,000 receipts each way
    bench/store.py --smoke     # 500

*grouped* are receipts that wait for nothing and share commits; *alone* is one after the other, a commit each. SQLite's `synchronous` is
NORMAL (survives the end of the process) or FULL (survives a power cut). PostgreSQL's `synchronous_commit` is that of the server, or off.
CPU is that of this process. Results go to bench/out/store.json. The server is HEADGATE_TEST_POSTGRESQL, and gets a schema that is dropped.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psycopg

from headgate.config import Secret
from headgate.domain.usage import Usage
from headgate.ledger import Ledger, Receipt
from headgate.store import open_store

OUT = Path(__file__).resolve().parent / "out"
SERVER = os.environ.get("HEADGATE_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/test")
USAGE = Usage(input_uncached=1200, cache_read=300, output_text=250)
RECEIPT = Receipt(id="", at=1.79e9, face="gateway", provider="openai", model="gpt-5", usage=USAGE, cost_nanos=4_000_000, duration=1.2)


@contextmanager
def sqlite(synchronous: str) -> Iterator[Ledger]:
    """An empty ledger in a file."""
    with tempfile.TemporaryDirectory() as folder:
        yield Ledger(open_store(Path(folder) / "ledger.db", migrations="ledger", synchronous=synchronous))


@contextmanager
def postgresql(commit: str) -> Iterator[Ledger]:
    """An empty ledger on the server."""
    schema = f"bench_{os.getpid()}"
    options = f"&options=-c%20synchronous_commit%3D{commit}" if commit != "server" else ""
    try:
        yield Ledger(open_store(Secret(f"{SERVER}?schema={schema}{options}"), migrations="ledger"))
    finally:
        with psycopg.connect(SERVER, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())


def measure(ledger: Ledger, n: int) -> dict[str, float]:
    """Receipts a second both ways, and what one costs this process."""
    store = ledger.database
    jobs = [ledger.insertion(msgspec.structs.replace(RECEIPT, id=f"g{index}")) for index in range(n)]
    commits = store.transactions
    cpu, began = time.process_time(), time.perf_counter()
    for future in [store.submit(job) for job in jobs]:
        future.result()
    cpu, grouped = time.process_time() - cpu, time.perf_counter() - began
    commits = store.transactions - commits
    alone = max(100, n // 20)
    began = time.perf_counter()
    for index in range(alone):
        ledger.record_now(msgspec.structs.replace(RECEIPT, id=f"a{index}"))
    single = time.perf_counter() - began
    ledger.close()
    return {
        "grouped_per_second": round(n / grouped),
        "commits_per_second": round(commits / grouped, 1),
        "cpu_us": round(cpu / n * 1e6, 1),
        "alone_per_second": round(alone / single),
    }


def reachable() -> bool:
    """Whether the server answers."""
    try:
        psycopg.connect(SERVER, connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="500 receipts")
    n = 500 if parser.parse_args().smoke else 20_000
    cases = [(sqlite, "NORMAL"), (sqlite, "FULL")]
    if reachable():
        cases += [(postgresql, "server"), (postgresql, "off")]
    rows = []
    print(f"{'':<22}{'grouped/s':>11}{'commits/s':>11}{'CPU us':>9}{'alone/s':>9}")
    for make, mode in cases:
        with make(mode) as ledger:
            found = measure(ledger, n)
        name = f"{make.__name__} {mode}"
        rows.append({"name": name, **found})
        print(f"{name:<22}" + "".join(f"{value:>{width}}" for value, width in zip(found.values(), (11, 11, 9, 9), strict=True)))
    OUT.mkdir(exist_ok=True)
    (OUT / "store.json").write_text(json.dumps({"receipts": n, "results": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
