"""The page on the settings file: its examples are right, and its tables are those of the code, in both directions."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from headgate.assembly.config_check import examine_names
from headgate.assembly.parts import load_parts
from headgate.config.schema import settings_schema
from headgate.config.sections import SECTIONS
from headgate.config.settings import NAMES
from headgate.config.shapes import Items, Named, Record, Shape

pytest_plugins = ["headgate.testing.pytest_plugin"]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
EXAMPLES: list[str] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def keys(shape: Shape) -> set[str]:
    """Every key in a shape."""
    if isinstance(shape, Items | Named):
        return keys(shape.item)
    if isinstance(shape, Record):
        return {*shape.fields, *(key for field in shape.fields.values() for key in keys(field.shape))}
    return set()


OURS = {key for name, section in SECTIONS.items() if name != "providers" for key in keys(section.shape)}


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_are_right(headgate_environment: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ALERT_SECRET", "0123456789abcdef")
    (headgate_environment / "headgate.yaml").write_text(text, encoding="utf-8")
    assert [finding for finding in examine_names(load_parts()) if finding.level == "error"] == []
    assert jsonschema_rs.Draft7Validator(settings_schema()).is_valid(yaml.safe_load(text))


def test_two_providers_a_fallback_and_a_budget_are_fifteen_lines_at_most(headgate_environment: Path) -> None:
    first = EXAMPLES[0]
    assert len(first.splitlines()) <= 15
    (headgate_environment / "headgate.yaml").write_text(first, encoding="utf-8")
    settings = load_parts().settings
    route = settings.routes["chat"]
    named = {name.partition("/")[0] for name in (*(d.model for d in route.deployments), *route.fallback)}
    assert (len(named), len(route.fallback), len(settings.budgets)) == (2, 1, 1)


def test_every_key_is_in_a_table_and_every_row_is_a_key() -> None:
    rows = [line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `") and line.count("|") == 6]
    assert set(rows) == OURS
    assert set(SECTIONS) <= set(re.findall(r"`(\w+)`", PAGE))


def test_the_keys_are_few() -> None:
    assert len(NAMES) <= 40
    assert len(OURS) <= 40, sorted(OURS)
