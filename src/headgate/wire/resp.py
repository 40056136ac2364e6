"""RESP 2, the protocol of Redis and Valkey: commands as bytes, replies read piece by piece. No sockets.

Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from headgate.errors import WireError

MAX_BULK = 1 << 20
MAX_ITEMS = 1 << 16
MAX_LINE = 1 << 12
MAX_DEPTH = 4


class RespError(msgspec.Struct, frozen=True):
    """An error reply. Its first word is a code: ``NOAUTH``, ``LOADING``, ``OOM``, ``READONLY``, ``ERR`` …"""

    text: str

    @property
    def code(self) -> str:
        """The first word."""
        return self.text.partition(" ")[0]


RespValue: TypeAlias = "int | bytes | str | RespError | list[RespValue] | None"


def render_command(words: Sequence[str | bytes | int]) -> bytes:
    """One command."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        raw = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


class RespReader:
    """Replies out of bytes that come in pieces. Raises `WireError` on what is no reply, or longer than a reply of ours can be."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[RespValue]:
        """The replies that are complete with `data`."""
        self._buffer += data
        found: list[RespValue] = []
        end = 0
        while (one := _value(self._buffer, end, 0)) is not None:
            value, end = one
            found.append(value)
        self._buffer = self._buffer[end:]
        return found


def _value(data: bytes, start: int, depth: int) -> tuple[RespValue, int] | None:
    """The value at `start` and where it ends, None when it is not complete."""
    line_end = data.find(b"\r\n", start)
    if line_end < 0:
        if len(data) - start > MAX_LINE:
            raise WireError("a line of a Redis reply is too long")
        return None
    kind, line, after = data[start : start + 1], data[start + 1 : line_end], line_end + 2
    if kind == b":":
        return _integer(line), after
    if kind == b"+":
        return line.decode("utf-8", "replace"), after
    if kind == b"-":
        return RespError(line.decode("utf-8", "replace")), after
    if kind == b"$":
        return _bulk(data, _size(line, MAX_BULK), after)
    if kind == b"*" and depth < MAX_DEPTH:
        return _array(data, _size(line, MAX_ITEMS), after, depth)
    raise WireError(f"not a Redis reply: {kind!r}")


def _bulk(data: bytes, size: int, start: int) -> tuple[RespValue, int] | None:
    if size < 0:
        return None, start
    end = start + size
    if len(data) < end + 2:
        return None
    if data[end : end + 2] != b"\r\n":
        raise WireError("a string of a Redis reply does not end where it says")
    return data[start:end], end + 2


def _array(data: bytes, size: int, start: int, depth: int) -> tuple[RespValue, int] | None:
    if size < 0:
        return None, start
    items: list[RespValue] = []
    for _ in range(size):
        one = _value(data, start, depth + 1)
        if one is None:
            return None
        item, start = one
        items.append(item)
    return items, start


def _integer(line: bytes) -> int:
    digits = line[1:] if line[:1] in (b"-", b"+") else line
    if not digits.isdigit() or len(digits) > 20:
        raise WireError(f"not a number in a Redis reply: {line[:40]!r}")
    return int(line)


def _size(line: bytes, most: int) -> int:
    size = _integer(line)
    if not -1 <= size <= most:
        raise WireError(f"a Redis reply of size {size}")
    return size
