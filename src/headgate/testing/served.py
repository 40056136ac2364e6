"""``headgate serve`` as a process of its own, which can be killed, and looked at from outside.

::

    with Served(folder, simulator.url, settings="budgets: [...]") as gate:
        gate.kill()
        gate.start()
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from headgate.config import Secret
from headgate.testing.raw_http import KEY
from headgate.testing.simulators import wait_for

PATIENCE = 60.0
COMMAND = (sys.executable, "-c", "import sys; from headgate.cli import main; sys.exit(main())")
KEPT = ("PATH", "HOME", "PYTHONPATH", "LANG", "TMPDIR", "VIRTUAL_ENV")


class Served:
    """A gateway in `folder`, whose simulated providers are at `sim_url`. `settings` is the text of its headgate.yaml, `database` where
    the ledger is when that is no file. Several of them may share a `folder`."""

    def __init__(
        self, folder: Path, sim_url: str, *, settings: str = "", workers: int = 1, database: Secret | None = None, name: str = "gate"
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.output = folder / f"{name}.output"
        self.workers = workers
        self.database = database
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = {key: os.environ[key] for key in KEPT if key in os.environ}
        self._environment |= {"HEADGATE_SIM_URL": sim_url, "HEADGATE_DATA_DIR": str(self.data), "HEADGATE_KEY": KEY}
        if database is not None:
            self._environment["HEADGATE_DATABASE_URL"] = database.reveal()
        (folder / "headgate.yaml").write_text(settings)

    @property
    def place(self) -> Secret | Path:
        """Where its ledger is."""
        return self.database or self.data / "ledger.db"

    def start(self) -> None:
        """Start it, on the port it had before, and return once it serves. Raises `AssertionError` when it does not."""
        before = self._count("gateway on http://")
        command = [*COMMAND, "serve", "--port", str(self.port), "--workers", str(self.workers)]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, env=self._environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        wait_for(lambda: self._count("gateway on http://") > before or self.process is None or self.process.poll() is not None, PATIENCE)
        said = re.findall(r"gateway on http://[^ ]+:(\d+)", self.said)
        if self.process.poll() is not None or len(said) <= before:
            self.process.kill()
            raise AssertionError(self.said)
        self.port = int(said[-1])

    @property
    def said(self) -> str:
        """All it has written so far."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def _count(self, text: str) -> int:
        return self.said.count(text)

    @property
    def pid(self) -> int:
        """The process: with several workers that of their supervisor."""
        assert self.process is not None
        return self.process.pid

    def worker_pids(self) -> list[int]:
        """Those that serve."""
        return [self.pid] if self.workers == 1 else list(children(self.pid))

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end. Returns its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def run(self, *arguments: str) -> str:
        """What another command in its folder prints. Raises `AssertionError` when that fails."""
        done = subprocess.run([*COMMAND, *arguments], env=self._environment, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def __enter__(self) -> Served:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def children(pid: int) -> Iterator[int]:
    """The processes that `pid` started and that are still there. Linux."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, path.read_text().split())


def resident_kib(pid: int) -> int:
    """Resident memory of a process in KiB. Linux."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def open_sockets(pid: int) -> int:
    """How many sockets a process has open. Linux."""
    return len(_sockets(pid))


def open_clients(pid: int, port: int) -> int:
    """How many connections a process has that came in at `port`. Linux, IPv4."""
    mine = _sockets(pid)
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] != LISTENING and int(row[1].rpartition(":")[2], 16) == port and row[9] in mine for row in rows)


LISTENING = "0A"


def _sockets(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(path)
            if target.startswith("socket:["):
                found.add(target[8:-1])
    return found
