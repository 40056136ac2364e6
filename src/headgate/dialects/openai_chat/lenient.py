"""JSON with lone surrogates, which some servers send when they cut an emoji in two (case 9)."""

from __future__ import annotations

import json
import math
from typing import NoReturn

from headgate.errors import WireError
from headgate.wire.json import Json, decode


def decode_lenient(data: bytes, what: str) -> tuple[Json, bool]:
    """Decode as `wire.json.decode`, but keep lone surrogates in strings; True when that was needed.

    Raises `WireError` for anything else malformed.
    """
    try:
        return decode(data, what=what), False
    except WireError:
        if b"\\ud" not in data.lower():
            raise
    try:
        return json.loads(data, parse_constant=_refuse, parse_float=_finite), True
    except (ValueError, RecursionError) as error:
        raise WireError(f"{what} is not valid JSON: {error}") from error


def decode_mended(data: bytes, what: str) -> Json:
    """Decode a whole body; lone surrogates become U+FFFD. Raises `WireError` for malformed JSON."""
    value, odd = decode_lenient(data, what)
    try:
        return _mend_all(value) if odd else value
    except RecursionError as error:
        raise WireError(f"{what} is nested too deeply") from error


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _finite(word: str) -> float:
    value = float(word)
    return value if math.isfinite(value) else _refuse(word)


def mend(text: str) -> str:
    """Join surrogate pairs and replace lone halves by U+FFFD, so that the text is valid UTF-8."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _mend_all(value: Json) -> Json:
    if isinstance(value, str):
        return mend(value)
    if isinstance(value, list):
        return [_mend_all(item) for item in value]
    if isinstance(value, dict):
        return {mend(key): _mend_all(item) for key, item in value.items()}
    return value


def split_tail(text: str) -> tuple[str, str]:
    """Text that can be passed on, and the first half of a surrogate pair at its end ("" mostly)."""
    if text and "\ud800" <= text[-1] <= "\udbff":
        return text[:-1], text[-1]
    return text, ""
