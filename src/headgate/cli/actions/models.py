"""``headgate models``: what can be called, and for how much."""

from __future__ import annotations

import time

import click

from headgate.assembly.parts import load_parts
from headgate.catalog.cards import ModelCard, Price, day_of
from headgate.catalog.resolve import known_provider
from headgate.cli.actions.output import table
from headgate.providers import PROVIDERS
from headgate.wire.json import encode_text


def models(words: tuple[str, ...], provider: str | None, everything: bool, as_json: bool) -> int:
    """See `headgate models --help`."""
    parts = load_parts()
    only = known_provider(provider, PROVIDERS) if provider is not None else None
    cards = [
        card
        for card in parts.catalog.cards
        if (only is None or card.provider == only)
        and (everything or card.status != "retired")
        and all(word.lower() in f"{card.name} {card.display_name}".lower() for word in words)
    ]
    today = day_of(time.time())
    if as_json:
        click.echo(encode_text([{"name": card.name, "card": card} for card in cards]))
        return 0
    if not cards:
        click.echo("no model matches; `headgate models` lists all of them", err=True)
        return 1
    rows = [_row(card, card.price_on(today)) for card in cards]
    click.echo(table(rows, ("model", "in", "out", "batch", "context", "output", "status"), frozenset({1, 2, 3, 4, 5})))
    ready = parts.with_keys()
    click.echo(f"\nready to use: {', '.join(ready)}. Prices are list prices; `batch` is the share of them a batch costs.")
    return 0


def _row(card: ModelCard, price: Price | None) -> tuple[str, ...]:
    able = card.capabilities
    return (
        card.name,
        (price.rates.input if price else None) or "unpriced",
        (price.rates.output if price else None) or "unpriced",
        (price.batch_factor if price and able.batch else None) or "—",
        f"{able.context:,}" if able.context else "—",
        f"{able.max_output:,}" if able.max_output else "—",
        card.status,
    )
