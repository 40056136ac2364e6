"""Reading published `genai-prices` data: its models, which names they answer to, and their prices as records of ours. Pure.

The data (the project's ``prices/data.json``) prices *units* that may contain one another (cached tokens are input tokens); a unit without a
price of its own costs what the unit around it costs. `Rates` works alike, so most prices map one to one. What does not is named by
`unpriceable`: such a model has no record, since an unknown price is unpriced and never zero.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

import msgspec

from headgate.catalog.cards import Fee, Price, Rates, Tier
from headgate.catalog.prices import decimal_text
from headgate.errors import ConfigError
from headgate.wire.json import JsonObject

PROVIDERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "xai": "x-ai",
    "groq": "groq",
    "together": "together",
    "bedrock": "aws",
    "azure_openai": "azure",
    "vertex": "google",
}
"""Our providers and what the data calls them."""
EARLIEST = "2020-01-01"
"""The day of a price that was in force before the data's records begin."""

NOT_SERVED: dict[str, re.Pattern[str]] = {
    "openai": re.compile(r"^ft:|[:]|\.ft-|^gpt-oss|^gpt-5-image|^gpt-5\.4-image|^computer-use$|^gpt-3\.5-0301$|^moderation$"),
    "anthropic": re.compile(r"^claude-v1$"),
    "gemini": re.compile(r"^claude|^gemini-(?:flash|pro)-1\.5|^gemma|^gemini-gemma|^gemini-exp|^learnlm|^gemini-pro$"),
    "vertex": re.compile(r"^claude|^gemini-(?:flash|pro)-1\.5|^gemma|-experimental$|^gemini-pro$|^gemini-1"),
    "xai": re.compile(r"experimental|-gv2$|-beta(?:-|$)"),
    "azure_openai": re.compile(r"^(?!gpt|o1|o3|o4|text-|codex)|:|^gpt-4-turbo-vision"),
    "bedrock": re.compile(r"@|^claude-|^anthropic\.claude-(?:v1|instant|3-7-sonnet-2024)"),
}
"""Names of the sources that are no models of the provider's own interface: fine-tuned ones, and spellings of other catalogs."""

_RATES = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_5m_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "input_image_mtok": "input_image",
    "output_reasoning_mtok": "output_reasoning",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
}
_FEES = {"web_searches_kcount": "web_search", "storage_searches_kcount": "file_search"}
_CACHED = frozenset({"cache_audio_read_mtok", "cache_image_read_mtok", "cache_text_read_mtok"})
"""Kinds of cached tokens that providers report as cached tokens, without saying which."""
_AROUND = {
    "cache_read": ("input",),
    "cache_write_5m": ("input",),
    "cache_write_1h": ("cache_write_5m", "input"),
    "input_audio": ("input",),
    "input_image": ("input",),
    "output_reasoning": ("output",),
}


class Step(msgspec.Struct, frozen=True):
    """The price of a unit for prompts of more than `start` tokens."""

    start: int
    price: Decimal


class Stepped(msgspec.Struct, frozen=True):
    """A price that depends on the size of the prompt."""

    base: Decimal
    tiers: tuple[Step, ...] = ()


Amount: TypeAlias = Decimal | Stepped | None


class When(msgspec.Struct, frozen=True):
    """From which day (or between which times of each day) a price is in force."""

    start_date: str | None = None
    start_time: str | None = None


class Dated(msgspec.Struct, frozen=True):
    """Prices with the condition under which they hold."""

    prices: dict[str, Amount]
    constraint: When | None = None


class Variant(msgspec.Struct, frozen=True):
    """Prices that replace some of the standard ones for a kind of processing."""

    when: dict[str, str]
    prices: dict[str, Amount]
    constraint: When | None = None


class Model(msgspec.Struct, frozen=True):
    """One model of the data."""

    id: str
    match: JsonObject
    prices: dict[str, Amount] | tuple[Dated, ...] = ()
    name: str | None = None
    context_window: int | None = None
    deprecated: bool | None = None
    price_variants: tuple[Variant, ...] | None = None

    def answers_to(self, name: str) -> bool:
        """Whether requests for `name` are charged as this model."""
        return _matches(self.match, name.lower())

    def names(self) -> tuple[str, ...]:
        """The names the data spells out, its id first."""
        return tuple(dict.fromkeys((self.id, *_equals(self.match))))


class Source(msgspec.Struct, frozen=True):
    """One provider of the data."""

    id: str
    models: tuple[Model, ...]
    fallback_model_providers: tuple[str, ...] | None = None


def parse_data(data: bytes) -> tuple[Source, ...]:
    """The providers of a ``data.json``. Raises `ConfigError` when it is none."""
    try:
        return msgspec.json.decode(data, type=tuple[Source, ...])
    except msgspec.MsgspecError as error:
        raise ConfigError(f"not genai-prices data: {error}") from error


def find_model(sources: tuple[Source, ...], provider: str, name: str) -> Model | None:
    """The model that `provider` (a name of ours) charges `name` as, or the one of the provider whose models it resells."""
    by_id = {source.id: source for source in sources}
    own = by_id.get(PROVIDERS.get(provider, ""))
    if own is None:
        return None
    for source in (own, *(by_id[other] for other in own.fallback_model_providers or () if other in by_id)):
        for model in source.models:
            if model.answers_to(name):
                return model
    return None


def _matches(clause: JsonObject, name: str) -> bool:
    ((kind, value),) = clause.items()
    if kind in ("or", "and"):
        return (any if kind == "or" else all)(_matches(inner, name) for inner in value)
    text = str(value)
    if kind == "regex":
        return re.search(text, name) is not None
    text = text.lower()
    tests = {"equals": name == text, "starts_with": name.startswith(text), "ends_with": name.endswith(text), "contains": text in name}
    return tests[kind]


def _equals(clause: JsonObject) -> list[str]:
    ((kind, value),) = clause.items()
    if kind == "equals":
        return [str(value)]
    return [name for inner in value for name in _equals(inner)] if kind == "or" else []


def records(model: Model, day: str, source: str) -> tuple[Price, ...]:
    """The prices of `model`, oldest first. A price the data does not date is dated `day`; one before others that are dated, `EARLIEST`.

    Batch rates are those in force when the record ends, or on `day`.
    """
    dated = (Dated(model.prices),) if isinstance(model.prices, dict) else model.prices
    known: dict[str, Mapping[str, Amount]] = {}
    for entry in dated:
        if entry.constraint is None:
            known[day if len(dated) == 1 else EARLIEST] = entry.prices
        elif entry.constraint.start_date is not None:
            known[entry.constraint.start_date] = entry.prices
    days = sorted(known)
    found: list[Price] = []
    for since, until in zip(days, (*days[1:], None), strict=True):
        if unpriceable(known[since]) is None:
            batch = _batch(model, max(since, day) if until is None else until, strictly=until is not None)
            found.append(_record(known[since], batch, since, source))
    return tuple(found)


def _batch(model: Model, day: str, strictly: bool) -> dict[str, Amount] | None:
    """The batch prices in force on `day` (or `strictly` before it), the first of several that name a unit; None when there are none."""
    found: dict[str, Amount] = {}
    for variant in model.price_variants or ():
        start = variant.constraint.start_date if variant.constraint is not None else EARLIEST
        if variant.when == {"processing": "batch"} and start is not None and (start < day or (start == day and not strictly)):
            found = dict(variant.prices) | found
    return found or None


def unpriceable(prices: Mapping[str, Amount]) -> str | None:
    """Why a `Price` cannot say what these prices say, or None when it can."""
    listed = {name for name, amount in prices.items() if amount is not None}
    if "input_mtok" not in listed:
        return "no price per input token"
    odd = sorted(listed - _RATES.keys() - _FEES.keys() - _CACHED)
    return f"priced by {', '.join(odd)}" if odd else None


def _record(prices: Mapping[str, Amount], batch: Mapping[str, Amount] | None, since: str, source: str) -> Price:
    starts = sorted({step.start for amount in prices.values() if isinstance(amount, Stepped) for step in amount.tiers})
    rates = _rates(prices, None)
    factor = None if batch is None else _factor(prices, batch)
    tiers = []
    for start in starts:
        there = _rates(prices, start + 1)
        tiers.append(Tier(above=start, rates=there, batch=_exceptions(prices, batch, factor, start + 1)))
    fees = tuple(
        Fee(_FEES[name], decimal_text(Fraction(amount))) for name, amount in prices.items() if name in _FEES and isinstance(amount, Decimal)
    )
    return Price(
        since=since,
        source=source,
        rates=rates,
        tiers=tuple(tiers),
        batch_factor=None if factor is None else decimal_text(factor),
        batch=_exceptions(prices, batch, factor, None),
        fees=fees,
    )


def _at(amount: Amount, tokens: int | None) -> Fraction | None:
    """An amount for a prompt of so many tokens; None as the size is the smallest."""
    if isinstance(amount, Stepped):
        price = amount.base
        for step in amount.tiers:
            if tokens is not None and tokens > step.start:
                price = step.price
        return Fraction(price)
    return None if amount is None else Fraction(amount)


def _values(prices: Mapping[str, Amount], tokens: int | None) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for name, bucket in _RATES.items():
        value = _at(prices.get(name), tokens)
        if value is not None:
            found[bucket] = value
    return found


def _rates(prices: Mapping[str, Amount], tokens: int | None) -> Rates:
    return _as_rates(_values(prices, tokens))


def _as_rates(values: Mapping[str, Fraction]) -> Rates:
    return msgspec.convert({bucket: decimal_text(value) for bucket, value in values.items()}, Rates)


def _factor(prices: Mapping[str, Amount], batch: Mapping[str, Amount]) -> Fraction | None:
    """What a batch costs as a part of the list price, by its input price."""
    plain, reduced = _at(prices.get("input_mtok"), None), _at(batch.get("input_mtok"), None)
    return reduced / plain if plain and reduced is not None and reduced <= plain else None


def _exceptions(prices: Mapping[str, Amount], batch: Mapping[str, Amount] | None, factor: Fraction | None, tokens: int | None) -> Rates:
    """The batch rates that are not the listed ones times `factor`. What the batch prices leave out costs as it always does."""
    if batch is None or factor is None:
        return Rates()
    listed = _values(prices, tokens)
    there = listed | _values(batch, tokens)
    odd = {bucket: value for bucket, value in there.items() if value != _expected(bucket, listed, factor)}
    return _as_rates(odd)


def _expected(bucket: str, listed: Mapping[str, Fraction], factor: Fraction) -> Fraction | None:
    for name in (bucket, *_AROUND.get(bucket, ())):
        if name in listed:
            return listed[name] * factor
    return None
