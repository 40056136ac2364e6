"""The data inside the installed `genai-prices` package, in the form in which the project publishes it (``prices/data.json``)."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from importlib.metadata import version

import msgspec
from genai_prices import types as published
from genai_prices.data import providers

_CLAUSES = {
    published.ClauseEquals: "equals",
    published.ClauseStartsWith: "starts_with",
    published.ClauseEndsWith: "ends_with",
    published.ClauseContains: "contains",
    published.ClauseRegex: "regex",
    published.ClauseOr: "or",
    published.ClauseAnd: "and",
}
_SKIPPED = frozenset({"extractors", "description", "price_comments"})


def data_json() -> bytes:
    """The published document, remade from the package."""
    return msgspec.json.encode([_plain(provider) for provider in providers])


def release() -> str:
    """The version of the package, for the sources of prices."""
    return f"genai-prices {version('genai-prices')}"


def _plain(value: object) -> object:
    clause = _CLAUSES.get(type(value))
    if clause is not None:
        return {clause: _plain(next(iter(vars(value).values())))}
    if isinstance(value, published.ModelPrice):
        return {name: _plain(amount) for name, amount in vars(value).items()}
    if dataclasses.is_dataclass(value):
        return {name: _plain(inner) for name, inner in vars(value).items() if inner is not None and name not in _SKIPPED}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Decimal) else value
