"""``headgate capabilities``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headgate.providers import PROVIDERS

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Any]


def test_the_matrix_has_a_column_for_every_real_provider(headgate: Command) -> None:
    out = headgate("capabilities", code=0).out
    assert out.splitlines()[0].split() == ["feature", *(name for name, provider in PROVIDERS.items() if not provider.simulated)]
    assert "found by the conformance suite on 20" in out


def test_one_provider_is_shown_with_reasons(headgate: Command) -> None:
    out = headgate("capabilities", "-p", "anthropic", code=0).out
    assert "several answers" in out and "refused" in out and "one answer per call" in out


def test_all_of_it_is_json(headgate: Command) -> None:
    found = headgate("capabilities", "--json", code=0).json()
    assert found["generated"].startswith("20")
    assert {fate["provider"] for fate in found["fates"]} >= {"openai", "anthropic", "gemini"}


@pytest.mark.parametrize(("option", "message"), [("-p", "unknown provider 'nobody'"), ("-s", "unknown surface 'nobody'")])
def test_names_that_are_not_known_are_refused(headgate: Command, option: str, message: str) -> None:
    assert message in headgate("capabilities", option, "nobody", code=2).err
