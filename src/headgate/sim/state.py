"""What the simulator has accepted: files, batches, the bill; in memory, or kept in a folder across restarts.

Layout of the folder: ``files/<id>.json`` beside ``files/<id>.bin``, ``batches/<id>.json`` beside ``batches/<id>.bin`` (the accepted
input), ``bill.jsonl``, and ``sim.json`` with the number of starts and the latest simulated time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from headgate.sim.bill import Line
from headgate.sim.faults import BatchAction
from headgate.wire.json import JsonObject, decode, encode


class FileRecord(msgspec.Struct):
    """One stored file of one account. Times are epoch seconds; `pending_size` is set while an upload is under way."""

    id: str
    provider: str
    account: str
    filename: str
    purpose: str
    content_type: str
    created_at: float
    size: int = 0
    expires_at: float | None = None
    sha256: str = ""


class Counts(msgspec.Struct):
    """How a batch's rows ended."""

    completed: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0


class BatchRecord(msgspec.Struct):
    """One accepted batch. `options` keeps the provider's own fields; `result` names output and error blobs once it has ended."""

    id: str
    provider: str
    account: str
    serial: int
    created_at: float
    model: str
    rows: int
    options: JsonObject = {}
    errors: list[JsonObject] = []
    script: tuple[BatchAction, ...] = ()
    cancel_at: float | None = None
    polls_after_end: int = 0
    ended_at: float | None = None
    settled: bool = False
    counts: Counts = msgspec.field(default_factory=Counts)
    result: JsonObject = {}
    usage: JsonObject = {}


R = TypeVar("R", FileRecord, BatchRecord)


class Shelf(Generic[R]):
    """Records of one kind with a blob of bytes each."""

    def __init__(self, kind: type[R], folder: Path | None) -> None:
        self._folder = folder
        self._records: dict[str, R] = {}
        self._blobs: dict[str, bytes] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob("*.json")):
                record = msgspec.json.decode(path.read_bytes(), type=kind)
                self._records[record.id] = record

    def get(self, key: str, provider: str, account: str) -> R | None:
        """The record with this id if it belongs to this account."""
        record = self._records.get(key)
        return record if record is not None and (record.provider, record.account) == (provider, account) else None

    def holds(self, key: str) -> bool:
        """Whether any account has a record with this id."""
        return key in self._records

    def of(self, provider: str, account: str) -> list[R]:
        """An account's records in order of creation."""
        return [record for record in self._records.values() if (record.provider, record.account) == (provider, account)]

    def all(self) -> list[R]:
        """Every record of every account."""
        return list(self._records.values())

    def put(self, record: R, blob: bytes | None = None) -> None:
        """Keep a new or changed record, and its blob if given."""
        self._records[record.id] = record
        if blob is not None:
            self._write_blob(record.id, blob)
        if self._folder is not None:
            _replace(self._folder / f"{record.id}.json", encode(record))

    def blob(self, key: str) -> bytes:
        """The bytes kept for a record; empty when there are none."""
        if self._folder is None:
            return self._blobs.get(key, b"")
        path = self._folder / f"{key}.bin"
        return path.read_bytes() if path.exists() else b""

    def drop(self, key: str) -> None:
        """Forget a record and its blob."""
        del self._records[key]
        self._blobs.pop(key, None)
        if self._folder is not None:
            for suffix in (".json", ".bin"):
                (self._folder / f"{key}{suffix}").unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget everything."""
        for key in list(self._records):
            self.drop(key)

    def _write_blob(self, key: str, blob: bytes) -> None:
        if self._folder is None:
            self._blobs[key] = blob
        else:
            _replace(self._folder / f"{key}.bin", blob)


class Keeper:
    """The folder behind a simulator, or nothing. Writes reach the operating system before a request is answered."""

    def __init__(self, folder: str | None) -> None:
        self.root = None if folder is None else Path(folder)
        self.boot = 0
        self.latest = 0.0
        self._bill: int | None = None
        if self.root is not None:
            self.root.mkdir(parents=True, exist_ok=True)
            self._start(self.root)

    def _start(self, root: Path) -> None:
        path = root / "sim.json"
        if path.exists():
            kept = decode(path.read_bytes(), what="sim.json", fault="local")
            self.boot, self.latest = kept["boot"] + 1, kept["latest"]
        self.note_time(self.latest)
        self._bill = os.open(root / "bill.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        whole_lines = (root / "bill.jsonl").read_bytes().rfind(b"\n") + 1
        os.ftruncate(self._bill, whole_lines)

    def folder(self, name: str) -> Path | None:
        """A sub-folder's path, None in memory."""
        return None if self.root is None else self.root / name

    def note_time(self, now: float) -> None:
        """Remember the simulated time, so that it never runs backwards over a restart."""
        self.latest = max(self.latest, now)
        if self.root is not None:
            _replace(self.root / "sim.json", encode({"boot": self.boot, "latest": self.latest}))

    def lines(self) -> list[Line]:
        """Bill lines kept by earlier runs; a torn last line was cut off at the start."""
        path = None if self.root is None else self.root / "bill.jsonl"
        if path is None or not path.exists():
            return []
        return [msgspec.json.decode(line, type=Line) for line in path.read_bytes().split(b"\n") if line]

    def recorder(self) -> Callable[[Line], None] | None:
        """Where a bill reports its new lines."""
        return None if self._bill is None else self._record

    def _record(self, line: Line) -> None:
        if self._bill is not None:
            os.write(self._bill, encode(line) + b"\n")

    def forget_bill(self) -> None:
        """Empty the kept bill."""
        if self._bill is not None:
            os.ftruncate(self._bill, 0)

    def close(self) -> None:
        """Release the bill's file."""
        if self._bill is not None:
            os.close(self._bill)
            self._bill = None


def _replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(data)
    fresh.replace(path)
