"""The import contracts hold, and leave nothing of the package out."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "headgate"

PURE = (
    "errors",
    "domain",
    "wire",
    "dialects",
    "providers",
    "catalog.prices",
    "config.reload",
    "router.policy",
    "router.health",
    "ledger.budgets",
    "ledger.fair_queue",
    "ledger.leased_window",
    "ledger.limit_headers",
    "ledger.limit_orders",
    "ledger.limit_windows",
    "ledger.limits",
    "batch.plan",
    "batch.states",
    "batch.decide",
)


def contract(name: str) -> configparser.SectionProxy:
    """One contract of the configuration file."""
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter", encoding="utf-8")
    return config[f"importlinter:contract:{name}"]


def lines(value: str) -> list[str]:
    """The non-empty lines of a multi-line option."""
    return [line.strip() for line in value.splitlines() if line.strip()]


def exists(name: str) -> bool:
    """Whether `headgate.<name>` is a module or a package."""
    path = PACKAGE.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def top_level() -> set[str]:
    """Names of the modules and packages directly below `headgate`."""
    return {path.stem for path in PACKAGE.iterdir() if not path.stem.startswith("_") and exists(path.stem)}


def test_contracts_hold() -> None:
    command = [str(Path(sysconfig.get_path("scripts")) / "lint-imports"), "--no-cache", "--config", str(ROOT / ".importlinter")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_layer_in_parentheses_does_not_exist() -> None:
    layers = [name.strip() for line in lines(contract("layers")["layers"]) for name in line.split("|")]
    optional = {name.strip("()") for name in layers if name.startswith("(")}
    assert not {name for name in optional if exists(name)}, "take the parentheses off in .importlinter"
    assert {name for name in layers if not name.startswith("(")} >= top_level() - {"testing"}


def test_every_pure_module_is_in_the_pure_contract() -> None:
    listed = set(lines(contract("pure")["source_modules"]))
    assert listed == {f"headgate.{name}" for name in PURE if exists(name)}


def test_expressions_are_held_to_the_same_list_but_for_seeded_randomness() -> None:
    core = set(lines(contract("pure")["forbidden_modules"]))
    assert core - set(lines(contract("pure_expressions")["forbidden_modules"])) == {"random"}


def test_every_package_is_kept_from_importing_test_support() -> None:
    assert set(lines(contract("testing")["source_modules"])) == {f"headgate.{name}" for name in top_level() - {"testing"}}


def test_every_chat_dialect_is_kept_independent() -> None:
    folders = {f"headgate.dialects.{path.parent.name}" for path in (PACKAGE / "dialects").glob("*/__init__.py")}
    assert folders
    assert set(lines(contract("dialects")["modules"])) == folders


@pytest.mark.parametrize("name", [*PURE, "batch.expressions"])
def test_pure_modules_ask_no_clock(name: str) -> None:
    path = PACKAGE.joinpath(*name.split("."))
    files = [*path.rglob("*.py"), *([path.with_suffix(".py")] if path.with_suffix(".py").is_file() else [])]
    calls = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"} and ast.unparse(node.value) in {"datetime", "date"}
    ]
    assert not calls
