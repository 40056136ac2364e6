"""The matrix of features: found anew, it is the one that is shipped; and it says nothing the code does not do."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from headgate.catalog.fidelity import Fate, load_matrix
from headgate.catalog.load import load_catalog
from headgate.dialects import openai_chat
from headgate.providers import PROVIDERS
from headgate.testing.conformance.fidelity import ABSENT, FEATURES, REFUSED, SAME, SENT, fates

TOOL = Path(__file__).resolve().parents[2] / "tools" / "generate_fidelity.py"


@pytest.fixture(scope="module")
def current() -> tuple[Fate, ...]:
    spec = importlib.util.spec_from_file_location("generate_fidelity", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate_fidelity"] = module
    spec.loader.exec_module(module)
    found = module.found("2026-01-01").fates
    assert isinstance(found, tuple)
    return found


def test_the_shipped_matrix_is_what_the_suite_finds(current: tuple[Fate, ...]) -> None:
    assert load_matrix().fates == current, "tools/generate_fidelity.py"


def test_every_surface_provider_and_feature_is_in_it(current: tuple[Fate, ...]) -> None:
    real = {name for name, provider in PROVIDERS.items() if not provider.simulated}
    assert {fate.provider for fate in current} == real
    assert len(current) == len({(fate.surface, fate.provider, fate.feature) for fate in current})
    assert len(current) == len(real) * len(FEATURES) * len({fate.surface for fate in current})


def test_only_losses_have_reasons(current: tuple[Fate, ...]) -> None:
    for fate in current:
        assert bool(fate.why) == (fate.fate not in (SENT, SAME, ABSENT)), fate
        assert fate.fate in (SENT, SAME, ABSENT, REFUSED, "approximated", "dropped")


def test_plain_text_and_tools_reach_every_provider(current: tuple[Fate, ...]) -> None:
    sure = {"text", "system prompt", "streaming", "tools"}
    assert [fate for fate in current if fate.feature in sure and fate.fate not in (SENT, SAME)] == []


def test_a_surface_a_provider_speaks_passes_through() -> None:
    (found,) = {fate.fate for fate in fates([openai_chat.DIALECT], [PROVIDERS["openai"]], load_catalog()) if fate.fate != ABSENT}
    assert found == SAME
