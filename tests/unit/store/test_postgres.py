"""PostgreSQL that goes away, is slow, full of locks, a standby, or somebody else's; and writers in many processes."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from headgate.config import Secret
from headgate.errors import ConfigError, StoreError
from headgate.store import Connection, Database, describe, open_store
from headgate.store.postgres import PostgresStore
from headgate.store.postgres.address import parse_address
from headgate.store.postgres.connect import Limits
from headgate.store.postgres.faults import store_error
from headgate.store.postgres.session import BACKLOG, PostgresSession
from headgate.store.statements import FOLDER, Migration, load_migrations

service = pytest.mark.service
TABLE = "CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT)"
QUICK = Limits(lock=0.2, statement=0.3, query=0.3, idle=0.3, pool=0.2)


@pytest.fixture
def store(postgres_url: Secret) -> Iterator[PostgresStore]:
    with PostgresStore.open(postgres_url, migrations="ledger", limits=QUICK) as opened:
        opened.write_now(lambda connection: connection.execute(TABLE) and None)
        yield opened


@pytest.fixture
def admin(postgres_url: Secret) -> Iterator[psycopg.Connection]:
    """A connection of somebody else."""
    with closing(psycopg.connect(postgres_url.reveal().partition("?")[0], autocommit=True)) as connection:
        yield connection


def put(id: int, text: str = "") -> Callable[[Connection], int]:
    def write(connection: Connection) -> int:
        connection.execute("INSERT INTO t VALUES (:id, :v)", {"id": id, "v": text})
        return id

    return write


def ids(store: PostgresStore) -> list[object]:
    return store.read(lambda connection: [row[0] for row in connection.execute("SELECT id FROM t ORDER BY id").fetchall()])


def pid(connection: Connection) -> int:
    (found,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    return int(found or 0)


def kill(admin: psycopg.Connection, backend: int) -> None:
    """End a session of the server and wait until it is gone."""
    assert admin.execute("SELECT pg_terminate_backend(%s, 5000)", (backend,)).fetchone() == (True,)


@service
def test_a_connection_that_was_ended_between_transactions_is_replaced_unseen(store: PostgresStore, admin: psycopg.Connection) -> None:
    for backend in (store.write_now(pid), store.read(pid)):
        kill(admin, backend)
    assert store.write_now(put(1)) == 1
    assert ids(store) == [1]


@service
def test_a_transaction_whose_connection_was_ended_is_done_again(store: PostgresStore, admin: psycopg.Connection) -> None:
    backends: list[int] = []

    def struck(connection: Connection) -> int:
        backends.append(pid(connection))
        put(1)(connection)
        if len(backends) == 1:
            kill(admin, backends[0])
        return put(2)(connection)

    entered, release = threading.Event(), threading.Event()
    store.submit(lambda connection: entered.set() or release.wait(10))
    assert entered.wait(10)
    futures = [store.submit(function) for function in (put(0), struck, put(3))]
    release.set()
    assert [future.result(10) for future in futures] == [0, 2, 3]
    assert ids(store) == [0, 1, 2, 3]
    assert len(set(backends)) == 2


@service
def test_a_connection_that_is_always_ended_is_an_error(store: PostgresStore, admin: psycopg.Connection) -> None:
    def doomed(connection: Connection) -> None:
        kill(admin, pid(connection))
        put(1)(connection)

    with pytest.raises(StoreError, match="could not be used"):
        store.write_now(doomed)
    with pytest.raises(StoreError, match="could not be used"):
        store.read(lambda connection: kill(admin, pid(connection)) or ids_of(connection))
    store.write_now(put(2))
    assert ids(store) == [2]


def ids_of(connection: Connection) -> object:
    return connection.execute("SELECT id FROM t").fetchall()


@service
def test_a_commit_that_nobody_answered_is_told_as_such(store: PostgresStore, admin: psycopg.Connection) -> None:
    """The work is not done a second time: it may be there already."""
    calls: list[int] = []

    def last(connection: Connection) -> None:
        calls.append(1)
        kill(admin, pid(connection))

    with pytest.raises(StoreError, match="whether it was written is not known"):
        store.write_now(last)
    assert calls == [1]
    assert store.write_now(put(1)) == 1


@service
def test_a_deadlock_is_tried_again_and_not_for_ever(store: PostgresStore) -> None:
    calls: list[int] = []

    def unlucky(connection: Connection, times: int) -> int:
        calls.append(1)
        put(len(calls) + 10 * times)(connection)
        if len(calls) <= times:
            connection.execute("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$")
        return len(calls)

    assert store.write_now(lambda connection: unlucky(connection, 2)) == 3
    assert ids(store) == [23]
    calls.clear()
    with pytest.raises(StoreError, match="deadlock"):
        store.write_now(lambda connection: unlucky(connection, 99))
    assert len(calls) == 3
    assert ids(store) == [23]


@service
def test_a_failed_statement_must_not_be_passed_over(store: PostgresStore) -> None:
    def heedless(connection: Connection) -> None:
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("INSERT INTO nope VALUES (1)")

    with pytest.raises(RuntimeError, match="go on after a failed statement"):
        store.write_now(heedless)
    release = threading.Event()
    store.submit(lambda connection: release.wait(10))
    futures = [store.submit(function) for function in (put(1), heedless, put(2))]
    release.set()
    assert [type(future.exception(10)) for future in futures] == [type(None), RuntimeError, type(None)]
    assert ids(store) == [1, 2]
    with pytest.raises(psycopg.errors.UndefinedTable):
        store.write_now(lambda connection: connection.execute("INSERT INTO nope VALUES (1)") and None)
    with pytest.raises(psycopg.errors.UndefinedTable):
        store.read(lambda connection: connection.execute("SELECT * FROM nope"))


@service
def test_a_database_that_became_read_only(store: PostgresStore, postgres_url: Secret, admin: psycopg.Connection) -> None:
    """As after a failover (faults F9): refused with a reason, and a new connection each time, until it leads to a primary."""
    backends: list[int] = []

    def write(connection: Connection) -> int:
        backends.append(pid(connection))
        if len(backends) == 1:
            connection.execute("SET TRANSACTION READ ONLY")
        return put(1)(connection)

    with pytest.raises(StoreError, match="read-only, as a standby is") as caught:
        store.write_now(write)
    assert "target_session_attrs" in (caught.value.hint or "")
    assert store.write_now(write) == 1
    assert len(set(backends)) == 2
    standby = Secret(postgres_url.reveal() + "&options=-c%20default_transaction_read_only%3Don")
    with PostgresStore.open(standby, migrations="ledger") as other:
        for _ in range(2):
            with pytest.raises(StoreError, match="read-only, as a standby is"):
                other.write_now(put(2))
        assert ids(other) == [1]


@service
def test_slow_statements_are_stopped(store: PostgresStore) -> None:
    with pytest.raises(StoreError, match="took too long"):
        store.write_now(lambda connection: connection.execute("SELECT pg_sleep(5)") and None)
    with pytest.raises(StoreError, match="took too long"):
        store.read(lambda connection: connection.execute("SELECT pg_sleep(5)"))
    assert store.write_now(put(1)) == 1


@service
def test_waiting_for_another_writer_is_bounded(store: PostgresStore, admin: psycopg.Connection) -> None:
    with admin.transaction():
        admin.execute("SELECT pg_advisory_xact_lock(%s)", (store.address.lock,))
        with pytest.raises(StoreError, match="kept it locked"):
            store.write_now(put(1))
    assert store.write_now(put(1)) == 1


@service
def test_a_writer_that_stops_inside_a_transaction_does_not_keep_the_others_out(store: PostgresStore, postgres_url: Secret) -> None:
    held = PostgresSession(store.address, "ledger", "NORMAL", Limits(idle=0.05))
    connection = held.begin()
    assert wait_until(lambda: refused(store, put(1)) is None)
    assert ids(store) == [1]
    with pytest.raises(psycopg.Error) as caught:
        connection.execute("SELECT 1")
    assert held.undo(caught.value)
    held.close()


def refused(store: PostgresStore, function: Callable[[Connection], object]) -> BaseException | None:
    return store.submit(function).exception(10)


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether `condition` holds within `seconds`; what it asks waits by itself."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
    return False


@service
def test_reading_connections_are_few_and_waiting_for_one_is_bounded(store: PostgresStore) -> None:
    inside, release = threading.Barrier(5), threading.Event()

    def hold() -> None:
        store.read(lambda connection: (inside.wait(10), release.wait(10)))

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    inside.wait(10)
    with pytest.raises(StoreError, match="4 other queries are still under way"):
        ids(store)
    assert store.write_now(put(1)) == 1
    release.set()
    for thread in threads:
        thread.join(10)
    assert ids(store) == [1]


@service
def test_text_that_postgresql_cannot_hold_is_replaced(store: PostgresStore) -> None:
    texts = ["a\0b", "\0", "\ud800x", "x\udc00\0", "\U0001f600", "e\u0301"]
    for id, text in enumerate(texts):
        store.write_now(put(id, text))
    found = store.read(lambda connection: [row[0] for row in connection.execute("SELECT v FROM t ORDER BY id").fetchall()])
    assert found == ["a\ufffdb", "\ufffd", "\ufffdx", "x\ufffd\ufffd", "\U0001f600", "e\u0301"]


COUNT = """
import sys
from headgate.config import Secret
from headgate.store import open_store
store = open_store(Secret(sys.argv[1]), migrations="ledger")
def spend(connection):
    (spent,) = connection.execute("SELECT n FROM counter").fetchone()
    if spent + 7 > 1000:
        return False
    connection.execute("UPDATE counter SET n = :n", {"n": spent + 7})
    connection.execute("INSERT INTO granted VALUES (:who)", {"who": int(sys.argv[2])})
    return True
print("ready", flush=True)
sys.stdin.readline()
done = [store.submit(spend) for _ in range(100)]
print(sum(future.result() for future in done), flush=True)
store.close()
"""


@service
def test_four_processes_never_pass_a_limit(store: PostgresStore, postgres_url: Secret) -> None:
    """They read and then write, without any lock of their own: 142 times 7 fit into 1000."""
    store.write_now(lambda connection: connection.execute("CREATE TABLE counter AS SELECT CAST(0 AS BIGINT) AS n") and None)
    store.write_now(lambda connection: connection.execute("CREATE TABLE granted (who BIGINT)") and None)
    command = [sys.executable, "-c", COUNT, postgres_url.reveal()]
    children = [
        subprocess.Popen([*command, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for n in range(4)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    granted = [int(child.communicate(timeout=60)[0]) for child in children]
    assert sum(granted) == 142
    sums = "SELECT (SELECT n FROM counter), (SELECT count(*) FROM granted)"
    assert store.read(lambda connection: connection.execute(sums).fetchone()) == (994, 142)


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        began = time.monotonic()
        for read_only in (False, True):
            with pytest.raises(StoreError, match=f"127.0.0.1:{port}/x .*cannot be reached") as caught:
                open_store(Secret(f"postgresql://u:hush-hush@127.0.0.1:{port}/x"), migrations="ledger", read_only=read_only)
            assert "psql" in (caught.value.hint or "")
            assert "hush" not in f"{caught.value!s}{caught.value!r}{caught.value.__cause__!r}"
        assert time.monotonic() - began < 5


@service
def test_while_the_server_is_away_writes_are_refused_at_once(
    postgres_url: Secret, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    session = PostgresSession(parse_address(postgres_url), "ledger", "NORMAL", QUICK, lambda: clock[0])
    attempts: list[float] = []

    def unreachable(*_: object) -> None:
        attempts.append(clock[0])
        raise StoreError("gone", hint="look")

    kill(admin, pid(session.begin()))
    with pytest.raises(psycopg.Error) as lost:
        session.begin()
    monkeypatch.setattr("headgate.store.postgres.session.open_writer", unreachable)
    assert session.undo(lost.value)
    for step in range(1600):
        clock[0] = step / 128
        with pytest.raises(StoreError, match="gone") as caught:
            session.begin()
        assert caught.value.hint == "look"
        assert not session.undo(caught.value)
    gaps = [after - before for before, after in pairwise(attempts)]
    assert [round(gap, 1) for gap in gaps] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    monkeypatch.undo()
    clock[0] += 5
    connection = session.begin()
    session.commit(connection)
    session.close()


def test_too_many_writes_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert BACKLOG >= 10_000
    with Database.open(tmp_path / "a.db", migrations="ledger") as database:
        assert database._writer is not None
        database._writer._backlog = 2
        entered, release = threading.Event(), threading.Event()
        database.submit(lambda connection: entered.set() or release.wait(10))
        assert entered.wait(10)
        pending = [database.submit(lambda connection: 1) for _ in range(2)]
        with pytest.raises(StoreError, match="2 writes wait for it"):
            database.submit(lambda connection: 1)
        release.set()
        assert [future.result(10) for future in pending] == [1, 1]


@pytest.mark.parametrize("url", ["mysql://h/x", "sqlite:///x.db", "", "postgresql+psycopg://h/x", "host=h dbname=x"])
def test_a_url_of_an_unknown_kind_names_what_is_supported(url: str) -> None:
    for call in (lambda: open_store(Secret(url), migrations="ledger"), lambda: describe(Secret(url), "ledger")):
        with pytest.raises(ConfigError, match="postgresql://") as caught:
            call()
        assert "SQLite" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:to/psecret@h/x?schema=a",
        "postgresql://u:pw@h/x?schema=A-b",
        "postgresql://u:pw@h/x?schema=",
        "postgresql://u:pw@h/x?nope=psecret",
        "mysql://u:psecret@h",
    ],
)
def test_a_wrong_url_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(Secret(url))
    assert "secret" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__!r} {caught.value.__context__!r}"


def test_what_a_url_says_goes_before_what_is_usual() -> None:
    address = parse_address(Secret("postgresql://u:s3cret@db1:1,db2:2/x?schema=mine&connect_timeout=2&options=-c%20a.b%3D1%20-c%20c.d%3D2"))
    assert address.schema == "mine"
    assert address.shown == "postgresql://db1,db2:1,2/x (schema mine)"
    assert "s3cret" not in repr(address)
    given = psycopg.conninfo.conninfo_to_dict(address.conninfo)
    assert (given["connect_timeout"], given["application_name"], given["password"]) == ("2", "headgate", "s3cret")
    assert given["options"] == "-c a.b=1 -c c.d=2"
    usual = parse_address(Secret("postgres:///x"))
    assert (usual.schema, usual.shown) == ("headgate", "postgresql://localhost:5432/x (schema headgate)")
    assert usual.lock != address.lock
    assert -(2**63) <= usual.lock < 2**63


@service
def test_a_schema_of_somebody_else_is_left_alone(postgres_url: Secret, admin: psycopg.Connection) -> None:
    schema = postgres_url.reveal().rpartition("=")[2]
    assert "tables of version 0, brought to" in describe(postgres_url, "ledger")
    admin.execute(f"CREATE SCHEMA {schema} CREATE TABLE songs (title TEXT)")
    for call in (lambda: open_store(postgres_url, migrations="ledger"), lambda: describe(postgres_url, "ledger")):
        with pytest.raises(StoreError, match="tables of something else") as caught:
            call()
        assert "?schema=" in (caught.value.hint or "")
    admin.execute(f"DROP TABLE {schema}.songs")
    open_store(postgres_url, migrations="ledger").close()
    told = rf"PostgreSQL 1\d\.\d+ at postgresql://.* \(schema {schema}\), tables of version \d+"
    assert re.fullmatch(told, describe(postgres_url, "ledger"))
    admin.execute(f"UPDATE {schema}.schema_version SET name = 'run'")
    with pytest.raises(StoreError, match="holds a run database, not a ledger database"):
        open_store(postgres_url, migrations="ledger", read_only=True)


@service
def test_a_migration_that_is_cut_short_leaves_nothing(postgres_url: Secret, monkeypatch: pytest.MonkeyPatch) -> None:
    *others, last = load_migrations("ledger/postgresql")
    broken = Migration(last.version, last.name, (*last.statements, "CREATE TABLE nope (x NO_SUCH_TYPE);"))
    monkeypatch.setattr("headgate.store.postgres.schema.migrations_of", lambda name: (*others, broken))
    with pytest.raises(psycopg.errors.UndefinedObject):
        open_store(postgres_url, migrations="ledger")
    monkeypatch.undo()
    assert "tables of version 0" in describe(postgres_url, "ledger")
    open_store(postgres_url, migrations="ledger").close()


@service
def test_many_who_open_a_new_schema_at_once_make_it_once(postgres_url: Secret) -> None:
    barrier = threading.Barrier(6)
    found: list[object] = []

    def open_it() -> None:
        barrier.wait(10)
        session = PostgresSession(parse_address(postgres_url), "ledger", "FULL", Limits())
        connection = session.begin()
        found.append(connection.execute("SELECT count(*) FROM schema_version").fetchone())
        session.commit(connection)
        session.close()

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [(len(load_migrations("ledger/postgresql")),)] * 6


def test_every_migration_has_its_twin() -> None:
    """Where a schema can be on PostgreSQL, its migrations have the same names on both."""
    both = [folder.parent for folder in FOLDER.glob("*/postgresql")]
    assert [folder.name for folder in both] == ["ledger"]
    for folder in both:
        mine = sorted(path.name for path in folder.glob("[0-9]*.sql"))
        assert sorted(path.name for path in folder.glob("postgresql/[0-9]*.sql")) == mine


@service
def test_both_databases_have_the_same_tables_and_columns(store: PostgresStore, tmp_path: Path) -> None:
    kinds = {"INTEGER": "bigint", "REAL": "double precision", "TEXT": "text", "BLOB": "bytea"}
    own = "SELECT m.name, c.name, c.type, c.\"notnull\" FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
    theirs = """
        SELECT table_name, column_name, data_type, is_nullable = 'NO' FROM information_schema.columns
        WHERE table_schema = current_schema() AND table_name IN (SELECT relname FROM pg_class WHERE relkind = 'r') AND table_name <> 't'
    """
    with Database.open(tmp_path / "a.db", migrations="ledger") as database:
        rows, views, indices = (
            database.read(lambda connection, sql=sql: connection.execute(sql).fetchall())
            for sql in (
                own,
                "SELECT name FROM sqlite_master WHERE type = 'view'",
                "SELECT name FROM sqlite_master WHERE type = 'index' AND sql <> ''",
            )
        )
    found = store.read(lambda connection: connection.execute(theirs).fetchall())
    assert {(table, column, kinds[kind]) for table, column, kind, _ in rows} == {row[:3] for row in found}
    assert {row[:2] for row in rows if row[3]} <= {row[:2] for row in found if row[3]}
    catalog = "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = :kind"
    named = store.read(lambda connection: [set(connection.execute(catalog, {"kind": kind}).fetchall()) for kind in "vi"])
    assert named[0] == set(views)
    assert set(indices) <= named[1]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("08006", "connection was lost"),
        ("25006", "standby"),
        ("28P01", "login was refused"),
        ("3D000", "no such database"),
        ("40001", "getting in its way"),
        ("42501", "may not do this"),
        ("53100", "disk of its server is full"),
        ("53200", "out of resources"),
        ("53300", "too many connections"),
        ("55P03", "kept it locked"),
        ("57P01", "stopping or starting"),
        ("57014", "took too long"),
        ("58030", "could not read or write"),
        ("XX001", "damage"),
    ],
)
def test_faults_have_words_and_hints(state: str, said: str) -> None:
    error = psycopg.errors.lookup(state)("x\n  y")
    told = store_error(error, "postgresql://h/x")
    assert told is not None
    assert said in str(told)
    assert "(x y)" in str(told)
    assert told.hint
    assert told.__cause__ is error


@pytest.mark.parametrize("state", ["42601", "42P01", "23505", "22003"])
def test_mistakes_in_statements_are_not_faults(state: str) -> None:
    assert store_error(psycopg.errors.lookup(state)("x"), "postgresql://h/x") is None
