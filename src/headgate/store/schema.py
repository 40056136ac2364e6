"""Bringing a database file to the schema this version of the code expects."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from headgate.errors import StoreError
from headgate.store.statements import Migration

NEWEST = "SELECT name, version FROM schema_version ORDER BY version DESC LIMIT 1"
_TABLE = "CREATE TABLE IF NOT EXISTS schema_version (name TEXT NOT NULL, version INTEGER NOT NULL PRIMARY KEY, applied_at TEXT NOT NULL)"
_INSERT = "INSERT INTO schema_version VALUES (?, ?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))"


def current_version(connection: sqlite3.Connection, name: str, path: Path) -> int:
    """The version of the schema in the file, 0 for a new one. Raises `StoreError` when the file holds another kind of schema."""
    exists = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'").fetchone()
    if exists is None:
        if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None:
            raise StoreError(f"{path} is a database of something else", hint=f"ls -l {path}")
        return 0
    row = connection.execute(NEWEST).fetchone()
    if row is None:
        return 0
    if row[0] != name:
        raise StoreError(f"{path} holds a {row[0]} database, not a {name} database", hint=f"ls -l {path}")
    return int(row[1])


def migrate(connection: sqlite3.Connection, name: str, migrations: tuple[Migration, ...], path: Path) -> None:
    """Apply what is missing, all in one transaction. Two processes that open a new file at once do it once."""
    version = current_version(connection, name, path)
    refuse_newer(version, migrations, path)
    if version == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = current_version(connection, name, path)
        refuse_newer(version, migrations, path)
        connection.execute(_TABLE)
        for migration in migrations[version:]:
            for statement in migration.statements:
                connection.execute(statement)
            connection.execute(_INSERT, (name, migration.version))
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def refuse_newer(version: int, migrations: tuple[Migration, ...], place: Path | str) -> None:
    """Raise `StoreError` when a newer version of Headgate has written there (faults F13)."""
    if version > len(migrations):
        raise StoreError(
            f"{place} was written by a newer version of Headgate (schema {version}, this one knows {len(migrations)})",
            hint="pip install --upgrade headgate",
        )


def require_current(connection: sqlite3.Connection, name: str, migrations: tuple[Migration, ...], path: Path) -> None:
    """Raise `StoreError` unless the file, opened read-only, has exactly the schema the code expects."""
    version = current_version(connection, name, path)
    refuse_newer(version, migrations, path)
    refuse_older(version, migrations, path)


def refuse_older(version: int, migrations: tuple[Migration, ...], place: Path | str) -> None:
    """Raise `StoreError` when what is opened for reading only would have to be brought up to date first."""
    if version < len(migrations):
        raise StoreError(
            f"{place} has schema {version}, this version of Headgate needs {len(migrations)}",
            hint="open it once for writing with this version: a run is by headgate resume, also when it is complete",
        )
