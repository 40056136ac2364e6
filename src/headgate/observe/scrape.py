"""One answer for several processes: each writes its counts to a file of its own, and whoever is asked adds them up.

What is told has been written before, and a process that takes the place of another goes on from its file. So no counter ever falls while
the gateway runs, not even when a process is killed.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from headgate.errors import StoreError
from headgate.observe.counters import Counters
from headgate.observe.exposition import render
from headgate.observe.snapshot import Snapshot, merge

_LOG = logging.getLogger("headgate.metrics")
_decode = msgspec.json.Decoder(Snapshot).decode
INTERVAL = 2.0
FRESH = 5 * INTERVAL


class SnapshotFolder:
    """The files of the processes of one gateway; `slot` is this one's place. Blocking."""

    def __init__(self, folder: Path, slot: int) -> None:
        self._folder = folder
        self._mine = folder / f"{slot}.json"

    def write(self, snapshot: Snapshot) -> None:
        """Put this process's counts in place, readable by the owner only. Raises `StoreError`."""
        partial = self._mine.with_suffix(".partial")
        try:
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(msgspec.json.encode(snapshot))
            partial.replace(self._mine)
        except OSError as error:
            raise self._fault("written to", error) from error

    def restore(self) -> Snapshot | None:
        """What the process that had this place before left behind. Raises `StoreError`."""
        return self._read(self._mine) if self._mine.exists() else None

    def read_others(self) -> list[Snapshot]:
        """The counts of the other processes, as of their last writing. Raises `StoreError`."""
        try:
            paths = sorted(path for path in self._folder.glob("*.json") if path != self._mine)
        except OSError as error:
            raise self._fault("read from", error) from error
        return [self._read(path) for path in paths]

    def _read(self, path: Path) -> Snapshot:
        try:
            return _decode(path.read_bytes())
        except OSError as error:
            raise self._fault("read from", error) from error
        except msgspec.MsgspecError as error:
            raise StoreError(f"{path} holds no counts: {error}", hint=f"rm {path}") from error

    def _fault(self, what: str, error: OSError) -> StoreError:
        return StoreError(f"counts cannot be {what} {self._folder}: {error.strerror}", hint=f"ls -ld {self._folder}")


class Scraper:
    """The counts of this process and, with a `folder`, of its siblings. `version` is that of Headgate, where it is to be told."""

    def __init__(self, counters: Counters, clock: Callable[[], float], version: str = "", folder: SnapshotFolder | None = None) -> None:
        self._counters = counters
        self._clock = clock
        self._version = version
        self._folder = folder
        self._turn = asyncio.Lock()

    async def text(self) -> bytes:
        """The text for Prometheus. Raises `StoreError` when the files of the siblings cannot be had."""
        own = await self.publish()
        others = [] if self._folder is None else await asyncio.to_thread(self._folder.read_others)
        return render(merge((own, *others), self._clock(), FRESH), self._version)

    async def publish(self) -> Snapshot:
        """Write this process's counts, and return what was written. Raises `StoreError`."""
        async with self._turn:
            snapshot = self._counters.snapshot(self._clock())
            if self._folder is not None:
                await asyncio.to_thread(self._folder.write, snapshot)
            return snapshot

    async def keep_publishing(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Publish every few seconds until cancelled. A folder that cannot be written is reported once, until it can be again."""
        failing = False
        while True:
            try:
                await self.publish()
                failing = False
            except StoreError as error:
                if not failing:
                    _LOG.error("%s", error.message)
                failing = True
            await sleep(INTERVAL)
