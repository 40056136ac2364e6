"""Who did what: a trail that is only appended to, each entry sealed together with the one before it (faults J7).

An entry is written in the transaction of what it tells of, or neither is.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256

import msgspec

from headgate.store.connection import Connection, Value
from headgate.store.statements import Statements
from headgate.wire.json import Json, decode, encode

_FIRST = bytes(32)


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did: `actor` (``key:ID``, or what it is otherwise) did `action` (``key.create``) to `object` (an id)."""

    at: float
    actor: str
    action: str
    object: str
    detail: Json = None


class Entry(msgspec.Struct, frozen=True):
    """A deed as it is kept. `text` is its JSON, `hash` covers it, its number and the entry before."""

    seq: int
    text: str
    hash: bytes

    @property
    def deed(self) -> Deed:
        """The deed."""
        return msgspec.convert(decode(self.text), Deed)


class AuditTrail:
    """The table ``audit``, chained under `key`."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._sql = Statements.load("keys")

    def append(self, connection: Connection, deed: Deed) -> int:
        """Write a deed inside the transaction of `connection`, and return its number."""
        last = connection.execute(self._sql["last_entry"]).fetchone()
        seq, before = (0, _FIRST) if last is None else (_number(last[0]), _bytes(last[1]))
        text = encode(msgspec.to_builtins(deed)).decode()
        row: dict[str, Value] = {"seq": seq + 1, "at": deed.at, "text": text, "hash": self._hash(before, seq + 1, text)}
        connection.execute(self._sql["insert_entry"], row)
        return seq + 1

    def latest(self, connection: Connection, limit: int) -> tuple[Entry, ...]:
        """The newest entries, newest first."""
        return self._entries(connection, "latest_entries", {"limit": limit})

    def broken(self, connection: Connection) -> int | None:
        """The number of the first entry that was altered, or before which one is missing; None when the chain holds."""
        return self.first_break(self._entries(connection, "all_entries", {}))

    def first_break(self, entries: Iterable[Entry]) -> int | None:
        """As `broken`, for entries in order."""
        before, expected = _FIRST, 1
        for entry in entries:
            if entry.seq != expected or not hmac.compare_digest(entry.hash, self._hash(before, entry.seq, entry.text)):
                return expected
            before, expected = entry.hash, expected + 1
        return None

    def _entries(self, connection: Connection, statement: str, values: dict[str, Value]) -> tuple[Entry, ...]:
        rows = connection.execute(self._sql[statement], values).fetchall()
        return tuple(Entry(_number(seq), str(text), _bytes(hash)) for seq, text, hash in rows)

    def _hash(self, before: bytes, seq: int, text: str) -> bytes:
        return hmac.digest(self._key, before + seq.to_bytes(8, "big") + text.encode(), sha256)


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _bytes(value: Value) -> bytes:
    assert isinstance(value, bytes)
    return value
