"""The report on the state of the providers says what the conformance suite found."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from headgate.providers import PROVIDERS
from headgate.testing.conformance import Outcome

ROOT = Path(__file__).resolve().parents[2]


def tool(name: str) -> ModuleType:
    """A script of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


report = tool("provider_report")


def found(name: str, *, realtime_at: str = "sim-openai", batch_at: str = "sim-openai", **results: str) -> object:
    """A provider with some outcomes."""
    outcomes = {key.replace("_", "-"): Outcome(key.replace("_", "-"), result) for key, result in results.items()}
    return report.Examined(PROVIDERS[name], realtime_at, batch_at, outcomes)


@pytest.mark.parametrize(
    ("examined", "batch", "word"),
    [
        (found("openai", exchange_a="passed", record_b="passed"), False, "working: 2 checks pass"),
        (found("openai", exchange_a="passed", exchange_b="failed", exchange_c="skipped"), False, "partial: 1 of 2 checks fail"),
        (found("openai", exchange_a="failed"), False, "not"),
        (found("openai", realtime_at="", request_a="passed"), False, "partial: 1 checks pass, no exchange was made"),
        (found("openai", batch_a="passed", exchange_b="failed"), True, "working: 1 checks pass"),
        (found("openai", batch_a="skipped"), True, "not"),
    ],
)
def test_the_word_for_a_provider_follows_from_its_checks(examined: object, batch: bool, word: str) -> None:
    assert report.word(examined, batch) == word


def test_exchanges_are_made_at_a_simulated_provider_of_the_same_wire() -> None:
    for provider in PROVIDERS.values():
        for batch in (False, True):
            twin = report.twin(provider, batch)
            assert twin is None or (twin.simulated and report.wire_name(twin, batch) == report.wire_name(provider, batch))


def test_a_provider_is_stood_in_for_by_the_simulated_one_named_after_it() -> None:
    assert report.twin(PROVIDERS["gemini"], True).name == "sim-gemini"
    assert report.wire_name(PROVIDERS["openai"], False) == PROVIDERS["openai"].chat.name
