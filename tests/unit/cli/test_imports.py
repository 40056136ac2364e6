"""``headgate import litellm``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Any]
CONFIGURATIONS = Path(__file__).parents[1] / "compat" / "litellm_configs"


@pytest.fixture
def source(headgate_environment: Path) -> Path:
    """A configuration with prices, and a key that has no counterpart."""
    path = headgate_environment / "config.yaml"
    path.write_bytes((CONFIGURATIONS / "06_own_prices.yaml").read_bytes())
    return path


def test_files_are_written_and_right(headgate: Command, headgate_environment: Path, source: Path) -> None:
    done = headgate("import", "litellm", "config.yaml", "-o", "headgate.yaml", "--report", "report.md", code=7)
    assert done.out == ""
    assert done.err.splitlines() == ["wrote headgate.yaml", "wrote headgate-prices.yaml", "wrote report.md"]
    assert headgate("config", "check", code=0).out.splitlines()[-1] == f"{headgate_environment}/headgate.yaml: right"
    report = (headgate_environment / "report.md").read_text()
    assert report.startswith("22 keys: 18 mapped, 2 approximated, 2 dropped\n")
    assert "catalog_file: headgate-prices.yaml" in (headgate_environment / "headgate.yaml").read_text()


def test_nothing_is_overwritten_unless_asked(headgate: Command, headgate_environment: Path, source: Path) -> None:
    (headgate_environment / "headgate-prices.yaml").write_text("mine")
    done = headgate("import", "litellm", "config.yaml", "-o", "headgate.yaml", code=3)
    assert "headgate-prices.yaml is there already" in done.err
    assert not (headgate_environment / "headgate.yaml").exists()
    headgate("import", "litellm", "config.yaml", "-o", "headgate.yaml", "--force", code=7)
    assert (headgate_environment / "headgate-prices.yaml").read_text() != "mine"


def test_without_a_file_everything_is_printed(headgate: Command, source: Path) -> None:
    done = headgate("import", "litellm", "config.yaml", code=7)
    assert "aliases:" in done.out
    assert "# headgate-prices.yaml:" in done.out
    assert "## Dropped" in done.err


def test_when_nothing_is_dropped_all_is_well(headgate: Command, headgate_environment: Path) -> None:
    entry = "{model_name: a, litellm_params: {model: openai/gpt-4.1, api_key: os.environ/OPENAI_API_KEY}}"
    (headgate_environment / "c.yaml").write_text(f"model_list: [{entry}]\n")
    assert headgate("import", "litellm", "c.yaml", "-o", "h.yaml", code=0).out.startswith("3 keys: 3 mapped, 0 approximated, 0 dropped")


def test_what_is_no_configuration(headgate: Command, headgate_environment: Path) -> None:
    assert "cannot be read" in headgate("import", "litellm", "absent.yaml", code=3).err
