"""JSON bytes to plain values and back, with the bounds hostile input needs.

`Json` is any decoded JSON value. It is the one place where the type checker is told "anything"; readers narrow with `text`,
`number`, `obj` and `arr` below, which raise `WireError` naming the path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import msgspec

from headgate.errors import WireError

Json: TypeAlias = Any
JsonObject: TypeAlias = dict[str, Json]

_T = TypeVar("_T")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()

_encode = _encoder.encode
Raw = msgspec.Raw


def encode(value: Json) -> bytes:
    """Compact JSON bytes of a value. Raises `WireError` (fault "local") for what no JSON text can hold: half a surrogate pair, or more
    nesting than a reader bears."""
    try:
        return _encode(value)
    except (RecursionError, UnicodeEncodeError) as error:
        raise WireError(f"this cannot be written as JSON: {error}", fault="local") from error


def decode(data: bytes | bytearray | memoryview | str, *, what: str = "body", fault: str = "remote") -> Json:
    """Decode one JSON value. Raises `WireError` for malformed or too deeply nested text."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise WireError(f"{what} is not valid JSON: {error}", fault=fault) from error


def typed_reader(kind: type[_T]) -> Callable[[bytes], _T | None]:
    """A reader of JSON texts of one type, which returns None for every other text. Keys that the type leaves out are at least UTF-8."""
    read = msgspec.json.Decoder(kind).decode

    def typed(data: bytes) -> _T | None:
        try:
            found = read(data)
            if not data.isascii():
                data.decode()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return found

    return typed


HOLE: Json = Raw(b"\0")
"""Stands in a value for a part that is still to come; no other JSON text contains its byte."""


def frame_of(rendered: bytes) -> list[bytes]:
    """What stands around the holes of rendered JSON; ``encode(part).join(frame)`` fills them all."""
    return rendered.split(b"\0")


def encode_text(value: Json) -> str:
    """Compact JSON text of a value."""
    return encode(value).decode()


def loaded(value: Json) -> Json:
    """`value` itself, or decoded when it is raw JSON that was passed along unread. Raises `WireError` when it cannot be decoded."""
    return decode(bytes(value), what="raw JSON", fault="local") if type(value) is Raw else value


def obj(value: Json, path: str) -> JsonObject:
    """`value` as an object, or `WireError` naming `path`."""
    if isinstance(value, dict):
        return value
    raise WireError(f"{path} must be an object, not {type_name(value)}", param=path)


def arr(value: Json, path: str) -> list[Json]:
    """`value` as an array, or `WireError` naming `path`."""
    if isinstance(value, list):
        return value
    raise WireError(f"{path} must be an array, not {type_name(value)}", param=path)


def text(value: Json, path: str) -> str:
    """`value` as a string, or `WireError` naming `path`."""
    if isinstance(value, str):
        return value
    raise WireError(f"{path} must be a string, not {type_name(value)}", param=path)


_NUMBERS = (int, float)


def number(value: Json, path: str) -> float | int:
    """`value` as a number (a bool is none), or `WireError` naming `path`."""
    if isinstance(value, _NUMBERS) and not isinstance(value, bool):
        return value
    raise WireError(f"{path} must be a number, not {type_name(value)}", param=path)


_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}


def type_name(value: Json) -> str:
    """The JSON name of a value's type, for messages."""
    return _NAMES.get(type(value), type(value).__name__)
