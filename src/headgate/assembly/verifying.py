"""Whether a run's books, files and results agree (OCT-150)."""

from __future__ import annotations

from pathlib import Path

from headgate.batch.audit import Audit, audit
from headgate.batch.home import Home
from headgate.batch.tables import Tables
from headgate.errors import RunError
from headgate.store import Database
from headgate.wire.json import JsonObject


def verify_run(folder: Path, deep: bool = False) -> Audit:
    """Count the run in `folder` unit by unit; `deep` reads every stored row. Changes nothing, and works while a process drives the run.

    Raises `StoreError` when the database cannot be read, `RunError` when it holds no run.
    """
    home = Home(folder)
    driven = home.locked()
    with Database.open(home.database, migrations="run", read_only=True) as database:
        tables = Tables(database, folder)
        row = tables.find_run()
        if row is None:
            raise RunError(f"{folder} holds no run yet")
        return audit(tables, row, tables.steps(row.key), driven=driven, deep=deep)


def audit_json(found: Audit, folder: Path) -> JsonObject:
    """The findings as plain JSON."""
    return {
        "run_dir": str(folder),
        "run_name": found.run.id,
        "pipeline_name": found.run.pipeline,
        "pipeline": [step.step for step in found.steps],
        "state": found.run.state.value,
        "driven": found.driven,
        "initial_units": found.facts.total,
        "steps": [
            {
                "step": step.step,
                "kind": step.kind,
                "expected": step.expected,
                "valid": step.valid,
                "failed": step.failed,
                "pending": step.pending,
                "missing": step.missing,
                "missing_ids": list(step.missing_ids),
                "duplicated": step.duplicated,
                "duplicated_ids": list(step.duplicated_ids),
                "orphaned": step.orphaned,
                "orphaned_ids": list(step.orphaned_ids),
            }
            for step in found.steps
        ],
        "total_missing": found.missing,
        "total_duplicated": found.duplicated,
        "total_orphaned": found.orphaned,
        "faults": [{"kind": fault.kind.value, "message": fault.message, "ids": list(fault.ids)} for fault in found.faults],
        "integrity": "OK" if found.whole else "WARN",
    }
