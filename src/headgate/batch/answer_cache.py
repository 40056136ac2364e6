"""Answers of earlier runs on this machine, by what was asked (IMP-14). Only valid answers are in it; none holds a prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from headgate.client import Target
from headgate.domain.response import Response
from headgate.store import Statements, Store
from headgate.store.connection import Connection, Value

MIGRATIONS = "run_answers"
MOST_BYTES = 1 << 30
"""Bytes of all answers; the oldest go first."""
LARGEST = 4 << 20
"""Bytes of one answer; a larger one is not kept."""
LIFETIME = 365 * 86_400.0
"""Seconds after which an answer is no longer given."""
CACHED = "cached"
"""The source of the cost of an answer from here: nothing was paid for it."""
_FORM = b"headgate run answer 1"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Response).decode


def answer_key(target: Target, body: bytes, repetition: int = 0) -> bytes:
    """The SHA-256 over provider, address, model and the whole rendered request.

    `repetition` tells the copies of a unit apart, which are asked the same to get several answers.
    """
    total = hashlib.sha256()
    for part in (_FORM, target.provider.name, target.origin.url, target.model, str(repetition), body):
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.digest()


class AnswerCache:
    """Answers by `answer_key`, in a database of their own. Methods raise `StoreError`."""

    def __init__(self, store: Store, most_bytes: int = MOST_BYTES) -> None:
        self._store = store
        self._most_bytes = most_bytes
        self._sql = Statements.load("answers")

    async def find(self, keys: Sequence[bytes], now: float, before: float) -> dict[bytes, Response]:
        """The answers there are at `now` among those kept before `before` (both seconds since the epoch)."""

        def read(connection: Connection) -> list[tuple[bytes, bytes]]:
            found = []
            for key in keys:
                row = connection.execute(self._sql["find_answer"], {"key": key, "now": now}).fetchone()
                if row is not None and isinstance(row[0], bytes) and isinstance(row[1], float) and row[1] < before:
                    found.append((key, row[0]))
            return found

        rows = await self._store.read_async(read) if keys else []
        answers = {key: _readable(data) for key, data in rows}
        return {key: answer for key, answer in answers.items() if answer is not None}

    async def keep(self, answers: Mapping[bytes, Response], at: float) -> None:
        """Keep answers given at `at`, in place of older ones."""
        packed = {key: _encode(_free(answer)) for key, answer in answers.items()}
        rows: list[dict[str, Value]] = [
            {"key": key, "at": at, "expires": at + LIFETIME, "size": len(data), "answer": data}
            for key, data in packed.items()
            if len(data) <= LARGEST
        ]

        def write(connection: Connection) -> None:
            for row in rows:
                connection.execute(self._sql["keep_answer"], row)

        if rows:
            await self._store.write(write)

    async def purge(self, now: float) -> int:
        """Delete what is too old, and the oldest beyond the bound; returns how many."""

        def delete(connection: Connection) -> int:
            expired = connection.execute(self._sql["delete_expired_answers"], {"now": now}).rowcount
            return expired + connection.execute(self._sql["delete_oldest_answers"], {"most": self._most_bytes}).rowcount

        return await self._store.write(delete)


def _free(answer: Response) -> Response:
    """The answer without what only the first one cost."""
    return msgspec.structs.replace(answer, usage=None)


def _readable(data: bytes) -> Response | None:
    """An answer as it was kept; None for one that another version of the program wrote in another form."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
