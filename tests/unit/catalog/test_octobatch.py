"""Import of an Octobatch registry: batch prices doubled (OCT-36)."""

from __future__ import annotations

import pytest

from headgate.catalog.octobatch import import_models
from headgate.catalog.prices import price
from headgate.domain.cost import UNPRICED
from headgate.domain.usage import Usage
from headgate.errors import ConfigError

REGISTRY = {
    "default_provider": "gemini",
    "defaults": {"input_per_million": 1.0, "output_per_million": 2.0, "realtime_multiplier": 2.0},
    "providers": {
        "gemini": {
            "env_var": "GOOGLE_API_KEY",
            "sdk": "google-genai",
            "default_model": "gemini-2.5-flash",
            "models": {
                "gemini-2.5-flash": {"display_name": "Flash", "input_per_million": 0.15, "output_per_million": 1.25, "batch_support": True},
                "mystery": {"display_name": "No price"},
                "live": {"input_per_million": 0.1, "output_per_million": 0.1, "batch_support": False},
            },
        },
        "odd": {"realtime_multiplier": 3, "models": {"m": {"input_per_million": 1, "output_per_million": 2}}},
    },
}


def test_batch_prices_become_list_prices() -> None:
    gemini, odd = import_models(REGISTRY, "2026-11-21")
    flash, mystery, live = gemini.models
    assert (flash.display_name, flash.prices[0].rates.input, flash.prices[0].batch_factor) == ("Flash", "0.3", "0.5")
    million = Usage(input_uncached=1_000_000)
    assert str(price(flash.prices[0], million, "batch").usd) == "0.15"
    assert str(price(flash.prices[0], million).usd) == "0.3"
    assert mystery.prices == ()
    assert price(live.prices[0], million, "batch") == UNPRICED
    assert live.display_name == "live"
    assert str(price(odd.models[0].prices[0], million, "batch").usd) == "1"
    assert str(price(odd.models[0].prices[0], million).usd) == "3"
    assert flash.prices[0].digest


@pytest.mark.parametrize("document", [None, [], {"providers": 3}, {"providers": {"x": {"realtime_multiplier": 0.5, "models": {"m": {}}}}}])
def test_what_is_no_registry_is_refused(document: object) -> None:
    with pytest.raises(ConfigError):
        import_models(document, "2026-11-21")
