"""Rules of the code that no linter knows."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "headgate"
MODULES = sorted(PACKAGE.rglob("*.py"))

ANY_ALLOWED = {"wire/json.py"}
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}

ONLY_IN = {
    "click": {"cli"},
    "rich": {"cli"},
    "jinja2": {"batch"},
    "psycopg": {"store"},
    "jsonschema_rs": {"batch"},
    "httptools": {"transport", "serving", "sim"},
    "uvicorn": set(),
}
"""Which packages of ours may import a library directly; the others use what those offer."""

CONNECTING = {"open_connection", "create_connection", "open_unix_connection", "create_unix_connection", "start_tls", "sock_connect"}


def place(path: Path) -> str:
    """A module's path below the package."""
    return path.relative_to(PACKAGE).as_posix()


class Facts(NamedTuple):
    """What the rules ask of a module: top-level names of what it imports, whether it names `Any`, where it connects, its docstring."""

    roots: frozenset[str]
    uses_any: bool
    connecting: tuple[int, ...]
    docstring: str | None


@cache
def facts(path: Path) -> Facts:
    """Those of one module, which is parsed once for all rules."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    named = [node for node in nodes if isinstance(node, ast.Attribute)]
    return Facts(
        roots=frozenset(root for node in nodes for root in imported_roots(node)),
        uses_any=any(isinstance(node, ast.alias) and node.name == "Any" for node in nodes) or any(node.attr == "Any" for node in named),
        connecting=tuple(node.lineno for node in named if node.attr in CONNECTING),
        docstring=ast.get_docstring(tree),
    )


def imported_roots(node: ast.AST) -> set[str]:
    """Top-level names of what a statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and not node.level:
        return {(node.module or "").partition(".")[0]}
    return set()


def test_any_is_used_in_one_module_only() -> None:
    used = {place(path) for path in MODULES if facts(path).uses_any}
    assert used == ANY_ALLOWED


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not [place(path) for path in MODULES if VAGUE & {path.stem, *path.relative_to(PACKAGE).parts[:-1]}]


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    importers = {path.relative_to(PACKAGE).parts[0] for path in MODULES if library in facts(path).roots}
    assert importers <= ONLY_IN[library]


def test_only_the_transport_opens_client_sockets() -> None:
    outside = [
        f"{place(path)}:{line}"
        for path in MODULES
        if path.relative_to(PACKAGE).parts[0] not in {"transport", "testing"}
        for line in facts(path).connecting
    ]
    assert not outside


def test_every_module_says_what_it_is() -> None:
    bare = [place(path) for path in MODULES if facts(path).docstring is None]
    assert not [name for name in bare if (PACKAGE / name).stat().st_size]


def test_test_folders_are_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
