"""The catalog as values: providers, their model cards, and dated list prices.

A price is a decimal string of US dollars per million tokens, as the provider lists it for realtime use (CON-03). What a batch costs is a
factor on the list price, with exceptions bucket by bucket where a provider publishes them.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

from headgate.domain.capabilities import ANY_MODEL, Capabilities

Status: TypeAlias = Literal["active", "preview", "retired"]
Lane: TypeAlias = Literal["realtime", "batch"]
Grade: TypeAlias = Literal["high", "medium", "low"]
Kind: TypeAlias = Literal[
    "chat", "completion", "embedding", "image", "speech", "transcription", "realtime", "moderation", "rerank", "video"
]


class Rates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Dollars per million tokens for each bucket of `Usage`, as decimal strings. None: the provider lists no price of its own."""

    input: str | None = None
    output: str | None = None
    cache_read: str | None = None
    cache_write_5m: str | None = None
    cache_write_1h: str | None = None
    input_audio: str | None = None
    input_image: str | None = None
    output_reasoning: str | None = None
    output_audio: str | None = None
    output_image: str | None = None


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rates for a whole request whose prompt has more than `above` tokens, cached ones included (translation case 57)."""

    above: int
    rates: Rates
    batch: Rates = Rates()
    """Batch rates that are not simply `rates` times the price's batch factor."""


class Fee(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A charge per use, the same in both lanes: dollars per thousand uses of `name`."""

    name: str
    per_thousand: str


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One list price of one model, in force from the day `since` (``YYYY-MM-DD``, UTC) until the next one.

    `rule` names this record ("openai/gpt-5@2026-10-14") and `digest` is the start of the SHA-256 of its content; both are filled in when
    the catalog is compiled, go into every receipt, and let an old receipt be checked against the very figures it was made with.
    """

    since: str
    source: str
    rates: Rates
    tiers: tuple[Tier, ...] = ()
    batch_factor: str | None = None
    """A fraction ("0.5") of the list price; None: what a batch costs is unknown, so it is unpriced."""
    batch: Rates = Rates()
    """Batch rates that are not simply `rates` times `batch_factor`."""
    fees: tuple[Fee, ...] = ()
    rule: str = ""
    digest: str = ""


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is known of one model.

    `snapshots` are further names the provider itself accepts (sent as written), `aliases` are names of ours (replaced by `id`).
    `retires` is the announced last day, `successor` what to use instead. `kind` is what the model is for. `tier` (how much a
    model can do), `quality` (a rank, the higher the better), `best_for` (words for people) and `tags` (abilities by name: "planning",
    "code_write") are there for routing to choose by.
    `modalities` are what goes in, `outputs` what comes out; empty: text in, or not known, and text out.
    """

    id: str
    display_name: str
    provider: str = ""
    kind: Kind = "chat"
    status: Status = "active"
    tier: Grade | None = None
    quality: int | None = None
    best_for: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    embedding_dimensions: int | None = None
    snapshots: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    successor: str | None = None
    retires: str | None = None
    capabilities: Capabilities = ANY_MODEL
    surface: str | None = None
    """The chat dialect of a model that is not served on its provider's usual one ("openai_responses")."""
    prices: tuple[Price, ...] = ()

    @property
    def name(self) -> str:
        """``provider/id``."""
        return f"{self.provider}/{self.id}"

    def price_on(self, day: str) -> Price | None:
        """The price in force on `day` (``YYYY-MM-DD``); before the first record, the first. None: unpriced."""
        chosen: Price | None = None
        for price in self.prices:
            if chosen is None or price.since <= day:
                chosen = price
        return chosen


class ProviderCards(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The models of one provider.

    `infer` lists how its model names begin, to guess the provider of a bare name; `infer_containing` what else they may contain, where no
    beginning says anything. `closed` means that every model it serves is listed. A provider that is not `home` serves models of others: a
    bare name means the model at its home. `traits` are words for routing ("local", "cheap"). `unlisted` is assumed of models that are not
    listed, but for those whose name ends like one of `unlisted_except`.
    """

    provider: str
    label: str
    home: bool = True
    closed: bool = False
    traits: tuple[str, ...] = ()
    infer: tuple[str, ...] = ()
    infer_containing: tuple[str, ...] = ()
    unlisted: ModelCard | None = None
    unlisted_except: tuple[str, ...] = ()
    models: tuple[ModelCard, ...] = ()

    def card_for(self, name: str) -> ModelCard | None:
        """The card of a model that is not listed, under its `name`; None where nothing is assumed."""
        if self.unlisted is None or name.endswith(self.unlisted_except or ("\0",)):
            return None
        prices = tuple(sealed(f"{self.provider}/{name}", price) for price in self.unlisted.prices)
        return msgspec.structs.replace(self.unlisted, id=name, display_name=name, provider=self.provider, prices=prices)


_canonical = msgspec.json.Encoder(order="deterministic")


def sealed(name: str, price: Price) -> Price:
    """`price` with its rule (from the model's ``provider/id`` and its day) and the digest of its content."""
    bare = msgspec.structs.replace(price, rule=f"{name}@{price.since}", digest="")
    return msgspec.structs.replace(bare, digest=hashlib.sha256(_canonical.encode(bare)).hexdigest()[:16])


def day_of(at: float) -> str:
    """The UTC day, ``YYYY-MM-DD``, of `at` (seconds since the epoch)."""
    return _day(int(at // 86400))


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86400, UTC).strftime("%Y-%m-%d")


_DATED = re.compile(r"(?:-\d{8}|@\d{8}|-\d{4}-\d{2}-\d{2}|-\d{3}|-latest)$")


class Catalog:
    """All cards, indexed by provider and name. `digest` identifies the whole table. Immutable once made."""

    def __init__(self, providers: tuple[ProviderCards, ...], digest: str = "") -> None:
        self.providers = {entry.provider: entry for entry in providers}
        self.digest = digest
        self._cards: dict[tuple[str, str], ModelCard] = {}
        self._by_name: dict[str, list[ModelCard]] = {}
        for entry in providers:
            for card in entry.models:
                self._index(card)

    def _index(self, card: ModelCard) -> None:
        for name in (card.id, *card.snapshots, *card.aliases):
            self._cards[card.provider, name] = card
            self._by_name.setdefault(name, []).append(card)

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        """Every card, provider by provider, in the order of the data."""
        return tuple(card for entry in self.providers.values() for card in entry.models)

    def find(self, provider: str, name: str) -> ModelCard | None:
        """The card `provider` has for `name`: an id, snapshot or alias, or one of these with a date or "-latest" behind it."""
        name = name.removeprefix("models/")
        found = self._cards.get((provider, name))
        return found if found is not None else self._cards.get((provider, _DATED.sub("", name)))

    def named(self, name: str) -> tuple[ModelCard, ...]:
        """The cards of every provider that know `name`; those of the home of a model come first."""
        found = self._by_name.get(name) or self._by_name.get(_DATED.sub("", name), [])
        return tuple(sorted(found, key=lambda card: not self.providers[card.provider].home))

    def is_home(self, card: ModelCard) -> bool:
        """Whether the provider of `card` serves models of its own."""
        return self.providers[card.provider].home

    def capabilities(self, provider: str, model: str) -> Capabilities:
        """What the model can do; `ANY_MODEL` without a card."""
        card = self.find(provider, model)
        return ANY_MODEL if card is None else card.capabilities

    def price(self, provider: str, model: str, day: str) -> Price | None:
        """The price of a model on a day, or None when it is unpriced."""
        card = self.find(provider, model)
        return None if card is None else card.price_on(day)

    def merged(self, overrides: tuple[ProviderCards, ...], digest: str) -> Catalog:
        """This catalog with the cards of `overrides` replacing those of the same id, and new ones added; `digest` is its new name."""
        entries = dict(self.providers)
        for extra in overrides:
            old = entries.get(extra.provider)
            entries[extra.provider] = extra if old is None else _merge(old, extra)
        return Catalog(tuple(entries.values()), digest)


def _merge(old: ProviderCards, extra: ProviderCards) -> ProviderCards:
    cards = {card.id: card for card in old.models} | {card.id: card for card in extra.models}
    unlisted = extra.unlisted if extra.unlisted is not None else old.unlisted
    return msgspec.structs.replace(old, models=tuple(cards.values()), infer=extra.infer or old.infer, unlisted=unlisted)
