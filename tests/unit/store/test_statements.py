"""SQL from files: names, splitting, migrations."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.errors import StoreError
from headgate.store.schema import current_version, migrate
from headgate.store.statements import FOLDER, Migration, Statements, load_migrations, split_statements

SCHEMAS = sorted(path.name for path in FOLDER.iterdir() if (path / "queries.sql").exists())


def schema_of(name: str) -> str:
    """The schema that the statements of a folder are for: its own, else the ledger's, or that of runs."""
    return "run" if name in ("mending", "importing") else name if any((FOLDER / name).glob("[0-9]*.sql")) else "ledger"


class Unbound(dict[str, None]):
    """Parameters of any name, all NULL."""

    def __missing__(self, key: str) -> None:
        return None


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    yield opened
    opened.close()


def test_names_comments_and_semicolons() -> None:
    statements = Statements("-- a file\n\n-- name: one\n-- what it does\nSELECT 1;\n\n-- name: two\nSELECT ';';\n")
    assert dict(statements) == {"one": "-- what it does\nSELECT 1", "two": "SELECT ';'"}
    assert len(statements) == 2
    with pytest.raises(ValueError, match="named twice: one"):
        Statements("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;")
    with pytest.raises(KeyError):
        statements["three"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_statement_fits_the_schema(name: str, connection: sqlite3.Connection) -> None:
    migrate(connection, schema_of(name), load_migrations(schema_of(name)), Path("memory"))
    for statement in Statements.load(name).values():
        positional = statement.count("?")
        connection.execute(f"EXPLAIN {statement}", (None,) * positional if positional else Unbound()).fetchall()


@pytest.mark.parametrize("name", SCHEMAS)
def test_tables_have_no_floating_money(name: str, connection: sqlite3.Connection) -> None:
    migrate(connection, schema_of(name), load_migrations(schema_of(name)), Path("memory"))
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = [row for table in tables for row in connection.execute(f"PRAGMA table_info({table})")]
    money = [row for row in columns if row[1].endswith("_nanos")]
    assert money
    assert all(row[2] == "INTEGER" for row in money)


def test_splitting_a_script() -> None:
    trigger = "CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET a = ';'; DELETE FROM t; END;"
    script = f"-- first; really\nCREATE TABLE t (a);\n{trigger}\n/* ; */ SELECT 'x;y'; SELECT 2; -- the end\n"
    assert split_statements(script) == (
        "-- first; really\nCREATE TABLE t (a);",
        trigger,
        "/* ; */ SELECT 'x;y';",
        "SELECT 2;",
    )


def test_numbers_without_gaps(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(ValueError, match="no migrations"):
        load_migrations("x", tmp_path)
    (tmp_path / "x" / "0002_second.sql").write_text("SELECT 1;")
    with pytest.raises(ValueError, match="without a gap"):
        load_migrations("x", tmp_path)


ONE = Migration(1, "0001_one", ("CREATE TABLE a (x)",))
TWO = Migration(2, "0002_two", ("CREATE TABLE b (x)", "INSERT INTO b SELECT x FROM a"))
BROKEN = Migration(2, "0002_two", ("CREATE TABLE b (x)", "INSERT INTO nowhere VALUES (1)"))


def tables(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_migrations_apply_once_in_order(connection: sqlite3.Connection) -> None:
    path = Path("memory")
    assert current_version(connection, "x", path) == 0
    migrate(connection, "x", (ONE,), path)
    connection.execute("INSERT INTO a VALUES (5)")
    migrate(connection, "x", (ONE, TWO), path)
    migrate(connection, "x", (ONE, TWO), path)
    assert connection.execute("SELECT x FROM b").fetchall() == [(5,)]
    assert current_version(connection, "x", path) == 2
    with pytest.raises(StoreError, match="newer"):
        migrate(connection, "x", (ONE,), path)


def test_a_migration_that_fails_leaves_nothing(connection: sqlite3.Connection) -> None:
    migrate(connection, "x", (ONE,), Path("memory"))
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(connection, "x", (ONE, BROKEN), Path("memory"))
    assert tables(connection) == {"schema_version", "a"}
    assert current_version(connection, "x", Path("memory")) == 1
    assert not connection.in_transaction
