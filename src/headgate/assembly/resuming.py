"""Going on with a run the way it was begun."""

from __future__ import annotations

from pathlib import Path

import msgspec

from headgate.assembly.mending import pinned
from headgate.assembly.parts import Parts
from headgate.assembly.runs import REQUEST, SNAPSHOT, RunRequest, find_run, run_folder
from headgate.batch.home import Home
from headgate.errors import UsageError
from headgate.store import Database


def find_begun(parts: Parts, name: str) -> Path:
    """The folder of a run, also of one that ended before its first row was written. Raises `UsageError`."""
    folder = run_folder(parts, name)
    return folder if (folder / SNAPSHOT).exists() else find_run(parts, name)


def resume_request(folder: Path) -> RunRequest:
    """What to ask to go on with the run in `folder`: as many calls at once as before, and for one never begun all it was asked with."""
    pipeline = pinned(folder).name
    path = folder / REQUEST
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=RunRequest) if path.exists() else None
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} cannot be read: {error}", hint=f"headgate run {pipeline} --run-dir {folder}") from error
    if stored is not None and not _begun(folder):
        return msgspec.structs.replace(stored, run=str(folder))
    request = RunRequest(pipeline=pipeline, run=str(folder))
    return request if stored is None else msgspec.structs.replace(request, concurrency=stored.concurrency, grace=stored.grace)


def _begun(folder: Path) -> bool:
    """Whether the folder's database holds a run."""
    home = Home(folder)
    if not home.exists:
        return False
    with Database.open(home.database, migrations="run", read_only=True) as database:
        return database.read(lambda db: db.execute("SELECT 1 FROM run LIMIT 1").fetchone()) is not None
