"""The page of price disagreements: our catalog against LiteLLM's public price map, rate by rate."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import msgspec
from second_source import Facts

from headgate.catalog.cards import Catalog, ModelCard, Price
from headgate.catalog.load import COMPILED, decode_catalog
from headgate.catalog.prices import decimal_text

RATES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write_5m": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
}
_HEAD = """# Price disagreements

The catalog's prices come from the providers' own pages and from the published `genai-prices` data. This page compares them, as of {day},
with a second source, LiteLLM's public price map: every rate both state. `make prices SECOND=FILE` writes it; nothing on this page changes a
price. Where the sources disagree the dated source of the card decides, and a card of your own goes before either (see [models](models.md)).

| Provider | Rates compared | The same | Different | Models only we price | Models only they price |
|---|---|---|---|---|---|
{counts}

Amounts are dollars per million tokens, at list price, for prompts below the first tier; `batch` is what a batch costs as a part of it.
"""


class Difference(msgspec.Struct):
    """A rate on which the sources differ."""

    model: str
    rate: str
    ours: str
    theirs: str
    source: str


class Tally(msgspec.Struct):
    """What comparing one provider gave."""

    compared: int = 0
    differences: list[Difference] = []
    only_ours: int = 0
    only_theirs: list[str] = []


def compare(catalog: Catalog, provider: str, second: dict[str, Facts], day: str) -> Tally:
    """Compare the models of one provider that both know by the same name."""
    tally = Tally(differences=[], only_theirs=[])
    for card in catalog.providers[provider].models:
        facts, record = second.get(card.id), card.price_on(day)
        priced = facts is not None and facts.input_cost_per_token is not None
        tally.only_ours += record is not None and not priced
        if record is None and priced:
            tally.only_theirs.append(card.id)
        elif record is not None and facts is not None and priced:
            for difference in _pairs(card, record, facts):
                tally.compared += 1
                if Fraction(difference.ours) != Fraction(difference.theirs):
                    tally.differences.append(difference)
    return tally


def _pairs(card: ModelCard, record: Price, facts: Facts) -> Iterator[Difference]:
    """Every rate that both state."""
    for rate, theirs in RATES.items():
        mine: str | None = getattr(record.rates, rate)
        cost: Decimal | None = getattr(facts, theirs)
        if mine is not None and cost is not None:
            yield Difference(card.id, rate, mine, decimal_text(Fraction(cost) * 1_000_000), record.source)
    if record.batch_factor is not None and facts.batch_factor is not None:
        yield Difference(card.id, "batch", record.batch_factor, decimal_text(facts.batch_factor), record.source)


def page(second: dict[str, dict[str, Facts]], day: str) -> str:
    """The whole page, from the compiled catalog."""
    catalog = decode_catalog(COMPILED.read_bytes())
    tallies = {name: compare(catalog, name, facts, day) for name, facts in second.items() if name in catalog.providers and name != "ollama"}
    rows = [
        f"| {name} | {t.compared} | {t.compared - len(t.differences)} | {len(t.differences)} | {t.only_ours} | {len(t.only_theirs)} |"
        for name, t in tallies.items()
    ]
    parts = [_HEAD.format(day=day, counts="\n".join(rows))]
    parts += [_section(name, tally) for name, tally in tallies.items() if tally.differences or tally.only_theirs]
    return "\n".join(parts)


def _section(name: str, tally: Tally) -> str:
    lines = [f"## {name}", ""]
    if tally.differences:
        lines += ["| Model | Rate | Ours | Theirs | Our source |", "|---|---|---|---|---|"]
        lines += [f"| `{d.model}` | {d.rate} | {d.ours} | {d.theirs} | {d.source} |" for d in tally.differences]
        lines.append("")
    if tally.only_theirs:
        lines += [f"Unpriced here, since only the second source has a price: {', '.join(f'`{model}`' for model in tally.only_theirs)}.", ""]
    return "\n".join(lines)
