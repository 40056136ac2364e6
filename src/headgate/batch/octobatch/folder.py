"""The folder of an old run, read with bounds: no link leads out of it, no line and no file is larger than it may be."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

import msgspec

from headgate.batch.octobatch.findings import Findings, Odd
from headgate.batch.octobatch.manifest import MANIFEST, Manifest, read_manifest
from headgate.errors import ConfigError, WireError
from headgate.wire.json import JsonObject, decode

MOST_MANIFEST = 64 << 20
MOST_LINE = 16 << 20
MOST_FILE = 8 << 30
"""Bytes of a file as it is read, that is, unpacked."""
GZ = ".gz"

Place = tuple[int, int]
"""Where a line lies among the kept ones: offset and length."""


class Line(msgspec.Struct, frozen=True):
    """A record, where it stood (``file:line``), and its text."""

    where: str
    data: bytes
    record: JsonObject


class OldRun:
    """A run folder of Octobatch. Nothing in it is changed."""

    def __init__(self, root: Path, findings: Findings) -> None:
        self.root = root.resolve()
        self.findings = findings
        if not self.root.is_dir():
            raise ConfigError(f"there is no folder {root}")

    def manifest(self) -> Manifest:
        """The manifest. Raises `ConfigError`."""
        with self._opened(MANIFEST) as file:
            if file is None:
                raise ConfigError(f"{self.root} holds no {MANIFEST}", hint="give the folder of a run of Octobatch")
            data = file.read(MOST_MANIFEST + 1)
        if len(data) > MOST_MANIFEST:
            raise ConfigError(f"{MANIFEST} is larger than {MOST_MANIFEST:,} bytes")
        return read_manifest(data)

    def chunk_folders(self) -> list[str]:
        """The names of the folders below ``chunks``."""
        folder = self.inside("chunks")
        if not folder.is_dir():
            return []
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())

    def has(self, path: str) -> bool:
        """Whether a file is there, plain or gzipped."""
        return any((self.root / name).exists() for name in (path, path + GZ))

    def lines(self, path: str) -> Iterator[Line]:
        """The records of a file, plain or gzipped; nothing where there is none. What is no record is told to the findings.

        Raises `ConfigError` for a file that is none, that leads out of the folder, or that is too large.
        """
        for name in (path, path + GZ):
            with self._opened(name) as file:
                if file is not None:
                    yield from self._records(name, file)
                    return

    def _records(self, name: str, file: BinaryIO) -> Iterator[Line]:
        with gzip.open(file) if name.endswith(GZ) else file as text:
            for number, data in self._bounded(name, cast(IO[bytes], text)):
                where = f"{name}:{number}"
                if data is None:
                    self.findings.add(Odd.TOO_LONG, where)
                elif data.strip():
                    record = _object(data)
                    if record is None:
                        self.findings.add(Odd.UNREADABLE, where)
                    else:
                        yield Line(where, data, record)

    def _bounded(self, name: str, text: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
        """The numbered lines; None for one that is too long. Raises `ConfigError` when there is too much of them."""
        number = total = 0
        try:
            while data := text.readline(MOST_LINE + 1):
                number += 1
                total += len(data)
                whole = len(data) <= MOST_LINE
                while not data.endswith(b"\n") and len(data) > MOST_LINE:
                    data = text.readline(MOST_LINE + 1)
                    total += len(data)
                    if total > MOST_FILE:
                        break
                if total > MOST_FILE:
                    raise ConfigError(f"{name} holds more than {MOST_FILE:,} bytes")
                yield number, data if whole else None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self.findings.add(Odd.CUT_FILE, f"{name}:{number + 1}: {error}")

    def inside(self, path: str) -> Path:
        """The path with its links followed. Raises `ConfigError` when it leads out of the folder."""
        try:
            found = (self.root / path).resolve()
        except (OSError, RuntimeError) as error:
            raise ConfigError(f"{path} cannot be followed: {error}") from error
        if not found.is_relative_to(self.root):
            raise ConfigError(f"{path} leads out of the run's folder", hint="put the file itself in its place")
        return found

    @contextmanager
    def _opened(self, path: str) -> Iterator[BinaryIO | None]:
        """A file of the folder for reading; None where there is none. Raises `ConfigError` for what is no plain file."""
        found = self.inside(path)
        try:
            number = os.open(found, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
        with os.fdopen(number, "rb") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise ConfigError(f"{path} is no file")
            yield file


def _object(data: bytes) -> JsonObject | None:
    try:
        found = decode(data)
    except WireError:
        return None
    return found if isinstance(found, dict) else None


class Spool:
    """Lines kept in one file beside the new run, so that a run of any size needs little memory. A context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._size = 0

    def __enter__(self) -> Spool:
        self._file = self._path.open("w+b")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        self._path.unlink(missing_ok=True)

    def put(self, data: bytes) -> Place:
        """Keep a line."""
        assert self._file is not None
        self._file.write(data)
        place = self._size, len(data)
        self._size += len(data)
        return place

    def done(self) -> None:
        """Nothing more will be put."""
        assert self._file is not None
        self._file.flush()

    def get(self, place: Place) -> JsonObject:
        """A line that was kept."""
        assert self._file is not None
        offset, length = place
        record: JsonObject = decode(os.pread(self._file.fileno(), length, offset))
        return record
