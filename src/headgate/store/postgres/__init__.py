"""PostgreSQL behind the interface of `headgate.store.base`. Imported only where such a database is used."""

from headgate.store.postgres.database import PostgresStore, describe

__all__ = ["PostgresStore", "describe"]
