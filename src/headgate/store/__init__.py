"""Local state in SQLite: one writer thread per process and file, named statements, numbered migrations."""

from headgate.store.database import Database
from headgate.store.statements import Statements

__all__ = ["Database", "Statements"]
