"""The list of faults: every case names the tests that hold it, or says plainly why none does; what is named exists."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
import yaml

TESTS = Path(__file__).resolve().parents[1]
SOURCE = TESTS.parent / "src" / "headgate"
COUNTS = {"A": 26, "B": 24, "C": 20, "D": 18, "E": 23, "F": 18, "H": 18, "I": 23, "J": 8}
CASES: dict[str, list[str] | str] = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text(encoding="utf-8"))
HELD = {case: tests for case, tests in CASES.items() if isinstance(tests, list)}


@cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_case_is_missing() -> None:
    assert set(CASES) == {f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)}


@pytest.mark.parametrize("case", sorted(HELD))
def test_the_tests_of_a_case_exist(case: str) -> None:
    assert HELD[case]
    for test in HELD[case]:
        file, _, name = test.partition("::")
        assert name.startswith("test_") and name in functions(TESTS / f"{file}.py"), test


def test_reasons_are_reasons() -> None:
    reasons = {case: text for case, text in CASES.items() if isinstance(text, str)}
    assert all(text.startswith(("does not apply", "not held by a test: ")) and len(text) > 40 for text in reasons.values())
    assert len(reasons) <= 10


def test_the_code_starts_no_shell_and_loads_no_code() -> None:
    """I19, I20: no shell, no pickle, no eval or exec of anything, no YAML that makes objects."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.partition(".")[0] for alias in node.names} | {(getattr(node, "module", None) or "").partition(".")[0]}
                found += [f"{path.name}: {name}" for name in names & {"pickle", "shelve", "marshal", "dill"}]
            elif isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
                shell = any(keyword.arg == "shell" for keyword in node.keywords)
                if shell or called in ("system", "popen") or (isinstance(node.func, ast.Name) and called in ("eval", "exec")):
                    found.append(f"{path.name}:{node.lineno}: {called}")
    assert sorted(found) == sorted(ALLOWED)


ALLOWED: tuple[str, ...] = ()
