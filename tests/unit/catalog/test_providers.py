"""The catalog and the providers speak of the same things."""

from __future__ import annotations

import pytest

from headgate.catalog.load import load_catalog
from headgate.catalog.resolve import resolve
from headgate.providers import PROVIDERS
from headgate.providers.base import Provider

DAY = "2026-11-21"


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=lambda provider: provider.name)
def test_every_provider_has_cards_and_a_default_that_can_be_used_and_priced(provider: Provider) -> None:
    catalog = load_catalog()
    assert provider.name in catalog.providers
    assert catalog.providers[provider.name].closed == provider.simulated
    if provider.default_model is None:
        return
    target = resolve(provider.default_model, provider.name, catalog, PROVIDERS)
    assert target.card is not None
    assert (target.card.kind, target.card.surface) == ("chat", None)
    record = target.card.price_on(DAY)
    assert record is not None
    assert (record.batch_factor is not None) == target.capabilities.batch
    assert target.capabilities.batch or provider.batch is None


def test_every_card_has_a_provider() -> None:
    assert set(load_catalog().providers) <= set(PROVIDERS)


def test_providers_that_resell_are_not_home_to_their_models() -> None:
    entries = load_catalog().providers
    assert {name for name, entry in entries.items() if not entry.home} == {"azure_openai", "vertex", "bedrock", "together", "groq"}
