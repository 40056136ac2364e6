"""Bring the catalog's YAML files up to date with the installed `genai-prices` data, and compile them.

    python tools/import_prices.py [--second model_prices_and_context_window.json]

New models are added, prices that changed get a new dated record, facts that are missing are filled in. What people wrote is kept: a card
with prices of another source keeps them, and no field that is there is changed. With LiteLLM's price map as a second source, models only
that one knows are added unpriced, cards are completed from it, and docs/reference/price-disagreements.md is written anew. Doing it again
changes nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import compile_catalog
import msgspec
import price_report
import yaml
from card_facts import capabilities, context, modalities, outputs
from genai_snapshot import data_json, release
from second_source import Facts, read_map

from headgate.catalog.genai import NOT_SERVED, PROVIDERS, Model, Source, find_model, parse_data, records
from headgate.catalog.load import COMPILED
from headgate.catalog.source import merged_prices
from headgate.catalog.yaml_text import price_document, provider_text
from headgate.wire.json import JsonObject

DATA = COMPILED.parent / "data"
REPORT = Path(__file__).parents[1] / "docs" / "reference" / "price-disagreements.md"

_DATE = re.compile(r"(?:-\d{8}|@\d{8}|-\d{4}-\d{2}-\d{2})$")
_SHORT_DATE = re.compile(r"(?:-\d{3}|-latest)$")
_REGION = re.compile(r"^(?:us|eu|apac|jp|au|ca|in|us-gov|regional)\.")
_HOMES = {"azure_openai": "openai", "vertex": "gemini"}
"""Providers whose models are those of a home. What they can do is what they can do there; names only the home knows are not served here."""
_DATES_DECIDE = frozenset({"openai", "gemini", "xai", "groq", "together"})
"""Providers whose models are gone on the day the second source gives; for others it is the first day on which they may go."""
_BATCH: dict[str, tuple[str, frozenset[str]]] = {
    "together": (
        "1",
        frozenset(
            {
                "meta-llama/Llama-3.3-70B-Instruct-Turbo",
                "meta-llama/Llama-3-70b-chat-hf",
                "Qwen/Qwen2.5-7B-Instruct-Turbo",
                "mistralai/Mixtral-8x7B-Instruct-v0.1",
                "zai-org/GLM-4.5-Air-FP8",
            }
        ),
    )
}
"""Batch factors from the documentation of a provider: the one of most models, and the names of those at half price (Together AI, Batch)."""


class Names(msgspec.Struct):
    """One model under all the names it goes by; the first is its id."""

    names: list[str]
    model: Model | None
    facts: Facts | None


def stem(provider: str, name: str, known: Collection[str]) -> str:
    """The name without region or date, where that is a name of its own (or the part is certainly a date)."""
    short = _REGION.sub("", name) if provider == "bedrock" else _DATE.sub("", name)
    if short != name:
        return short
    shorter = _SHORT_DATE.sub("", name)
    return shorter if shorter in known else name


def gathered(provider: str, sources: tuple[Source, ...], second: dict[str, Facts], listed: Collection[str]) -> list[Names]:
    """Every model of a provider the sources know, each with its names. `listed` are those that are known already."""
    skipped = NOT_SERVED.get(provider)
    known = [name for name in listed if name not in second and find_model(sources, provider, name) is not None]
    first = _first_names(provider, sources, {*second, *listed})
    names = dict.fromkeys(name for name in (*second, *known, *first) if not (skipped and skipped.search(name)))
    groups: dict[tuple[str, ...], Names] = {}
    for name in names:
        model, facts = find_model(sources, provider, name), second.get(name)
        root = stem(provider, name, names)
        key = (root, model.id if model else "", *_differences(provider, facts))
        group = groups.setdefault(key, Names([], model, facts))
        group.names.append(name)
        if name == root:
            group.facts = facts
    for group in groups.values():
        group.names.sort(key=lambda name: (name != stem(provider, name, names), len(name), name))
    return list(groups.values())


def _first_names(provider: str, sources: tuple[Source, ...], known: Collection[str]) -> list[str]:
    """The ids of the first source that no `known` name stands for."""
    own = next((source for source in sources if source.id == PROVIDERS.get(provider)), None)
    if own is None or provider in _HOMES:
        return []
    stood_for = {model.id for name in known if (model := find_model(sources, provider, name)) is not None}
    return [_REGION.sub("", model.id) for model in own.models if model.id not in stood_for]


def _differences(provider: str, facts: Facts | None) -> tuple[str, ...]:
    """What makes two dated names of one model different models."""
    if facts is None or provider == "bedrock":
        return ()
    return (facts.mode, str(facts.max_output_tokens), str(facts.supports_reasoning))


class Import:
    """One provider's file while it is brought up to date. `changes` says what was done."""

    def __init__(self, provider: str, document: JsonObject, sources: tuple[Source, ...], day: str) -> None:
        self.provider, self.document, self.sources, self.day = provider, document, sources, day
        self._home = _abilities(_HOMES.get(provider))
        self.changes: list[str] = []
        self._cards: dict[str, JsonObject] = {}
        for card in document["models"]:
            for name in (card["id"], *card.get("snapshots", ()), *card.get("aliases", ())):
                self._cards[name] = card

    @property
    def names(self) -> Collection[str]:
        """Every name there is a card for."""
        return tuple(self._cards)

    def take(self, group: Names) -> None:
        """Merge one model into its card, or add a card for it."""
        card = self._card_of(group)
        if card is None:
            card = self._new(group)
            self.changes.append(f"new: {card['id']}")
        before = msgspec.json.encode(card)
        self._fill(card, group)
        self._price(card, group)
        if msgspec.json.encode(card) != before:
            self.changes.append(f"changed: {card['id']}")

    def _card_of(self, group: Names) -> JsonObject | None:
        """The card that has one of the names, or reaches one without its date and is charged alike."""
        for name in group.names:
            if name in self._cards:
                return self._cards[name]
        for name in group.names:
            card = self._cards.get(_SHORT_DATE.sub("", _DATE.sub("", name)))
            if card is not None and find_model(self.sources, self.provider, card["id"]) is group.model:
                return card
        return None

    def _new(self, group: Names) -> JsonObject:
        name = group.names[0]
        label = (group.model.name if group.model and group.model.id == name and "embed" not in name else None) or name
        card: JsonObject = {"id": name, "display_name": label}
        more = [other for other in group.names[1:] if _SHORT_DATE.sub("", _DATE.sub("", other)) != name]
        if more:
            card["snapshots"] = more
        card["prices"] = []
        self.document["models"].append(card)
        for known in (name, *more):
            self._cards[known] = card
        return card

    def _fill(self, card: JsonObject, group: Names) -> None:
        """Add the facts the card does not state."""
        facts = group.facts
        by_hand = any(_by_hand(price) for price in card["prices"])
        if facts is not None:
            _add(card, "kind", facts.kind if facts.kind != "chat" else None)
            _add(card, "surface", "openai_responses" if facts.mode == "responses" else None)
            _add(card, "modalities", modalities(facts))
            _add(card, "outputs", outputs(facts))
            _add(card, "embedding_dimensions", facts.output_vector_size)
            if facts.deprecation_date and not by_hand:
                _add(card, "retires", facts.deprecation_date)
                if self.provider in _DATES_DECIDE and facts.deprecation_date <= self.day:
                    _add(card, "status", "retired")
        if "capabilities" not in card:
            card["capabilities"] = dict(self._home[card["id"]]) if card["id"] in self._home else self._able(card, group)

    def _able(self, card: JsonObject, group: Names) -> JsonObject:
        """What a model can do that is listed nowhere yet."""
        facts = group.facts
        able = capabilities(self.provider, card["id"], facts) if card.get("kind", "chat") in ("chat", "completion") else {}
        sizes = [group.model.context_window if group.model else None, context(self.provider, facts) if facts else None]
        size = next((size for size in (sizes if self.provider in ("openai", "azure_openai") else sizes[::-1]) if size), None)
        return ({"context": size} if size else {}) | able

    def _price(self, card: JsonObject, group: Names) -> None:
        """Add the prices of the first source, unless the card has some of another one."""
        if group.model is None or any(_by_hand(price) for price in card["prices"]):
            return
        source = f"{release()}, {self.day}"
        found = [price_document(price) for price in records(group.model, self.day, source)]
        if card.get("kind", "chat") in ("chat", "completion"):
            found = [price for price in found if "output" in price["rates"]]
        for price in found:
            self._batch(price, card, group.facts)
        card["prices"] = merged_prices(card["prices"], found, self.day)
        if any("batch_factor" in price for price in card["prices"]) and card.get("status") != "retired":
            card["capabilities"].setdefault("batch", True)

    def _batch(self, price: JsonObject, card: JsonObject, facts: Facts | None) -> None:
        """The batch factor from elsewhere, where the first source has none."""
        if "batch_factor" in price:
            return
        usual, halved = _BATCH.get(self.provider, (None, frozenset()))
        factor = facts.batch_factor if facts else None
        if usual is not None and card.get("kind", "chat") == "chat":
            price["batch_factor"] = "0.5" if card["id"] in halved else usual
            price["source"] = f"{release()}; batches: Together AI documentation, {self.day}"
        elif factor in (Fraction(1, 2), Fraction(4, 5)) and (self.provider != "openai" or card.get("kind") == "embedding"):
            price["batch_factor"] = "0.5" if factor == Fraction(1, 2) else "0.8"
            price["source"] = f"{release()}; batches: LiteLLM price map, {self.day}"


def _abilities(home: str | None) -> dict[str, JsonObject]:
    """What the models of a home can do, but for batches, by id."""
    if home is None:
        return {}
    document: JsonObject = yaml.safe_load((DATA / f"{home}.yaml").read_text(encoding="utf-8"))
    return {card["id"]: {key: value for key, value in card["capabilities"].items() if key != "batch"} for card in document["models"]}


def _by_hand(price: JsonObject) -> bool:
    return not str(price["source"]).startswith("genai-prices")


def _add(card: JsonObject, key: str, value: object) -> None:
    if value and key not in card:
        card[key] = value


def import_provider(provider: str, path: Path, sources: tuple[Source, ...], second: dict[str, Facts], day: str) -> list[str]:
    """Bring one file up to date; what was changed."""
    text = path.read_text(encoding="utf-8")
    document: JsonObject = yaml.safe_load(text)
    job = Import(provider, document, sources, day)
    for group in gathered(provider, sources, second, job.names):
        job.take(group)
    header = re.match(r"(?:#.*\n)*", text)
    path.write_text(provider_text(document, header.group(0) if header else ""), encoding="utf-8")
    return job.changes


def main(arguments: list[str]) -> int:
    """Import, compile, and compare when there is a second source. Returns the exit code."""
    second = read_map(Path(arguments[arguments.index("--second") + 1])) if "--second" in arguments else {}
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    sources = parse_data(data_json())
    for provider in PROVIDERS:
        changes = import_provider(provider, DATA / f"{provider}.yaml", sources, second.get(provider, {}), day)
        print(f"{provider}: {len(changes)} changes")
        if "--verbose" in arguments:
            print("".join(f"  {change}\n" for change in changes), end="")
    code = compile_catalog.main([])
    if second:
        REPORT.write_text(price_report.page(second, day), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
