"""``headgate tokens``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Any]


@pytest.mark.parametrize("name", ["sim-openai", "sim-anthropic", "sim-gemini", "sim-vertex"])
def test_a_provider_that_counts_is_believed(headgate: Command, name: str) -> None:
    found = headgate("tokens", "Name three rivers.", "-m", f"{name}/sim-small", "--json", code=0).json()
    assert found["source"] == "provider" and 0 < found["tokens"] <= found["at_most"]


def test_an_estimate_says_so(headgate: Command, pipe: Callable[[bytes], None]) -> None:
    pipe("Zähle mich.".encode())
    assert "3 tokens (estimated at four bytes a token, certainly at most 28)" in headgate("tokens", "-m", "sim-groq/sim-small", code=0).out


def test_nothing_to_count_is_an_error(headgate: Command) -> None:
    assert "there is nothing to count" in headgate("tokens", "-m", "sim-openai/sim-small", code=2).err
