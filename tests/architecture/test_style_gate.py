"""The package keeps the fourteen limits, and the gate measures what it says."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]

SAMPLE = '''"""A module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from sample import second

if TYPE_CHECKING:
    from sample import third


@overload
def twice(value: int) -> int: ...
@overload
def twice(value: str) -> str: ...
def twice(value: Any) -> Any:
    """Documented, over
    two lines."""
    # a comment

    return value + value  # noqa: RUF005


class Thing:
    def open(self, a, *rest: int, flag: bool = False) -> int:
        import json

        def inner() -> None:
            pass

        try:
            return sum(1 for x in rest if x and flag or a)
        except Exception:
            return len(json.dumps(a))

    def _hidden(self) -> None:
        try:
            second.go()
        except (ValueError, Exception):
            raise
'''


@pytest.fixture(scope="module")
def gate() -> ModuleType:
    """The tool as a module."""
    spec = importlib.util.spec_from_file_location("style_gate", ROOT / "tools" / "style_gate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A small package whose figures are known."""
    root = tmp_path / "sample"
    root.mkdir()
    (root / "__init__.py").write_text("")
    (root / "first.py").write_text(SAMPLE)
    (root / "second.py").write_text("def go() -> None:\n    from . import first\n\n    first.twice(1)\n")
    (root / "third.py").write_text("from sample.first import Thing\n\nThing()\n")
    return root


def test_the_package_keeps_every_limit(gate: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    code = gate.main([])
    assert code == 0, capsys.readouterr()


def test_the_figures_of_a_known_package(gate: ModuleType, sample: Path) -> None:
    modules = gate.read_package(sample)
    by_name = {module.name: module for module in modules}
    first = by_name["sample.first"]
    functions = {function.where.rpartition(" ")[2]: function for function in first.functions}
    assert list(functions) == ["twice", "Thing.open", "Thing.open.inner", "Thing._hidden"]
    assert functions["twice"][1:] == (2, 1, 1, True, True, True)
    assert functions["Thing.open"][1:] == (8, 5, 3, False, True, False)
    assert functions["Thing.open.inner"].public is False
    assert functions["Thing._hidden"].public is False
    assert (first.suppressions, first.broad_excepts, first.any_uses, first.deferred_imports) == (1, 1, 2, 1)
    assert by_name["sample.second"].sloc == 3
    assert by_name["sample.second"].deferred_imports == 1


def test_cycles_at_load_time_and_through_functions(gate: ModuleType, sample: Path) -> None:
    modules = gate.read_package(sample)
    assert gate.cyclic(gate.import_graph(modules, deferred=False)) == []
    assert gate.cyclic(gate.import_graph(modules, deferred=True)) == ["sample.first", "sample.second"]


def test_a_broken_limit_is_named_and_fails(gate: ModuleType, sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate.main([str(sample), "--json"]) == 1
    printed = capsys.readouterr()
    limits = json.loads(printed.out)["limits"]
    assert len(limits) == 14
    assert {name for name, row in limits.items() if not row["ok"]} == {
        "cyclic_modules_all",
        "all_typed_pct",
        "public_documented_pct",
        "suppressions_per_ksloc",
        "broad_excepts_per_ksloc",
        "deferred_imports_per_ksloc",
        "any_uses_per_ksloc",
    }
    assert "cyclic_modules_all is 2" in printed.err


def test_the_table_has_a_line_for_each_limit(gate: ModuleType, sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gate.main([str(sample), "--top", "1"])
    out = capsys.readouterr().out
    assert sum(line.endswith(("  ok", "  BROKEN")) for line in out.splitlines()) == 14
    assert "Thing.open" in out


def test_a_share_just_below_the_whole_is_not_the_whole(gate: ModuleType) -> None:
    assert gate.share([True] * 9999 + [False]) < 100
    assert gate.share([]) == 100
