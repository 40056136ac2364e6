"""State in a database: a SQLite file or PostgreSQL behind one interface, one writer a process, named statements, numbered migrations."""

from headgate.store.base import Dialect, Store
from headgate.store.connection import Connection, Cursor, Row, Value, clock
from headgate.store.database import Database
from headgate.store.open import Place, describe, open_store
from headgate.store.statements import Statements

__all__ = [
    "Connection",
    "Cursor",
    "Database",
    "Dialect",
    "Place",
    "Row",
    "Statements",
    "Store",
    "Value",
    "clock",
    "describe",
    "open_store",
]
