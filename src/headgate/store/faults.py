"""What SQLite reports, as `StoreError` with something to do about it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from headgate.errors import StoreError

WAL_RESET_FIXED = (3, 51, 3)
"""The first SQLite without the WAL-reset fault, which needs two processes writing to one file at once."""

_FAULTS = {
    sqlite3.SQLITE_FULL: ("the disk is full", "df -h {folder}"),
    sqlite3.SQLITE_READONLY: ("it is read-only", "ls -ld {folder} {path}"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "ls -ld {folder} {path}"),
    sqlite3.SQLITE_PERM: ("access is denied", "ls -ld {folder} {path}"),
    sqlite3.SQLITE_BUSY: ("another process has kept it locked", "fuser {path}"),
    sqlite3.SQLITE_LOCKED: ("it is locked", "fuser {path}"),
    sqlite3.SQLITE_IOERR: ("reading or writing it failed", "df -h {folder}; dmesg | tail"),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", "sqlite3 {path} .recover > recovered.sql"),
    sqlite3.SQLITE_NOTADB: ("it is not a database of Headgate", "file {path}"),
    sqlite3.SQLITE_NOLFS: ("the file system cannot hold it", "df -T {folder}"),
    sqlite3.SQLITE_PROTOCOL: ("its locks do not work here", "df -T {folder}"),
    sqlite3.SQLITE_INTERRUPT: ("the query took too long and was stopped", None),
}

LOST_CONNECTION = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""Faults after which a connection is thrown away: what it holds in memory may not be what is on disk (faults F17)."""


def code_of(error: BaseException) -> int:
    """SQLite's primary result code, 0 when `error` is none of SQLite's."""
    code = getattr(error, "sqlite_errorcode", 0) if isinstance(error, sqlite3.Error) else 0
    return int(code) & 0xFF


def store_error(error: sqlite3.Error, path: Path) -> StoreError | None:
    """The `StoreError` for a fault of the file or the disk; None for a mistake in a statement, which is a programming error."""
    fault = _FAULTS.get(code_of(error))
    if fault is None:
        return None
    why, hint = fault
    told = hint.format(path=path, folder=path.parent) if hint else None
    found = StoreError(f"{path} could not be used: {why} ({error})", hint=told)
    found.__cause__ = error
    return found


def sqlite_warning(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> str | None:
    """What `headgate doctor` should say of this SQLite, or None. Headgate keeps one writer per process, which avoids the fault."""
    if version >= WAL_RESET_FIXED:
        return None
    found, fixed = (".".join(map(str, numbers)) for numbers in (version, WAL_RESET_FIXED))
    return f"SQLite {found} can damage a database that several processes write at once (fixed in {fixed})"
