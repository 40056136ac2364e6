"""The process that drives a run, asked to pause or ended by others: only ever the one that is proven to hold the run's lock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import msgspec

from headgate.assembly.mending import taken
from headgate.batch.again import pause
from headgate.batch.home import Home
from headgate.batch.rows import RunRow
from headgate.batch.states import RunState
from headgate.batch.tables import Tables
from headgate.errors import RunError
from headgate.store import Database

PAUSE_WAIT = 10.0
"""Seconds a run has for pausing; it needs as long as calls in flight are given to end, and the disk."""
KILL_WAIT = 5.0
"""Seconds between the polite signal and the last one (OCT-47)."""
LAST_WAIT = 5.0
LOOK = 0.05
KILLED = "killed"
GONE = "its process ended without a word"
UNDER_WAY = frozenset({RunState.PLANNING, RunState.RUNNING})


class Steered(msgspec.Struct, frozen=True):
    """What became of a run. `pid` is the process that was met, None where nobody drove it; `ended` that it drives it no more.

    `state` is None for a run that has not begun; `marked` that the word for its state had to be set right.
    """

    run: str
    pid: int | None
    ended: bool
    state: RunState | None
    reason: str | None = None
    marked: bool = False


def driver_of(home: Home) -> int | None:
    """The process that drives the run; None when nobody does.

    Where the system shows what processes have open, it must be one that has this run's lock. Raises `RunError` when it is not: its number
    may belong to somebody else by now.
    """
    if not home.locked():
        return None
    owner = (home.owner() or "").removeprefix("process ")
    if not owner.isascii() or not owner.isdigit() or not _holds(int(owner), home.folder / "home.lock"):
        if not home.locked():
            return None
        raise RunError(f"{home.folder} is driven by a process that cannot be proven to be number {owner or 'unknown'}")
    if int(owner) == os.getpid():
        raise RunError(f"{home.folder} is driven by this process")
    return int(owner)


def _holds(pid: int, lock: Path) -> bool:
    """Whether a process has the lock's file open; where there is no /proc that cannot be asked, and the number is believed."""
    if not Path("/proc/self/fd").is_dir():
        return True
    wanted = lock.stat()
    with suppress(OSError):
        return any(os.path.samestat(wanted, found) for found in _open_files(Path(f"/proc/{pid}/fd")))
    return False


def _open_files(folder: Path) -> Iterator[os.stat_result]:
    """What a process has open. Raises `OSError` when it is gone, or somebody else's."""
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):  # closed since it was listed
            yield os.stat(folder / name)


def pause_run(folder: Path, wait: float = PAUSE_WAIT) -> Steered:
    """Interrupt the process that drives a run, and wait until it is paused, or over. Raises `RunError` when it cannot be signalled."""
    home = Home(folder)
    pid = driver_of(home)
    ended = pid is None or _signalled(home, pid, SIGINT, wait)
    return _steered(folder, pid, ended, _row(folder))


def kill_run(folder: Path, grace: float = KILL_WAIT) -> Steered:
    """End the process that drives a run: asked first, forced after `grace` seconds. The run is paused then; what is finished is kept.

    A run whose process is gone without having said so is marked paused too. Raises `RunError` when it cannot be signalled.
    """
    home = Home(folder)
    pid = driver_of(home)
    ended = pid is None or _signalled(home, pid, SIGTERM, grace) or _signalled(home, pid, SIGKILL, LAST_WAIT)
    row = _row(folder)
    if not ended or row is None or not _to_mark(row, pid):
        return _steered(folder, pid, ended, row)
    with taken(folder) as (tables, row):
        reason, now = GONE if pid is None else KILLED, time.time()
        tables.db.write_now(lambda db: pause(db, row.key, reason, now))
    return Steered(folder.name, pid, ended, RunState.PAUSED, reason, marked=True)


def _steered(folder: Path, pid: int | None, ended: bool, row: RunRow | None) -> Steered:
    return Steered(folder.name, pid, ended, None if row is None else row.state, None if row is None else row.reason)


def _to_mark(row: RunRow, pid: int | None) -> bool:
    """Whether the run's own word is not the last one: nobody drives it any more, or it was killed and calls that an interruption."""
    return row.state in UNDER_WAY or (pid is not None and row.state is RunState.PAUSED)


def _signalled(home: Home, pid: int, number: int, seconds: float) -> bool:
    """Send a signal to the proven driver, and wait until the lock is free. Raises `RunError` when it may not be signalled."""
    try:
        if driver_of(home) != pid:
            return not home.locked()
        os.kill(pid, number)
    except ProcessLookupError:
        return _until(lambda: not home.locked(), LAST_WAIT)
    except PermissionError as error:
        raise RunError(f"process {pid} drives {home.folder}, and belongs to somebody else", hint=f"ps -o user= -p {pid}") from error
    return _until(lambda: not home.locked(), seconds)


def _until(holds: Callable[[], bool], seconds: float) -> bool:
    """Wait until something holds; False when it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() >= end:
            return False
        time.sleep(LOOK)
    return True


def _row(folder: Path) -> RunRow | None:
    """The run's row; None for one that has not begun."""
    home = Home(folder)
    if not home.exists:
        return None
    with Database.open(home.database, migrations="run", read_only=True) as database:
        return Tables(database, folder).find_run()
