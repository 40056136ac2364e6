"""The pepper: from the settings, else from a file that is made once and nobody else reads (faults H3, H17)."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headgate.config import Secret
from headgate.errors import ConfigError, StoreError
from headgate.ledger.pepper import RANDOM_BYTES, open_pepper


def test_the_setting_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    pepper = open_pepper(Secret("p" * 32), tmp_path, b"")
    assert pepper.mark == open_pepper(Secret("p" * 32), tmp_path, b"").mark
    assert not list(tmp_path.iterdir())


def test_a_file_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    marks = {open_pepper(None, folder, bytes([n]) * RANDOM_BYTES).mark for n in range(3)}
    assert len(marks) == 1
    assert [path.name for path in folder.iterdir()] == ["pepper"]
    assert (folder / "pepper").stat().st_mode & 0o777 == 0o600


def test_of_several_at_once_one_makes_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: open_pepper(None, tmp_path, bytes([n]) * RANDOM_BYTES).mark, range(64)))
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["pepper"]


@pytest.mark.parametrize("text", ["", "short", "x" * 31])
def test_a_short_one_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="at least 32 characters"):
        open_pepper(Secret(text), tmp_path, bytes(RANDOM_BYTES))
    path = tmp_path / "pepper"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="at least 32 characters"):
        open_pepper(None, tmp_path, bytes(RANDOM_BYTES))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_one_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    open_pepper(None, tmp_path, bytes(RANDOM_BYTES))
    (tmp_path / "pepper").chmod(mode)
    with pytest.raises(ConfigError) as caught:
        open_pepper(None, tmp_path, bytes(RANDOM_BYTES))
    assert caught.value.hint == f"chmod 600 {tmp_path / 'pepper'}"


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "pepper").mkdir(mode=0o700)
    with pytest.raises(StoreError, match="cannot be had"):
        open_pepper(None, tmp_path, bytes(RANDOM_BYTES))
    os.rmdir(tmp_path / "pepper")
    with pytest.raises(ValueError, match="random bytes"):
        open_pepper(None, tmp_path, b"few")
