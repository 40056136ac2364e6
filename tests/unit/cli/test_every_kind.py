"""A pipeline with every kind of step that computes, ending with one that is done once: every command tells the same of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]
CONFIG = """pipeline:
  name: Kinds
  steps:
    - {name: make, scope: expression, expressions: {kids: "[{'v': i, 'c': i % 2} for i in range(n)]"}}
    - {name: each, scope: fan_out, field: kids, child_field: kid}
    - {name: score, scope: expression, expressions: {s: "kid['v'] * 2", colour: "kid['c']"}}
    - {name: some, scope: sample, share: 1}
    - {name: back, scope: fan_in, field: kids, collect: [s, colour]}
    - {name: files, scope: run, script: extract_units}
processing: {strategy: direct, chunk_size: 3, items: {source: items.yaml, key: p, name_field: id}}
"""
ITEMS = "p: [{id: a, n: 3}, {id: b, n: 4}, {id: c, n: 0}, {id: d, n: 7}]\n"


@pytest.fixture
def done(headgate: Command, headgate_environment: Path) -> Json:
    """The output of a complete run `one`: four units that become fourteen, and three again."""
    folder = headgate_environment / "pipelines" / "Kinds"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "items.yaml").write_text(ITEMS)
    return headgate("run", "Kinds", "-r", "one", code=0)


def test_results_are_those_of_the_last_step_that_units_go_through(headgate: Command, done: Json) -> None:
    results = [json.loads(line) for line in headgate("export", "one", code=0).out.splitlines()]
    assert sorted((one["unit_id"], one["_count"]) for one in results) == [("a", 3), ("b", 4), ("d", 7)]
    assert (
        sum(row["total"] for row in headgate("analyze", "one", "--group-by", "n", "--count-field", "_count", "--json").json()["rows"]) == 3
    )


def test_every_command_counts_alike(headgate: Command, done: Json) -> None:
    assert "complete: 14 valid, 0 failed" in done.out
    status = headgate("status", "one", "--json", code=0).json()
    assert {name: status["summary"][name] for name in ("valid", "failed", "pending")} == {"valid": 14, "failed": 0, "pending": 0}
    assert [step["state"] for step in status["steps"]] == ["done"] * 6
    assert headgate("ls", "--json", code=0).json()[0]["summary"]["valid"] == headgate("dump", "one", "--json").json()["valid_units"] == 14
    report = headgate("report", "one", "--json", code=0).json()
    assert [row["step"] for row in report["funnel"]] == ["make", "each", "score", "some", "back"]
    assert "○" not in headgate("info", "one", code=0).out


def test_nothing_is_missing_where_no_units_go(headgate: Command, done: Json) -> None:
    assert headgate("verify", "one", "--deep", code=0).out.endswith("integrity OK\n")
    assert "nothing to mend" in headgate("repair", "one", code=0).out
