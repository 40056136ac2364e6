"""Which process serves: the lock says so, not the number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headgate.config.reload import ReloadState
from headgate.errors import ConfigError
from headgate.serving.pid_file import PidFile, Serving, pid_file, read_pid_file

HOLD = """
import sys
from pathlib import Path
from headgate.serving.pid_file import PidFile
with PidFile(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the file."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_who_serves_and_how_the_last_reading_went(tmp_path: Path) -> None:
    path = pid_file(tmp_path / "data", 6120)
    assert read_pid_file(path) is None
    with PidFile(path) as held:
        assert read_pid_file(path) == Serving(os.getpid())
        held.note(ReloadState(generation=3, attempts=9, error="f.yaml:1:1: a long message about what is wrong"))
        held.note(ReloadState(generation=4, attempts=10))
        assert read_pid_file(path) == Serving(os.getpid(), ReloadState(generation=4, attempts=10))
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


def test_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "gateway-1.pid"
    with PidFile(path), pytest.raises(ConfigError, match="another gateway"), PidFile(path):
        pass


def test_a_file_that_a_kill_left_is_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "gateway-1.pid"
    process = holder(path)
    try:
        found = read_pid_file(path)
        assert found is not None
        assert found.pid == process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert path.exists()
    assert read_pid_file(path) is None
    with PidFile(path):
        assert read_pid_file(path) == Serving(os.getpid())


def test_a_file_that_is_being_written_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "gateway-1.pid"
    with PidFile(path):
        path.write_bytes(b'{"pid": 1')
        assert read_pid_file(path) is None
