"""The file of routing decisions."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from headgate.errors import StoreError
from headgate.router import Wish
from headgate.router.decision_log import DecisionLog
from headgate.router.features import Decided, read_decided


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    one, other = DecisionLog(path), DecisionLog(path)
    decisions = [Decided(at=float(n), wish=Wish(model="chat")) for n in range(4)]
    for n, decided in enumerate(decisions):
        (one, other)[n % 2].write(decided)
    one.close()
    other.close()
    with path.open("rb") as lines:
        assert read_decided(lines) == decisions
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        DecisionLog(tmp_path / "nowhere" / "decisions.jsonl")
    with pytest.raises(StoreError, match="No space left"):
        DecisionLog(Path("/dev/full")).write(Decided(at=0.0, wish=Wish()))
