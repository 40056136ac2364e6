"""From what a user wrote to a provider and a model (OCT-10 to OCT-13, CON-10, CON-13, CON-15). Pure.

``provider/model`` is explicit: a model the catalog does not know is allowed, unpriced, with a note. A bare name must be known: to exactly
one provider, or to the one the surroundings name. Providers that resell the models of others do not count where its home is known too.
Names of local models are anybody's choice: a bare one that looks like one ("phi4:14b") is taken for it (SPN-35). Only the first slash
separates, so a model may contain slashes and colons itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

import msgspec

from headgate.catalog.cards import Catalog, ModelCard
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.errors import ConfigError

HINT = "headgate models"


class Target(msgspec.Struct, frozen=True):
    """Where a call goes. `card` is None for a model the catalog does not know: it is unpriced. `notes` are to be shown to the user."""

    provider: str
    model: str
    card: ModelCard | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``provider/model``."""
        return f"{self.provider}/{self.model}"

    @property
    def capabilities(self) -> Capabilities:
        """What the model can do; permissive without a card."""
        return ANY_MODEL if self.card is None else self.card.capabilities


def resolve(name: str, provider: str | None, catalog: Catalog, known_providers: Collection[str]) -> Target:
    """The target of `name`, which may carry its provider ("openai/gpt-5"), else of `name` at `provider`, else of a bare name.

    Raises `ConfigError` for an unknown provider, an unknown or ambiguous bare name, a model unknown to a provider whose list is
    complete, and a retired model; the hint is a command or a name to use instead.
    """
    if not name.strip() or name != name.strip():
        raise ConfigError(f"not a model name: {name!r}", hint=HINT)
    if provider is not None:
        at = known_provider(provider, known_providers)
        return explicit(at, _without_prefix(name, at, catalog, known_providers), catalog)
    prefix, slash, model = name.partition("/")
    if slash and model and prefix.lower() in known_providers:
        return explicit(prefix.lower(), model, catalog)
    return _bare(name, catalog, known_providers)


def known_provider(name: str, known_providers: Collection[str]) -> str:
    """`name` in lower case. Raises `ConfigError` listing what is supported when it is not a provider."""
    lowered = name.strip().lower()
    if lowered in known_providers:
        return lowered
    close = get_close_matches(lowered, sorted(known_providers), n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    raise ConfigError(f"unknown provider {name!r}{meant}; supported: {', '.join(sorted(known_providers))}", hint="headgate doctor")


def _without_prefix(name: str, provider: str, catalog: Catalog, known_providers: Collection[str]) -> str:
    """`name` without the provider it may begin with. A contradiction between the two is an error."""
    if catalog.find(provider, name) is not None:
        return name
    prefix, slash, model = name.partition("/")
    if not slash or not model or prefix.lower() not in known_providers:
        return name
    if prefix.lower() == provider:
        return model
    raise ConfigError(f"the model {name} names the provider {prefix.lower()}, but the provider asked for is {provider}", hint=HINT)


def explicit(provider: str, model: str, catalog: Catalog) -> Target:
    """`model` at `provider`, both named by the user."""
    card = catalog.find(provider, model)
    if card is not None:
        return _checked(card, model)
    entry = catalog.providers.get(provider)
    assumed = None if entry is None else entry.card_for(model)
    if assumed is not None:
        return Target(provider, model, assumed)
    meant = _meant(model, _names(catalog, provider))
    if entry is not None and entry.closed:
        models = ", ".join(card.id for card in entry.models)
        raise ConfigError(f"{provider} has no model {model!r}{meant}; it has {models}", hint=HINT)
    others = [other for other in catalog.named(model) if catalog.is_home(other)]
    if entry is not None and others:
        raise ConfigError(f"{model} is a model of {others[0].provider}, not of {provider}", hint=f"headgate models --provider {provider}")
    return Target(provider, model, None, (f"{provider}/{model} is not in the catalog{meant}: its cost is unknown",))


def _checked(card: ModelCard, written: str) -> Target:
    """The target of a card that was found by the name `written`."""
    if card.status == "retired":
        raise _retired(card, written)
    model = card.id if written in card.aliases else written.removeprefix("models/")
    notes: tuple[str, ...] = ()
    if card.retires is not None:
        then = f"; {card.provider}/{card.successor} is its successor" if card.successor else ""
        notes = (f"{card.name} is announced to be retired on {card.retires}{then}",)
    return Target(card.provider, model, card, notes)


def _retired(card: ModelCard, written: str) -> ConfigError:
    when = f" since {card.retires}" if card.retires else ""
    said = f"{card.provider}/{written} is retired{when}"
    if card.successor is None:
        return ConfigError(said, hint=f"headgate models --provider {card.provider}")
    instead = f"{card.provider}/{card.successor}"
    return ConfigError(f"{said}; use {instead} instead", hint=f"headgate ask -m {instead} hello")


def _bare(name: str, catalog: Catalog, known_providers: Collection[str]) -> Target:
    if name.lower() in known_providers:
        raise ConfigError(f"{name} is a provider, not a model", hint=f"headgate models --provider {name.lower()}")
    known = [card for card in catalog.named(name) if card.provider in known_providers]
    cards = [card for card in known if catalog.is_home(card)] or known
    if len(cards) == 1:
        return _checked(cards[0], name)
    if cards:
        choices = ", ".join(f"{card.provider}/{name}" for card in cards)
        raise ConfigError(f"{name} is served by several providers: {choices}", hint=f"headgate ask -m {cards[0].provider}/{name} hello")
    for provider in inferred(name, catalog, known_providers) if "/" not in name else ():
        assumed = catalog.providers[provider].card_for(name)
        if assumed is not None:
            return Target(provider, name, assumed)
    raise ConfigError(*_unknown(name, catalog, known_providers), hint=HINT)


def _unknown(name: str, catalog: Catalog, known_providers: Collection[str]) -> tuple[str]:
    prefix, slash, model = name.partition("/")
    if slash and model and not catalog.named(name):
        close = get_close_matches(prefix.lower(), sorted(known_providers), n=1, cutoff=0.7)
        if close:
            return (f"unknown provider {prefix!r} in {name!r} (did you mean {close[0]}/{model}?)",)
    guesses = inferred(name, catalog, known_providers)
    meant = _meant(name, [known for provider in (guesses or known_providers) for known in _names(catalog, provider)])
    forced = f"; to use it all the same, unpriced, write {guesses[0]}/{name}" if guesses else "; write it as provider/model"
    return (f"unknown model {name!r}{meant}{forced}",)


def inferred(name: str, catalog: Catalog, known_providers: Collection[str]) -> list[str]:
    """The providers whose model names begin like `name`; where there is none, those whose names contain what `name` contains."""
    entries = [entry for entry in catalog.providers.values() if entry.provider in known_providers]
    lowered = name.lower()
    begun = [entry.provider for entry in entries if lowered.startswith(entry.infer or ("\0",))]
    return begun or [entry.provider for entry in entries if any(part in lowered for part in entry.infer_containing)]


def _names(catalog: Catalog, provider: str) -> list[str]:
    entry = catalog.providers.get(provider)
    return [] if entry is None else [card.id for card in entry.models if card.status != "retired"]


def _meant(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, sorted(set(names)), n=1, cutoff=0.7)
    return f" (did you mean {close[0]}?)" if close else ""


def resolve_step(
    *,
    cli_provider: str | None = None,
    cli_model: str | None = None,
    step_provider: str | None = None,
    step_model: str | None = None,
    api_provider: str | None = None,
    api_model: str | None = None,
    default_provider: str | None = None,
    catalog: Catalog,
    default_models: Mapping[str, str | None],
    with_keys: Collection[str] = (),
) -> Target:
    """The target of a pipeline's step: command line, then the step, then the pipeline's `api`, then the defaults (OCT-11).

    The highest level that names a provider or a model decides the provider. The model is the highest one that belongs to this provider;
    models of other providers are dropped (OCT-13); without any, the provider's default of `default_models`, whose keys are all the
    providers there are. `with_keys` are those whose keys are present, for the message when no provider is named anywhere (CON-13).
    Raises `ConfigError`.
    """
    levels = [(cli_provider, cli_model), (step_provider, step_model), (api_provider, api_model)]
    named = [(provider, model) for provider, model in levels if provider or model]
    if not named and not default_provider:
        raise _no_provider(default_models, with_keys)
    below = [provider for provider, _ in [*named[1:], (default_provider, None)] if provider]
    first, model = named[0] if named else (default_provider, None)
    at = known_provider(first or _provider_of(model or "", below, catalog, default_models), default_models)
    target, dropped = _at_provider(at, named, catalog, default_models)
    if not dropped or not (cli_provider or cli_model):
        return target
    lost = f"{' and '.join(dropped)} of the pipeline {'are' if len(dropped) > 1 else 'is'} not of {at}: {target.name} is used instead"
    return msgspec.structs.replace(target, notes=(lost, *target.notes))


def _no_provider(default_models: Collection[str], with_keys: Collection[str]) -> ConfigError:
    ready = ", ".join(sorted(with_keys))
    found = f"keys were found for {ready}" if ready else f"supported are {', '.join(sorted(default_models))}, and no key was found for any"
    return ConfigError(f"no provider is named anywhere; {found}", hint=f"add --provider {min(with_keys, default='sim-openai')}")


def _provider_of(model: str, below: list[str], catalog: Catalog, known: Mapping[str, str | None]) -> str:
    """The provider of a model written without one: its own prefix, else the nearest provider below that knows it, else the only one."""
    prefix, slash, rest = model.partition("/")
    if slash and rest and prefix.lower() in known:
        return prefix.lower()
    for provider in below:
        if catalog.find(provider.lower(), model) is not None:
            return provider
    return resolve(model, None, catalog, known).provider


def _at_provider(
    provider: str, levels: list[tuple[str | None, str | None]], catalog: Catalog, default_models: Mapping[str, str | None]
) -> tuple[Target, list[str]]:
    """The target at `provider`, and the models of `levels` that were passed over."""
    dropped: list[str] = []
    for position, (named, model) in enumerate(levels):
        if not model:
            continue
        if position == 0 or _belongs(model, named, provider, catalog, default_models):
            return resolve(model, provider, catalog, default_models), dropped
        dropped.append(model)
    default = default_models[provider]
    if default is None:
        raise ConfigError(f"no model is named for {provider}, which has no default", hint=f"headgate models --provider {provider}")
    return resolve(default, provider, catalog, default_models), dropped


def _belongs(model: str, named: str | None, provider: str, catalog: Catalog, known: Collection[str]) -> bool:
    """Whether `model`, written beside the provider `named`, is a model of `provider`."""
    if catalog.find(provider, model) is not None:
        return True
    prefix, slash, rest = model.partition("/")
    if slash and rest and prefix.lower() in known:
        return prefix.lower() == provider
    return named is not None and named.strip().lower() == provider
