"""`make prices`: what the installed data says is what the files say, and importing again changes nothing."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from headgate.catalog.genai import PROVIDERS, parse_data
from headgate.catalog.load import COMPILED
from headgate.wire.json import encode

TOOLS = Path(__file__).parents[3] / "tools"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``tools/import_prices.py`` as a module."""
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("import_prices")


def test_importing_again_changes_nothing(tool: ModuleType, tmp_path: Path) -> None:
    sources = parse_data(importlib.import_module("genai_snapshot").data_json())
    for provider in PROVIDERS:
        path = tmp_path / f"{provider}.yaml"
        shutil.copy(COMPILED.parent / "data" / path.name, path)
        before = path.read_text(encoding="utf-8")
        assert tool.import_provider(provider, path, sources, {}, "2099-01-01") == []
        assert path.read_text(encoding="utf-8") == before


def test_a_file_starts_empty_and_prices_of_ones_own_stay(tool: ModuleType, tmp_path: Path) -> None:
    sources = parse_data(importlib.import_module("genai_snapshot").data_json())
    path = tmp_path / "xai.yaml"
    own = """# Mine.
provider: xai
label: xAI
models:
  - id: grok-4.3
    display_name: Our Grok
    capabilities: {context: 5}
    prices:
      - since: "2026-01-01"
        source: our contract, 2026-01-01
        rates: {input: "1", output: "2"}
"""
    path.write_text(own, encoding="utf-8")
    changes = tool.import_provider("xai", path, sources, {}, "2099-01-01")
    assert "new: grok-4.7" in changes
    assert not any("grok-4.3" in change for change in changes)
    text = path.read_text(encoding="utf-8")
    assert text.startswith(own)
    assert 'since: "2099-01-01"' in text
    assert "source: genai-prices" in text
    assert tool.import_provider("xai", path, sources, {}, "2099-01-02") == []


def test_the_second_source_fills_in_and_is_compared(tool: ModuleType, tmp_path: Path) -> None:
    sources = parse_data(importlib.import_module("genai_snapshot").data_json())
    second = tmp_path / "map.json"
    new = {"litellm_provider": "groq", "mode": "chat", "max_input_tokens": 10, "max_output_tokens": 5, "input_cost_per_token": 1e-06}
    known = {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": 1e-06, "output_cost_per_token": 3e-07}
    entries = {"sample_spec": {"max_input_tokens": "words"}, "groq/new-one": new, "groq/openai/gpt-oss-20b": known}
    second.write_bytes(encode(entries))
    facts = importlib.import_module("second_source").read_map(second)
    path = tmp_path / "groq.yaml"
    shutil.copy(COMPILED.parent / "data" / "groq.yaml", path)
    assert tool.import_provider("groq", path, sources, facts["groq"], "2099-01-01") == ["new: new-one", "changed: new-one"]
    added = path.read_text(encoding="utf-8").partition("- id: new-one\n")[2]
    assert "capabilities: {context: 10, max_output: 5" in added
    assert "prices: []" in added
    page = importlib.import_module("price_report").page({"groq": facts["groq"]}, "2026-11-21")
    assert "| groq | 2 | 1 | 1 |" in page
    assert "| `openai/gpt-oss-20b` | input | 0.075 | 1 |" in page
