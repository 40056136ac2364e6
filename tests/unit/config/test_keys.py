"""Finding keys: order, contradictions, and help."""

from __future__ import annotations

import pytest

from headgate.config.dotenv import parse_dotenv
from headgate.config.environment import Environment
from headgate.config.keys import find_key, missing_key, present_keys, start_warning
from headgate.config.secret import Secret
from headgate.errors import ConfigError

GEMINI = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
ONE, TWO = "AIza-one-one-one-one-one", "AIza-two-two-two-two-two"


def environment(dotenv: str = "", **real: str) -> Environment:
    return Environment(real, parse_dotenv(dotenv))


@pytest.mark.parametrize(
    ("real", "dotenv", "value", "origin", "warned"),
    [
        ({"GOOGLE_API_KEY": ONE}, "", ONE, "environment GOOGLE_API_KEY", False),
        ({"GEMINI_API_KEY": ONE}, "", ONE, "environment GEMINI_API_KEY", False),
        ({"GOOGLE_API_KEY": ONE, "GEMINI_API_KEY": TWO}, "", ONE, "environment GOOGLE_API_KEY", True),
        ({"GOOGLE_API_KEY": ONE, "GEMINI_API_KEY": ONE}, "", ONE, "environment GOOGLE_API_KEY", False),
        ({"GOOGLE_API_KEY": ONE}, f"GOOGLE_API_KEY={TWO}", ONE, "environment GOOGLE_API_KEY", False),
        ({"GEMINI_API_KEY": ONE}, f"GOOGLE_API_KEY={TWO}", TWO, ".env:1 GOOGLE_API_KEY", True),
        ({"GOOGLE_API_KEY": ""}, f"\nGEMINI_API_KEY='{TWO}'", TWO, ".env:2 GEMINI_API_KEY", False),
        ({"GOOGLE_API_KEY": f" {ONE}\n"}, "", ONE, "environment GOOGLE_API_KEY", False),
    ],
)
def test_order(real: dict[str, str], dotenv: str, value: str, origin: str, warned: bool) -> None:
    found = find_key(GEMINI, environment(dotenv, **real), shape="AIza")
    assert found is not None
    assert (found.secret.reveal(), found.origin, bool(found.warnings)) == (value, origin, warned)
    assert all(ONE not in warning and TWO not in warning for warning in found.warnings)


def test_none_and_explicit_ones() -> None:
    assert find_key(GEMINI, environment()) is None
    found = find_key(GEMINI, environment(GOOGLE_API_KEY=ONE), explicit=Secret(TWO))
    assert found is not None
    assert (found.secret.reveal(), found.origin) == (TWO, "given explicitly")


def test_a_key_of_another_shape_is_only_a_warning() -> None:
    found = find_key(("OPENAI_API_KEY",), environment(OPENAI_API_KEY=ONE), shape="sk-")
    assert found is not None
    assert found.warnings == ("the key from environment OPENAI_API_KEY (AIza-o…one) does not begin with 'sk-' as this provider's keys do",)


@pytest.mark.parametrize("bad", ["two words", "line\nbreak", "ключ-ключ", "\x00\x01", "a\tb", "   "])
def test_keys_that_cannot_be_sent_are_refused_without_being_shown(bad: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_key(("K",), environment(K=bad))
    assert bad not in str(caught.value)


def test_help_names_the_variable_the_file_and_a_way_without() -> None:
    error = missing_key("Google Gemini", GEMINI)
    for part in ("GOOGLE_API_KEY is not set", "GEMINI_API_KEY will do", "export GOOGLE_API_KEY=", ".env.template", "--provider sim-openai"):
        assert part in str(error)
    assert error.hint == "headgate doctor"


def test_what_is_present() -> None:
    names = {"openai": ("OPENAI_API_KEY",), "gemini": GEMINI, "none": ()}
    assert present_keys(names, environment(GEMINI_API_KEY=ONE)) == ("gemini",)
    assert start_warning(names, environment(GEMINI_API_KEY=ONE)) is None
    assert start_warning(names, environment()) == (
        "no provider key is set (OPENAI_API_KEY, GOOGLE_API_KEY): only simulated providers can be used"
    )
