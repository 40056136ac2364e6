"""The tables of the page on routing against the code, in both directions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from headgate.config.route_settings import STRATEGY_ALIASES, Strategy
from headgate.errors import ErrorKind
from headgate.router.attempts import RULES
from headgate.router.reading import ROUTING_FIELDS, RoutingBlock
from headgate.router.values import Hint, Reason

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "routing.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """What stands under a heading."""
    return PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def firsts(text: str) -> set[str]:
    """Everything in backquotes in the first cells of tables."""
    return {word for line in text.splitlines() if line.startswith("| `") for word in re.findall(r"`([^`]+)`", line.split("|")[1])}


def test_strategies_and_fields() -> None:
    part = section("Strategies")
    fields = {f"routing.{name}" for name in RoutingBlock.__struct_fields__} | (set(ROUTING_FIELDS) - {"routing"})
    assert firsts(part) == set(get_args(Strategy)) | fields
    words = set(re.findall(r"`([^`]+)`", part))
    assert set(STRATEGY_ALIASES) <= words
    assert set(get_args(Hint)) <= words


def test_reasons() -> None:
    assert firsts(section("Why not")) == set(get_args(Reason))


def test_failures() -> None:
    rows = [line.split("|") for line in section("After a failure").splitlines() if line.startswith("| `")]
    said = {word: (cells[2].strip(), cells[3].strip()) for cells in rows for word in re.findall(r"`([^`]+)`", cells[1])}
    assert set(said) == {kind.value for kind in ErrorKind}
    for kind, rule in RULES.items():
        again, other = said[kind.value]
        assert (again != "no") == rule.again
        assert other.startswith("yes") == rule.other
