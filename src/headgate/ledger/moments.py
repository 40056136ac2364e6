"""Times as text: ISO 8601 in UTC, days as ``YYYY-MM-DD``."""

from __future__ import annotations

from datetime import UTC, datetime

DAY = 86400


def iso(at: float) -> str:
    """`at` (seconds since the epoch) to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def day_text(number: int) -> str:
    """The day so many days after the epoch."""
    return datetime.fromtimestamp(number * DAY, UTC).strftime("%Y-%m-%d")


def start_of(day: str) -> float:
    """When a day (``YYYY-MM-DD``, UTC) begins, in seconds since the epoch. Raises `ValueError`."""
    return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
