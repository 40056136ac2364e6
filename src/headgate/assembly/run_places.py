"""Where runs lie, and what they are, for those who need not drive them."""

from __future__ import annotations

import re
from pathlib import Path

from headgate.assembly.parts import Parts
from headgate.batch.home import Home
from headgate.batch.rows import RunRow, StepRow
from headgate.batch.tables import Tables
from headgate.errors import RunError, UsageError
from headgate.store import Database

ARCHIVE = "_archive"
"""The folder in the run folder where runs are put away."""
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def run_folder(parts: Parts, name: str) -> Path:
    """The folder of a run: a path (it has a slash, or is a folder), else a name under the run folder. Raises `UsageError` for neither."""
    path = Path(name)
    if name and ("/" in name or path.is_dir()):
        return path.absolute()
    if not RUN_NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of a run", hint="use letters, digits, dots, dashes and underscores")
    return parts.settings.run_dir / name


def find_run(parts: Parts, name: str) -> Path:
    """An existing run: a path, a name, or the unique beginning of one (OCT-43). Raises `UsageError`."""
    folder = run_folder(parts, name)
    if Home(folder).exists:
        return folder
    known = sorted(p.name for p in parts.settings.run_dir.glob("*/") if Home(p).exists)
    matching = [run for run in known if run.startswith(name)]
    if len(matching) == 1:
        return parts.settings.run_dir / matching[0]
    if matching:
        raise UsageError(f"several runs begin with {name!r}: {', '.join(matching[:5])}")
    listed = f"; there are {', '.join(known[-5:])}" if known else ""
    raise UsageError(f"there is no run {name!r} in {parts.settings.run_dir}{listed}", hint=_hint(parts, name, known))


def archived(parts: Parts) -> list[str]:
    """The names of the runs in the archive."""
    return sorted(path.name for path in (parts.settings.run_dir / ARCHIVE).glob("*/") if Home(path).exists)


def _hint(parts: Parts, name: str, known: list[str]) -> str:
    """What to do about a run that is not there."""
    if name in archived(parts):
        return f"it is in the archive: headgate unarchive {name}"
    return "headgate ls" if known else "headgate run DrunkenSailor --provider sim-openai"


def read_run(folder: Path) -> tuple[RunRow, list[StepRow]]:
    """A run's rows, read without disturbing whoever drives it. Raises `StoreError`."""
    with Database.open(Home(folder).database, migrations="run", read_only=True) as database:
        tables = Tables(database, folder)
        row = tables.find_run()
        if row is None:
            raise RunError(f"{folder} holds no run yet")
        return row, tables.steps(row.key)
