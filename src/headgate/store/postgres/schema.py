"""Bringing a schema of a PostgreSQL database to what this version of the code expects."""

from __future__ import annotations

import psycopg

from headgate.errors import StoreError
from headgate.store.postgres.address import Address
from headgate.store.postgres.connect import PostgresConnection
from headgate.store.schema import NEWEST, refuse_newer, refuse_older
from headgate.store.statements import Migration, load_migrations

_TABLE = "CREATE TABLE IF NOT EXISTS schema_version (name TEXT NOT NULL, version BIGINT NOT NULL PRIMARY KEY, applied_at TEXT NOT NULL)"
_INSERT = """
INSERT INTO schema_version
VALUES (:name, :version, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
"""
_EXISTS = "SELECT to_regclass(:table) IS NOT NULL"
_ANYTHING = "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = :schema LIMIT 1"
_SCHEMA = "SELECT 1 FROM pg_namespace WHERE nspname = :schema"


def migrations_of(name: str) -> tuple[Migration, ...]:
    """The migrations of ``sql/<name>/postgresql``."""
    return load_migrations(f"{name}/postgresql")


def current_version(connection: PostgresConnection, name: str, address: Address) -> int:
    """The version of the schema, 0 for a new one. Raises `StoreError` when the schema is of another kind, or somebody else's."""
    exists = connection.execute(_EXISTS, {"table": f"{address.schema}.schema_version"}).fetchone()
    if exists is None or not exists[0]:
        if connection.execute(_ANYTHING, {"schema": address.schema}).fetchone() is not None:
            raise StoreError(f"{address.shown} holds tables of something else", hint="name another schema in the URL: ?schema=NAME")
        return 0
    row = connection.execute(NEWEST).fetchone()
    if row is None:
        return 0
    found, version = str(row[0]), int(row[1] or 0)
    if found != name:
        raise StoreError(f"{address.shown} holds a {found} database, not a {name} database", hint="name another schema: ?schema=NAME")
    return version


def migrate(connection: PostgresConnection, name: str, address: Address) -> None:
    """Apply what is missing, all in one transaction, in turn with every writer. Raises `StoreError` and `psycopg.Error`."""
    migrations = migrations_of(name)
    version = current_version(connection, name, address)
    refuse_newer(version, migrations, address.shown)
    if version == len(migrations):
        return
    connection.begin("ISOLATION LEVEL READ COMMITTED", address.lock)
    try:
        connection.execute("SET LOCAL statement_timeout = 0")
        if connection.execute(_SCHEMA, {"schema": address.schema}).fetchone() is None:
            connection.execute(f"CREATE SCHEMA {address.schema}")
        version = current_version(connection, name, address)
        refuse_newer(version, migrations, address.shown)
        connection.execute(_TABLE)
        for migration in migrations[version:]:
            for statement in migration.statements:
                connection.execute(statement)
            connection.execute(_INSERT, {"name": name, "version": migration.version})
        connection.commit()
    except (psycopg.Error, StoreError):
        if not connection.lost:
            connection.command("ROLLBACK")
        raise


def require_current(connection: PostgresConnection, name: str, address: Address) -> None:
    """Raise `StoreError` unless the schema is exactly what the code expects."""
    migrations = migrations_of(name)
    version = current_version(connection, name, address)
    refuse_newer(version, migrations, address.shown)
    refuse_older(version, migrations, address.shown)
