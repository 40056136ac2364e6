"""Rules of the code that no linter knows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

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


def nodes(path: Path) -> Iterator[ast.AST]:
    """Every node of a module."""
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def imported_roots(path: Path) -> set[str]:
    """Top-level names of what a module imports."""
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found


def test_any_is_used_in_one_module_only() -> None:
    used = {
        place(path)
        for path in MODULES
        for node in nodes(path)
        if (isinstance(node, ast.alias) and node.name == "Any") or (isinstance(node, ast.Attribute) and node.attr == "Any")
    }
    assert used == ANY_ALLOWED


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not [place(path) for path in MODULES if VAGUE & {path.stem, *path.relative_to(PACKAGE).parts[:-1]}]


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    importers = {path.relative_to(PACKAGE).parts[0] for path in MODULES if library in imported_roots(path)}
    assert importers <= ONLY_IN[library]


def test_only_the_transport_opens_client_sockets() -> None:
    outside = [
        f"{place(path)}:{node.lineno}"
        for path in MODULES
        if path.relative_to(PACKAGE).parts[0] not in {"transport", "testing"}
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr in CONNECTING
    ]
    assert not outside


def test_every_module_says_what_it_is() -> None:
    bare = [place(path) for path in MODULES if ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None]
    assert not [name for name in bare if (PACKAGE / name).stat().st_size]


def test_test_folders_are_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
