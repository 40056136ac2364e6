"""Where the bytes of an items file are: held in memory when they are few, else in a file that is read again whenever it is needed."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

from headgate.errors import RunError, StoreError

HELD = 32 << 20
"""Bytes of an items file that are held in memory and kept in a run's snapshot; a larger file stays a file."""
INPUT = "input"
"""The folder of a run in which its copy of a large items file lies."""
_FICLONE = 0x40049409
_BLOCK = 1 << 20


class ItemsFile(msgspec.Struct, frozen=True):
    """One items file. `name` is what the pipeline calls it, `display` what messages call it; either `data` or `path` is set."""

    name: str
    display: str
    data: bytes | None = None
    path: Path | None = None

    @property
    def suffix(self) -> str:
        """The end of the name, lower case, without its dot: ``jsonl``."""
        return self.name.rsplit(".", 1)[-1].lower() if "." in self.name else ""

    @property
    def size(self) -> int:
        """Bytes. Raises `OSError`."""
        return len(self.data or b"") if self.path is None else self.path.stat().st_size

    def open(self) -> io.BufferedReader | io.BytesIO:
        """The bytes from their beginning. Raises `OSError`."""
        return io.BytesIO(self.data or b"") if self.path is None else self.path.open("rb")

    def digest(self) -> str:
        """sha256 (hex) of the bytes. Raises `OSError`."""
        with self.open() as source:
            return hashlib.file_digest(source, "sha256").hexdigest()


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """A place to begin reading at: before item `item`, `offset` bytes and `line` lines into the file."""

    item: int = 0
    offset: int = 0
    line: int = 0


class ItemFacts(msgspec.Struct, frozen=True):
    """What one reading of an items file found: how many items, the fields they have, and places to begin reading at.

    `fields` is None when there are too many different ones to be told apart.
    """

    count: int
    fields: tuple[str, ...] | None
    marks: tuple[Mark, ...]


class InputFile(msgspec.Struct, frozen=True):
    """A large items file as a run records it: its name in the pipeline, size in bytes, sha256 (hex), where it lay, what was found.

    `facts` are those of a file that is read record by record.
    """

    name: str
    size: int
    sha256: str
    origin: str
    facts: ItemFacts | None = None


def place_of(folder: Path, name: str) -> Path:
    """Where a run in `folder` keeps its copy of the items file called `name`."""
    return folder / INPUT / f"items{Path(name).suffix.lower()}"


def keep_copy(wanted: InputFile, folder: Path) -> ItemsFile:
    """Give the run in `folder` a copy of the file, and check that it is what was read before. Raises `RunError` and `StoreError`.

    The copy shares the disk's blocks with the original where the file system can do that without sharing later changes.
    """
    target = place_of(folder, wanted.name)
    draft = target.with_name(f".{target.name}.draft")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with Path(wanted.origin).open("rb") as source, draft.open("wb") as copy:
            found = _copied(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        if found != wanted.sha256:
            draft.unlink()
            raise RunError(f"{wanted.origin} was changed while it was read", hint="start the run when nothing writes to the file")
        draft.replace(target)
    except OSError as error:
        raise StoreError(f"cannot copy {wanted.origin} to {target}: {error.strerror}", hint=f"df -h {folder}") from error
    return ItemsFile(wanted.name, str(target), path=target)


def _copied(source: io.BufferedReader, copy: BinaryIO) -> str:
    """Copy everything; returns the copy's sha256 (hex)."""
    if _cloned(source, copy):
        return hashlib.file_digest(source, "sha256").hexdigest()
    total = hashlib.sha256()
    while block := source.read(_BLOCK):
        total.update(block)
        copy.write(block)
    return total.hexdigest()


def _cloned(source: BinaryIO, copy: BinaryIO) -> bool:
    """Whether the file system made a copy that shares blocks until one of the two is written to."""
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(copy.fileno(), _FICLONE, source.fileno())
    except OSError:
        return False
    return True


def kept_copy(wanted: InputFile, folder: Path) -> ItemsFile:
    """The copy that the run in `folder` has, checked. Raises `RunError` when it is gone or another."""
    path = place_of(folder, wanted.name)
    file = ItemsFile(wanted.name, str(path), path=path)
    try:
        same = file.size == wanted.size and file.digest() == wanted.sha256
    except OSError as error:
        raise RunError(f"cannot read {path}, the run's copy of its items: {error.strerror}", hint="put the file back") from error
    if not same:
        raise RunError(
            f"{path} is not what the run began with: it had {wanted.size:,} bytes and the sha256 {wanted.sha256}", hint="put the file back"
        )
    return file
