"""Reading values: JSON with torn characters, objects in text, base64, time stamps."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, decode, encode_text

_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL)
"""An escape of a JSON string: a surrogate pair, half of one (the group), or any other."""
_STARTS = (
    ("iVBOR", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
)


def malformed(param: str, must: str) -> WireError:
    """The error for a field that breaks the wire's grammar."""
    return WireError(f"{param} must be {must}", param=param)


def decode_body(data: bytes, what: str) -> Json:
    """Decode JSON in which a character may be torn (case 9): half a surrogate pair is read as U+FFFD. Raises `WireError`."""
    try:
        return decode(data, what=what)
    except WireError:
        mended = _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], data)
        if mended == data:
            raise
        return decode(mended, what=what)


def as_object(words: str) -> JsonObject | None:
    """The JSON object some text consists of, None when it is anything else."""
    if not words.lstrip(" \t\r\n").startswith("{"):
        return None
    try:
        value = decode(words)
    except WireError:
        return None
    return value if isinstance(value, dict) else None


def json_text(value: JsonObject, path: str) -> str:
    """JSON text of a decoded object. Raises `WireError` for what no JSON text can hold."""
    try:
        return encode_text(value)
    except WireError as error:
        raise WireError(f"{path}: {error.message}", param=path) from error


def image_type(data: str) -> str | None:
    """The media type that the first bytes of base64 text betray."""
    return next((mime for start, mime in _STARTS if data.startswith(start)), None)


def read_time(value: Json) -> int | None:
    """Seconds since the epoch of an RFC 3339 time stamp; None for anything else."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if moment is None else int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def write_time(seconds: int) -> str:
    """An RFC 3339 time stamp."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00Z"
