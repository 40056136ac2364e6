"""Runs of the real command in processes that can be killed, beside a simulator in this process that says what really happened."""

from __future__ import annotations

import json
import os
import select
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from decimal import Decimal
from pathlib import Path
from signal import SIGKILL
from typing import Protocol

import pytest

from headgate.assembly.parts import load_parts
from headgate.assembly.trueup import TrueUp, true_up_run
from headgate.assembly.verifying import verify_run
from headgate.batch.books import check_books
from headgate.batch.home import Home
from headgate.batch.readings import Readings
from headgate.batch.rows import RunRow, SubmissionRow
from headgate.batch.tables import Tables
from headgate.batch.tally import total
from headgate.domain.cost import NANO
from headgate.ledger import Ledger
from headgate.ledger.receipt import Filter
from headgate.sim.bill import Line
from headgate.sim.server import Simulator
from headgate.sim.settings import SimSettings
from headgate.sim.world import Entry
from headgate.store import Database
from headgate.testing.simulators import wait_for
from headgate.wire.json import JsonObject

LIMIT = 90.0
"""Seconds after which a command counts as hanging."""
QUICK = SimSettings(time_scale=400.0)
"""A batch of a hundred rows takes a fifth of a second."""
LONG = 20 * 24 * 3600.0
Hook = Callable[[int, str], None]
CREATING = ("batch_create", "batch_add")
"""Operations that make a job or give it its rows."""


class Command:
    """One process. `output` is what it wrote; `wait` gives its exit code (negative: killed by that signal)."""

    def __init__(self, pid: int, status: int, output: Path) -> None:
        self.pid = pid
        self._status = status
        self._output = output
        self._code: int | None = None

    @property
    def output(self) -> str:
        return self._output.read_text(encoding="utf-8") if self._output.exists() else ""

    def kill(self, number: int = SIGKILL) -> None:
        """Send a signal; a process that is gone is left alone."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return

    def wait(self, seconds: float = LIMIT) -> int:
        if self._code is not None:
            return self._code
        if not select.select([self._status], [], [], seconds)[0]:
            self.kill()
            pytest.fail(f"the command did not end within {seconds} s:\n{self.output}")
        self._code = int(os.read(self._status, 32))
        os.close(self._status)
        return self._code


class Launcher:
    """The forking process of `launcher.py`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._count = 0
        source = Path(__file__).with_name("launcher.py")
        self._process = subprocess.Popen([sys.executable, str(source)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, args: list[str], environment: dict[str, str], cwd: Path, file_size: int | None = None) -> Command:
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            self._count += 1
            status, output = self._folder / f"{self._count}.status", self._folder / f"{self._count}.output"
            os.mkfifo(status)
            reader = os.open(status, os.O_RDONLY | os.O_NONBLOCK)
            order = {
                "args": args,
                "environment": environment,
                "cwd": str(cwd),
                "output": str(output),
                "status": str(status),
                "file_size": file_size,
            }
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            pid = int(self._process.stdout.readline())
        return Command(pid, reader, output)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class Facts:
    """A finished run, read from its files and from the simulator's own books."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        rig.simulator.advance(LONG)
        self.bill: tuple[Line, ...] = rig.simulator.bill.lines
        self.billed = sum(line.nanos for line in self.bill)
        outputs = rig.run / "outputs"
        self.results, self.failures, self.receipts = (read_lines(outputs / f"{name}.jsonl") for name in ("results", "failures", "receipts"))
        self.booked = sum(nanos_of(receipt) for receipt in self.receipts)
        with Database.open(rig.run / "run.sqlite", migrations="run", read_only=True) as database:
            tables = Tables(database, rig.run)
            row = tables.find_run()
            assert row is not None
            self.row: RunRow = row
            self.problems = check_books(tables, row.key)
            self.submissions: list[SubmissionRow] = tables.submissions(row.key)
            self.units = tables.books(row.key)[1]
            self.unsettled = len(tables.open_postings())
            self.held = tables.reserved(row.key)
            self.moves = sum(what == "lane" for _, _, _, what, _ in tables.events(row.key, limit=100_000))
            self.tallied = total(Readings(tables, row.key).tallies())
        with closing(Ledger.open(rig.data / "ledger.db", read_only=True)) as ledger:
            self.settled = sum(total.cost_nanos for total in ledger.totals(Filter(run=row.id)))

    @property
    def invoice(self) -> dict[str, int]:
        """What the simulator charged for realtime calls, by our request id."""
        return {line.client_request_id: line.nanos for line in self.bill if line.client_request_id is not None}

    @property
    def answered(self) -> int:
        """Calls that were paid for and whose answer arrived."""
        return sum(receipt["cost_source"] == "usage" for receipt in self.receipts)

    @property
    def by_unit(self) -> dict[str, JsonObject]:
        """The results by unit."""
        return {record["unit_id"]: record for record in self.results}

    @property
    def unit_ids(self) -> list[str]:
        """The units that came out, valid or failed."""
        return [record["unit_id"] for record in (*self.results, *self.failures)]

    @property
    def jobs(self) -> list[Entry]:
        """What made a job at the provider, or filled one."""
        return [entry for entry in self.rig.simulator.requests if entry.operation in CREATING and entry.batch_id is not None and entry.rows]

    @property
    def double_submissions(self) -> int:
        """Jobs too many: under a tag that another job has, or with a row that another job has been billed for."""
        tags = [json.dumps(entry.tag) for entry in self.jobs if entry.tag is not None]
        custom_ids = [line.custom_id for line in self.bill if line.custom_id is not None]
        return len(tags) - len(set(tags)) + len(custom_ids) - len(set(custom_ids))

    def check_units(self, units: int, failed: int = 0) -> None:
        """Every unit came out once, valid or failed, and the counters say the same."""
        ids = self.unit_ids
        assert len(ids) == len(set(ids)) == units, f"{len(ids)} records, {len(set(ids))} distinct units of {units}"
        assert (len(self.results), len(self.failures)) == (units - failed, failed)
        assert self.problems == []
        calls = [receipt for receipt in self.receipts if receipt["cost_source"] != "none"]
        assert (self.tallied.calls, self.tallied.cost_nanos) == (len(calls), self.booked)
        assert self.row.state == "complete"
        found = verify_run(self.rig.run, deep=True)
        assert found.whole, (found.faults, found.steps)
        assert workflow_errors(self.rig.run) == []

    def check_submissions(self) -> None:
        """Nothing was sent to the provider twice: no tag, no custom id, no realtime call; and no job there is unknown here."""
        assert self.double_submissions == 0
        known = {s.batch_id.rpartition("/")[2] for s in self.submissions if s.batch_id is not None}
        assert {str(entry.batch_id).rpartition("/")[2] for entry in self.jobs} == known
        calls = [line.client_request_id for line in self.bill if line.client_request_id is not None]
        assert len(calls) == len(set(calls))

    def check_money(self) -> None:
        """Receipts, ledger and the provider's bill agree to the nano-dollar, and nothing stays set aside."""
        assert (self.booked, self.settled, self.unsettled, self.held) == (self.billed, self.billed, 0, 0)


class Rig:
    """One simulator, one run folder. `on_request` and `on_executed` may be set at any time."""

    def __init__(self, launcher: Launcher, folder: Path, settings: SimSettings) -> None:
        self.folder, self.run, self.data = folder, folder / "run", folder / "data"
        self.launcher = launcher
        self.on_request: Hook = nothing
        self.on_executed: Hook = nothing
        self.requests = 0
        self.simulator = Simulator(
            SimSettings(
                seed=settings.seed,
                latency=settings.latency,
                time_scale=settings.time_scale,
                faults=settings.faults,
                timings=settings.timings,
                limits=settings.limits,
                on_request=lambda seq, operation: self.on_request(seq, operation),
                on_executed=lambda seq, operation: self.on_executed(seq, operation),
            )
        )
        self._open = self.simulator.run_in_thread()

    def __enter__(self) -> Rig:
        self._open.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.__exit__(None, None, None)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV") if name in os.environ}
        return {**kept, "HEADGATE_SIM_URL": self.simulator.url, "HEADGATE_DATA_DIR": str(self.data)}

    def start(self, provider: str, mode: str, *more: str, pipeline: str = "DrunkenSailor", file_size: int | None = None) -> Command:
        """``headgate run`` on the rig's folder; the first request that the simulator sees is one of the run."""
        args = ["run", pipeline, "--provider", provider, "--mode", mode, "--run-dir", str(self.run), "--seed", "7", "--grace", "0.5"]
        return self.launcher.start([*args, "--quiet", "--no-preflight", *more], self.environment, self.folder, file_size)

    def command(self, *args: str) -> Command:
        """Any other command in the rig's folder."""
        return self.launcher.start(list(args), self.environment, self.folder)

    def finish(self, provider: str, mode: str, *more: str, pipeline: str = "DrunkenSailor") -> Facts:
        """Go on with the run to its end, undisturbed."""
        self.on_request = self.on_executed = nothing
        command = self.start(provider, mode, *more, pipeline=pipeline)
        assert command.wait() == 0, command.output
        return Facts(self)

    def facts(self) -> Facts:
        """The run as its files and the simulator tell it."""
        return Facts(self)

    async def true_up(self, invoice: dict[str, int]) -> TrueUp:
        parts = load_parts({"data_dir": str(self.data)}, self.folder)
        return await true_up_run(parts, self.run, invoice)

    def watch(self, holds: Callable[[], bool], act: Callable[[], None]) -> Watch:
        """Call `act` as soon as `holds()`, looking a thousand times a second."""
        return Watch(holds, act)

    def at_request(self, n: int, act: Callable[[], None], executed: bool) -> AbstractContextManager[object]:
        """Call `act` when the n-th request from now on is received, or has been executed."""
        count = 0

        def hook(seq: int, operation: str) -> None:
            nonlocal count
            count += 1
            if count == n:
                act()

        if executed:
            self.on_executed = hook
        else:
            self.on_request = hook
        return nullcontext()

    def after(self, seconds: float, act: Callable[[], None]) -> Watch:
        """Call `act` once so many seconds have passed."""
        end = time.monotonic() + seconds
        return self.watch(lambda: time.monotonic() >= end, act)

    def wait_for(self, holds: Callable[[], bool], seconds: float = 20.0) -> bool:
        """Whether `holds()` becomes true in time."""
        return wait_for(holds, seconds)

    def ask_for_mode(self, mode: str) -> None:
        """What ``headgate switch`` does for a run that is driven."""
        Home(self.run).ask_for_mode(mode)

    def mode(self) -> str | None:
        """The mode that the run goes on in."""
        return value(self.run / "run.sqlite", "SELECT mode FROM run")

    def state(self) -> str | None:
        """The run's own word for its state; None while there is no run."""
        return value(self.run / "run.sqlite", "SELECT state FROM run")

    def attempts(self) -> int:
        """Attempts that are stored."""
        return scalar(self.run / "run.sqlite", "SELECT count(*) FROM attempt")

    def bounds(self) -> int:
        """Attempts that are booked at an upper bound."""
        return scalar(self.run / "run.sqlite", "SELECT count(*) FROM attempt WHERE cost_source = 'bound'")

    def events(self) -> int:
        """The number of the run's last event row, 0 while there is none."""
        return scalar(self.run / "run.sqlite", "SELECT coalesce(max(id), 0) FROM event")

    def returned(self) -> int:
        """Units that were sent back to an earlier step."""
        return scalar(self.run / "run.sqlite", "SELECT count(*) FROM unit WHERE returns > 0")

    def gathering(self) -> int:
        """Units that a barrier has decided while its step is not closed."""
        waiting = "SELECT idx FROM step WHERE lane = 'barrier' AND finished_at IS NULL"
        return scalar(self.run / "run.sqlite", f"SELECT count(*) FROM unit WHERE state = 3 AND step IN ({waiting})")

    def refused(self) -> int:
        """Submissions of which nothing came."""
        return scalar(self.run / "run.sqlite", "SELECT count(*) FROM submission WHERE state = 'refused'")

    def committed(self) -> int:
        """Bytes of segments that count."""
        return scalar(self.run / "run.sqlite", "SELECT coalesce(sum(committed), 0) FROM segment")

    def written(self) -> int:
        """Bytes of segment files, torn tails included."""
        return sum(path.stat().st_size for path in (self.run / "segments").glob("*.zst"))

    def settlements(self) -> int:
        """Postings the ledger has."""
        return scalar(self.data / "ledger.db", "SELECT count(*) FROM settlement")


class Watch:
    """A thread that waits for something to happen in the files of a run."""

    def __init__(self, holds: Callable[[], bool], act: Callable[[], None]) -> None:
        self.happened = False
        self._holds, self._act = holds, act
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.is_set():
            if self._holds():
                self._act()
                self.happened = True
                return
            self._stop.wait(0.001)


def nothing(seq: int, operation: str) -> None:
    """No hook."""


def value(path: Path, query: str) -> str | None:
    """One value from a database that another process writes, as text; None while it is not there yet."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            row = database.execute(query).fetchone()
    except sqlite3.OperationalError:
        return None
    return None if row is None else str(row[0])


def scalar(path: Path, query: str) -> int:
    """One number from a database that another process writes; 0 while it is not there yet."""
    return int(value(path, query) or 0)


def read_lines(path: Path) -> list[JsonObject]:
    """The objects of a JSON lines file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def nanos_of(receipt: JsonObject) -> int:
    """A receipt's cost; the exact decimal text as an integer."""
    text = receipt["cost_usd"]
    assert text is not None
    return int(Decimal(text) * NANO)


def workflow_errors(run: Path) -> list[tuple[str, str]]:
    """Workflows that ended in another way than they should."""
    with closing(sqlite3.connect(run / "engine.sqlite")) as database:
        found = database.execute(
            "SELECT workflow_uuid, status, error FROM workflow_status WHERE status NOT IN ('SUCCESS', 'PENDING', 'ENQUEUED')"
        )
        return [(row[0], f"{row[1]} {row[2]}") for row in found]


class MakeRig(Protocol):
    """What the fixture `make_rig` is: a rig in the test's folder."""

    def __call__(self, settings: SimSettings = ...) -> Rig: ...


NewRig = Callable[[Path, SimSettings], Rig]
Record = Callable[[str, object], None]


@pytest.fixture(scope="session")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    started = Launcher(tmp_path_factory.mktemp("launcher"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def new_rig(launcher: Launcher) -> NewRig:
    """A rig in a given folder."""
    return lambda folder, settings: Rig(launcher, folder, settings)


@pytest.fixture
def make_rig(launcher: Launcher, tmp_path: Path) -> MakeRig:
    count = 0

    def make(settings: SimSettings = QUICK) -> Rig:
        nonlocal count
        count += 1
        folder = tmp_path / str(count)
        folder.mkdir()
        return Rig(launcher, folder, settings)

    return make
