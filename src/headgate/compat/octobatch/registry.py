"""Headgate's catalog in the shape of Octobatch's model registry: batch prices, and what realtime costs more (OCT-14, OCT-15, CON-03)."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import yaml

from headgate.catalog.cards import Catalog, ModelCard, Price, day_of
from headgate.catalog.octobatch import import_models
from headgate.catalog.prices import RateTable, rate_table
from headgate.client.direct import read_workspace
from headgate.compat.octobatch.errors import ProviderConfigError
from headgate.compat.octobatch.types import ModelInfo, ModelRegistry, Pricing, ProviderInfo
from headgate.errors import ConfigError
from headgate.providers import PROVIDERS, Provider
from headgate.wire.json import Json

MULTIPLIER = 2.0
"""What realtime costs for one batch dollar, unless the prices say otherwise."""
SDK = "headgate"
"""No provider needs a package of its own."""


def load_model_registry() -> ModelRegistry:
    """Every provider with its models, priced as of today. There is no default provider unless one is configured."""
    workspace = read_workspace()
    return {
        "default_provider": workspace.settings.default_provider,
        "providers": {name: _info(provider, workspace.default_model(provider), workspace.catalog) for name, provider in PROVIDERS.items()},
        "defaults": get_default_pricing(),
    }


def get_all_providers() -> dict[str, ProviderInfo]:
    """The providers of the registry."""
    return load_model_registry()["providers"]


def get_provider_info(provider_name: str) -> ProviderInfo:
    """One provider: `env_var`, `sdk`, `default_model`, `realtime_multiplier`, `models`. Raises `ProviderConfigError` (a `ValueError`)."""
    found = get_all_providers().get(provider_name.strip().lower())
    if found is None:
        raise ProviderConfigError(f"unknown provider {provider_name!r}; supported: {', '.join(PROVIDERS)}", hint="headgate models")
    return found


def get_provider_models(provider_name: str) -> dict[str, ModelInfo]:
    """The models of one provider. Raises `ProviderConfigError` (a `ValueError`)."""
    return get_provider_info(provider_name)["models"]


def get_default_pricing() -> Pricing:
    """Prices of models that are not known: there are none, for a made-up price is worse than none (OCT-17)."""
    return {"input_per_million": None, "output_per_million": None, "realtime_multiplier": MULTIPLIER}


def with_models_file(catalog: Catalog, path: Path) -> Catalog:
    """`catalog` with the models and prices of an Octobatch `models.yaml` over it (OCT-36). Raises `ConfigError`."""
    try:
        document: Json = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the model registry cannot be read: {error}", where=str(path)) from error
    return catalog.merged(import_models(document, day_of(time.time()), str(path)), f"{catalog.digest}+{path.name}")


def pricing_of(record: Price | None) -> Pricing:
    """Batch prices of a record and the multiplier that leads to its list prices; without batch prices list prices and 1."""
    listed, batch = rate_table(record, 0, "realtime"), rate_table(record, 0, "batch")
    shown = batch or listed
    dear, cheap = _dollars(listed, "input_uncached"), _dollars(shown, "input_uncached")
    if dear is None or cheap is None:
        return get_default_pricing()
    return {
        "input_per_million": cheap,
        "output_per_million": _dollars(shown, "output_text"),
        "realtime_multiplier": dear / cheap if cheap else 1.0,
    }


def _dollars(table: RateTable | None, bucket: str, over: float = 1.0) -> float | None:
    """The price of a bucket divided by `over`; None when there is none."""
    text = None if table is None else table.dollars.get(bucket)
    return None if text is None else float(Fraction(text)) / over


def _info(provider: Provider, default_model: str | None, catalog: Catalog) -> ProviderInfo:
    entry = catalog.providers.get(provider.name)
    cards = entry.models if entry is not None else ()
    today = day_of(time.time())
    return {
        "env_var": next(iter((*provider.auth.env, *provider.auth.parts)), "").rstrip("?"),
        "sdk": SDK,
        "default_model": default_model,
        "realtime_multiplier": MULTIPLIER,
        "models": {card.id: _model(card, today) for card in cards if card.status != "retired" and card.kind == "chat"},
    }


def _model(card: ModelCard, today: str) -> ModelInfo:
    """A model at `MULTIPLIER`: whatever its own batch factor, its price times that is its list price."""
    listed = rate_table(card.price_on(today), 0, "realtime")
    return {
        "display_name": card.display_name,
        "input_per_million": _dollars(listed, "input_uncached", MULTIPLIER),
        "output_per_million": _dollars(listed, "output_text", MULTIPLIER),
        "batch_support": card.capabilities.batch,
    }
