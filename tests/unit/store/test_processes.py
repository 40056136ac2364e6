"""Several processes at one file: none starves, and one that is killed leaves only whole transactions."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from headgate.store import Database

SETUP = """
import sys, time
from headgate.store import Database
database = Database.open(sys.argv[1], migrations="ledger", busy_timeout=20)
def create(connection):
    connection.execute("CREATE TABLE IF NOT EXISTS pair (who TEXT, n INTEGER, half INTEGER)")
database.write_now(create)
def put(who, n):
    def write(connection):
        connection.execute("INSERT INTO pair VALUES (?, ?, 0)", (who, n))
        connection.execute("INSERT INTO pair VALUES (?, ?, 1)", (who, n))
    return write
print("ready", flush=True)
sys.stdin.readline()
"""
FOREVER = """
n = 0
while True:
    database.submit(put("x", n))
    n += 1
    if n % 50 == 0:
        database.write_now(put("x", n))
        n += 1
        print(n, flush=True)
"""
COUNTED = """
worst = 0.0
end = time.monotonic() + float(sys.argv[3])
n = 0
while time.monotonic() < end:
    began = time.monotonic()
    database.write_now(put(sys.argv[2], n))
    worst = max(worst, time.monotonic() - began)
    n += 1
database.close()
print(n, worst, flush=True)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", SETUP + script, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_a_killed_process_leaves_whole_transactions(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    for _ in range(3):
        child = start(FOREVER, path)
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("go\n")
        child.stdin.flush()
        told = [int(child.stdout.readline()) for _ in range(5)][-1]
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
        child.stdin.close()
        child.stdout.close()
        with Database.open(path, migrations="ledger") as database:
            assert database.read(torn_pairs) == []
            assert database.read(newest) >= told - 1
            database.write_now(lambda connection: connection.execute("DELETE FROM pair") and None)


def torn_pairs(connection: sqlite3.Connection) -> list[object]:
    """Numbers of which not both halves are there, and what is wrong with the file itself."""
    torn = connection.execute("SELECT n FROM pair GROUP BY n HAVING count(*) % 2 <> 0 OR sum(half) * 2 <> count(*)").fetchall()
    return torn + [row for row in connection.execute("PRAGMA integrity_check").fetchall() if row != ("ok",)]


def newest(connection: sqlite3.Connection) -> int:
    """The highest number there is, 0 without any."""
    return int(connection.execute("SELECT coalesce(max(n), 0) FROM pair").fetchone()[0])


def test_a_log_cut_anywhere_leaves_whole_transactions(tmp_path: Path) -> None:
    """A power cut may lose the end of the write-ahead log (faults F7): every prefix of it opens to an older consistent state."""
    path = tmp_path / "a.db"
    with Database.open(path, migrations="ledger") as database:
        database.write_now(lambda connection: connection.execute("CREATE TABLE pair (who TEXT, n INTEGER, half INTEGER)") and None)
        for n in range(1, 13):
            rows = [("x", n, 0), ("x", n, 1)]
            database.write_now(lambda connection, rows=rows: connection.executemany("INSERT INTO pair VALUES (?, ?, ?)", rows) and None)
        base, log = path.read_bytes(), path.with_name("a.db-wal").read_bytes()
    seen: set[int] = set()
    for cut in [*range(0, len(log), 1031), len(log)]:
        copy = tmp_path / f"cut{cut}" / "a.db"
        copy.parent.mkdir()
        copy.write_bytes(base)
        copy.with_name("a.db-wal").write_bytes(log[:cut])
        with Database.open(copy, migrations="ledger") as database:
            if database.read(lambda connection: connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'pair'").fetchone()):
                assert database.read(torn_pairs) == []
                seen.add(database.read(newest))
    assert seen == set(range(13))


def test_processes_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    children = [start(COUNTED, path, f"p{index}", 1.0) for index in range(3)]
    counts: list[int] = []
    waits: list[float] = []
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        out, _ = child.communicate(timeout=30)
        count, worst = out.split()
        counts.append(int(count))
        waits.append(float(worst))
    with Database.open(path, migrations="ledger", read_only=True) as database:
        total = database.read(lambda connection: connection.execute("SELECT count(*) FROM pair").fetchone()[0])
    assert total == 2 * sum(counts)
    assert min(counts) * 4 > max(counts), counts
    assert max(waits) < 1.0, waits
