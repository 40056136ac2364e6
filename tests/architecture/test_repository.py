"""What may stand in the repository, and that what it pins agrees with itself."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
SELF = Path(__file__).resolve()

FORBIDDEN = {
    "a machine's path": re.compile(r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+)/[\w.-]"),
    "a package index": re.compile(r"pypi\.org|pythonhosted\.org|--(?:extra-)?index-url|--find-links|--trusted-host"),
    "an unfinished place": re.compile(r"(?:#\s*|<!--\s*)(?:TODO|FIXME|XXX|HACK)\b|(?<![.\w])(?:TODO|FIXME|XXX|HACK)[:(]"),
    "a conflict mark": re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE),
    "a provider's key": re.compile(r"\b(?:sk-(?:proj-|ant-)?[A-Za-z0-9_-]{40,}|AIza[A-Za-z0-9_-]{35})\b"),
}

PIN = re.compile(r"^([a-z0-9][a-z0-9-]*)(?:\[[a-z0-9,-]+\])?==([^ ]+)(?: ; (.+?))? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def repository_files() -> list[Path]:
    """Files that are or would be committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def pins(name: str) -> dict[str, tuple[str, ...]]:
    """Package → version, marker and hashes, of one requirements file, which holds nothing but that and the word "wheels only"."""
    first, *rest = (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines()
    assert first == "--only-binary :all:"
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in rest:
        if match := PIN.match(line):
            current = found.setdefault(match[1], [match[2], match[3] or ""])
        else:
            assert HASH.match(line), f"{name}: {line}"
            current.append(line.strip(" \\"))
    return {package: tuple(parts) for package, parts in found.items()}


@pytest.mark.parametrize("what", sorted(FORBIDDEN))
def test_no_file_contains(what: str) -> None:
    found = []
    for path in repository_files():
        if path == SELF:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in FORBIDDEN[what].finditer(text)]
    assert not found


def test_no_large_file() -> None:
    assert not [str(path.relative_to(ROOT)) for path in repository_files() if path.stat().st_size > 1_000_000]


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    for package, (version, _marker, *hashes) in pins(name).items():
        assert version, package
        assert hashes, package


def test_development_requirements_contain_the_runtime_ones() -> None:
    dev = pins("dev.txt")
    assert {name: dev.get(name) for name in pins("runtime.txt")} == pins("runtime.txt")


def test_pins_lie_in_the_ranges_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runtime, dev = pins("runtime.txt"), pins("dev.txt")
    extras = [text for texts in project["project"].get("optional-dependencies", {}).values() for text in texts]
    wanted = [(runtime, text) for text in (*project["project"]["dependencies"], *project["build-system"]["requires"])]
    for pinned, text in [*wanted, *((dev, text) for text in extras)]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pinned[requirement.name.lower()][0]), text


def test_the_official_clients_are_for_tests_only() -> None:
    assert {"openai", "anthropic", "aiohttp"} <= set(pins("dev.txt"))
    assert not {"openai", "anthropic", "aiohttp", "httpx", "httpx2", "requests"} & set(pins("runtime.txt"))
