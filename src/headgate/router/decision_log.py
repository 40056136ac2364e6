"""The file of routing decisions: a line for each, appended whole."""

from __future__ import annotations

import os
from pathlib import Path

from headgate.errors import StoreError
from headgate.router.features import Decided, decided_line


class DecisionLog:
    """Appends decisions to a file that only its owner may read. Several processes may share it: a line is one write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, decided: Decided) -> None:
        """Append one. Raises `StoreError` when it cannot be written whole."""
        line = decided_line(decided)
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise self._failed(error) from error
        if written != len(line):
            raise StoreError(f"the routing log {self._path} took only a part of a line", hint=f"df -h {self._path.parent}")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _failed(self, error: OSError) -> StoreError:
        return StoreError(f"the routing log {self._path} cannot be written: {error.strerror}", hint=f"ls -ld {self._path.parent}")
