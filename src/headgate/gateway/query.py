"""The query of a request. Our own endpoints read it strictly: an unknown or repeated parameter is refused, not overlooked."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import parse_qs, parse_qsl

from headgate.ledger.moments import DAY, start_of
from headgate.serving.envelopes import Refused
from headgate.serving.request import Request

MOST_FIELDS = 32
MOST_FOREIGN = 64


def values_in(query: str) -> dict[str, list[str]]:
    """The values in a query of another's wire, by name. Raises `Refused` (400) for more of them than anybody has use for."""
    if not query:
        return {}
    try:
        return parse_qs(query, max_num_fields=MOST_FOREIGN)
    except ValueError as error:
        raise Refused(400, f"the query cannot be read: {error}", code="invalid_parameter") from error


def read_query(request: Request, allowed: Collection[str]) -> dict[str, str]:
    """The parameters by name. Raises `Refused` (400) for one that is unknown or comes twice."""
    try:
        pairs = parse_qsl(request.query, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise Refused(400, f"the query cannot be read: {error}", code="invalid_parameter") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in allowed:
            raise invalid(name, f"there is no parameter {name[:60]!r} here; there are {', '.join(sorted(allowed))}")
        if name in found:
            raise invalid(name, f"{name} is given twice")
        found[name] = value
    return found


def invalid(param: str, message: str) -> Refused:
    """The refusal (400) of a parameter."""
    return Refused(400, message, code="invalid_parameter", param=param)


def one_of(query: dict[str, str], name: str, choices: Collection[str], default: str) -> str:
    """A parameter that has few values. Raises `Refused`."""
    value = query.get(name, default)
    if value not in choices:
        raise invalid(name, f"{name} must be one of {', '.join(choices)}, not {value[:60]!r}")
    return value


def whole(query: dict[str, str], name: str, least: int, most: int, default: int) -> int:
    """A parameter that is a whole number. Raises `Refused`."""
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) <= 12 and least <= int(text) <= most):
        raise invalid(name, f"{name} must be a whole number from {least} to {most}, not {text[:60]!r}")
    return int(text)


def day(query: dict[str, str], name: str, default: float) -> float:
    """A parameter that is a day, as the moment it begins (UTC, seconds since the epoch). Raises `Refused`."""
    text = query.get(name)
    if text is None:
        return default - default % DAY
    try:
        return start_of(text)
    except ValueError as error:
        raise invalid(name, f"{name} must be a day such as 2026-11-30, not {text[:60]!r}") from error
