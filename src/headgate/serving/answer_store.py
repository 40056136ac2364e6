"""Cached answers and idempotency keys in the ledger's database, for processes that share them."""

from __future__ import annotations

import msgspec

from headgate.serving.stored import Stored, pack, unpack
from headgate.store import Statements, Store
from headgate.store.connection import Connection, Value

MOST_BYTES = 1 << 30


class Row(msgspec.Struct, frozen=True):
    """An answer as it is in the store."""

    stored: Stored
    at: float
    expires: float


class AnswerStore:
    """Answers by key, on disk: only for those who agreed to that. `most_bytes` bounds them when `purge` is called."""

    def __init__(self, database: Store, most_bytes: int = MOST_BYTES) -> None:
        self._database = database
        self._most_bytes = most_bytes
        self._sql = Statements.load("answers")

    async def find(self, key: bytes, now: float) -> Row | None:
        """The answer, unless it has expired. Raises `StoreError`."""

        def read(connection: Connection) -> Row | None:
            row = connection.execute(self._sql["find_answer"], {"key": key, "now": now}).fetchone()
            if row is None:
                return None
            answer, at, expires = row
            assert isinstance(answer, bytes) and isinstance(at, float) and isinstance(expires, float)
            return Row(unpack(answer), at, expires)

        return await self._database.read_async(read)

    async def keep(self, key: bytes, stored: Stored, at: float, expires: float) -> None:
        """Keep an answer, in place of an older one. Raises `StoreError`."""
        answer = pack(stored)
        row: dict[str, Value] = {"key": key, "at": float(at), "expires": float(expires), "size": len(answer), "answer": answer}
        await self._database.write(lambda connection: connection.execute(self._sql["keep_answer"], row).rowcount)

    async def clear(self) -> None:
        """Delete all answers. Raises `StoreError`."""
        await self._database.write(lambda connection: connection.execute(self._sql["delete_answers"]).rowcount)

    async def purge(self, now: float) -> int:
        """Delete what has expired, and the oldest beyond the bound; returns how many. Raises `StoreError`."""

        def delete(connection: Connection) -> int:
            expired = connection.execute(self._sql["delete_expired_answers"], {"now": now}).rowcount
            return expired + connection.execute(self._sql["delete_oldest_answers"], {"most": self._most_bytes}).rowcount

        return await self._database.write(delete)
