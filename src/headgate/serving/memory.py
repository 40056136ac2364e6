"""Turning requests away before the kernel ends the process for its memory (faults C18)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from headgate.serving.envelopes import Refused

STATM = Path("/proc/self/statm")
CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
SHARE = 0.95
INTERVAL = 0.25
_NO_LIMIT = 1 << 60


def resident_bytes(statm: Path = STATM) -> int:
    """Memory of this process; 0 where the system does not say."""
    try:
        return int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def memory_limit(files: tuple[Path, ...] = CGROUPS) -> int | None:
    """What the control group allows; None when nothing is limited."""
    for file in files:
        try:
            found = int(file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        if found < _NO_LIMIT:
            return found
    return None


class MemoryWatch:
    """Whether this process has nearly used up its memory. `cap` is bytes (None: never); `clock` monotonic seconds."""

    def __init__(self, cap: int | None, clock: Callable[[], float], read: Callable[[], int] = resident_bytes) -> None:
        self._threshold = None if cap is None else int(cap * SHARE)
        self._clock = clock
        self._read = read
        self._next = 0.0
        self._full = False

    def full(self) -> bool:
        """Whether to turn requests away now; looked at four times a second at most."""
        if self._threshold is None:
            return False
        now = self._clock()
        if now >= self._next:
            self._next = now + INTERVAL
            self._full = self._read() >= self._threshold
        return self._full


def memory_refusal() -> Refused:
    """The refusal (503) of a request there is no memory for."""
    return Refused(503, "this server is short of memory", code="overloaded", headers=(("retry-after", "1"),))
