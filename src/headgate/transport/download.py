"""A response body onto disk: bounded memory, written in a worker thread, there whole or not at all."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from headgate.errors import StoreError
from headgate.transport.stream import StreamReply
from headgate.wire.http import Stored

WRITE_SIZE = 1 << 20
"""Bytes gathered before they are handed to the disk; meanwhile the socket is read, beyond that it waits."""

MAX_ERROR_BODY = 1 << 20


class Spool:
    """A file in the making beside its final path. Its methods may run in any thread, one at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._name = ""
        self.length = 0

    def open(self) -> None:
        """Create the temporary file."""
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, self._name = tempfile.mkstemp(prefix=f".{self._path.name[:64]}.", suffix=".part", dir=self._path.parent)
            self._file = os.fdopen(handle, "wb", buffering=0)

    def write(self, data: bytes) -> None:
        """Append `data`, whatever number of writes it takes."""
        with self._lock:
            view = memoryview(data)
            while self._file is not None and view:
                view = view[self._file.write(view) :]
            self.length += len(data)

    def finish(self) -> None:
        """Make the file durable and give it its name; the name too is made durable."""
        with self._lock:
            if self._file is None:
                return
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._name, self._path)
            self._file = None
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def abandon(self) -> None:
        """Remove what was written, unless it was finished. Waits for a write under way."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
                os.unlink(self._name)


async def save_body(reply: StreamReply, path: Path) -> Stored:
    """Read all of `reply` into `path`. A body with an error status is kept up to `MAX_ERROR_BODY` bytes.

    Raises what reading raises, and `StoreError` when the disk refuses; then, and on cancellation, no file is left.
    """
    spool = Spool(path)
    try:
        await _in_thread(spool.open, path)
        await _copy(reply, spool, path)
        await _in_thread(spool.finish, path)
    finally:
        spool.abandon()
    return Stored(reply.status, reply.headers, str(path), spool.length)


async def save_bytes(data: bytes, path: Path) -> Stored:
    """Write `data` to `path`, whole or not at all. Raises `StoreError` when the disk refuses."""
    spool = Spool(path)
    try:
        await _in_thread(spool.open, path)
        await _in_thread(partial(spool.write, data), path)
        await _in_thread(spool.finish, path)
    finally:
        spool.abandon()
    return Stored(200, {}, str(path), spool.length)


async def _copy(reply: StreamReply, spool: Spool, path: Path) -> None:
    limit = None if reply.ok else MAX_ERROR_BODY
    gathered: list[bytes] = []
    size = total = 0
    async for data in reply.body:
        room = data if limit is None else data[: limit - total]
        gathered.append(room)
        size += len(room)
        total += len(room)
        if size >= WRITE_SIZE:
            chunk = b"".join(gathered)
            gathered, size = [], 0
            await _in_thread(partial(spool.write, chunk), path)
        if total == limit:
            break
    rest = b"".join(gathered)
    await _in_thread(partial(spool.write, rest), path)


async def _in_thread(work: Callable[[], None], path: Path) -> None:
    try:
        await asyncio.get_running_loop().run_in_executor(None, work)
    except OSError as error:
        raise StoreError(
            f"cannot store the download at {path}: {error.strerror or error}", hint=f"free some space: df -h {path.parent}"
        ) from error
