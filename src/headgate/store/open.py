"""Opening whichever database a place names. PostgreSQL's driver is loaded only when it is needed."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Protocol, TypeAlias, cast
from urllib.parse import urlsplit

from headgate.errors import ConfigError
from headgate.store.base import Store
from headgate.store.connect import Synchronous
from headgate.store.connection import Url
from headgate.store.database import Database

Place: TypeAlias = str | os.PathLike[str] | Url
"""A SQLite file by its path, or a server's database by its URL, kept in a secret because it may hold a password."""

SERVERS: dict[str, str] = {
    "postgresql": "headgate.store.postgres",
    "postgres": "headgate.store.postgres",
}
"""Schemes of URLs, and the module that opens them."""


class Server(Protocol):
    """What the modules of `SERVERS` offer."""

    PostgresStore: type[ServerStore]

    def describe(self, url: Url, migrations: str) -> str:
        """What answers there, in one line."""
        ...


class ServerStore(Store, Protocol):
    """A store that is opened by URL."""

    @classmethod
    def open(cls, url: Url, *, migrations: str, read_only: bool = False, synchronous: Synchronous = "NORMAL") -> Store:
        """Open it."""
        ...


def open_store(place: Place, *, migrations: str, read_only: bool = False, synchronous: Synchronous = "NORMAL") -> Store:
    """Open `place` with the schema `migrations` (a folder of ``store/sql``), made or brought up to date unless `read_only`.

    Raises `ConfigError` for a URL of an unknown kind, and `StoreError`: no access, another kind of database, a newer schema, damage.
    """
    if isinstance(place, (str, os.PathLike)):
        return Database.open(place, migrations=migrations, read_only=read_only, synchronous=synchronous)
    return _server(place).PostgresStore.open(place, migrations=migrations, read_only=read_only, synchronous=synchronous)


def describe(place: Place, migrations: str) -> str:
    """Which database `place` is and how far its schema is, in one line, without changing it. Raises `ConfigError` and `StoreError`."""
    if isinstance(place, (str, os.PathLike)):
        return f"SQLite file {os.fspath(place)}"
    return _server(place).describe(place, migrations)


def _server(url: Url) -> Server:
    scheme = urlsplit(url.reveal()).scheme
    module = SERVERS.get(scheme)
    if module is None:
        known = " or ".join(f"{name}://" for name in SERVERS)
        raise ConfigError(
            f"a database is named by {known}USER@HOST/NAME, not by {scheme or 'something without a scheme'}",
            hint="leave HEADGATE_DATABASE_URL unset to use a SQLite file in the data folder",
        )
    return cast(Server, import_module(module))
