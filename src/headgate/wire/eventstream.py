"""AWS event streams (`application/vnd.amazon.eventstream`): an incremental decoder and an encoder.

A frame is, all numbers big-endian::

    total length u32 | headers length u32 | CRC-32 of these eight bytes | headers | payload | CRC-32 of everything before

and a header is ``name length u8 | name | type u8 | value``. Source: AWS documentation of the event stream encoding (Amazon Transcribe,
Smithy); recorded traffic.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from struct import Struct, error
from typing import TypeAlias

import msgspec

from headgate.errors import TooLarge, Truncated, WireError

MAX_FRAME = 24 << 20
"""Default cap for one frame, in bytes."""

MAX_HEADERS = 128 << 10
"""Most bytes the headers of one frame may take, as the encoding's own limit says."""

_MOST_KNOWN = 32  # kinds of headers remembered per stream; real streams have about six

_PRELUDE = Struct(">III")
_U16, _I8, _I16, _I32, _I64 = Struct(">H"), Struct(">b"), Struct(">h"), Struct(">i"), Struct(">q")
_CRC = Struct(">I")
_LENGTHS = Struct(">II")
_LEAST = _PRELUDE.size + _CRC.size


class Byte(msgspec.Struct, frozen=True):
    """A header value of eight bits, signed."""

    value: int


class Short(msgspec.Struct, frozen=True):
    """A header value of sixteen bits, signed."""

    value: int


class Integer(msgspec.Struct, frozen=True):
    """A header value of thirty-two bits, signed."""

    value: int


class Timestamp(msgspec.Struct, frozen=True):
    """A moment: milliseconds since the epoch."""

    millis: int


class Uuid(msgspec.Struct, frozen=True):
    """The sixteen bytes of a UUID."""

    value: bytes


HeaderValue: TypeAlias = bool | int | str | bytes | Byte | Short | Integer | Timestamp | Uuid
"""The ten kinds: true and false, `Byte`, `Short`, `Integer`, a plain int (64 bits), bytes, text, `Timestamp`, `Uuid`."""


class Frame(msgspec.Struct, frozen=True):
    """One message. Header names are unique; the last of repeated ones wins."""

    headers: dict[str, HeaderValue]
    payload: bytes = b""

    def text(self, name: str) -> str:
        """A header's text; "" when it is missing or of another kind."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class FrameDecoder:
    """Bytes in, frames out; any split of the same bytes gives the same frames."""

    __slots__ = ("_known", "_max_frame", "_need", "_pending")

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._pending = bytearray()
        self._need = _PRELUDE.size
        self._known: dict[bytes, dict[str, HeaderValue]] = {}

    def feed(self, data: bytes) -> list[Frame]:
        """Frames completed by `data`. Raises `WireError` for a wrong checksum or malformed headers, `TooLarge` for a frame above the
        cap."""
        if self._pending:
            self._pending += data
            if len(self._pending) < self._need:
                return []
            data = bytes(self._pending)
        frames: list[Frame] = []
        place = 0
        try:
            while len(data) - place >= _PRELUDE.size:
                self._need = _PRELUDE.size
                total, heads = self._prelude(data, place)
                if len(data) - place < total:
                    self._need = total
                    break
                frames.append(self._frame(data[place : place + total], heads))
                place += total
        finally:
            if self._pending or place < len(data):
                self._pending[:] = data[place:]
        return frames

    def close(self) -> None:
        """The end of the bytes. Raises `Truncated` inside a frame."""
        if self._pending:
            raise Truncated(f"the event stream ended inside a frame, after {len(self._pending)} bytes of it")

    def _prelude(self, data: bytes, place: int) -> tuple[int, int]:
        """Lengths of the next frame and of its headers, checked."""
        total, heads, checksum = _PRELUDE.unpack_from(data, place)
        if zlib.crc32(data[place : place + 8]) != checksum:
            raise WireError("an event stream frame has a wrong prelude checksum")
        if total > self._max_frame:
            raise TooLarge(f"an event stream frame of {total} bytes is above the cap of {self._max_frame}")
        if heads > MAX_HEADERS or total < _LEAST + heads:
            raise WireError(f"an event stream frame of {total} bytes cannot hold {heads} bytes of headers")
        return total, heads

    def _frame(self, data: bytes, heads: int) -> Frame:
        if zlib.crc32(data[: -_CRC.size]) != _CRC.unpack_from(data, len(data) - _CRC.size)[0]:
            raise WireError("an event stream frame has a wrong message checksum")
        end = _PRELUDE.size + heads
        head = data[_PRELUDE.size : end]
        headers = self._known.get(head)
        if headers is None:
            headers = _headers(head)
            if len(self._known) < _MOST_KNOWN:
                self._known[head] = headers
        return Frame(headers, data[end : -_CRC.size])


def _headers(data: bytes) -> dict[str, HeaderValue]:
    found: dict[str, HeaderValue] = {}
    place = 0
    try:
        while place < len(data):
            end = place + 1 + data[place]
            name = data[place + 1 : end].decode()
            read = _READERS[data[end]]
            found[name], place = read(data, end + 1)
    except (IndexError, error, UnicodeDecodeError) as fault:
        raise WireError(f"an event stream frame has malformed headers: {fault}") from fault
    if place != len(data):
        raise WireError("an event stream frame has malformed headers: the last value is cut")
    return found


def _fixed(form: Struct, make: Callable[[int], HeaderValue]) -> Callable[[bytes, int], tuple[HeaderValue, int]]:
    def read(data: bytes, place: int) -> tuple[HeaderValue, int]:
        return make(form.unpack_from(data, place)[0]), place + form.size

    return read


def _truth(value: bool) -> Callable[[bytes, int], tuple[HeaderValue, int]]:
    return lambda data, place: (value, place)


def _blob(data: bytes, place: int) -> tuple[bytes, int]:
    end = place + 2 + _U16.unpack_from(data, place)[0]
    return data[place + 2 : end], end


def _string(data: bytes, place: int) -> tuple[HeaderValue, int]:
    raw, end = _blob(data, place)
    return raw.decode(), end


def _uuid(data: bytes, place: int) -> tuple[HeaderValue, int]:
    return Uuid(data[place : place + 16]), place + 16


_READERS: tuple[Callable[[bytes, int], tuple[HeaderValue, int]], ...] = (
    _truth(True),
    _truth(False),
    _fixed(_I8, Byte),
    _fixed(_I16, Short),
    _fixed(_I32, Integer),
    _fixed(_I64, int),
    _blob,
    _string,
    _fixed(_I64, Timestamp),
    _uuid,
)
"""By a header's type number."""

_WRITERS: dict[type, Callable[..., bytes]] = {
    bool: lambda value: b"\0" if value else b"\1",
    Byte: lambda held: b"\2" + _I8.pack(held.value),
    Short: lambda held: b"\3" + _I16.pack(held.value),
    Integer: lambda held: b"\4" + _I32.pack(held.value),
    int: lambda value: b"\5" + _I64.pack(value),
    bytes: lambda raw: b"\6" + _U16.pack(len(raw)) + raw,
    str: lambda words: b"\7" + _U16.pack(len(words.encode())) + words.encode(),
    Timestamp: lambda held: b"\x08" + _I64.pack(held.millis),
    Uuid: lambda held: b"\x09" + _sixteen(held.value),
}


def _sixteen(raw: bytes) -> bytes:
    if len(raw) != 16:
        raise WireError(f"a UUID has 16 bytes, not {len(raw)}", fault="local")
    return raw


def encode_frame(headers: Mapping[str, HeaderValue], payload: bytes = b"") -> bytes:
    """One frame as bytes. Raises `WireError` (fault "local") for a header that does not fit the encoding."""
    return join_frame(encode_headers(headers), payload)


def encode_headers(headers: Mapping[str, HeaderValue]) -> bytes:
    """The headers of a frame as bytes. Raises `WireError` (fault "local") for one that does not fit the encoding."""
    try:
        head = b"".join([_header(name, value) for name, value in headers.items()])
    except (error, UnicodeEncodeError) as fault:
        raise WireError(f"a header does not fit an event stream frame: {fault}", fault="local") from fault
    if len(head) > MAX_HEADERS:
        raise WireError(f"the headers of an event stream frame take {len(head)} bytes, above {MAX_HEADERS}", fault="local")
    return head


def join_frame(head: bytes, payload: bytes) -> bytes:
    """A frame of encoded headers and a payload."""
    lengths = _LENGTHS.pack(_LEAST + len(head) + len(payload), len(head))
    body = b"%b%b%b%b" % (lengths, _CRC.pack(zlib.crc32(lengths)), head, payload)
    return body + _CRC.pack(zlib.crc32(body))


def _header(name: str, value: HeaderValue) -> bytes:
    raw = name.encode()
    if not 1 <= len(raw) <= 255:
        raise WireError(f"a header name has 1 to 255 bytes, not {len(raw)}", fault="local")
    return bytes((len(raw),)) + raw + _WRITERS[type(value)](value)
