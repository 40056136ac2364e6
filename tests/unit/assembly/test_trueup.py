"""Truing up a run; that receipts, ledger and bill then agree is shown by the crash tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from headgate.assembly.parts import load_parts
from headgate.assembly.trueup import true_up_run
from headgate.batch.home import Home, HomeLocked
from headgate.errors import RunError
from headgate.store import Database

pytest_plugins = ["headgate.testing.pytest_plugin"]

pytestmark = pytest.mark.usefixtures("headgate_environment")


def test_a_folder_without_a_run_cannot_be_trued_up(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        asyncio.run(true_up_run(load_parts(), tmp_path, {}))
    Database.open(tmp_path / "run.sqlite", migrations="run").close()
    with pytest.raises(RunError, match="holds no run yet"):
        asyncio.run(true_up_run(load_parts(), tmp_path, {}))


def test_a_run_that_a_process_drives_is_left_alone(tmp_path: Path) -> None:
    Database.open(tmp_path / "run.sqlite", migrations="run").close()
    with Home(tmp_path), pytest.raises(HomeLocked):
        asyncio.run(true_up_run(load_parts(), tmp_path, {}))
