"""``headgate models``: what can be called, and for how much."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click

from headgate.assembly.models_extract import from_page
from headgate.assembly.models_update import Outcome, from_file, from_lists, write
from headgate.assembly.parts import load_parts
from headgate.catalog.cards import ModelCard, Price, day_of
from headgate.catalog.resolve import known_provider
from headgate.cli import sanitize
from headgate.cli.actions.output import table
from headgate.errors import UsageError
from headgate.wire.json import encode_text

_HEADS = ("model", "in", "out", "batch", "context", "output", "for", "status")


def models(words: tuple[str, ...], provider: str | None, everything: bool, kind: str | None, as_json: bool) -> int:
    """See `headgate models --help`."""
    parts = load_parts()
    only = known_provider(provider, parts.providers) if provider is not None else None
    cards = [
        card
        for card in parts.catalog.cards
        if (only is None or card.provider == only)
        and (everything or card.status != "retired")
        and (kind is None or card.kind == kind.lower())
        and all(word.lower() in f"{card.name} {card.display_name}".lower() for word in words)
    ]
    today = day_of(time.time())
    if as_json:
        click.echo(encode_text([_entry(card, today) for card in cards]))
        return 0
    if not cards:
        click.echo("no model matches; `headgate models` lists all of them", err=True)
        return 1
    rows = [_row(card, card.price_on(today)) for card in cards]
    click.echo(table(rows, _HEADS, frozenset({1, 2, 3, 4, 5})))
    ready = parts.with_keys()
    click.echo(f"\nready to use: {', '.join(ready)}. Prices are list prices; `batch` is the share of them a batch costs.")
    return 0


def _entry(card: ModelCard, today: str) -> dict[str, object]:
    """A model for `--json`: the whole card, and what is in force today."""
    price = card.price_on(today)
    now = (
        None if price is None else {"input": price.rates.input, "output": price.rates.output, "since": price.since, "source": price.source}
    )
    return {"name": card.name, "kind": card.kind, "price": now, "card": card}


def _row(card: ModelCard, price: Price | None) -> tuple[str, ...]:
    able = card.capabilities
    silent = "—" if card.kind == "embedding" else "unpriced"
    return (
        card.name,
        (price.rates.input if price else None) or "unpriced",
        (price.rates.output if price else None) or (silent if price else "unpriced"),
        (price.batch_factor if price and able.batch else None) or "—",
        f"{able.context:,}" if able.context else "—",
        f"{able.max_output:,}" if able.max_output else "—",
        card.tier or "—" if card.kind == "chat" else card.kind,
        f"until {card.retires}" if card.retires and card.status != "retired" else card.status,
    )


def update(provider: str | None, source: str | None, llm: str | None, page: str | None, dry_run: bool, accept: bool, verbose: bool) -> int:
    """See `headgate models update --help`."""
    if (llm is None) != (page is None) or (llm is not None and (provider is None or source is not None)):
        raise UsageError("--llm needs --page and --provider, and no --from", hint="headgate models update --help")
    parts = load_parts()
    only = known_provider(provider, parts.providers) if provider is not None else None
    now = time.time()
    today = day_of(now)
    if llm is not None and page is not None and only is not None:
        outcomes = asyncio.run(from_page(parts, llm, Path(page), only, today, accept))
    elif source is not None:
        outcomes = from_file(parts, Path(source), only, today, accept)
    else:
        outcomes = asyncio.run(from_lists(parts, only, today, now, accept))
    for outcome in outcomes:
        for line in _told(outcome, verbose):
            click.echo(sanitize(line))
    written = None if dry_run else write(parts, outcomes)
    changes = sum(len(outcome.update.changes) for outcome in outcomes)
    click.echo(_ending(len(outcomes), changes, dry_run, written))
    if any(outcome.update.refused for outcome in outcomes):
        click.echo("not everything was believed; look at the source, then add --accept", err=True)
        return 1
    return 0


def _told(outcome: Outcome, verbose: bool) -> list[str]:
    """What to say of one provider."""
    found = outcome.update
    if outcome.skipped is not None:
        return [f"{outcome.provider}: skipped: {outcome.skipped}"]
    lines = [*found.changes, *(f"refused: {line}" for line in found.refused)]
    if found.gone and verbose:
        lines += [f"{name}: is not in the provider's list any more" for name in found.gone]
    elif found.gone:
        lines.append(f"{outcome.provider}: {len(found.gone)} models are not in its list any more (--verbose names them)")
    return lines


def _ending(asked: int, changes: int, dry_run: bool, written: Path | None) -> str:
    if not asked:
        return "no provider has a key; name one with --provider, or a file with --from"
    if not changes:
        return "up to date"
    return f"{changes} changes, nothing written (--dry-run)" if dry_run else f"{changes} changes, written to {written}"
