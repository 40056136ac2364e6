"""Writing catalog files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headgate.catalog.load import COMPILED, load_catalog
from headgate.catalog.source import merged_prices, parse_cards
from headgate.catalog.yaml_text import cards_text, flow, provider_text

FILES = sorted((COMPILED.parent / "data").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_written_reads_back_the_same(path: Path) -> None:
    cards = load_catalog().providers[path.stem]
    again = parse_cards(cards_text(cards), path.name)
    assert again.models == cards.models


@pytest.mark.parametrize(
    "path", [path for path in FILES if not path.stem.startswith("sim-") and path.stem != "ollama"], ids=lambda path: path.name
)
def test_the_files_are_written_in_one_style(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    header = re.match(r"(?:#.*\n)*", text)
    assert header is not None
    assert provider_text(yaml.safe_load(text), header.group(0)) == text


@given(st.text(min_size=1, max_size=30) | st.sampled_from(["yes", "null", "1.5", "2026-01-01", "a: b", "- a", "llama3.2:3b", "it's", "#x"]))
def test_any_text_survives_as_a_value_and_in_a_list(text: str) -> None:
    assert yaml.safe_load(f"a: {flow(text)}") == {"a": text}
    assert yaml.safe_load(f"a: {flow([text, 'b'])}") == {"a": [text, "b"]}


OLD = {"since": "2026-01-01", "source": "old", "rates": {"input": "1"}, "batch_factor": "0.5"}


def test_merging_prices() -> None:
    same = {"since": "2026-11-21", "source": "new", "rates": {"input": "1"}}
    assert merged_prices([OLD], [same], "2026-11-21") == [OLD]
    dearer = {"since": "2026-11-21", "source": "new", "rates": {"input": "2"}}
    assert merged_prices([OLD], [dearer], "2026-11-21") == [OLD, dearer]
    assert merged_prices([OLD, dearer], [dearer], "2026-12-24") == [OLD, dearer]
    announced = {"since": "2027-01-01", "source": "new", "rates": {"input": "3"}}
    assert merged_prices([OLD], [announced], "2026-11-21") == [OLD, announced]
    assert merged_prices([], [same], "2026-11-21") == [same]
