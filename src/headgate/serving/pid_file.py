"""Which process serves, and how its last reading of the settings went: a file that its owner keeps locked while it lives.

The lock, not the number, says that the process is alive: it is the kernel's to release, and a number may be another program's by now.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

import msgspec

from headgate.config.reload import ReloadState
from headgate.errors import ConfigError


class Serving(msgspec.Struct, frozen=True):
    """A process that serves, and its settings."""

    pid: int
    reload: ReloadState = ReloadState()


def pid_file(data_dir: Path, port: int) -> Path:
    """Where the gateway on a port says which process it is."""
    return data_dir / f"gateway-{port}.pid"


class PidFile:
    """Holds a pid file while the block runs. Raises `ConfigError` on entering when another process holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> PidFile:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise ConfigError("another gateway of this data folder serves on this port", where=str(self._path)) from error
        self._fd = fd
        self.note(ReloadState())
        return self

    def note(self, state: ReloadState) -> None:
        """Write down how the last reading of the settings went."""
        data = msgspec.json.encode(Serving(os.getpid(), state)) + b"\n"
        os.pwrite(self._fd, data, 0)
        os.ftruncate(self._fd, len(data))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._fd)


def read_pid_file(path: Path) -> Serving | None:
    """The process that holds a pid file; None when none does, whatever the file says."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _parsed(path.read_bytes())
    finally:
        os.close(fd)
    return None


def _parsed(data: bytes) -> Serving | None:
    """What an owner wrote; None while it is being written."""
    try:
        return msgspec.json.decode(data, type=Serving)
    except msgspec.MsgspecError:
        return None
