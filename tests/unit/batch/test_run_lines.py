"""What a run's log says of events."""

from __future__ import annotations

import pytest

from headgate.batch.run_lines import event_line, results_line
from headgate.wire.json import JsonObject


@pytest.mark.parametrize(
    ("what", "level", "data", "line"),
    [
        ("run_state", "info", {"state": "paused", "reason": "interrupted"}, ("STATE", "paused: interrupted")),
        ("run_state", "info", {"state": "running", "reason": None}, ("STATE", "running")),
        ("chunk_open", "info", {"chunk": 3, "step": 1, "n": 20}, ("STEP", "chunk 3 at step 1: 20 units")),
        ("chunk_done", "", {"chunk": 3, "step": 1, "valid": 8, "retry": 2}, ("STEP", "chunk 3 at step 1 is done: 8 valid, 2 asked again")),
        (
            *("chunk_done", "", {"chunk": 3, "step": 1, "valid": 8, "retry": 0, "back": 4}),
            ("STEP", "chunk 3 at step 1 is done: 8 valid, 4 sent back"),
        ),
        ("submitted", "info", {"submission": "a-0-1-1", "batch": "b", "matched_by": "tag"}, ("SUBMIT", "a-0-1-1 is batch b (by tag)")),
        ("batch_status", "info", {"submission": "a-0-1-1", "raw": "in_progress", "status": "running"}, ("POLL", "a-0-1-1: in_progress")),
        ("refused", "warning", {"submission": "a-0-1-1", "error": "full"}, ("THROTTLE", "a-0-1-1 was refused: full")),
        ("poll_failed", "warning", {"error": "no"}, ("WARN", 'poll_failed {"error":"no"}')),
        ("unheard_of", "info", {}, ("INFO", "unheard_of {}")),
        ("chunk_done", "info", {"chunk": 3}, ("STEP", 'chunk_done {"chunk":3}')),
    ],
)  # fmt: skip
def test_lines(what: str, level: str, data: JsonObject, line: tuple[str, str]) -> None:
    assert event_line(what, level, data) == line


def test_results_are_tagged_by_their_lane() -> None:
    assert results_line("batch", "ask", 3, 1, 4) == ("COLLECT", "ask: 4 results, 3 valid, 1 failed")
    assert results_line("expression", "count", 3, 0, 3)[0] == "EXPRESSION"
    assert results_line("unheard of", "x", 1, 0, 1)[0] == "VALIDATE"
