"""What one process is doing at this moment, in a file that outlives it.

The file is mapped into memory and written without a system call, so it holds whatever was noted before the process was killed, however it
was killed. It consists of slots: one for each attempt from its reservation until its receipt is committed, however long that takes. A slot
begins with the byte of its state, which is always written last. Its owner keeps the file locked; a file that can be locked has lost its
owner (`remains`). After a power cut the file may be of any earlier time, which its mark of the machine's start and checksums show.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from zlib import adler32

import msgspec

from headgate.errors import StoreError
from headgate.ledger.journal_records import CLOSING, Entry, closing_head, closing_size, decode_closing, decode_entry, encode_entry

if sys.platform != "win32":
    import fcntl

FREE: Final = 0
RESERVED: Final = 1
SENT: Final = 2
CLOSED: Final = 3
MORE: Final = 4
SLOT: Final = 2048
SLOTS: Final = 4096
FULL: Final = -1
SUFFIX = ".journal"
DRAFT = ".new"
STALE = 3600.0
"""Seconds after which nobody is making a journal any more."""
MAGIC = b"headgate journal 1\n"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_WINDOWS = sys.platform == "win32"


class Remains(msgspec.Struct, frozen=True):
    """What a journal holds: receipts that may not have been committed, and attempts that were sent and not closed, by request.

    `whole` is False when the machine has been started anew since: then it may be older than what its process did.
    """

    process: str
    closed: tuple[bytes, ...]
    sent: tuple[tuple[Entry, ...], ...]
    whole: bool


class Journal:
    """The journal of this process, made anew. Not for use by several threads."""

    def __init__(self, folder: Path, process: str, *, slots: int = SLOTS, boot: str | None = None) -> None:
        self.path = folder / f"{process}{SUFFIX}"
        self._file = _make(folder, self.path, slots, _head(process, boot_id() if boot is None else boot))
        self._map = mmap.mmap(self._file, SLOT * (slots + 1))
        self._free = list(range(slots, 0, -1))
        self._more: dict[int, list[int]] = {}
        self.slots = slots

    @property
    def used(self) -> int:
        """How many slots are in use."""
        return self.slots - len(self._free)

    def reserve(self, id: str, at: float, bound: int, request_bytes: int, context: bytes, balances: bytes) -> tuple[int, int]:
        """Note an attempt that is to be made. Gives its slot (`FULL`: none is free) and where its entry ends."""
        if not self._free:
            return FULL, 0
        entry = encode_entry(id.encode(), at, bound, request_bytes, context, balances)
        size = len(entry) + 1
        if size > SLOT:
            raise StoreError(f"an attempt cannot be noted in {self.path}: its names take {size} bytes")
        slot = self._free.pop()
        where = slot * SLOT
        self._map[where + 1 : where + size] = entry
        self._map[where] = RESERVED
        return slot, size

    def sent(self, slot: int) -> None:
        """Note that bytes of the attempt leave now."""
        self._map[slot * SLOT] = SENT

    def entry(self, slot: int, size: int) -> Entry | None:
        """What was noted of an attempt, whose entry ends at `size`."""
        where = slot * SLOT
        return decode_entry(memoryview(self._map[where + 1 : where + size]))

    def close(self, slot: int, size: int, stored: bytes) -> bool:
        """Note the receipt of the request of `slot`, whose entry ends at `size`. False: there is no room, and nothing is changed."""
        where = slot * SLOT
        begin = where + size
        end = begin + CLOSING + len(stored)
        if end <= where + SLOT:
            self._map[begin:end] = closing_head(stored, ()) + stored
            self._map[where] = CLOSED
            return True
        return self._close_long(slot, size, stored)

    def _close_long(self, slot: int, size: int, stored: bytes) -> bool:
        """As `close`, for a receipt that needs further slots."""
        places = self._places(len(stored), size)
        if places is None:
            return False
        where = slot * SLOT
        begin = where + size + closing_size(len(places))
        first = min(len(stored), SLOT - size - closing_size(len(places)))
        self._map[where + size : begin] = closing_head(stored, places)
        self._map[begin : begin + first] = stored[:first]
        for index, place in enumerate(places):
            part = stored[first + index * (SLOT - 1) : first + (index + 1) * (SLOT - 1)]
            self._map[place * SLOT + 1 : place * SLOT + 1 + len(part)] = part
            self._map[place * SLOT] = MORE
        self._more[slot] = places
        self._map[where] = CLOSED
        return True

    def _places(self, length: int, size: int) -> list[int] | None:
        """Free slots for the rest of a receipt that its own has no room for."""
        count = 0
        while SLOT - size - closing_size(count) + count * (SLOT - 1) < length:
            count += 1
            if closing_size(count) > SLOT - size or count > len(self._free):
                return None
        return [self._free.pop() for _ in range(count)]

    def free(self, slot: int) -> None:
        """Forget a slot: nothing is owed for it, or its receipt is committed."""
        self._map[slot * SLOT] = FREE
        self._free.append(slot)
        if slot in self._more:
            for place in self._more.pop(slot):
                self._map[place * SLOT] = FREE
                self._free.append(place)

    def leave(self) -> None:
        """Let go of the file, which stays where it is for a reaper."""
        self._map.close()
        os.close(self._file)

    def remove(self) -> None:
        """Let go of the file and delete it: nothing is owed."""
        self.path.unlink(missing_ok=True)
        self.leave()


def boot_id() -> str:
    """A name for the time since this machine was started, "" where it gives none."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _head(process: str, boot: str) -> bytes:
    return MAGIC + f"{process}\n{boot}\n".encode()


def _make(folder: Path, path: Path, slots: int, head: bytes) -> int:
    """An open, locked file of the full size. It is filled at once: a disk that is full later must not end the process."""
    new = path.with_suffix(DRAFT)
    file: int | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        _lock(file)
        with open(file, "wb", closefd=False) as stream:
            stream.write(head.ljust(SLOT, b"\0") + bytes(SLOT * slots))
        new.rename(path)
    except OSError as error:
        if file is not None:
            new.unlink(missing_ok=True)
            os.close(file)
        raise StoreError(f"{path} cannot be made: {error.strerror}", hint=f"df -h {folder}") from error
    return file


def _lock(file: int) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def journals(folder: Path) -> list[Path]:
    """The journals in a folder."""
    return sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []


def sweep(folder: Path, now: float) -> None:
    """Delete journals whose processes were killed while they made them; nothing was noted there."""
    for path in folder.glob(f"*{DRAFT}") if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            if now - path.stat().st_mtime > STALE:
                path.unlink()


def claim(path: Path, mine: Callable[[str], bool]) -> int | None:
    """Open a journal whose owner is gone, and keep others from doing so; None when it has an owner or is `mine`.

    Raises `StoreError` for a file that cannot be opened.
    """
    if mine(path.stem) or _WINDOWS:
        return None
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be opened: {error.strerror}", hint=f"ls -l {path}") from error
    if _lock(file) and os.fstat(file).st_nlink:
        return file
    os.close(file)
    return None


def held(path: Path) -> bool:
    """Whether the journal has an owner, or is no more."""
    file = claim(path, lambda process: False)
    if file is None:
        return True
    os.close(file)
    return False


def remains(file: int, boot: str | None = None) -> Remains:
    """What the journal in an open file holds. Raises `StoreError` when it is none."""
    data = memoryview(os.pread(file, os.fstat(file).st_size, 0))
    lines = bytes(data[:SLOT]).split(b"\n")
    if not bytes(data[: len(MAGIC)]) == MAGIC or len(lines) < 4:
        raise StoreError("a file among the journals is none")
    whole = lines[2].decode() == (boot_id() if boot is None else boot)
    closed: dict[str, bytes] = {}
    sent: defaultdict[str, list[Entry]] = defaultdict(list)
    for state, slot in _slots(data):
        entry = decode_entry(slot[1:])
        if entry is None:
            whole = False
            continue
        stored = _closing(data, slot[entry.size + 1 :]) if state == CLOSED else None
        if stored is not None:
            closed[entry.id] = stored
        elif state != RESERVED:
            sent[entry.id].append(entry)
    open_ones = tuple(tuple(entries) for id, entries in sent.items() if id not in closed)
    return Remains(lines[1].decode(), tuple(closed.values()), open_ones, whole)


def _slots(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    for where in range(SLOT, len(data), SLOT):
        state = data[where]
        if state not in (FREE, MORE):
            yield state, data[where : where + SLOT]


def _closing(data: memoryview, rest: memoryview) -> bytes | None:
    """The receipt of a closed slot; None when it is damaged."""
    checksum, size, places = decode_closing(rest)
    stored = bytes(rest[closing_size(len(places)) :])[:size]
    for place in places:
        if (place + 1) * SLOT > len(data):
            return None
        stored += bytes(data[place * SLOT + 1 : (place + 1) * SLOT])
    stored = stored[:size]
    return stored if adler32(stored) == checksum and len(stored) == size else None
