"""Warnings: every event of that level has a code of its own, and nothing that did not happen is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import headgate.batch
from headgate.batch.signals import EVENTS, by_reason, signals
from headgate.batch.tally import Tally

SOURCES = Path(str(headgate.batch.__file__)).parent


def test_every_warning_of_the_engine_has_a_code() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py"))
    named = (
        re.findall(r"\"warning\",\s*\"(\w+)\"", text)
        + re.findall(r"= \"(batch_\w+)\" if urgent", text)
        + ["batch_too_old"]
        + re.findall(r"patiently\((?:self\.)?run, \"(\w+)\"", text)
    )
    assert named
    assert set(named) == set(EVENTS)


def test_what_happened_is_told_with_how_often() -> None:
    first, again = Tally(0, False, 10, 100, 100), Tally(0, True, 5, 50, 51)
    found = signals({"refused": 2, "later": 1}, {"schema": 3, "rate_limit": 1}, 1, 0, first, again)
    assert [(signal.code, signal.count) for signal in found] == [
        ("SUBMIT_ERROR", 2),
        ("EVENT", 1),
        ("RATE_LIMIT", 1),
        ("CHUNK_HAS_FAILURES", 4),
        ("COLLECTION_ERROR", 1),
        ("HIGH_TOKEN_USAGE", 101),
    ]


@pytest.mark.parametrize("again", [0, 50])
def test_a_run_without_trouble_has_no_warnings(again: int) -> None:
    assert signals({}, {}, 0, 0, Tally(0, False, 10, 100), Tally(0, True, 1, again)) == ()


def test_reasons_over_all_steps() -> None:
    assert by_reason([(0, "rule", 1), (0, None, 2), (1, "rule", 4)]) == {"rule": 5, "unknown": 2}
