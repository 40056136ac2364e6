"""The write-ahead log beside readers that never pause (faults F4)."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from headgate.store import Database
from headgate.store.sqlite_session import LONG


def log_of(path: Path) -> int:
    """Bytes of the log."""
    return path.with_name(f"{path.name}-wal").stat().st_size


def test_the_log_does_not_grow_while_others_read(tmp_path: Path) -> None:
    """96 MB written in commits of 128 kB, beside two readers that take one snapshot after another.

    On a busy machine a reader may stand still for longer than the log waits for it: then the next attempt is 32 MB later.
    """
    path, over, read = tmp_path / "a.db", threading.Event(), [0, 0]
    with Database.open(path, migrations="ledger") as database:
        database.write_now(lambda connection: connection.execute("CREATE TABLE t (v BLOB)") and None)

        def look(reader: int) -> None:
            while not over.is_set():
                database.read(lambda connection: connection.execute("SELECT count(*), sum(length(v)) FROM t").fetchall())
                read[reader] += 1

        readers = [threading.Thread(target=look, args=(number,)) for number in range(2)]
        for reader in readers:
            reader.start()
        longest = 0
        try:
            for _ in range(768):
                database.write_now(lambda connection: connection.execute("INSERT INTO t VALUES (zeroblob(131072))") and None)
                longest = max(longest, log_of(path))
        finally:
            over.set()
            for reader in readers:
                reader.join()
    assert all(read)
    assert longest < 2 * LONG + (1 << 20)


def test_a_reader_that_stays_holds_up_nothing(tmp_path: Path) -> None:
    """The log grows beside it, one attempt for every 32 MB, and is used again from its beginning after it."""
    path = tmp_path / "a.db"
    with Database.open(path, migrations="ledger") as database:
        database.write_now(lambda connection: connection.execute("CREATE TABLE t (v BLOB)") and None)
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM t").fetchall()
        for _ in range(80):
            database.write_now(lambda connection: connection.execute("INSERT INTO t VALUES (zeroblob(1048576))") and None)
        assert log_of(path) > 2 * LONG
        reader.close()
        for _ in range(40):
            database.write_now(lambda connection: connection.execute("INSERT INTO t VALUES (zeroblob(1048576))") and None)
        assert log_of(path) <= 2 * LONG
        assert database.read(lambda connection: connection.execute("SELECT count(*) FROM t").fetchone()) == (120,)
