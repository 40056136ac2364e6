"""An engine home: a lasting name, one driver at a time, small files whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headgate.batch.home import Home, HomeLocked
from headgate.errors import StoreError

HOLD = """
import sys
from pathlib import Path
from headgate.batch.home import Home
home = Home(Path(sys.argv[1]))
home.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_the_name_lasts(tmp_path: Path) -> None:
    with Home(tmp_path / "a") as home, Home(tmp_path / "b") as other:
        assert home.id.startswith("home-") and home.id == Home(tmp_path / "a").id != other.id


def test_one_process_at_a_time_and_a_kill_gives_the_lock_back(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        home = Home(tmp_path)
        assert home.locked()
        with pytest.raises(HomeLocked, match=f"driven by process {holder.pid}") as caught:
            home.acquire()
        assert "headgate status" in str(caught.value.hint)
        holder.kill()
    assert not home.locked()
    with home:
        assert home.locked() and home.owner() == f"process {os.getpid()}" and home.pid() == os.getpid()
        home.acquire()
    assert not home.locked() and home.pid() is None


def test_two_homes_of_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    with Home(tmp_path), pytest.raises(HomeLocked):
        Home(tmp_path).acquire()


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    home = Home(tmp_path / "never")
    assert not home.exists and not home.locked() and home.owner() is None


def test_a_small_file_is_replaced_whole(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.write("note", b"one")
        assert home.write("note", b"two").read_bytes() == b"two"
        assert [path.name for path in tmp_path.glob(".*draft")] == []
        with pytest.raises(StoreError, match="cannot write"):
            home.write("no/such/folder", b"")


def test_a_mode_that_was_asked_for_is_told_until_it_is_followed(tmp_path: Path) -> None:
    """A process that ends in between has not lost it, and neither has whoever asks for another one meanwhile."""
    home = Home(tmp_path)
    assert home.mode_asked_for() is None
    home.ask_for_mode("batch")
    assert home.mode_asked_for() == Home(tmp_path).mode_asked_for() == "batch"
    home.ask_for_mode("realtime")
    home.mode_followed()
    assert home.mode_asked_for() == "realtime"
    home.mode_followed()
    assert home.mode_asked_for() is None and list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot use"):
        Home(tmp_path / "file" / "run").acquire()
