"""Receipts as JSON lines, a file for each run, written in the background (PAS-31). The ledger stays the truth; these are for reading."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from headgate.errors import WireError
from headgate.ledger.cost_line import cost_line, file_name
from headgate.ledger.receipt import Receipt
from headgate.wire.json import encode

_LOG = logging.getLogger("headgate.receipts")
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
FOLDER = Path("artifacts", "costs")


class JsonlReceipts:
    """One writing thread. `add` takes a settled receipt and returns at once; within `interval` seconds it is in the file of its run.

    `folder` gets ``artifacts/costs/<run or default>.jsonl``. A file longer than `max_bytes` is put aside as ``….1.jsonl``, ``….2.jsonl``
    and so on. Several processes may write to the same folder. `dropped` counts receipts that found the queue of `capacity` full, `failed`
    those the disk did not take; both are logged, once until writing works again. `close` writes what is queued.
    """

    def __init__(self, folder: Path, *, interval: float = 1.0, max_bytes: int = 64 << 20, capacity: int = 100_000) -> None:
        self.folder = folder / FOLDER
        self.dropped = 0
        self.failed = 0
        self._interval = interval
        self._max_bytes = max_bytes
        self._queue: deque[Receipt] = deque()
        self._capacity = capacity
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="headgate-receipts", daemon=True)
        self._thread.start()

    def add(self, receipt: Receipt) -> None:
        """Queue a receipt. Never blocks and never raises."""
        if len(self._queue) >= self._capacity:
            if not self.dropped:
                _LOG.warning("receipts come faster than %s takes them; some are left out there, all are in the ledger", self.folder)
            self.dropped += 1
            return
        self._queue.append(receipt)

    def close(self) -> None:
        """Write what is queued and end the thread. Closing twice is allowed."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(self._interval):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        batch = [self._queue.popleft() for _ in range(len(self._queue))]
        runs: dict[str, list[bytes]] = {}
        for receipt in batch:
            try:
                line = encode(cost_line(receipt))
            except WireError as error:
                self._fail(1, f"the receipt {receipt.id} cannot be written as JSON", error.message)
            else:
                runs.setdefault(file_name(receipt.run), []).append(line)
        for name, lines in runs.items():
            self._write(name, lines)

    def _write(self, name: str, lines: list[bytes]) -> None:
        try:
            append_lines(self.folder, name, lines, self._max_bytes)
        except OSError as error:
            self._fail(len(lines), f"receipts cannot be written to {self.folder / name}", error.strerror or type(error).__name__)
        else:
            self._failing = False

    def _fail(self, count: int, what: str, why: str) -> None:
        self.failed += count
        if not self._failing:
            _LOG.error("%s: %s; what is missing there is in the ledger", what, why)
        self._failing = True


def append_lines(folder: Path, name: str, lines: Iterable[bytes], max_bytes: int) -> None:
    """Append whole lines to a file of `folder`, all or none. Links are not followed (faults I14). Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        file = _open_locked(place, name, max_bytes)
        try:
            _append(file, b"".join(line + b"\n" for line in lines))
        finally:
            os.close(file)
    finally:
        os.close(place)


def _open_locked(place: int, name: str, max_bytes: int) -> int:
    """The file, locked against other processes; a full one is put aside first."""
    while True:
        file = os.open(name, _FLAGS, 0o600, dir_fd=place)
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file).st_nlink == 0 or not _is_named(place, name, file):
            os.close(file)
            continue
        if os.fstat(file).st_size < max_bytes:
            return file
        os.rename(name, _aside(place, name), src_dir_fd=place, dst_dir_fd=place)
        os.close(file)


def _is_named(place: int, name: str, file: int) -> bool:
    """Whether the open file still has its name: another process may have put it aside while the lock was waited for."""
    try:
        there = os.stat(name, dir_fd=place, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(file))


def _aside(place: int, name: str) -> str:
    """The next free name for a full file."""
    stem = name.removesuffix(".jsonl")
    taken = set(os.listdir(place))
    number = 1
    while f"{stem}.{number}.jsonl" in taken:
        number += 1
    return f"{stem}.{number}.jsonl"


def _append(file: int, data: bytes) -> None:
    """Write all of `data`, or take back what was written of it: half a line would spoil the next one."""
    before = os.fstat(file).st_size
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(file, view) :]
    except OSError:
        os.ftruncate(file, before)
        raise
