"""``headgate models``."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headgate.catalog.load import load_catalog
from headgate.providers import PROVIDERS
from headgate.wire.json import Json

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]


def names(out: str) -> list[str]:
    """The first column, header and rule left out."""
    table = out.partition("\n\n")[0]
    return [line.split()[0] for line in table.splitlines()[2:]]


def test_every_active_model_is_listed(headgate: Command) -> None:
    done = headgate("models", code=0)
    assert set(names(done.out)) == {card.name for card in load_catalog().cards if card.status != "retired"}
    assert "ready to use: sim-openai, sim-anthropic, sim-gemini" in done.out


def test_retired_models_on_request(headgate: Command) -> None:
    assert set(names(headgate("models", "--all", code=0).out)) == {card.name for card in load_catalog().cards}


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_one_provider(headgate: Command, provider: str) -> None:
    found = names(headgate("models", "-p", provider.upper(), code=0).out)
    assert found
    assert {name.partition("/")[0] for name in found} == {provider}


def test_words_must_all_be_found(headgate: Command) -> None:
    simulated = {f"{entry}/sim-large" for entry in load_catalog().providers if entry.startswith("sim-")}
    assert set(names(headgate("models", "SIM", "large", code=0).out)) == simulated
    assert len(simulated) >= 3


def test_nothing_found(headgate: Command) -> None:
    done = headgate("models", "no-such-thing", code=1)
    assert done.out == ""
    assert "no model matches" in done.err


def test_prices_are_dollars_per_million(headgate: Command) -> None:
    (line,) = [line for line in headgate("models", "sim-openai/sim-small", code=0).out.splitlines() if line.startswith("sim-openai")]
    assert line.split() == ["sim-openai/sim-small", "0.15", "0.60", "0.5", "128,000", "16,384", "low", "active"]


def test_models_of_one_kind(headgate: Command) -> None:
    lines = headgate("models", "-p", "openai", "--kind", "embedding", code=0).out.partition("\n\n")[0].splitlines()[2:]
    assert {line.split()[0] for line in lines} >= {"openai/text-embedding-3-small", "openai/text-embedding-3-large"}
    (small,) = [line.split() for line in lines if "3-small" in line]
    assert small == ["openai/text-embedding-3-small", "0.02", "—", "0.5", "8,192", "—", "embedding", "active"]


def test_what_is_unpriced_or_going_is_said(headgate: Command) -> None:
    lines = headgate("models", "openai/gpt-5", "--all", code=0).out.splitlines()
    (five,) = [line for line in lines if line.startswith("openai/gpt-5 ")]
    assert five.split()[-2:] == ["until", "2026-12-11"]
    row = next(row for row in headgate("models", "xai/grok-beta", "--all", "--json", code=0).json())
    assert (row["price"], row["kind"], row["card"]["successor"]) == (None, "chat", "grok-4.3")


def test_an_unknown_provider_is_answered_with_the_nearest(headgate: Command) -> None:
    done = headgate("models", "-p", "antropic", code=3)
    assert "unknown provider 'antropic' (did you mean anthropic?)" in done.err


def test_json_is_the_whole_card(headgate: Command) -> None:
    rows = headgate("models", "-p", "sim-openai", "--json", code=0).json()
    assert [row["name"] for row in rows] == ["sim-openai/sim-small", "sim-openai/sim-large", "sim-openai/sim-flash"]
    assert {"id", "display_name", "provider", "capabilities", "prices"} <= set(rows[0]["card"])
    assert rows[0]["card"]["prices"][0]["rates"]["input"] == "0.15"
    assert rows[0]["price"] == {"input": "0.15", "output": "0.60", "since": "2026-01-01", "source": "the simulator's own price list"}
