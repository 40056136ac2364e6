"""``headgate new pipeline`` and ``headgate schema pipeline``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.assembly.pipeline_scaffold import SCHEMA_FILE, TEMPLATES
from headgate.batch.pipeline_schema import pipeline_schema
from headgate.sim.server import Simulator
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_what_is_begun_can_be_checked_planned_and_run(
    headgate: Command, headgate_environment: Path, headgate_sim: Simulator, template: str
) -> None:
    told = headgate("new", "pipeline", "Mine", "--from", template, code=0).out.splitlines()
    assert told[-1] == "next: headgate validate Mine"
    assert {line.removeprefix("wrote pipelines/Mine/") for line in told[:-1]} == set(TEMPLATES[template])
    checked = headgate("validate", "Mine", "--json", code=0).json()
    assert (checked["valid"], checked["warnings"], checked["pipeline"]) == (True, [], "Mine")
    headgate("run", "Mine", "--plan", "-p", "sim-openai", code=0)
    done = headgate("run", "Mine", "-p", "sim-openai", "-r", "one", "-q", "--json", code=0).json()
    assert (done["state"], done["failed"]) == ("complete", 0)
    assert done["valid"] >= checked["units"] if template == "fan_out" else done["valid"] == checked["units"]


def test_classify_is_what_is_begun_without_a_word(headgate: Command, headgate_environment: Path) -> None:
    headgate("new", "pipeline", "Mine", code=0)
    assert (headgate_environment / "pipelines" / "Mine" / "schemas" / "classify.json").is_file()
    first = (headgate_environment / "pipelines" / "Mine" / "config.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert "$schema" not in first
    assert not (headgate_environment / "pipelines" / "Mine" / SCHEMA_FILE).exists()


def test_what_is_there_stays_unless_it_is_forced(headgate: Command, headgate_environment: Path) -> None:
    headgate("new", "pipeline", "Mine", code=0)
    config = headgate_environment / "pipelines" / "Mine" / "config.yaml"
    config.write_text("mine")
    refused = headgate("new", "pipeline", "Mine", code=2)
    assert "is there already; nothing was written" in refused.err and "--force" in refused.err
    assert config.read_text() == "mine"
    headgate("new", "pipeline", "Mine", "--force", code=0)
    headgate("validate", "Mine", code=0)


def test_the_schema_lies_beside_it_when_it_is_wanted(headgate: Command, headgate_environment: Path) -> None:
    headgate("new", "pipeline", "Mine", "--schema", "--folder", "elsewhere", code=0)
    folder = headgate_environment / "elsewhere" / "Mine"
    assert (folder / "config.yaml").read_text(encoding="utf-8").startswith(f"# yaml-language-server: $schema={SCHEMA_FILE}\n")
    printed = headgate("schema", "pipeline", code=0)
    assert (folder / SCHEMA_FILE).read_text(encoding="utf-8") == printed.out
    assert printed.json() == pipeline_schema()
    headgate("validate", "elsewhere/Mine", code=0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("a b",), "'a b' is no name for a pipeline"),
        (("../up",), "is no name for a pipeline"),
        (("1st",), "a letter first"),
        (("Mine", "--from", "clasify"), "did you mean 'classify'?"),
    ],
)
def test_what_cannot_be_begun(headgate: Command, headgate_environment: Path, arguments: tuple[str, ...], told: str) -> None:
    assert told in headgate("new", "pipeline", *arguments, code=2).err
    assert not (headgate_environment / "pipelines").exists()


def test_a_folder_that_cannot_be_written(headgate: Command, headgate_environment: Path) -> None:
    (headgate_environment / "pipelines").mkdir()
    (headgate_environment / "pipelines" / "Mine").write_text("a file")
    assert "cannot be written" in headgate("new", "pipeline", "Mine", code=2).err
