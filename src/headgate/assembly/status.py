"""How a run stands, read from its database by whoever asks."""

from __future__ import annotations

from pathlib import Path

import msgspec

from headgate.batch.books import check_books
from headgate.batch.home import Home
from headgate.batch.notices import notices
from headgate.batch.rows import RunRow, StepTotals, SubmissionRow
from headgate.batch.states import RunState
from headgate.batch.tables import Tables
from headgate.domain.cost import usd_text
from headgate.errors import RunError, StoreError
from headgate.store import Database
from headgate.wire.json import JsonObject


class RunStatus(msgspec.Struct, frozen=True):
    """A run at one moment. `state` adds to the run's own word whether a process drives it; money in nano-dollars."""

    run: RunRow
    folder: str
    state: str
    driven: bool
    steps: tuple[StepTotals, ...]
    submissions: tuple[SubmissionRow, ...]
    spent: int
    held: int
    problems: tuple[str, ...]
    notices: tuple[str, ...]


def read_status(folder: Path) -> RunStatus:
    """Read a run. Raises `StoreError`, `RunError`."""
    home = Home(folder)
    with Database.open(home.database, migrations="run", read_only=True) as database:
        tables = Tables(database, folder)
        row = tables.find_run()
        if row is None:
            raise RunError(f"{folder} holds no run yet")
        steps = tuple(tables.totals(row.key))
        driven = home.locked()
        return RunStatus(
            run=row,
            folder=str(folder),
            state=_state(row, driven),
            driven=driven,
            steps=steps,
            submissions=tuple(tables.submissions(row.key)),
            spent=sum(step.cost_nanos for step in steps),
            held=tables.reserved(row.key),
            problems=tuple(check_books(tables, row.key)),
            notices=notices(tables.warnings(row.key)),
        )


class Listed(msgspec.Struct, frozen=True):
    """A run's folder with how it stands, or with why that cannot be read."""

    folder: str
    status: RunStatus | None
    problem: str = ""


def list_runs(folder: Path) -> tuple[Listed, ...]:
    """The runs below a folder (OCT-44): those a process drives first, then the newest."""
    found = [_listed(path) for path in sorted(folder.glob("*/")) if Home(path).exists]
    return tuple(sorted(found, key=_rank, reverse=True))


def _listed(path: Path) -> Listed:
    try:
        return Listed(str(path), read_status(path))
    except (StoreError, RunError) as error:
        return Listed(str(path), None, error.message)


def _rank(listed: Listed) -> tuple[bool, float]:
    status = listed.status
    return (False, 0.0) if status is None else (status.driven, status.run.created_at)


def _state(row: RunRow, driven: bool) -> str:
    if row.state in (RunState.RUNNING, RunState.PLANNING) and not driven:
        return f"{row.state.value}, but no process drives it; run it again to go on"
    return row.state.value


def status_json(status: RunStatus) -> JsonObject:
    """The status as plain JSON; amounts as decimal strings of dollars."""
    row = status.run
    return {
        "run": row.id,
        "folder": status.folder,
        "pipeline": row.pipeline,
        "mode": row.mode,
        "state": row.state.value,
        "driven": status.driven,
        "reason": row.reason,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
        "units": row.total,
        "planned": row.planned,
        "cost_usd": usd_text(status.spent),
        "held_usd": usd_text(status.held),
        "cap_usd": None if row.cost_cap_nanos is None else usd_text(row.cost_cap_nanos),
        "steps": [
            {
                "name": step.name,
                "kind": step.kind,
                "lane": step.lane,
                "provider": step.provider,
                "model": step.model,
                "started": step.started,
                "valid": step.valid,
                "failed": step.failed,
                "pending": step.pending,
                "cost_usd": usd_text(step.cost_nanos),
            }
            for step in status.steps
        ],
        "batches": [
            {
                "key": submission.key,
                "provider": submission.provider,
                "batch_id": submission.batch_id,
                "state": submission.state.value,
                "status": submission.status,
                "raw_status": submission.raw_status,
                "rows": submission.rows,
                "polls": submission.polls,
                "matched_by": submission.matched_by,
            }
            for submission in status.submissions
        ],
        "problems": list(status.problems),
        "notices": list(status.notices),
    }
