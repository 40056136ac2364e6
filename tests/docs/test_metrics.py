"""The page of metrics against the table of families, in both directions."""

from __future__ import annotations

import re
from pathlib import Path

from headgate.observe.counters import MOST_SAMPLES, MOST_SERIES, MOST_WORDS
from headgate.observe.exposition import render
from headgate.observe.families import BOUNDS, EVENTS, GAUGES
from headgate.observe.scrape import FRESH
from headgate.observe.snapshot import Snapshot
from headgate.serving.readiness import PATIENCE

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")
CODE = re.compile(r"`([^`]+)`")


def table(heading: str) -> dict[str, list[str]]:
    """The cells of each row below a heading, by metric."""
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_requests() -> None:
    types = dict(re.findall(r"# TYPE (\S+) (\S+)", render(Snapshot(0.0), "").decode()))
    others = {family.name for family in EVENTS.values()}
    assert {name: kind for name, kind in types.items() if name not in others} == {name: row[0] for name, row in table("Requests").items()}
    assert f"{', '.join(f'{bound:g}' for bound in BOUNDS[:-1])} and {BOUNDS[-1]:g} seconds" in PAGE


def test_events() -> None:
    listed = table("Events")
    assert list(listed) == [family.name for family in EVENTS.values()]
    for family in EVENTS.values():
        label, values = listed[family.name]
        assert CODE.findall(label) == ([family.label] if family.label else [])
        if family.values is not None:
            assert tuple(CODE.findall(values)) == family.values


def test_gauges() -> None:
    listed = {name: (tuple(CODE.findall(row[0])), row[1]) for name, row in table("Gauges").items()}
    assert listed.pop("headgate_build_info") == (("version",), "")
    assert listed == {family.name: (family.labels, family.merge) for family in GAUGES.values()}


def test_bounds() -> None:
    assert f"at most {MOST_SERIES:,} combinations, {MOST_WORDS} values of an open label, and {MOST_SAMPLES} samples" in PAGE
    assert FRESH == 10
    production = (DOCS / "how-to" / "run-in-production.md").read_text(encoding="utf-8")
    assert f"unready after {PATIENCE:g} seconds" in production
