"""What a wheel carries, and what its command is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import headgate

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "headgate"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built without network from a copy of what it is made of."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(PACKAGE, source / "src" / "headgate", ignore=shutil.ignore_patterns("__pycache__"))
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "-w",
        str(out),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.iterdir()
    return zipfile.ZipFile(path)


def test_the_wheel_is_pure_and_named_after_the_version(wheel: zipfile.ZipFile) -> None:
    assert Path(wheel.filename or "").name == f"headgate-{headgate.__version__}-py3-none-any.whl"


def test_the_wheel_carries_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    files = {
        f"headgate/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files <= set(wheel.namelist())


def test_the_wheel_carries_data_beside_the_code(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert "headgate/py.typed" in names
    assert [name for name in names if name.startswith("headgate/catalog/data/")]
    assert [name for name in names if name.startswith("headgate/pipelines/") and name.endswith("/config.yaml")]
    assert [name for name in names if name.endswith(".sql")]


def test_the_wheel_carries_nothing_else(wheel: zipfile.ZipFile) -> None:
    roots = {name.partition("/")[0] for name in wheel.namelist()}
    assert roots == {"headgate", f"headgate-{headgate.__version__}.dist-info"}
    assert not [name for name in wheel.namelist() if name.endswith((".pth", ".so", ".pyc", ".env"))]


def test_the_licence_travels_along(wheel: zipfile.ZipFile) -> None:
    text = wheel.read(f"headgate-{headgate.__version__}.dist-info/licenses/LICENSE").decode()
    assert "Apache License" in text
    assert wheel.testzip() is None


def test_the_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == headgate.__version__ == version("headgate")


def test_the_console_script() -> None:
    (script,) = entry_points(group="console_scripts", name="headgate")
    assert script.value == "headgate.cli:main"
    assert callable(script.load())
