"""``headgate models update``: against the simulator's lists and against files."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.catalog.load import load_catalog
from headgate.catalog.source import with_overrides
from headgate.testing.simulators import Simulator
from headgate.wire.json import Json, encode

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]


@pytest.fixture
def folder(headgate_environment: Path) -> Path:
    """The data folder."""
    return headgate_environment / "data"


def data(**prices: float) -> bytes:
    """`genai-prices` data of one known and one new model of OpenAI."""
    known = {"id": "gpt-4o", "match": {"equals": "gpt-4o"}, "prices": prices}
    new = {"id": "gpt-99", "name": "GPT-99", "match": {"starts_with": "gpt-99"}, "prices": {"input_mtok": 1, "output_mtok": 2}}
    odd = {"id": "someone-elses", "match": {"equals": "someone-elses"}, "prices": {"input_mtok": 1, "output_mtok": 2}}
    return encode([{"id": "openai", "models": [known, new, odd]}])


REGISTRY = """
defaults: {realtime_multiplier: 2.0}
providers:
  openai:
    models:
      gpt-4o: {display_name: GPT-4o, input_per_million: 1.5, output_per_million: 5.0}
      gpt-98: {display_name: GPT-98, input_per_million: 0.5, output_per_million: 1.0}
"""


def test_the_lists_of_the_simulator_bring_nothing_new(headgate: Command, folder: Path) -> None:
    for provider in ("sim-openai", "sim-anthropic", "sim-gemini"):
        assert headgate("models", "update", "-p", provider, code=0).out == "up to date\n"
    assert not (folder / "catalog.yaml").exists()


def test_without_keys_nobody_is_asked(headgate: Command) -> None:
    assert "no provider has a key" in headgate("models", "update", code=0).out


def test_a_provider_without_a_list_is_skipped(headgate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERTEX_ACCESS_TOKEN", "ya29.x")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project")
    assert "vertex: skipped: it has no list of models" in headgate("models", "update", "-p", "vertex", code=0).out


def test_prices_from_a_file_are_written_dated_and_used(headgate: Command, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_bytes(data(input_mtok=3, output_mtok=10, cache_read_mtok=1.25))
    assert "openai/gpt-4o: input 2.5 → 3" in headgate("models", "update", "--from", str(file), "--dry-run", code=0).out
    assert not (folder / "catalog.yaml").exists()
    done = headgate("models", "update", "--from", str(file), code=0)
    assert "openai/gpt-99: new, 1 in, 2 out" in done.out
    assert "someone-elses" not in done.out
    assert f"2 changes, written to {folder / 'catalog.yaml'}" in done.out
    written = (folder / "catalog.yaml").read_bytes()
    assert headgate("models", "update", "--from", str(file), code=0).out == "up to date\n"
    assert (folder / "catalog.yaml").read_bytes() == written
    row = next(row for row in headgate("models", "openai/gpt-4o", "--json", code=0).json() if row["name"] == "openai/gpt-4o")
    assert row["price"]["input"] == "3"
    assert row["price"]["source"].startswith("genai-prices, 20")
    assert row["card"]["prices"][0]["rates"]["input"] == "2.5"
    assert row["card"]["capabilities"]["max_output"] == 16384


def test_what_is_not_believed_needs_accepting(headgate: Command, tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_bytes(data(input_mtok=25, output_mtok=10))
    done = headgate("models", "update", "--from", str(file), "-p", "openai", code=1)
    assert "refused: openai/gpt-4o: a change by more than a factor of 2 is not believed (input 2.5 → 25)" in done.out
    assert "--accept" in done.err
    assert "input 2.5 → 25" in headgate("models", "update", "--from", str(file), "--accept", code=0).out
    assert headgate("models", "update", "--from", str(file), code=0).out == "up to date\n"


def test_an_octobatch_registry_has_batch_prices(headgate: Command, tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(REGISTRY, encoding="utf-8")
    out = headgate("models", "update", "--from", str(file), code=0).out
    assert "openai/gpt-4o: input 2.5 → 3" in out
    assert "openai/gpt-98: new, 1 in, 2 out" in out
    row = next(row for row in headgate("models", "gpt-98", "--json", code=0).json())
    assert row["card"]["prices"][0]["batch_factor"] == "0.5"
    assert headgate("models", "update", "--from", str(file), code=0).out == "up to date\n"


def test_ones_own_file_goes_before_updates(headgate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "provider: openai\nlabel: OpenAI\nmodels:\n  - id: gpt-4o\n    display_name: Ours\n    prices:\n"
        '      - {since: "2026-01-01", source: our contract, rates: {input: "1", output: "2"}}\n',
        encoding="utf-8",
    )
    file = tmp_path / "data.json"
    file.write_bytes(data(input_mtok=3, output_mtok=10))
    monkeypatch.setenv("HEADGATE_CATALOG_FILE", str(own))
    headgate("models", "update", "--from", str(file), code=0)
    row = next(row for row in headgate("models", "openai/gpt-4o", "--json", code=0).json() if row["name"] == "openai/gpt-4o")
    assert (row["card"]["display_name"], row["price"]["input"]) == ("Ours", "1")
    assert headgate("models", "update", "--from", str(file), code=0).out == "up to date\n"


def test_updates_of_several_providers_stay_together(headgate: Command, folder: Path, tmp_path: Path) -> None:
    both = REGISTRY + "  gemini:\n    models:\n      gemini-99: {input_per_million: 0.5, output_per_million: 1.0}\n"
    first, second = tmp_path / "one.yaml", tmp_path / "two.json"
    first.write_text(both, encoding="utf-8")
    headgate("models", "update", "--from", str(first), code=0)
    second.write_bytes(data(input_mtok=3, output_mtok=10))
    headgate("models", "update", "--from", str(second), code=0)
    merged = with_overrides(load_catalog(), folder / "catalog.yaml")
    names = {"openai": ("gpt-98", "gpt-99"), "gemini": ("gemini-99",)}
    assert all(merged.find(provider, name) for provider, found in names.items() for name in found)
    assert len(merged.cards) == len(load_catalog().cards) + 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot read it"),
        ("[1]", "not genai-prices data"),
        ("a: [", "neither genai-prices data nor a YAML file"),
        ("a: 1", "not an Octobatch model registry"),
        ("providers: {nobody: {models: {}}}", "unknown provider 'nobody'"),
    ],
)
def test_files_that_are_neither(headgate: Command, tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "file"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    assert said in headgate("models", "update", "--from", str(file), code=3).err


def test_a_file_that_says_nothing_of_the_provider(headgate: Command, tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(REGISTRY, encoding="utf-8")
    assert "says nothing of groq; it has openai" in headgate("models", "update", "--from", str(file), "-p", "groq", code=3).err


def test_the_installed_data_agrees_with_what_is_shipped(headgate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "tools"))
    file = tmp_path / "data.json"
    file.write_bytes(importlib.import_module("genai_snapshot").data_json())
    done = headgate("models", "update", "--from", str(file), "--dry-run", code=0)
    assert done.out.splitlines()[:-1] == [
        "anthropic/claude-sonnet-4-5: above 200,000: input 3 → 6; above 200,000: output 15 → 22.5; above 200,000: cache_read 0.3 → 0.6; "
        "above 200,000: cache_write_5m 3.75 → 7.5; above 200,000: cache_write_1h 6 → 12"
    ]


def test_the_list_of_a_provider_that_refuses_is_its_error(headgate: Command, headgate_sim: Simulator) -> None:
    headgate_sim.fail("auth")
    done = headgate("models", "update", "-p", "sim-openai", code=4)
    assert done.out == ""
    assert done.err.startswith("error: ")


def test_what_a_model_reads_from_a_page_must_be_on_the_page(headgate: Command, tmp_path: Path, headgate_sim: Simulator) -> None:
    page = tmp_path / "pricing.txt"
    page.write_text("gpt-4o: $3.00 in, $10.00 out", encoding="utf-8")
    done = headgate("models", "update", "-p", "openai", "--llm", "sim-openai/sim-large", "--page", str(page))
    assert done.code in (0, 1)
    assert all(line.startswith("refused: openai/") for line in done.out.splitlines()[:-1])
    assert done.out.splitlines()[-1] == "up to date"
    (asked,) = headgate_sim.requests
    assert (asked.operation, asked.model) == ("chat", "sim-large")


@pytest.mark.parametrize(
    "options", [("--llm", "m"), ("--page", "f"), ("--llm", "m", "--page", "f"), ("--llm", "m", "--page", "f", "--from", "x")]
)
def test_a_page_needs_a_reader_and_a_provider(headgate: Command, options: tuple[str, ...]) -> None:
    assert "--llm needs --page and --provider" in headgate("models", "update", *options, code=2).err


def test_a_page_that_cannot_be_read(headgate: Command, tmp_path: Path) -> None:
    page = tmp_path / "pricing.bin"
    options = ("models", "update", "-p", "openai", "--llm", "sim-openai/sim-large", "--page", str(page))
    assert "cannot read it" in headgate(*options, code=3).err
    page.write_bytes(b"\xff")
    assert "not UTF-8 text" in headgate(*options, code=3).err


def test_every_provider_with_a_key_is_asked_and_one_that_fails_is_skipped(
    headgate: Command, folder: Path, headgate_environment: Path, headgate_sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "sim-headgate")
    monkeypatch.setenv("XAI_API_KEY", "sim-headgate")
    settings = f"""
    providers:
      groq: {{base_url: "{headgate_sim.url}/openai/v1", allow_private: true}}
      xai: {{base_url: "{headgate_sim.url}/nowhere", allow_private: true}}
    """
    (headgate_environment / "headgate.yaml").write_text(settings, encoding="utf-8")
    out = headgate("models", "update", code=0).out
    assert "groq/sim-small: new, unpriced\ngroq/sim-large: new, unpriced\ngroq/sim-flash: new, unpriced\ngroq: " in out
    assert "models are not in its list any more (--verbose names them)" in out
    assert "xai: skipped: " in out
    again = headgate("models", "update", "--verbose", code=0).out
    assert "groq/openai/gpt-oss-20b: is not in the provider's list any more" in again
    assert again.endswith("up to date\n")
    assert "unpriced" in headgate("models", "groq/sim-small", code=0).out
    headgate("models", "update", "-p", "xai", code=5)
