"""``headgate route``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headgate.catalog.load import load_catalog
from headgate.router import Wish
from headgate.router.features import decided_line
from headgate.testing.routes import sim_router

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Any]


@pytest.fixture(autouse=True)
def chain(headgate_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated providers behind "auto"."""
    monkeypatch.setenv("GENAI_FALLBACK_CHAIN", "sim-openai, sim-ollama,sim-groq/sim-large")


def test_the_order_is_explained(headgate: Command) -> None:
    out = headgate("route", "explain", code=0).out
    assert out.startswith("auto: local_first, as the settings say\n")
    assert [line.split()[1] for line in out.splitlines()[4:]] == ["sim-ollama/sim-small", "sim-openai/sim-small", "sim-groq/sim-large"]


def test_hints_needs_and_reasons(headgate: Command) -> None:
    found = headgate("route", "explain", "--hint", "best_quality", "--need", "audio", "--input-tokens", "10", "--json", code=1).json()
    assert (found["strategy"], found["because"], found["chosen"]) == ("quality", "the request's hint best_quality", None)
    assert {one["reason"] for one in found["rejected"]} == {"capability"}
    best = headgate("route", "explain", "--hint", "best_quality", "--json", code=0).json()
    assert best["chosen"] == "sim-groq/sim-large"


def test_the_rest_of_a_routing_block(headgate: Command) -> None:
    found = headgate("route", "explain", "--prefer", "Sim-Groq", "--prefer", "sim-openai", "--json", code=0).json()
    assert [one["provider"] for one in found["candidates"]] == ["sim-groq", "sim-openai", "sim-ollama"]
    nowhere = headgate("route", "explain", "--region", "eu", "--json", code=1).json()
    assert {one["reason"] for one in nowhere["rejected"]} == {"region"}


def test_the_strategy_of_the_environment(headgate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_ROUTING_STRATEGY", "quality")
    assert headgate("route", "explain", "--json", code=0).json()["chosen"] == "sim-groq/sim-large"
    monkeypatch.setenv("HEADGATE_ROUTING_STRATEGY", "fastest")
    assert "HEADGATE_ROUTING_STRATEGY: routing.strategy must be one of local_first" in headgate("route", "explain", code=3).err


def test_who_has_no_key_is_shown_with_what_is_missing(headgate: Command) -> None:
    out = headgate("route", "explain", "-m", "openai/gpt-4o", code=1).out
    assert "no_key: no key for OpenAI: OPENAI_API_KEY" in out


def test_errors(headgate: Command) -> None:
    assert "unknown model" in headgate("route", "explain", "-m", "nothing-like-it", code=3).err
    assert "must be one of" in headgate("route", "explain", "--strategy", "fastest", code=2).err


def test_nobody_is_named(headgate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENAI_FALLBACK_CHAIN")
    assert "none of ollama, openai, anthropic can be called; keys were found for: sim-openai" in headgate("route", "explain", code=3).err
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789")
    monkeypatch.setenv("ANTHROPIC_MODEL_NAME_HIGH", "claude-opus-4-5")
    assert headgate("route", "explain", "--json", code=0).json()["chosen"] == "anthropic/claude-sonnet-4-5"
    assert headgate("route", "explain", "-m", "high", "--json", code=0).json()["chosen"] == "anthropic/claude-opus-4-5"


def test_another_policy_on_a_log(headgate: Command, tmp_path: Path) -> None:
    router, wish = sim_router(load_catalog()), Wish(model="auto", input_tokens=1000)
    lines = [decided_line(router.decided(wish, router.plan(wish, 0.0), 1e9, 0.0)) for _ in range(6)]
    log = tmp_path / "decisions.jsonl"
    log.write_bytes(b"".join(lines))
    out = headgate("route", "simulate", str(log), "--strategy", "quality", code=0).out
    assert out.startswith("6 requests, 6 would go elsewhere by quality")
    found = headgate("route", "simulate", str(log), "--strategy", "simple-shuffle", "--json", code=0).json()
    assert (found["requests"], found["strategy"]) == (6, "weighted")
    log.write_bytes(b"nothing\n")
    assert "line 1 is no routing decision" in headgate("route", "simulate", str(log), "--strategy", "quality", code=2).err
