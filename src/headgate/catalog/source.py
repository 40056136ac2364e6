"""From the catalog's YAML files to cards, strictly checked, and to the one JSON document that is shipped."""

from __future__ import annotations

import hashlib
import re
from fractions import Fraction
from pathlib import Path

import msgspec
import yaml

from headgate.catalog.cards import Catalog, Kind, ModelCard, Price, ProviderCards, Rates, sealed
from headgate.errors import ConfigError
from headgate.wire.json import JsonObject

_DECIMAL = re.compile(r"\d{1,9}(\.\d{1,9})?")
_FACTOR = re.compile(r"\d{1,3}(\.\d{1,9}|/[1-9]\d{0,3})?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_WRITERS = frozenset({"chat", "completion"})
"""Kinds of models that put out tokens whatever they are asked."""


def parse_cards(text: str, where: str) -> ProviderCards:
    """The cards of one YAML file, with rules and digests filled in. Raises `ConfigError` naming `where` for anything that is not right."""
    found = parse_several(text, where)
    if len(found) != 1:
        raise ConfigError(f"not a catalog file: it has {len(found)} documents, not one", where=where)
    return found[0]


def parse_several(text: str, where: str) -> tuple[ProviderCards, ...]:
    """As `parse_cards`, for a file with a YAML document for each of several providers."""
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
        providers = msgspec.convert(documents, tuple[ProviderCards, ...])
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        raise ConfigError(f"not valid YAML: {error.problem}", where=place) from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"not a catalog file: {error}", where=where, hint="headgate models --help") from error
    return tuple(_checked(cards, where) for cards in providers)


def _checked(cards: ProviderCards, where: str) -> ProviderCards:
    models = tuple(_finished(cards.provider, card, where) for card in cards.models)
    _check_names(models, where)
    return msgspec.structs.replace(cards, models=models)


def _finished(provider: str, card: ModelCard, where: str) -> ModelCard:
    place = f"{where}: model {card.id}"
    days = [price.since for price in card.prices]
    if days != sorted(set(days)):
        raise ConfigError(f"{place}: prices must be in order of their day, each day once")
    for price in card.prices:
        _check_price(price, card.kind, place)
    prices = tuple(sealed(f"{provider}/{card.id}", price) for price in card.prices)
    return msgspec.structs.replace(card, provider=provider, prices=prices)


def _check_price(price: Price, kind: Kind, place: str) -> None:
    if not _DAY.fullmatch(price.since):
        raise ConfigError(f"{place}: since must be a day such as 2026-10-14, not {price.since!r}")
    if price.batch_factor is not None and not (_FACTOR.fullmatch(price.batch_factor) and 0 < Fraction(price.batch_factor) <= 1):
        raise ConfigError(f"{place}: batch_factor must be a decimal or fraction of at most 1, not {price.batch_factor!r}")
    lines = [price.rates, *(tier.rates for tier in price.tiers)]
    if any(rates.input is None or (rates.output is None and kind in _WRITERS) for rates in lines):
        raise ConfigError(f"{place}: every price needs input and output")
    if [tier.above for tier in price.tiers] != sorted({tier.above for tier in price.tiers}):
        raise ConfigError(f"{place}: tiers must be in order of their prompt size")
    for rates in (*lines, price.batch, *(tier.batch for tier in price.tiers)):
        _check_rates(rates, place)
    for fee in price.fees:
        _check_decimal(fee.per_thousand, f"fee {fee.name}", place)


def _check_rates(rates: Rates, place: str) -> None:
    for name, text in msgspec.structs.asdict(rates).items():
        if text is not None:
            _check_decimal(text, name, place)


def _check_decimal(text: str, name: str, place: str) -> None:
    if not _DECIMAL.fullmatch(text):
        raise ConfigError(f'{place}: {name} must be dollars as a decimal string such as "0.15", not {text!r}')


def _check_names(models: tuple[ModelCard, ...], where: str) -> None:
    seen: dict[str, str] = {}
    for card in models:
        for name in (card.id, *card.snapshots, *card.aliases):
            if name in seen:
                raise ConfigError(f"{where}: the name {name} belongs to {seen[name]} and to {card.id}")
            seen[name] = card.id


def merged_prices(old: list[JsonObject], new: list[JsonObject], day: str) -> list[JsonObject]:
    """The records of `old` with those of `new`, both as their YAML says them; a record dated `day` is in force now, whatever was before.

    A record that says nothing new is left out, so that merging again changes nothing; one without a batch price keeps the one known for the
    same rates.
    """
    found = {record["since"]: record for record in old}
    for record in new:
        since = record["since"]
        before = max((known for known in found if known <= (day if since == day else since)), default=None)
        same = found.get(before if since == day and before is not None else since)
        if same is None or _content(same) != _content(_with_batch(record, same)):
            found[since] = record
    return [found[since] for since in sorted(found)]


def _content(record: JsonObject) -> JsonObject:
    return {key: value for key, value in record.items() if key not in ("since", "source")}


def _with_batch(record: JsonObject, known: JsonObject) -> JsonObject:
    if "batch_factor" in record or record["rates"] != known["rates"]:
        return record
    return record | {key: known[key] for key in ("batch_factor", "batch") if key in known}


def parse_folder(folder: Path) -> tuple[ProviderCards, ...]:
    """The cards of every YAML file in `folder`, in the order of the file names."""
    return tuple(parse_cards(path.read_text(encoding="utf-8"), path.name) for path in sorted(folder.glob("*.yaml")))


def compile_catalog(providers: tuple[ProviderCards, ...]) -> bytes:
    """The shipped document: ``{"digest": …, "providers": [...]}``, the digest being the SHA-256 of the providers' bytes."""
    body = msgspec.json.encode(providers)
    document: JsonObject = {"digest": hashlib.sha256(body).hexdigest(), "providers": msgspec.Raw(body)}
    return msgspec.json.encode(document) + b"\n"


def with_overrides(catalog: Catalog, path: Path) -> Catalog:
    """`catalog` with the cards of a user's own YAML file (a document for each provider) put over it. Raises `ConfigError`."""
    providers = read_overrides(path)
    digest = hashlib.sha256(catalog.digest.encode() + compile_catalog(providers)).hexdigest()
    return catalog.merged(providers, digest)


def read_overrides(path: Path) -> tuple[ProviderCards, ...]:
    """The cards of a user's own YAML file. Raises `ConfigError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the catalog file: {error.strerror}", where=str(path)) from error
    return parse_several(text, str(path))
