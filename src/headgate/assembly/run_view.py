"""A run seen from Python: how it stands, and what it holds. Reads only, also while a process drives the run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from headgate.assembly.parts import load_parts
from headgate.assembly.run_export import run_rows
from headgate.assembly.run_places import find_run
from headgate.assembly.run_report import Report, read_report
from headgate.assembly.status import RunStatus, read_status
from headgate.batch.analysis import Analysis, Options, analyze
from headgate.batch.export import Spool, arrow_batches, optional
from headgate.wire.json import Json, JsonObject


class Run:
    """A run by its folder, its name, or the beginning of one.

    ::

        from headgate import Run

        run = Run("my-run")
        print(run.status.valid, run.status.cost)
        for record in run.results():
            print(record["unit_id"])

    Raises `UsageError` when there is no such run.
    """

    def __init__(self, name: str | os.PathLike[str]) -> None:
        self.folder: Path = find_run(load_parts(), os.fspath(name))

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @property
    def status(self) -> RunStatus:
        """How the run stands now, read anew each time. Raises `StoreError`."""
        return read_status(self.folder)

    def results(self, step: str | None = None) -> Iterator[JsonObject]:
        """The records of the units valid at `step` (None: the last), in order."""
        return self._rows("results", step)

    def failures(self, step: str | None = None) -> Iterator[JsonObject]:
        """A record for each unit that failed (at `step`): where, why, its input and its last raw answer."""
        return self._rows("failures", step)

    def receipts(self, step: str | None = None) -> Iterator[JsonObject]:
        """A receipt for each call (of `step`): tokens, cost, price; no prompts and no answers."""
        return self._rows("receipts", step)

    def units(self, step: str | None = None) -> Iterator[JsonObject]:
        """Each unit at each step (or at `step`): its state, calls, cost and record."""
        return self._rows("units", step)

    def report(self, failures_by: str | None = None) -> Report:
        """The funnel, the failures and the cost, as ``headgate report`` shows them."""
        return read_report(self.folder, failures_by)

    def analyze(self, options: Options, step: str | None = None) -> Analysis:
        """Shares or numbers by group, as ``headgate analyze`` shows them. Raises `UsageError`, `ConfigError`."""
        with run_rows(self.folder, "results", step) as rows:
            return analyze(rows, options)

    def to_arrow(self, what: str = "results", step: str | None = None) -> Json:
        """Results, failures, receipts or units as a ``pyarrow.Table``; what is nested is JSON text. Raises `UsageError` without pyarrow."""
        arrow = optional("pyarrow", "'headgate[parquet]'")
        with run_rows(self.folder, what, step) as rows, Spool(rows) as spool:
            schema, batches = arrow_batches(spool)
            return arrow.Table.from_batches(batches, schema=schema)

    def to_pandas(self, what: str = "results", step: str | None = None) -> Json:
        """The same as a ``pandas.DataFrame``, what is nested as Python objects. Raises `UsageError` without pandas."""
        pandas = optional("pandas", "pandas")
        with run_rows(self.folder, what, step) as rows:
            return pandas.DataFrame.from_records(list(rows))

    def _rows(self, what: str, step: str | None) -> Iterator[JsonObject]:
        with run_rows(self.folder, what, step) as rows:
            yield from rows
