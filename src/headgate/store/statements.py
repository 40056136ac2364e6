"""SQL lives in files: named statements and numbered migrations, read from ``store/sql/<name>/``."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import msgspec

FOLDER = Path(__file__).with_name("sql")
_NAME = re.compile(r"^-- name: *([a-z][a-z0-9_]*) *$", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class Statements(Mapping[str, str]):
    """Statements by name, from text such as::

    -- name: open_chunks
    -- Chunks that still have something to do.
    SELECT id FROM chunk WHERE state <> 'done';
    """

    def __init__(self, text: str) -> None:
        parts = _NAME.split(text)[1:]
        names = parts[::2]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"statements named twice: {', '.join(sorted(twice))}")
        self._sql = {name: body.strip().rstrip(";") for name, body in zip(names, parts[1::2], strict=True)}

    @classmethod
    def load(cls, name: str) -> Statements:
        """The statements of ``sql/<name>/queries.sql``, read once per process."""
        return _load(name)

    def __getitem__(self, name: str) -> str:
        return self._sql[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sql)

    def __len__(self) -> int:
        return len(self._sql)


@lru_cache(maxsize=16)
def _load(name: str) -> Statements:
    return Statements((FOLDER / name / "queries.sql").read_text(encoding="utf-8"))


class Migration(msgspec.Struct, frozen=True):
    """One step of a schema: its number, from 1, and the statements it consists of."""

    version: int
    name: str
    statements: tuple[str, ...]


@lru_cache(maxsize=16)
def load_migrations(name: str, folder: Path = FOLDER) -> tuple[Migration, ...]:
    """The migrations of ``sql/<name>/NNNN_words.sql``, which are numbered from 1 without a gap.

    Those for PostgreSQL have the same file names, in a folder below: ``name`` is then ``<name>/postgresql``.
    """
    found: list[Migration] = []
    for path in sorted((folder / name).glob("[0-9]*.sql")):
        match = _MIGRATION.fullmatch(path.name)
        if match is None or int(match[1]) != len(found) + 1:
            raise ValueError(f"{path.name}: migrations are named NNNN_words.sql and numbered without a gap")
        found.append(Migration(int(match[1]), path.stem, split_statements(path.read_text(encoding="utf-8"))))
    if not found:
        raise ValueError(f"there are no migrations in {folder / name}")
    return tuple(found)


def split_statements(text: str) -> tuple[str, ...]:
    """The statements of an SQL script. Semicolons in strings, comments and triggers do not separate."""
    found: list[str] = []
    pending = ""
    for piece in text.split(";")[:-1]:
        pending += piece + ";"
        if sqlite3.complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    return tuple(found)
