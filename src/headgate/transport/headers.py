"""What response headers say about trying again (translation case 89); pure, the clock comes in as an argument."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_DURATION = re.compile(
    r"(?:(?P<d>\d{1,6}(?:\.\d{1,9})?)d)?(?:(?P<h>\d{1,6}(?:\.\d{1,9})?)h)?(?:(?P<m>\d{1,9}(?:\.\d{1,9})?)m(?!s))?"
    r"(?:(?P<s>\d{1,12}(?:\.\d{1,9})?)s)?(?:(?P<ms>\d{1,15}(?:\.\d{1,9})?)ms)?",
    re.ASCII,
)
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_RESET = re.compile(r"(?:x-ratelimit-reset(?:-(?P<openai>.+))?|(?P<named>.+-ratelimit-.+)-reset)", re.ASCII)
_EPOCH = 1e9  # as a number of seconds, later than this is a date, not a duration
_EPOCH_MS = 1e11
_BOOLEANS = {"true": True, "false": False}


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds the server asks to wait, at least 0, None when it says nothing intelligible. Not clamped: see `retry.decide_retry`.

    ``retry-after-ms`` wins over ``retry-after`` (seconds or an HTTP date, measured against the server's own ``date`` so that a skewed
    clock does no harm), and both over the reset times of exhausted rate limits. `now` is epoch seconds; header names are lower-case.
    """
    millis = _number(headers.get("retry-after-ms", ""))
    if millis is not None:
        return millis / 1000
    after = headers.get("retry-after", "").strip()
    seconds = _number(after)
    if seconds is not None:
        return seconds
    date = _http_date(after)
    if date is not None:
        server_now = _http_date(headers.get("date", ""))
        return max(0.0, date - (now if server_now is None else server_now))
    return exhausted_reset(headers, now)


def exhausted_reset(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until the last of the exhausted rate limits resets (``…-remaining`` is 0), None when none is exhausted."""
    waits = []
    for name, value in headers.items():
        match = _RESET.fullmatch(name)
        if match and _number(headers.get(_remaining(match), "")) == 0:
            wait = parse_reset(value, now)
            if wait is not None:
                waits.append(wait)
    return max(waits, default=None)


def parse_reset(value: str, now: float) -> float | None:
    """Seconds until a reset time: ``1m30s``, ``6ms``, ``12.5``, epoch seconds or milliseconds, or an ISO 8601 or HTTP date."""
    value = value.strip()
    number = _number(value)
    if number is not None:
        return _from_number(number, now)
    match = _DURATION.fullmatch(value)
    if match and value:
        return sum(float(amount) * _SECONDS[unit] for unit, amount in match.groupdict().items() if amount)
    date = _iso_date(value)
    if date is None:
        date = _http_date(value)
    return None if date is None else max(0.0, date - now)


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """``x-should-retry``: the server's own word, None when it gives none."""
    return _BOOLEANS.get(headers.get("x-should-retry", "").strip().lower())


def _remaining(match: re.Match[str]) -> str:
    if match["named"]:
        return f"{match['named']}-remaining"
    return f"x-ratelimit-remaining-{match['openai']}" if match["openai"] else "x-ratelimit-remaining"


def _number(value: str) -> float | None:
    value = value.strip()
    return float(value) if _NUMBER.fullmatch(value) else None


def _from_number(number: float, now: float) -> float:
    if number >= _EPOCH_MS:
        return max(0.0, number / 1000 - now)
    return max(0.0, number - now) if number >= _EPOCH else number


def _http_date(value: str) -> float | None:
    try:
        return _timestamp(parsedate_to_datetime(value))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _iso_date(value: str) -> float | None:
    try:
        return _timestamp(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        return None


def _timestamp(moment: datetime) -> float | None:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    seconds = aware.timestamp()
    return seconds if math.isfinite(seconds) else None
