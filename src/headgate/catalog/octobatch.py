"""Import of an Octobatch `models.yaml` (OCT-14, OCT-15, OCT-36): its batch prices become list prices with a batch factor."""

from __future__ import annotations

from fractions import Fraction

import msgspec

from headgate.catalog.cards import ModelCard, Price, ProviderCards, Rates, sealed
from headgate.catalog.prices import decimal_text
from headgate.domain.capabilities import Capabilities
from headgate.errors import ConfigError


class _Model(msgspec.Struct):
    display_name: str | None = None
    input_per_million: float | None = None
    output_per_million: float | None = None
    batch_support: bool = True


class _Provider(msgspec.Struct):
    realtime_multiplier: float | None = None
    models: dict[str, _Model] = {}


class _Defaults(msgspec.Struct, frozen=True):
    realtime_multiplier: float = 2.0


class _Registry(msgspec.Struct):
    providers: dict[str, _Provider]
    defaults: _Defaults = _Defaults()


def import_models(document: object, day: str, source: str = "imported Octobatch registry") -> tuple[ProviderCards, ...]:
    """The cards of a decoded `models.yaml`, priced from `day` (``YYYY-MM-DD``) on.

    A list price is the registry's batch price times the provider's realtime multiplier. A model without prices of its own stays unpriced:
    the registry's global default prices are made-up numbers (OCT-17). Raises `ConfigError` when the document is no such registry.
    """
    try:
        registry = msgspec.convert(document, _Registry, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"not an Octobatch model registry: {error}") from error
    return tuple(
        ProviderCards(
            provider=name,
            label=name.capitalize(),
            models=tuple(
                _card(name, id, model, entry.realtime_multiplier or registry.defaults.realtime_multiplier, day, source)
                for id, model in entry.models.items()
            ),
        )
        for name, entry in registry.providers.items()
    )


def _card(provider: str, id: str, model: _Model, multiplier: float, day: str, source: str) -> ModelCard:
    prices: tuple[Price, ...] = ()
    times = Fraction(str(multiplier))
    if times < 1:
        raise ConfigError(f"{provider}: realtime_multiplier must be at least 1, not {multiplier}")
    if model.input_per_million is not None and model.output_per_million is not None:
        rates = Rates(input=_listed(model.input_per_million, times), output=_listed(model.output_per_million, times))
        factor = decimal_text(1 / times) if model.batch_support else None
        prices = (sealed(f"{provider}/{id}", Price(since=day, source=source, rates=rates, batch_factor=factor)),)
    return ModelCard(
        id=id,
        display_name=model.display_name or id,
        provider=provider,
        capabilities=Capabilities(batch=model.batch_support),
        prices=prices,
    )


def _listed(batch_price: float, times: Fraction) -> str:
    return decimal_text(Fraction(str(batch_price)) * times)
