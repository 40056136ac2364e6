"""Simulated time: epoch seconds that may run faster than the wall's and can be moved forward by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """What the simulator asks for the time."""

    def now(self) -> float:
        """Epoch seconds."""
        ...

    def advance(self, seconds: float) -> None:
        """Jump forward."""
        ...


class ScaledClock:
    """Starts at `start` and runs `scale` simulated seconds per real one."""

    def __init__(self, start: float, scale: float = 1.0, ticks: Callable[[], float] = time.monotonic) -> None:
        self._start = start
        self._scale = scale
        self._ticks = ticks
        self._origin = ticks()

    def now(self) -> float:
        """Epoch seconds."""
        return self._start + (self._ticks() - self._origin) * self._scale

    def advance(self, seconds: float) -> None:
        """Jump forward."""
        self._start += seconds


class ManualClock:
    """Stands still until it is advanced; for tests."""

    def __init__(self, start: float = 1_780_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Epoch seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Jump forward."""
        self._now += seconds


def iso(at: float, suffix: str = "+00:00") -> str:
    """`at` with microseconds, as Anthropic (``+00:00``) and Gemini (``Z``) write times."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + suffix


@lru_cache(maxsize=8)
def http_date(at: int) -> str:
    """`at`, in whole seconds, as a Date header (RFC 9110)."""
    return datetime.fromtimestamp(at, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
