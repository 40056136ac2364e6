"""Reading the settings anew: the watcher inside the process that serves, and the question from outside."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from headgate.assembly.config_check import check_names
from headgate.assembly.parts import Parts, load_parts
from headgate.config import Settings, load_settings, read_environment
from headgate.config.reload import Reloader, ReloadState, watched_files
from headgate.errors import ConfigError
from headgate.serving.pid_file import Serving, pid_file, read_pid_file

STEP = 0.1


def make_reloader(
    parts: Parts,
    apply: Callable[[Parts], None],
    say: Callable[[str], None],
    *,
    flags: Mapping[str, str | None] | None = None,
    folder: Path | None = None,
    note: Callable[[ReloadState], None] = lambda state: None,
) -> Reloader[Parts]:
    """A watcher of the files that `parts` came from. `apply` is given new parts (settings, catalog, providers), whole and checked.

    `flags` and `folder` are those of `load_parts`; `note` is told how each reading went.
    """
    here = folder or Path.cwd()

    def load() -> Parts:
        new = checked_parts(flags, here)
        return msgspec.structs.replace(new, key=parts.key, account=parts.account)

    return Reloader(
        parts,
        load,
        apply,
        settings_of=lambda found: found.settings,
        files=lambda found: watched_files(found.environment, here, found.settings),
        say=say,
        note=note,
    )


def checked_parts(flags: Mapping[str, str | None] | None, folder: Path) -> Parts:
    """Settings, catalog and providers read anew. Raises `ConfigError` for the first thing the settings name that is not there."""
    parts = load_parts(flags, folder)
    check_names(parts)
    return parts


def ask_reload(data_dir: Path, port: int, wait: float, sleep: Callable[[float], None]) -> tuple[Serving, Serving]:
    """Ask the gateway on `port` to read its settings, and wait at most `wait` seconds for the outcome: how it stood before, and after.

    Raises `ConfigError` when none is running.
    """
    path = pid_file(data_dir, port)
    before = read_pid_file(path)
    if before is None:
        raise ConfigError(f"no gateway of {data_dir} is running on port {port}", hint="headgate serve, or headgate reload --port PORT")
    os.kill(before.pid, signal.SIGHUP)
    after = before
    for _ in range(int(wait / STEP)):
        sleep(STEP)
        after = read_pid_file(path) or after
        if after.reload.attempts != before.reload.attempts:
            break
    return before, after


def current_settings(folder: Path | None = None) -> Settings:
    """The settings of a folder, without catalog and providers."""
    here = folder or Path.cwd()
    return load_settings(read_environment(os.environ, here), here)
