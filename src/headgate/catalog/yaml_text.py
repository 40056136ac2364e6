"""Writing catalog files: YAML to be read and edited by people, one card after the other, details in flow style. Pure."""

from __future__ import annotations

import re

import msgspec
import yaml

from headgate.catalog.cards import ModelCard, Price, ProviderCards
from headgate.wire.json import Json, JsonObject, encode_text

CARD_KEYS = (
    "id",
    "display_name",
    "kind",
    "surface",
    "status",
    "tier",
    "quality",
    "best_for",
    "tags",
    "modalities",
    "outputs",
    "embedding_dimensions",
    "snapshots",
    "aliases",
    "successor",
    "retires",
    "capabilities",
    "prices",
)
"""The fields of a card, in the order in which they are written."""
HEAD_KEYS = ("provider", "label", "home", "closed", "traits", "infer", "infer_containing", "unlisted", "unlisted_except")
_PLAIN = re.compile(r"[A-Za-z][\w .,/()+'-]*(?::[\w.+-]+)*")
_PRICE_KEYS = ("since", "source", "rates", "batch_factor", "batch", "tiers", "fees")


def provider_text(document: JsonObject, header: str = "") -> str:
    """The YAML file of one provider, from the document that YAML reads back. `header` is a comment to begin with, as it is."""
    lines = [f"{key}: {flow(document[key])}" for key in HEAD_KEYS if key in document]
    cards = "\n\n".join("\n".join(_card(card)) for card in document["models"])
    return f"{header}{chr(10).join(lines)}\nmodels:\n{cards}\n"


def _card(card: JsonObject) -> list[str]:
    lines = [f"    {key}: {flow(card[key])}" for key in CARD_KEYS if key in card and key != "prices"]
    lines[0] = f"  - {lines[0].strip()}"
    if not card.get("prices"):
        return [*lines, "    prices: []"]
    return [*lines, "    prices:", *(line for price in card["prices"] for line in _price(price))]


def _price(price: JsonObject) -> list[str]:
    lines: list[str] = []
    for key in _PRICE_KEYS:
        if key == "tiers" and price.get(key):
            lines += ["        tiers:", *(line for tier in price[key] for line in _tier(tier))]
        elif price.get(key):
            lines.append(f"        {key}: {flow(price[key])}")
    lines[0] = f"      - {lines[0].strip()}"
    return lines


def _tier(tier: JsonObject) -> list[str]:
    lines = [f"          - above: {tier['above']}", f"            rates: {flow(tier['rates'])}"]
    return [*lines, f"            batch: {flow(tier['batch'])}"] if tier.get("batch") else lines


def flow(value: Json) -> str:
    """A value on one line; strings are quoted wherever YAML would read something else."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_item(inner) for inner in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _string(value) if isinstance(value, str) else str(value)


def _item(value: Json) -> str:
    """A value inside brackets, where commas separate."""
    return _quoted(value) if isinstance(value, str) and "," in value else flow(value)


def _string(text: str) -> str:
    plain = _PLAIN.fullmatch(text) is not None and not text.endswith((" ", ":")) and yaml.safe_load(text) == text
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    """`text` in double quotes: JSON's escapes, and YAML's for what YAML does not take as it is."""
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in encode_text(text))


def card_document(card: ModelCard) -> JsonObject:
    """A card as its YAML says it: without what the compiler fills in, and without what is as always."""
    document: JsonObject = msgspec.json.decode(msgspec.json.encode(card))
    document.pop("provider", None)
    document["display_name"] = card.display_name
    able: JsonObject = document.get("capabilities", {})
    known = msgspec.structs.asdict(type(card.capabilities)())
    document["capabilities"] = {name: value for name, value in able.items() if value != known[name]}
    if not document["capabilities"]:
        del document["capabilities"]
    document["prices"] = [price_document(price) for price in card.prices]
    return document


def price_document(price: Price) -> JsonObject:
    """A price as its YAML says it, without the rule and the digest."""
    document: JsonObject = msgspec.json.decode(msgspec.json.encode(price))
    if price.tiers:
        document["tiers"] = [{key: value for key, value in tier.items() if value} for tier in document["tiers"]]
    return {key: document[key] for key in _PRICE_KEYS if document.get(key)}


def cards_text(cards: ProviderCards, header: str = "") -> str:
    """The YAML file of `cards`."""
    document: JsonObject = {"provider": cards.provider, "label": cards.label}
    document["models"] = [card_document(card) for card in cards.models]
    return provider_text(document, header)
