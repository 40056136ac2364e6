"""`headgate models update`: ask the providers, or a file, what there is, and write what changed to the data folder (OCT-18, OCT-36)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import msgspec
import yaml

from headgate.assembly.parts import Parts
from headgate.catalog import genai
from headgate.catalog.cards import Catalog, ModelCard, ProviderCards
from headgate.catalog.listing import Listing, kind_of, list_models, listing_of
from headgate.catalog.octobatch import import_models
from headgate.catalog.resolve import Target as Resolved
from headgate.catalog.source import read_overrides
from headgate.catalog.update import Update, update
from headgate.catalog.yaml_text import cards_text
from headgate.client import Target
from headgate.client.catalogs import updated_catalog, updates_file
from headgate.client.target import refusal
from headgate.errors import ConfigError, HeadgateError
from headgate.transport.drive import drive
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import Origin
from headgate.wire.http import Call, Reply

HEADER = "# Written by `headgate models update`. A file of your own, named by the setting catalog_file, goes before it.\n"


class Outcome(msgspec.Struct, frozen=True):
    """What one provider's update came to; `skipped` says why there was none."""

    provider: str
    update: Update = Update()
    skipped: str | None = None


async def from_lists(parts: Parts, only: str | None, day: str, now: float, accept: bool) -> list[Outcome]:
    """Ask every provider that can be used (or `only` one) for its list. One that fails is skipped unless it was asked for by name."""
    catalog = updated_catalog(parts.settings)
    names = [only] if only is not None else [name for name in parts.with_keys() if not parts.providers[name].simulated]
    outcomes = []
    async with parts.http() as http:
        for name in names:
            try:
                outcomes.append(await _listed(parts, http, catalog, name, day, now, accept))
            except HeadgateError as error:
                if only is not None:
                    raise
                outcomes.append(Outcome(name, skipped=error.message))
    return outcomes


async def _listed(parts: Parts, http: HttpClient, catalog: Catalog, name: str, day: str, now: float, accept: bool) -> Outcome:
    provider = parts.providers[name]
    listing = listing_of(name, provider.chat.name)
    if listing is None:
        return Outcome(name, skipped="it has no list of models; use --from")
    target = await parts.target(Resolved(name, provider.default_model or "")).ready()
    offers = await ask_list(http, target, listing, day, now, parts.settings.data_dir)
    return Outcome(name, update(catalog, name, offers, day, complete=bool(offers), accept=accept))


async def ask_list(http: HttpClient, target: Target, listing: Listing, day: str, now: float, folder: Path) -> tuple[ModelCard, ...]:
    """What the provider lists. Raises `ProviderError` for a refusal, `WireError` for what is no such list."""

    def place(call: Call) -> tuple[Origin, Call]:
        return target.address(call), target.placed(call)

    def check(reply: Reply) -> None:
        if not reply.ok:
            raise refusal(target, reply.status, reply.headers, reply.body, now)

    flow = list_models(listing, day, f"{target.provider.label} list of models, {day}", check)
    return await drive(flow, http, target.origin, target.headers, folder, place)


def from_file(parts: Parts, path: Path, only: str | None, day: str, accept: bool) -> list[Outcome]:
    """Take `genai-prices` data (JSON) or an Octobatch registry (YAML). Raises `ConfigError` when the file is neither."""
    catalog = updated_catalog(parts.settings)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read it: {error.strerror}", where=str(path)) from error
    if data.lstrip()[:1] == b"[":
        sources = genai.parse_data(data)
        offers = {name: genai_offers(catalog, sources, name, day) for name in genai.PROVIDERS if name in parts.providers}
    else:
        offers = {entry.provider: entry.models for entry in import_models(_yaml(data, path), day, f"{path.name}, {day}")}
    if only is not None and only not in offers:
        raise ConfigError(f"it says nothing of {only}; it has {', '.join(sorted(offers))}", where=str(path))
    chosen = {name: found for name, found in offers.items() if only in (None, name)}
    unknown = sorted(set(chosen) - set(parts.providers))
    if unknown:
        raise ConfigError(f"unknown provider {unknown[0]!r}", where=str(path), hint="headgate doctor")
    return [Outcome(name, update(catalog, name, found, day, complete=False, accept=accept)) for name, found in chosen.items()]


def _yaml(data: bytes, path: Path) -> object:
    try:
        return yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise ConfigError("neither genai-prices data nor a YAML file", where=str(path)) from error


def genai_offers(catalog: Catalog, sources: tuple[genai.Source, ...], provider: str, day: str) -> tuple[ModelCard, ...]:
    """What the data says of the provider's models we know, and of those it lists under names that begin like the provider's."""
    source = f"genai-prices, {day}"
    entry = catalog.providers.get(provider)
    known = () if entry is None else tuple(card.id for card in entry.models if card.status != "retired")
    names = dict.fromkeys((*known, *_new_names(catalog, sources, provider)))
    found = []
    for name in names:
        model = genai.find_model(sources, provider, name)
        prices = genai.records(model, day, source) if model is not None else ()
        kind = kind_of(name)
        if model is None or not prices or (kind in ("chat", "completion") and any(price.rates.output is None for price in prices)):
            continue
        label = model.name if model.id == name and model.name else name
        found.append(ModelCard(id=name, display_name=label, kind=kind, prices=prices))
    return tuple(found)


def _new_names(catalog: Catalog, sources: tuple[genai.Source, ...], provider: str) -> Iterable[str]:
    entry = catalog.providers.get(provider)
    own = next((source for source in sources if source.id == genai.PROVIDERS[provider]), None)
    if entry is None or own is None or not entry.home:
        return ()
    skipped = genai.NOT_SERVED.get(provider)
    charged = {model.id for card in entry.models if (model := genai.find_model(sources, provider, card.id)) is not None}
    return (
        model.id
        for model in own.models
        if model.id not in charged and catalog.find(provider, model.id) is None and not model.deprecated
        if model.id.startswith(entry.infer or ("\0",)) and not (skipped and skipped.search(model.id))
    )


def write(parts: Parts, outcomes: Iterable[Outcome]) -> Path | None:
    """Put the changed cards over those of earlier updates. Returns the file, or None when there is nothing to write."""
    path = updates_file(parts.settings)
    changed = {outcome.provider: outcome.update.cards for outcome in outcomes if outcome.update.cards}
    if not changed:
        return None
    entries = {entry.provider: entry for entry in (read_overrides(path) if path.exists() else ())}
    for name, cards in changed.items():
        old = entries.get(name) or ProviderCards(provider=name, label=parts.providers[name].label)
        models = {card.id: card for card in old.models} | {card.id: card for card in cards}
        entries[name] = msgspec.structs.replace(old, models=tuple(models.values()))
    text = HEADER + "---\n".join(cards_text(entry) for entry in entries.values())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".catalog-{secrets.token_hex(4)}")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
    return path
