"""Reading catalog files: what is wrong is said, with its place; overrides and compiled bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.catalog.load import COMPILED, decode_catalog, load_catalog
from headgate.catalog.source import compile_catalog, parse_cards, with_overrides
from headgate.errors import ConfigError, StoreError

GOOD = """
provider: openai
label: OpenAI
models:
  - id: gpt-4o
    display_name: GPT-4o, our contract
    snapshots: [gpt-4o-ours]
    capabilities: {max_output: 10, batch: true}
    prices:
      - since: "2026-01-01"
        source: our contract of 2026
        rates: {input: "1", output: "2"}
        batch_factor: "1/3"
"""


def test_a_good_file() -> None:
    cards = parse_cards(GOOD, "mine.yaml")
    (card,) = cards.models
    assert (card.provider, card.prices[0].rule, card.capabilities.max_output) == ("openai", "openai/gpt-4o@2026-01-01", 10)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('since: "2026-01-01"', "since: 2026-01-01", "prices"),
        ('since: "2026-01-01"', 'since: "soon"', "since must be a day"),
        ('input: "1"', "input: 1", "Expected `str | null`"),
        ('input: "1"', 'input: "1e3"', "input must be dollars"),
        ('input: "1", ', "", "needs input and output"),
        ('batch_factor: "1/3"', 'batch_factor: "2"', "batch_factor"),
        ('batch_factor: "1/3"', 'batch_factor: "half"', "batch_factor"),
        ("display_name:", "dispaly_name:", "dispaly_name"),
        ("snapshots: [gpt-4o-ours]", "aliases: [gpt-4o]", "belongs to"),
        ("models:", "models: [", "mine.yaml:"),
        ('batch_factor: "1/3"', 'fees: [{name: x, per_thousand: "-1"}]', "fee x"),
        (
            'batch_factor: "1/3"',
            'tiers: [{above: 9, rates: {input: "1", output: "2"}}, {above: 5, rates: {input: "1", output: "2"}}]',
            "tiers must be in order",
        ),
    ],
)
def test_a_bad_file_says_what_is_wrong(old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=r"mine\.yaml") as caught:
        parse_cards(GOOD.replace(old, new), "mine.yaml")
    assert said in str(caught.value)


def test_days_out_of_order_are_refused() -> None:
    again = GOOD.replace("    prices:\n", '    prices:\n      - {since: "2026-02-02", source: later, rates: {input: "1", output: "2"}}\n')
    with pytest.raises(ConfigError, match="in order of their day"):
        parse_cards(again, "mine.yaml")


def test_an_override_replaces_a_card_and_changes_the_digest(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(GOOD)
    shipped = load_catalog()
    merged = with_overrides(shipped, path)
    card, untouched = merged.find("openai", "gpt-4o"), merged.find("openai", "gpt-4o-mini")
    assert card is not None
    assert card.display_name == "GPT-4o, our contract"
    assert untouched == shipped.find("openai", "gpt-4o-mini")
    assert merged.digest != shipped.digest
    assert merged.providers["openai"].infer == shipped.providers["openai"].infer
    assert merged.find("openai", "gpt-4o-ours") == card


def test_an_override_may_bring_a_new_provider(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(GOOD.replace("provider: openai", "provider: mine"))
    assert with_overrides(load_catalog(), path).find("mine", "gpt-4o") is not None
    with pytest.raises(ConfigError, match="cannot read"):
        with_overrides(load_catalog(), tmp_path / "absent.yaml")


def test_damage_to_the_compiled_catalog_is_noticed() -> None:
    data = COMPILED.read_bytes()
    assert decode_catalog(data).digest == load_catalog().digest
    for damaged in (data.replace(b'"2.5"', b'"0.5"', 1), data[:1000], b"", b"{}"):
        with pytest.raises(StoreError) as caught:
            decode_catalog(damaged)
        assert caught.value.hint is not None


def test_compiling_is_deterministic() -> None:
    assert compile_catalog((parse_cards(GOOD, "a"),)) == compile_catalog((parse_cards(GOOD, "b"),))
