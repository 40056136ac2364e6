"""The chain of receipts: each carries the hash of the one before it, so that none can be altered or taken out unnoticed.

One chain runs through the whole database, in the order of commits; writers take turns anyway. The hash of a receipt is
``sha256(hash of the one before + its bytes)``, where its bytes are the UTF-8 of the column `detail`, and the one before the first is 32
zero bytes. Receipts written before there was a chain have no hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from headgate.errors import StoreError
from headgate.store.connection import Connection, Row, Value
from headgate.store.statements import Statements

SQL = Statements.load("ledger")
START = bytes(32)
_ROW = SQL["append_receipt"].partition("VALUES ")[2]
_APPEND = tuple((size, SQL["append_receipt"] + f",{_ROW}" * (size - 1)) for size in (64, 8, 1))
"""Rows at once, and the statement for so many: one call of the database for all of them, during which other threads run."""
DETAIL = -1
"""Where the bytes to be hashed are in a row of `rows.receipt_row`."""


def link(previous: bytes, detail: bytes) -> bytes:
    """The hash of a receipt whose bytes are `detail`, after one whose hash is `previous`."""
    return sha256(previous + detail).digest()


def append(connection: Connection, rows: Sequence[Row]) -> None:
    """Write receipts (rows of `rows.receipt_row`) to the end of the chain. Their ids must be new: a known one is the database's error."""
    if not rows:
        return
    seq, hash = head(connection)
    values: list[Value] = []
    for row in rows:
        seq += 1
        hash = sha256(hash + str(row[DETAIL]).encode()).digest()
        values += (seq, hash)
        values += row
    width = len(rows[0]) + 2
    done = 0
    for size, statement in _APPEND:
        while len(rows) - done >= size:
            connection.execute(statement, tuple(values[done * width : (done + size) * width]))
            done += size
    connection.execute(SQL["move_head"], {"seq": seq, "hash": hash})


def append_new(connection: Connection, rows: Iterable[Row]) -> list[Row]:
    """As `append`, for those whose ids are not known yet, which are returned."""
    fresh: dict[Value, Row] = {}
    for row in rows:
        if row[0] not in fresh and not known(connection, row[0]):
            fresh[row[0]] = row
    append(connection, list(fresh.values()))
    return list(fresh.values())


def known(connection: Connection, id: Value) -> bool:
    """Whether there is a receipt of that id."""
    return connection.execute(SQL["receipt_exists"], {"id": id}).fetchone() is not None


def head(connection: Connection) -> tuple[int, bytes]:
    """Number and hash of the last receipt."""
    row = connection.execute(SQL["chain_head"]).fetchone()
    if row is None or not isinstance(row[0], int) or not isinstance(row[1], bytes):
        raise StoreError("the ledger has lost the end of its chain of receipts", hint="headgate receipts verify")
    return row[0], row[1]
