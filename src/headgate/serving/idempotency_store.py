"""Idempotency keys in the ledger's database, so that it does not matter which process a repeated request comes to."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headgate.serving.stored import Stored, pack, unpack
from headgate.store import Statements, Store
from headgate.store.connection import Connection, Value


class Entry(msgspec.Struct, frozen=True):
    """What is known of a key: hash of the request it was used for, until when, its holder, and the answer (None: not kept, or not yet)."""

    request: bytes
    expires: float
    holder: str
    done: bool = False
    stored: Stored | None = None


class IdempotencyStore:
    """Keys by hash. Answers are written only where `keep_answers` allows them on disk; elsewhere it is known that there was one."""

    def __init__(self, database: Store, *, keep_answers: bool = False) -> None:
        self._database = database
        self.keep_answers = keep_answers
        self._sql = Statements.load("answers")

    async def begin(self, key: bytes, request: bytes, holder: str, now: float, expires: float) -> Entry | None:
        """Take the key; None when it was free, or had expired. Raises `StoreError`."""
        row: dict[str, Value] = {"key": key, "request": request, "holder": holder, "now": float(now), "expires": float(expires)}

        def take(connection: Connection) -> Entry | None:
            if connection.execute(self._sql["take_key"], row).rowcount:
                return None
            found = connection.execute(self._sql["find_key"], {"key": key}).fetchone()
            assert found is not None
            known, until, by, done, answer = found
            assert isinstance(known, bytes) and isinstance(until, float) and isinstance(by, str)
            return Entry(known, until, by, bool(done), unpack(answer) if isinstance(answer, bytes) else None)

        return await self._database.write(take)

    async def finish(self, key: bytes, holder: str, stored: Stored | None, expires: float) -> None:
        """Note that the request was answered, unless the key has been taken by another since. Raises `StoreError`."""
        answer = pack(stored) if stored is not None and self.keep_answers else None
        row: dict[str, Value] = {"key": key, "holder": holder, "expires": float(expires), "answer": answer}
        await self._database.write(lambda connection: connection.execute(self._sql["finish_key"], row).rowcount)

    async def abandon(self, key: bytes, holder: str) -> None:
        """Let the key go, unless it was answered or taken by another. Raises `StoreError`."""
        row: dict[str, Value] = {"key": key, "holder": holder}
        await self._database.write(lambda connection: connection.execute(self._sql["abandon_key"], row).rowcount)

    def let_go(self, key: bytes, holder: str) -> None:
        """As `abandon`, without waiting for it: whatever was written before for that holder is taken back. Raises `StoreError`."""
        row: dict[str, Value] = {"key": key, "holder": holder}
        self._database.submit(lambda connection: connection.execute(self._sql["abandon_key"], row).rowcount)

    async def renew(self, held: Sequence[tuple[bytes, str]], expires: float) -> None:
        """Prolong the leases of keys with their holders, where these still have them. Raises `StoreError`."""
        rows: list[dict[str, Value]] = [{"key": key, "holder": holder, "expires": float(expires)} for key, holder in held]

        def prolong(connection: Connection) -> None:
            for row in rows:
                connection.execute(self._sql["renew_key"], row)

        await self._database.write(prolong)

    async def purge(self, now: float) -> int:
        """Delete what has expired; returns how many. Raises `StoreError`."""
        return await self._database.write(lambda connection: connection.execute(self._sql["delete_expired_keys"], {"now": now}).rowcount)
