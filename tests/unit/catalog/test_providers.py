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
    assert provider.default_model is not None
    target = resolve(provider.default_model, provider.name, catalog, PROVIDERS)
    assert target.card is not None
    record = target.card.price_on(DAY)
    assert record is not None
    assert (record.batch_factor is not None) == target.capabilities.batch == (provider.batch is not None)


def test_every_card_has_a_provider() -> None:
    assert set(load_catalog().providers) <= set(PROVIDERS)
