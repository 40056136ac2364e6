"""Which modules the first seconds of a user load. How long that takes is measured by bench/startup.py."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROBE = """
import json, sys
before = set(sys.modules)
sys.argv = ["headgate", *sys.argv[1:]]
try:
    import headgate
    if sys.argv[1:]:
        from headgate.cli import main
        main()
except SystemExit as stop:
    assert stop.code in (None, 0), stop.code
print("\\n" + json.dumps(sorted(set(sys.modules) - before)))
"""

HEAVY = {
    *(
        "dbos",
        "sqlalchemy",
        "jinja2",
        "jsonschema_rs",
        "psycopg",
        "zstandard",
        "yaml",
        "uvicorn",
        "httptools",
        "uvloop",
        "rich",
        "pygments",
    ),
    *(
        "asyncio",
        "concurrent.futures",
        "ssl",
        "sqlite3",
        "http.client",
        "http.server",
        "urllib.request",
        "multiprocessing",
        "email",
        "unittest",
    ),
}

CASES = {
    (): {"headgate"},
    ("--help",): {"headgate", "click"},
    ("--version",): {"headgate", "click"},
    ("ask", "--help"): {"headgate", "click", "msgspec", "typing_extensions"},
    ("run", "--help"): {"headgate", "click", "msgspec", "typing_extensions"},
    ("serve", "--help"): {"headgate", "click", "msgspec"},
    ("demo", "--help"): {"headgate", "click", "msgspec"},
}
"""Arguments (none: ``import headgate``) → the packages outside the standard library that they may load."""


def loaded(arguments: tuple[str, ...]) -> set[str]:
    """Names of the modules that a fresh interpreter loads for the command."""
    done = subprocess.run([sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", sorted(CASES), ids=lambda arguments: " ".join(arguments) or "import")
def test_only_these_packages_are_loaded(arguments: tuple[str, ...]) -> None:
    names = loaded(arguments)
    roots = {name.partition(".")[0] for name in names}
    foreign = {root for root in roots - sys.stdlib_module_names if not root.startswith("__editable__")}
    assert foreign <= CASES[arguments]
    assert not names & HEAVY


def test_importing_the_package_loads_nothing_but_itself() -> None:
    assert {name for name in loaded(()) if name.startswith("headgate")} == {"headgate"}


def test_help_loads_the_command_table_alone() -> None:
    names = {name for name in loaded(("--help",)) if name.startswith("headgate.")} - {"headgate.domain", "headgate.domain.printable"}
    assert {name.split(".")[1] for name in names} <= {"cli", "errors"}


def test_asking_loads_neither_the_run_engine_nor_the_server() -> None:
    heavy = {"dbos", "sqlalchemy", "jinja2", "jsonschema_rs", "psycopg", "zstandard", "uvicorn"}
    names = loaded_by_module("headgate.cli.actions.ask")
    assert not {name.partition(".")[0] for name in names} & heavy
    assert not names & {"headgate.batch.worker", "headgate.gateway.app", "headgate.sim.server"}


def loaded_by_module(module: str) -> set[str]:
    """Names of the modules that a fresh interpreter loads with `module`."""
    probe = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))
