"""What a journal says about requests, as bytes. Everything carries a checksum, so that what a power cut left half written is noticed.

An entry is ``checksum, sizes, time, bound, bytes of the request`` (`_ENTRY`), then the request's id, its context, and the numbers of the
balances it is reserved in. A closing is ``checksum, size`` (`_CLOSING`), then the places where it goes on, and the receipt as it is stored.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, Literal
from zlib import adler32

import msgspec

from headgate.ledger.intent import Asker
from headgate.ledger.receipt import Face

_ENTRY = struct.Struct("<IHHHdqq")
_CLOSING = struct.Struct("<III")
CLOSING: Final = _CLOSING.size
_CHECKSUM = 4
NUMBER = 8
NO_BOUND = -1


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a receipt needs to be made of an entry alone."""

    face: Face
    provider: str
    account: str
    model: str
    lane: Literal["realtime", "batch"] = "realtime"
    run: str | None = None
    asker: Asker = Asker()


class Entry(msgspec.Struct, frozen=True):
    """One attempt that was under way. `bound` None: unknown. `size` is how many bytes the entry takes."""

    id: str
    at: float
    bound: int | None
    request_bytes: int
    context: Context
    balances: tuple[int, ...]
    size: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Context).decode


def encode_context(context: Context) -> bytes:
    """The part of an entry that is the same for many requests."""
    return _encode(context)


def encode_entry(id: bytes, at: float, bound: int, request_bytes: int, context: bytes, balances: bytes) -> bytes:
    """An entry; `balances` are numbers of eight bytes each, `bound` -1 where there is none."""
    body = b"".join((id, context, balances))
    sums = _ENTRY.pack(0, len(id), len(context), len(balances), at, bound, request_bytes)[_CHECKSUM:] + body
    return adler32(sums).to_bytes(4, "little") + sums


def decode_entry(data: memoryview) -> Entry | None:
    """The entry that `data` begins with; None when it is damaged."""
    checksum, ids, contexts, balances, at, bound, request_bytes = _ENTRY.unpack_from(data)
    size = _ENTRY.size + ids + contexts + balances
    if size > len(data) or adler32(data[_CHECKSUM:size]) != checksum:
        return None
    where = _ENTRY.size
    id = str(bytes(data[where : where + ids]), "utf-8")
    context = _decode(data[where + ids : where + ids + contexts])
    numbers = bytes(data[where + ids + contexts : size])
    found = tuple(int.from_bytes(numbers[i : i + NUMBER], "little") for i in range(0, len(numbers), NUMBER))
    return Entry(id, at, None if bound == NO_BOUND else bound, request_bytes, context, found, size)


def closing_head(stored: bytes, places: Sequence[int]) -> bytes:
    """What stands before the bytes of a receipt that goes on at `places`."""
    head = _CLOSING.pack(adler32(stored), len(stored), len(places))
    return head + b"".join([place.to_bytes(NUMBER, "little") for place in places]) if places else head


def closing_size(places: int) -> int:
    """How many bytes `closing_head` takes."""
    return _CLOSING.size + NUMBER * places


def decode_closing(data: memoryview) -> tuple[int, int, tuple[int, ...]]:
    """Checksum, size and further places of the receipt of a closing."""
    checksum, size, count = _CLOSING.unpack_from(data)
    count = min(count, (len(data) - _CLOSING.size) // NUMBER)
    places = tuple(int.from_bytes(data[(at := _CLOSING.size + NUMBER * i) : at + NUMBER], "little") for i in range(count))
    return checksum, size, places
