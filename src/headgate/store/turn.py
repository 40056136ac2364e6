"""Taking turns between processes.

SQLite wakes waiting writers by chance, and a busy process that begins again at once starves the others (faults, finding 10). Whoever wants
to write first takes this lock, keeps it only until its transaction has begun, and so lets the one before it finish but not overtake it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from headgate.errors import StoreError

if sys.platform != "win32":
    import fcntl

POLL = 0.0005
"""Seconds between two attempts."""


class Turn:
    """An advisory lock on a file beside the database, held by at most one process. Not for use by several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self, deadline: float) -> None:
        """Wait for the lock until `deadline` (of `time.monotonic`). Raises `StoreError` when it passes."""
        while not self._try():
            if time.monotonic() > deadline:
                raise StoreError(f"{self.path} has been locked by another process for too long", hint=f"fuser {self.path}")
            time.sleep(POLL)

    def _try(self) -> bool:
        if sys.platform == "win32":
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def give(self) -> None:
        """Let the next one in."""
        if sys.platform != "win32":
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give up the file."""
        os.close(self._file)
