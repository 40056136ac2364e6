"""The database: one writer, grouped commits, failures that undo themselves alone."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from headgate.errors import StoreError
from headgate.store import Database
from headgate.store.writer import GROUP

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


class Gate:
    """Holds the writing thread, so that what is queued meanwhile forms one group."""

    def __init__(self, database: Database) -> None:
        self._open = threading.Event()
        entered = threading.Event()

        def wait(connection: sqlite3.Connection) -> None:
            entered.set()
            assert self._open.wait(10)

        self.future = database.submit(wait)
        assert entered.wait(10)

    def release(self) -> None:
        self._open.set()


def test_results_come_after_the_commit(database: Database) -> None:
    assert database.write_now(insert(7)) == 7
    assert values(database) == [7]
    database.close()


async def async_writes(database: Database) -> list[int]:
    return await asyncio.gather(*(database.write(insert(value)) for value in range(100)))


def test_many_writes_share_transactions_in_order(database: Database) -> None:
    gate = Gate(database)
    before = database.transactions
    futures = [database.submit(insert(value)) for value in range(600)]
    gate.release()
    assert [future.result(10) for future in futures] == list(range(600))
    assert values(database) == list(range(600))
    assert database.transactions - before == 1 + -(-600 // GROUP)
    database.close()


def test_writes_from_an_event_loop(database: Database) -> None:
    assert asyncio.run(async_writes(database)) == list(range(100))
    assert values(database) == list(range(100))
    assert asyncio.run(database.read_async(lambda connection: connection.execute("SELECT count(*) FROM t").fetchone())) == (100,)
    database.close()


def test_a_function_that_fails_undoes_itself_alone(database: Database) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t (v) VALUES (666)")
        raise KeyError("no")

    gate = Gate(database)
    futures = [database.submit(function) for function in (insert(1), half, insert(2))]
    gate.release()
    assert futures[0].result(10) == 1
    assert isinstance(futures[1].exception(10), KeyError)
    assert futures[2].result(10) == 2
    assert values(database) == [1, 2]
    database.close()


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


@pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK"])
def test_a_function_must_not_end_the_transaction(database: Database, statement: str) -> None:
    def rogue(connection: sqlite3.Connection) -> None:
        connection.execute(statement)

    with pytest.raises(RuntimeError, match="must not end the transaction"):
        database.write_now(rogue)
    assert database.write_now(insert(1)) == 1
    database.close()


def test_a_function_must_not_wait_for_another(database: Database) -> None:
    def inner(connection: sqlite3.Connection) -> int:
        return database.write_now(insert(1))

    with pytest.raises(RuntimeError, match="connection it is given"):
        database.write_now(inner)
    database.close()


def test_a_write_that_is_cancelled_before_it_begins_never_happens(database: Database) -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(database.write(insert(1)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    gate = Gate(database)
    asyncio.run(cancelled())
    last = database.submit(insert(2))
    gate.release()
    last.result(10)
    assert values(database) == [2]
    database.close()


def test_a_snapshot_does_not_move(database: Database) -> None:
    database.write_now(insert(1))

    def twice(connection: sqlite3.Connection) -> tuple[int, int]:
        first = connection.execute("SELECT count(*) FROM t").fetchone()[0]
        database.write_now(insert(2))
        return first, connection.execute("SELECT count(*) FROM t").fetchone()[0]

    assert database.read(twice) == (1, 1)
    assert values(database) == [1, 2]
    database.close()


def test_readers_work_in_many_threads_at_once(database: Database) -> None:
    database.write_now(insert(5))
    barrier = threading.Barrier(8)
    seen: list[list[int]] = []

    def read() -> None:
        barrier.wait(10)
        seen.extend(values(database) for _ in range(20))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == [[5]] * 160
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


def test_a_forked_child_is_told_to_open_again(database: Database) -> None:
    database._process = os.getpid() + 1
    with pytest.raises(StoreError, match="forked") as caught:
        database.write_now(insert(1))
    assert caught.value.hint
    database._process = os.getpid()
    database.close()


def test_the_file_is_its_owners_alone(database: Database) -> None:
    assert database.path.stat().st_mode & 0o077 == 0
    database.close()


def test_a_cursor_that_a_write_function_returns_is_closed_in_the_writing_thread(database: Database) -> None:
    """Else it would reset its statement, which the writer may be using again, in whatever thread drops it: "API misuse"."""
    cursor = database.write_now(lambda connection: connection.executemany("INSERT INTO t (who, v) VALUES ('', ?)", [(1,), (2,)]))
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        cursor.fetchone()
    assert values(database) == [1, 2]
