"""The simulator shares no wire code with what it judges."""

from __future__ import annotations

import ast
from pathlib import Path

import headgate.sim

ALLOWED = ("headgate.sim", "headgate.errors", "headgate.wire.json")
SOURCES = sorted(Path(headgate.sim.__file__).parent.rglob("*.py"))


def test_imports_stay_inside_the_simulator() -> None:
    assert len(SOURCES) > 20
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            foreign = [name for name in names if name.startswith("headgate") and not name.startswith(ALLOWED)]
            assert foreign == [], path.name
