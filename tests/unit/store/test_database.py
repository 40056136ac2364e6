"""What is SQLite's alone: the file, its one writer, its words. What both databases promise is in test_stores.py."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from headgate.errors import StoreError
from headgate.store import Database

TABLE = "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, who TEXT, v INTEGER)"


@pytest.fixture
def database(tmp_path: Path) -> Database:
    opened = Database.open(tmp_path / "deep" / "ledger.db", migrations="ledger")
    opened.write_now(lambda connection: connection.execute(TABLE) and None)
    return opened


def insert(value: int, who: str = "") -> object:
    def write(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO t (who, v) VALUES (?, ?)", (who, value))
        return value

    return write


def values(database: Database) -> list[int]:
    return database.read(lambda connection: [row[0] for row in connection.execute("SELECT v FROM t ORDER BY id")])


def test_a_mistake_in_sql_is_not_disguised(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        database.write_now(lambda connection: connection.execute("INSERT INTO nope VALUES (1)"))
    with pytest.raises(sqlite3.IntegrityError):
        database.write_now(lambda connection: connection.execute("INSERT INTO t (id) VALUES (1), (1)"))
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        database.read(lambda connection: connection.execute("SELECT * FROM nope"))
    with pytest.raises(StoreError, match="read-only"):
        database.read(lambda connection: connection.execute("DELETE FROM t"))
    database.close()


def test_two_openings_share_one_writer_and_the_last_one_ends_it(database: Database) -> None:
    other = Database.open(database.path, migrations="ledger")
    names = [thread.name for thread in threading.enumerate() if str(database.path.name) in thread.name]
    assert len(names) == 1
    pending = [database.submit(insert(value)) for value in range(50)]
    database.close()
    assert all(future.done() for future in pending)
    assert other.write_now(insert(99)) == 99
    assert values(other)[-1] == 99
    other.close()
    assert not [thread for thread in threading.enumerate() if str(database.path.name) in thread.name]
    with pytest.raises(ValueError, match="synchronous"), Database.open(database.path, migrations="ledger"):
        Database.open(database.path, migrations="ledger", synchronous="FULL")


def test_what_is_queued_is_written_before_close_returns(tmp_path: Path) -> None:
    with Database.open(tmp_path / "a.db", migrations="ledger", synchronous="FULL") as database:
        database.write_now(lambda connection: connection.execute(TABLE) and None)
        pending: list[Future[object]] = [database.submit(insert(value)) for value in range(1000)]
    assert all(future.done() for future in pending)
    with pytest.raises(StoreError, match="is closed"):
        database.write_now(insert(1))
    with pytest.raises(StoreError, match="is closed"):
        values(database)
    database.close()
    with Database.open(tmp_path / "a.db", migrations="ledger", read_only=True) as reader:
        assert len(values(reader)) == 1000
        with pytest.raises(StoreError, match="reading only"):
            reader.write_now(insert(1))
        assert reader.transactions == 0


def test_the_file_is_its_owners_alone(database: Database) -> None:
    assert database.path.stat().st_mode & 0o077 == 0
    database.close()


def test_a_cursor_that_a_write_function_returns_is_closed_in_the_writing_thread(database: Database) -> None:
    """Else it would reset its statement, which the writer may be using again, in whatever thread drops it: "API misuse"."""
    cursor = database.write_now(lambda connection: connection.executemany("INSERT INTO t (who, v) VALUES ('', ?)", [(1,), (2,)]))
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        cursor.fetchone()
    assert values(database) == [1, 2]
