"""AWS's binary event stream: frames with typed headers and two checksums (specification: "application/vnd.amazon.eventstream").

A frame is ``total length, header length, CRC of these, headers, payload, CRC of all``, numbers in four bytes, big end first. Only string
headers (type 7) are written.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack, unpack_from
from zlib import crc32

from headgate.wire.json import JsonObject, encode

EVENTSTREAM = "application/vnd.amazon.eventstream"
STRING = 7
PRELUDE = 12
OVERHEAD = 16
PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One frame."""
    fields = b"".join(_header(name, value) for name, value in headers.items())
    prelude = pack(">II", OVERHEAD + len(fields) + len(payload), len(fields))
    head = prelude + pack(">I", crc32(prelude)) + fields + payload
    return head + pack(">I", crc32(head))


def _header(name: str, value: str) -> bytes:
    named, valued = name.encode(), value.encode()
    return pack(">B", len(named)) + named + pack(">BH", STRING, len(valued)) + valued


def event(kind: str, payload: JsonObject) -> bytes:
    """An event with a JSON payload, padded to a length that tells nothing about the text."""
    raw = encode(payload)
    padded = {**payload, "p": PADDING[: 1 + len(raw) * 7 % len(PADDING)]}
    return frame({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, encode(padded))


def exception(kind: str, message: str) -> bytes:
    """An error in a stream that has begun."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, encode({"message": message}))


def unframe(data: bytes) -> tuple[dict[str, str], bytes] | None:
    """Headers and payload of bytes that are exactly one sound frame; None when they are not."""
    if len(data) < OVERHEAD or unpack_from(">I", data)[0] != len(data) or unpack_from(">I", data, 8)[0] != crc32(data[:8]):
        return None
    size = unpack_from(">I", data, 4)[0]
    return dict(_headers(data[PRELUDE : PRELUDE + size])), data[PRELUDE + size : -4]


def _headers(raw: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(raw):
        name = raw[at + 1 : at + 1 + raw[at]].decode()
        at += 1 + raw[at]
        size = unpack_from(">H", raw, at + 1)[0]
        yield name, raw[at + 3 : at + 3 + size].decode()
        at += 3 + size
