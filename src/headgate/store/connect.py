"""Opening SQLite connections, with the settings every one of ours has."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Literal, TypeAlias

from headgate.errors import StoreError
from headgate.store.faults import store_error
from headgate.store.mounts import check_local
from headgate.store.schema import migrate, require_current
from headgate.store.statements import load_migrations

Synchronous: TypeAlias = Literal["NORMAL", "FULL"]
"""FULL: a commit survives a power cut. NORMAL: it survives the end of the process, and a power cut leaves an older consistent state."""

_WRITER = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA wal_autocheckpoint = 4000",
)


def open_writer(path: Path, migrations: str, synchronous: Synchronous, busy_timeout: float) -> sqlite3.Connection:
    """A connection that may write, the file made (readable by its owner only) and brought to the newest schema. Raises `StoreError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}", hint=f"ls -ld {path.parent} {path}") from error
    check_local(path.parent)
    connection = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
    try:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StoreError(f"{path} cannot use a write-ahead log here (mode {mode})", hint="use a folder on a local disk: --data-dir")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        for pragma in _WRITER:
            connection.execute(pragma)
        migrate(connection, migrations, load_migrations(migrations), path)
        connection.execute("PRAGMA busy_timeout = 0")
    except (sqlite3.Error, StoreError) as error:
        connection.close()
        raise _told(error, path) from error
    return connection


def open_reader(path: Path, migrations: str, busy_timeout: float) -> sqlite3.Connection:
    """A connection that cannot write. Raises `StoreError` when the file is absent, damaged, or of another schema."""
    if not path.exists():
        raise StoreError(f"{path} does not exist", hint=f"ls {path.parent}")
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
        require_current(connection, migrations, load_migrations(migrations), path)
    except (sqlite3.Error, StoreError) as error:
        if connection is not None:
            connection.close()
        raise _told(error, path) from error
    return connection


def _told(error: sqlite3.Error | StoreError, path: Path) -> Exception:
    if isinstance(error, StoreError):
        return error
    return store_error(error, path) or error
