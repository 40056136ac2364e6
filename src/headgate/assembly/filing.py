"""Runs put away, called otherwise, and deleted: only while no process drives them."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import time
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from headgate.assembly.mending import taken
from headgate.assembly.parts import Parts
from headgate.assembly.run_places import ARCHIVE, RUN_NAME, archived, find_run
from headgate.assembly.runs import REQUEST, SNAPSHOT, stored_target
from headgate.batch.again import note
from headgate.batch.audit_rows import SQL
from headgate.batch.home import Home
from headgate.batch.outputs import receipts, write_lines
from headgate.batch.rows import RunRow, SubmissionRow
from headgate.batch.states import RunState, SubmissionState
from headgate.batch.tables import Tables
from headgate.client import BatchClient, Target
from headgate.dialects.batch import TERMINAL, BatchHandle
from headgate.errors import HeadgateError, RunError, StoreError, UsageError

RESTING = frozenset({RunState.COMPLETE, RunState.FAILED, RunState.PAUSED})
ENGINE = ("engine.sqlite", "engine.sqlite-wal", "engine.sqlite-shm")
"""The engine's own database; without it the engine plans a run again from the run's tables."""
OWN = (
    *("run.sqlite*", "engine.sqlite*", "home.lock", "home.id", SNAPSHOT, REQUEST, ".*.draft"),
    *("run.log", "run.log.1", "debug.log", "mode.wanted", "import.json", "segments", "outputs", "downloads", "input"),
)
"""Patterns of what a run leaves in its folder."""


class Filed(msgspec.Struct, frozen=True):
    """A run that was moved or renamed, and where it lies now."""

    run: str
    folder: str
    before: str


def archive_run(parts: Parts, name: str) -> Filed:
    """Move a run that is paused or over into the archive of the run folder. Raises `UsageError`, `RunError`, `HomeLocked`."""
    folder = _inside(parts, find_run(parts, name))
    return _moved(folder, parts.settings.run_dir / ARCHIVE / folder.name)


def unarchive_run(parts: Parts, name: str) -> Filed:
    """Move a run back from the archive. Raises `UsageError` when there is none of that name, or another one in its place."""
    folder = _archived(parts, name)
    return _moved(folder, parts.settings.run_dir / folder.name)


def _archived(parts: Parts, name: str) -> Path:
    known = [run for run in archived(parts) if run.startswith(name)] if RUN_NAME.fullmatch(name) else []
    found = [name] if name in known else known
    if len(found) == 1:
        return parts.settings.run_dir / ARCHIVE / found[0]
    told = f"several runs begin with {name!r}: {', '.join(found[:5])}" if found else f"there is no run {name!r} in the archive"
    raise UsageError(told, hint=f"it holds {', '.join(archived(parts)[-5:]) or 'nothing'}")


def _inside(parts: Parts, folder: Path) -> Path:
    """`folder`, if it lies directly in the run folder. Raises `UsageError`."""
    if folder.parent.resolve() != parts.settings.run_dir.resolve() or not RUN_NAME.fullmatch(folder.name) or folder.is_symlink():
        raise UsageError(f"{folder} is no run of {parts.settings.run_dir}", hint="headgate ls")
    return folder


def _moved(folder: Path, target: Path) -> Filed:
    if os.path.lexists(target):
        raise UsageError(f"{target} exists already", hint=f"headgate rename {folder.name} NEW")
    with taken(folder) as (_, row):
        if row.state not in RESTING:
            raise RunError(
                f"{row.id} is {row.state.value}: only a run that is paused or over is moved", hint=f"headgate kill {folder.name}"
            )
        _rename(folder, target)
    return Filed(row.id, str(target), str(folder))


def _rename(folder: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
    except OSError as error:
        raise StoreError(f"cannot move {folder} to {target}: {error.strerror}", hint=f"ls -ld {target.parent}") from error


def rename_run(parts: Parts, name: str, new: str) -> Filed:
    """Give a run another name. Its money stays its own: the ledger knows it by its mark, what was booked before keeps the old name there.

    Raises `UsageError` for what could not be a run's name or is taken, `HomeLocked` while a process drives the run.
    """
    folder = _inside(parts, find_run(parts, name))
    if not RUN_NAME.fullmatch(new):
        raise UsageError(f"{new!r} cannot be the name of a run", hint="use letters, digits, dots, dashes and underscores")
    target = folder.with_name(new)
    if os.path.lexists(target):
        raise UsageError(f"{target} exists already", hint="headgate ls")
    with taken(folder) as (tables, row):
        for file in ENGINE:  # its workflows bear the old name
            (folder / file).unlink(missing_ok=True)
        tables.db.write_now(lambda db: _write_name(db, row, new))
        if (folder / "outputs" / "receipts.jsonl").exists():
            renamed = msgspec.structs.replace(row, id=new)
            write_lines(folder / "outputs" / "receipts.jsonl", receipts(tables, renamed, tables.steps(row.key)))
        _rename(folder, target)
    return Filed(new, str(target), str(folder))


def _write_name(db: sqlite3.Connection, row: RunRow, new: str) -> None:
    db.execute(SQL["rename_run"], {"run": row.key, "id": new})
    note(db, row.key, "renamed", {"from": row.id, "to": new}, time.time())


class Deleted(msgspec.Struct, frozen=True):
    """What was deleted: batches and files at providers, and what of them is left there and why; files in the folder that are no run's."""

    run: str
    folder: str
    at_provider: int
    left_at_provider: tuple[str, ...]
    left_behind: tuple[str, ...]


async def delete_run(parts: Parts, folder: Path, *, provider: bool = False) -> Deleted:
    """Delete a run that no process drives: its own files, and with `provider` what it left at providers, as far as they let it.

    Open batches are cancelled first. What the ledger booked stays. Raises `HomeLocked`, `RunError`, `UsageError`.
    """
    _own_folder(folder)
    done, left = 0, _NOTHING
    with taken(folder) as (tables, row):
        if provider:
            done, left = await _erase(parts, tables, row.key)
    return Deleted(row.id, str(folder), done, left, _deleted(folder))


_NOTHING: tuple[str, ...] = ()


def _own_folder(folder: Path) -> None:
    """Raise `UsageError` for what leads elsewhere."""
    if folder.is_symlink() or ".." in folder.parts:
        raise UsageError(f"{folder} is not the run's own folder", hint="give its name, or its path without detours")


def _deleted(folder: Path) -> tuple[str, ...]:
    """Delete what a run has in its folder, and the folder unless it holds anything else; the names of what it does."""
    with Home(folder):
        for path in [path for path in folder.iterdir() if any(fnmatchcase(path.name, pattern) for pattern in OWN)]:
            _remove(path)
    others = tuple(sorted(path.name for path in folder.iterdir()))
    if not others:
        folder.rmdir()
    return others


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot delete {path}: {error.strerror}", hint=f"ls -ld {path}") from error


async def _erase(parts: Parts, tables: Tables, run: int) -> tuple[int, tuple[str, ...]]:
    """Delete every job of a run at its provider; returns how many, and what is left."""
    targets = {step.idx: stored_target(parts, step) for step in tables.steps(run) if step.provider is not None}
    done = 0
    left: list[str] = []
    folder = tables.folder / "downloads"
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    async with parts.http() as http:
        for submission in tables.submissions(run):
            if submission.batch_id is None:
                left += [f"submission {submission.key} has no batch id yet: it may exist"] * (submission.state is SubmissionState.INTENT)
                continue
            target = targets[tables.chunk(submission.chunk).step]
            problem = await _erase_job(BatchClient(http, target, folder), target, submission)
            done += problem is None
            if problem is not None:
                left.append(f"{target.provider.label}, batch {submission.batch_id}: {problem}")
    return done, tuple(left)


async def _erase_job(client: BatchClient, target: Target, submission: SubmissionRow) -> str | None:
    """Cancel a job that is open, and delete it with its files; why that did not work, or None."""
    assert submission.batch_id is not None
    handle = BatchHandle(submission.batch_id, submission.input_file, submission.submitted_at)
    try:
        state = await client.status(handle)
        if state.status not in TERMINAL:
            await client.cancel(handle)
            state = await client.status(handle)
        if state.status not in TERMINAL:
            return f"it is {state.raw_status} after it was cancelled; delete it later"
        await client.delete(handle, state)
    except HeadgateError as error:
        return error.message
    return None
