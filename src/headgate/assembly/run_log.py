"""The log of a driven run: ``run.log`` in its folder, a tagged line for each thing that happened (OCT-161)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from headgate.batch.audit_rows import SQL
from headgate.batch.home import Home
from headgate.batch.run_lines import event_line, results_line
from headgate.batch.tables import Tables
from headgate.store import Database
from headgate.wire.json import Json, JsonObject, decode

NAME = "run.log"
LIMIT = 10_000_000
"""Bytes after which a log is put aside as ``run.log.1``, in place of the one before."""
EVENTS = 10_000


class RunLog:
    """Appends lines to a file. One that cannot be written is given up, because a run must not end for its log."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time, limit: int = LIMIT) -> None:
        self._path = path
        self._clock = clock
        self._limit = limit
        self._last: dict[str, str] = {}
        self.failure: OSError | None = None

    def write(self, tag: str, text: str) -> None:
        """A line with time, tag and text; a POLL that says what the one before said is left out."""
        if self.failure is not None or (tag == "POLL" and self._last.get(tag) == text):
            return
        self._last[tag] = text
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self._clock()))
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
        line = f"{moment}Z {tag:<10} {shown}\n".encode("utf-8", "replace")
        try:
            self._append(line)
        except OSError as error:
            self.failure = error

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and size + len(line) > self._limit:
                os.close(descriptor)
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


class Journal:
    """Follows the events of a run, and writes them to its log."""

    def __init__(self, home: Home, log: RunLog) -> None:
        self._home = home
        self._log = log
        self._tables: Tables | None = None
        self._run = 0
        self._seen = 0
        self._chunks: dict[int, tuple[str, int]] = {}
        earlier = (home.folder / NAME).exists()
        if self._opened() and earlier:
            self._seen = self._read("last_event")[0][0]

    def _opened(self) -> bool:
        """Open the database, once there is one with a run."""
        if self._tables is None and self._home.exists:
            database = Database.open(self._home.database, migrations="run", read_only=True)
            tables = Tables(database, self._home.folder)
            row = tables.find_run()
            if row is None:
                database.close()
            else:
                self._tables, self._run = tables, row.key
        return self._tables is not None

    def _read(self, statement: str) -> list[tuple[Json, ...]]:
        assert self._tables is not None
        fields = {"run": self._run, "after": self._seen, "limit": EVENTS}
        return self._tables.db.read(lambda db: db.execute(SQL[statement], fields).fetchall())

    def look(self) -> None:
        """Write what happened since the last look; answers of one step together."""
        if not self._opened():
            return
        stored: dict[tuple[str, str], list[int]] = {}
        for key, _, level, what, data in self._read("new_events"):
            self._seen = key
            if what == "commit":
                self._count(stored, decode(data))
            else:
                self._tell(stored)
                self._log.write(*event_line(what, level, decode(data)))
        self._tell(stored)

    def _tell(self, stored: dict[tuple[str, str], list[int]]) -> None:
        for (lane, step), counts in stored.items():
            self._log.write(*results_line(lane, step, *counts))
        stored.clear()

    def _count(self, stored: dict[tuple[str, str], list[int]], data: JsonObject) -> None:
        assert self._tables is not None
        if data["chunk"] not in self._chunks:
            chunk = self._tables.chunk(data["chunk"])
            self._chunks[data["chunk"]] = (chunk.lane, chunk.step)
        lane, step = self._chunks[data["chunk"]]
        counts = stored.setdefault((lane, f"step {step}"), [0, 0, 0])
        for at, name in enumerate(("valid", "failed", "attempts")):
            counts[at] += data.get(name, 0)

    def close(self) -> None:
        """Look a last time, and let go of the database."""
        self.look()
        if self._tables is not None:
            self._tables.db.close()


class Logged:
    """Writes the log of one invocation: how it begins, what happens, how it ends. A context manager."""

    def __init__(self, home: Home, first: str) -> None:
        self._log = RunLog(home.folder / NAME)
        self._journal = Journal(home, self._log)
        self._log.write("INIT", f"{first}, process {os.getpid()}")

    def look(self) -> None:
        """Write what happened since the last look."""
        self._journal.look()

    def end(self, text: str) -> None:
        """Write how the invocation ended."""
        self._journal.look()
        self._log.write("INFO", text)

    def __enter__(self) -> Logged:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._journal.close()
        if error is not None:
            self._log.write("ERROR", str(error) or type(error).__name__)
