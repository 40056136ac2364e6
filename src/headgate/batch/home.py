"""An engine home: a folder with a run database, the engine's own database, segments, and a lock that one process holds at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from headgate.errors import StoreError

_WANTED = "mode.wanted"
_TAKEN = "mode.taken"


class HomeLocked(StoreError):
    """Another process drives this home."""


class Home:
    """A folder, and the exclusive right to drive what is in it. `acquire` before starting an engine; the lock ends with the process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: IO[str] | None = None

    @property
    def database(self) -> Path:
        """The run database."""
        return self.folder / "run.sqlite"

    @property
    def exists(self) -> bool:
        """A run was begun here."""
        return self.database.exists()

    @property
    def id(self) -> str:
        """The home's lasting name, made when first asked for."""
        path = self.folder / "home.id"
        if not path.exists():
            self.write("home.id", f"home-{secrets.token_hex(8)}\n".encode())
        return path.read_text(encoding="utf-8").strip()

    def write(self, name: str, data: bytes) -> Path:
        """Write a small file of the home, whole or not at all. The caller holds the lock. Raises `StoreError`."""
        return self._put(name, data, self.folder / f".{name}.draft")

    def _put(self, name: str, data: bytes, draft: Path) -> Path:
        path = self.folder / name
        try:
            with draft.open("wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            draft.replace(path)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}", hint=f"df -h {self.folder}") from error
        return path

    def ask_for_mode(self, mode: str) -> None:
        """Ask whoever drives this home, or will, to go on in another mode. Raises `StoreError`."""
        self._put(_WANTED, f"{mode}\n".encode(), self.folder / f".{_WANTED}.{os.getpid()}.draft")

    def mode_asked_for(self) -> str | None:
        """The mode that was asked for last and not followed yet. It is told again, also to the next process, until `mode_followed`."""
        taken = self.folder / _TAKEN
        try:
            with suppress(FileNotFoundError):
                (self.folder / _WANTED).replace(taken)
            return taken.read_text(encoding="utf-8").strip()
        except OSError:
            return None

    def mode_followed(self) -> None:
        """The run is in the mode that `mode_asked_for` told, or cannot be. What was asked for since then still stands."""
        with suppress(OSError):
            (self.folder / _TAKEN).unlink(missing_ok=True)

    def acquire(self) -> None:
        """Take the lock, once. Raises `HomeLocked`, naming the process that has it."""
        if self._lock is not None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = open(self.folder / "home.lock", "a+", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise StoreError(f"cannot use {self.folder}: {error.strerror}", hint="choose another folder with --run-dir") from error
        if not _locked(handle):
            owner = self.owner() or "another process"
            handle.close()
            raise HomeLocked(
                f"{self.folder} is driven by {owner}",
                hint=f"headgate status {self.folder} shows how it stands; headgate pause {self.folder} stops it",
            )
        with suppress(OSError):  # the name is for messages only; a full disk must not keep a run from being taken up
            os.ftruncate(handle.fileno(), 0)
            os.pwrite(handle.fileno(), f"{os.getpid()}\n".encode(), 0)
        self._lock = handle

    def owner(self) -> str | None:
        """Who wrote the lock last: decoration for messages, never truth."""
        try:
            text = (self.folder / "home.lock").read_text(encoding="utf-8").strip()
        except OSError:
            return None
        return f"process {text}" if text else None

    def pid(self) -> int | None:
        """The process that holds the lock now, as it wrote; None when nobody does, or it did not say."""
        owner = self.owner() if self.locked() else None
        number = (owner or "").removeprefix("process ")
        return int(number) if number.isdecimal() else None

    def locked(self) -> bool:
        """Somebody holds the lock now."""
        path = self.folder / "home.lock"
        if not path.exists():
            return False
        with open(path, encoding="utf-8") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def release(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Home:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def _locked(handle: IO[str]) -> bool:
    """Take the lock. Whoever only asks whether it is held holds it for a moment, so one refusal is not the last word."""
    for wait in (0.01, 0.05, 0.2, 0.0):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(wait)
        else:
            return True
    return False
