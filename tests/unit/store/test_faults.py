"""Disks that are full, files that are damaged or of another kind, locks that stay."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from headgate.errors import StoreError
from headgate.store import Database
from headgate.store.faults import sqlite_warning, store_error
from headgate.store.turn import Turn

TABLE = "CREATE TABLE t (v BLOB)"


def test_a_full_disk_fails_what_does_not_fit_and_nothing_else(tmp_path: Path) -> None:
    with Database.open(tmp_path / "a.db", migrations="ledger") as database:
        database.write_now(lambda connection: connection.execute(TABLE) and None)
        pages = database.read(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
        database.submit(lambda connection: None).result(10)

        def limit(connection: sqlite3.Connection) -> None:
            connection.execute(f"PRAGMA max_page_count = {pages + 3}")

        database.write_now(limit)
        with pytest.raises(StoreError, match="the disk is full") as caught:
            database.write_now(lambda connection: connection.execute("INSERT INTO t VALUES (zeroblob(1000000))") and None)
        assert caught.value.hint == f"df -h {tmp_path}"
        database.write_now(lambda connection: connection.execute("INSERT INTO t VALUES (zeroblob(10))") and None)
        assert database.read(lambda connection: connection.execute("SELECT length(v) FROM t").fetchall()) == [(10,)]


def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"this is not a database" * 1000)
    for read_only in (False, True):
        with pytest.raises(StoreError, match="not a database of Headgate"):
            Database.open(path, migrations="ledger", read_only=read_only)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("CREATE TABLE songs (title TEXT)")
    foreign.close()
    with pytest.raises(StoreError, match="a database of something else"):
        Database.open(tmp_path / "foreign.db", migrations="ledger")
    Database.open(tmp_path / "run.db", migrations="run").close()
    with pytest.raises(StoreError, match="holds a run database, not a ledger database"):
        Database.open(tmp_path / "run.db", migrations="ledger")


def test_a_newer_schema_is_refused_and_an_older_one_only_upgraded_for_writing(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Database.open(path, migrations="ledger") as database:
        database.write_now(lambda connection: connection.execute("INSERT INTO schema_version VALUES ('ledger', 99, '')") and None)
    for read_only in (False, True):
        with pytest.raises(StoreError, match="newer version of Headgate") as caught:
            Database.open(path, migrations="ledger", read_only=read_only)
        assert caught.value.hint == "pip install --upgrade headgate"
    empty = sqlite3.connect(tmp_path / "old.db")
    empty.execute("CREATE TABLE schema_version (name TEXT, version INTEGER, applied_at TEXT)")
    empty.close()
    with pytest.raises(StoreError, match="has schema 0"):
        Database.open(tmp_path / "old.db", migrations="ledger", read_only=True)
    Database.open(tmp_path / "old.db", migrations="ledger").close()
    Database.open(tmp_path / "old.db", migrations="ledger", read_only=True).close()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Database.open(tmp_path / "file" / "a.db", migrations="ledger")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        Database.open(tmp_path / "folder.db", migrations="ledger")
    with pytest.raises(StoreError, match="does not exist"):
        Database.open(tmp_path / "absent.db", migrations="ledger", read_only=True)


def test_waiting_for_another_process_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Database.open(path, migrations="ledger", busy_timeout=0.05) as database:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="kept it locked"):
            database.write_now(lambda connection: None)
        other.execute("COMMIT")
        other.close()
        database.write_now(lambda connection: None)
        turn = Turn(Path(f"{path}-turn"))
        turn.take(time.monotonic())
        with pytest.raises(StoreError, match="locked by another process"):
            database.write_now(lambda connection: None)
        turn.give()
        database.write_now(lambda connection: None)
        turn.close()


def test_after_a_fault_of_the_disk_the_writer_opens_anew(tmp_path: Path) -> None:
    held: list[sqlite3.Connection] = []

    def broken(connection: sqlite3.Connection) -> None:
        held.append(connection)
        connection.execute("ROLLBACK")
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    with Database.open(tmp_path / "a.db", migrations="ledger") as database:
        with pytest.raises(StoreError, match="reading or writing it failed"):
            database.write_now(broken)
        database.write_now(held.append)
        assert held[0] is not held[1]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (sqlite3.SQLITE_READONLY_DBMOVED, "read-only"),
        (sqlite3.SQLITE_CANTOPEN, "cannot be opened"),
        (sqlite3.SQLITE_IOERR_FSYNC, "reading or writing"),
        (sqlite3.SQLITE_CORRUPT, "damaged"),
        (sqlite3.SQLITE_INTERRUPT, "took too long"),
    ],
)
def test_faults_have_words_and_hints(code: int, said: str) -> None:
    error = sqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    told = store_error(error, Path("/data/ledger.db"))
    assert told is not None
    assert said in str(told)
    assert told.__cause__ is error
    assert (told.hint is None) == (code == sqlite3.SQLITE_INTERRUPT)


def test_old_versions_of_sqlite_are_a_warning() -> None:
    assert sqlite_warning((3, 51, 3)) is None
    assert "3.40.1" in (sqlite_warning((3, 40, 1)) or "")
