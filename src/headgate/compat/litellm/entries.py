"""``model_list``: entries become deployments, and those of one name a route or an alias; prices become a price file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from headgate.catalog.cards import Catalog
from headgate.catalog.resolve import resolve
from headgate.compat.litellm.fates import Fates
from headgate.compat.litellm.places import Places, Spot, text_of
from headgate.config.route_reader import DEPLOYMENT
from headgate.config.shapes import Reading
from headgate.config.tree import Branch, Node, Series
from headgate.domain.capabilities import ANY_MODEL
from headgate.errors import ConfigError
from headgate.providers import PROVIDERS
from headgate.wire.json import JsonObject

KEPT = {
    "rpm": "rpm",
    "tpm": "tpm",
    "timeout": "timeout",
    "weight": "weight",
    "max_parallel_requests": "concurrency",
    "region_name": "region",
}
"""Parameters that a deployment has too, by their names there."""
RATES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write_5m",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
}
SIZES = {"max_input_tokens": "context", "max_tokens": "max_output", "max_output_tokens": "max_output"}
COPIED = frozenset({"kind", "tier", "quality", "capabilities", "surface", "tags", "prices"})
"""What a card takes over from the one it is made from."""
_NAME = re.compile(r"[^\s\x00-\x1f\x7f]{1,200}")
_SINCE = "2020-01-01"
"""What is imported was in force before: it is the first price of a model."""


class Deployment(msgspec.Struct, frozen=True):
    """``provider/model`` and what else its entry says."""

    target: str
    more: JsonObject


class Entries:
    """What the entries come to."""

    def __init__(self, catalog: Catalog, fates: Fates) -> None:
        self.places = Places(fates)
        self.groups: dict[str, list[Deployment]] = {}
        self.cards: dict[str, dict[str, JsonObject]] = {}
        self.budgets: dict[str, tuple[str, str | None, str]] = {}
        """By target: amount, duration, and the path of the entry's parameters."""
        self._catalog = catalog
        self._fates = fates
        self._credentials: dict[str, dict[str, Node]] = {}

    def lend(self, node: Node | None) -> None:
        """Remember the shared credentials, which entries name."""
        for n, item in enumerate(node.items if isinstance(node, Series) else ()):
            keys = keys_of(item)
            self._credentials[text_of(keys.get("credential_name")) or ""] = keys_of(keys.get("credential_values"))
            self._fates.mapped(f"credential_list[{n}]", "the entries that name it")

    def add(self, node: Node | None) -> None:
        """Take every entry of the list."""
        if isinstance(node, Series):
            for n, item in enumerate(node.items):
                self._entry(f"model_list[{n}]", keys_of(item))

    def _entry(self, at: str, entry: Mapping[str, Node]) -> None:
        params, info = keys_of(entry.get("litellm_params")), keys_of(entry.get("model_info"))
        lent = text_of(params.get("litellm_credential_name"))
        if lent in self._credentials:
            params = {**self._credentials[lent], **params}
            self._fates.mapped(f"{at}.litellm_params.litellm_credential_name", "the provider's address and key")
        name = text_of(entry.get("model_name")) or ""
        refusal = None if _NAME.fullmatch(name) else "a name that clients ask for has no blanks"
        written = text_of(params.get("model")) or ""
        if refusal is None and "*" in name + written:
            self._pattern(at, name, written)
            return
        spot = refusal or self.places.spot(params, f"{at}.litellm_params")
        if isinstance(spot, Spot):
            self._prices(at, spot, params, info)
            spot = self._refusal(spot) or spot
        if not isinstance(spot, Spot):
            self._fates.dropped(at, f"{name or 'entry'}: {spot}")
            return
        self._keep(at, name, spot, params)

    def _pattern(self, at: str, name: str, written: str) -> None:
        provider = written.partition("/")[0]
        if written.endswith("/*") and name in {written, "*"} and provider in PROVIDERS:
            self._fates.mapped(at, f"nothing to be set: every {provider}/MODEL can be asked for")
        else:
            self._fates.dropped(at, f"{name}: names are not patterns; provider/model can be asked for as it is")

    def _refusal(self, spot: Spot) -> str | None:
        """Why a model cannot be called any more, or never could."""
        try:
            resolve(f"{spot.provider}/{spot.model}", None, self._catalog, {*PROVIDERS, *self.places.providers})
        except ConfigError as error:
            return error.message
        return None

    def _keep(self, at: str, name: str, spot: Spot, params: Mapping[str, Node]) -> None:
        target = f"{spot.provider}/{spot.model}"
        more: JsonObject = {} if spot.account is None else {"account": spot.account}
        for key, to in KEPT.items():
            if key in params:
                self._kept(f"{at}.litellm_params.{key}", params[key], to, more)
        amount = text_of(params.get("max_budget"))
        if amount is not None:
            self.budgets[target] = (amount, text_of(params.get("budget_duration")), f"{at}.litellm_params")
        self.groups.setdefault(name, []).append(Deployment(target, more))
        where = f"the name {name}"
        for key in ("model_name", "litellm_params.model", "litellm_params.custom_llm_provider"):
            self._fates.mapped(f"{at}.{key}", where)

    def _kept(self, path: str, node: Node, to: str, more: JsonObject) -> None:
        """A parameter that a deployment has too, if its value is one that may stand there."""
        value = number_of(text_of(node)) if to != "region" else text_of(node)
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        if whole is not None and _fits(to, node):
            more[to] = whole
            self._fates.mapped(path, f"deployments: {to}")
        else:
            self._fates.dropped(path, f"{text_of(node) or 'nothing'} is no {to}")

    def _prices(self, at: str, spot: Spot, params: Mapping[str, Node], info: Mapping[str, Node]) -> None:
        """A card with the prices and sizes an entry says, over what is known of the model it is based on."""
        rates: JsonObject = {}
        sizes: JsonObject = {}
        for section, keys in (("litellm_params", params), ("model_info", info)):
            for key, to in RATES.items():
                rate = per_million(text_of(keys.get(key)))
                if rate is not None:
                    rates[to] = rate
                    self._fates.mapped(f"{at}.{section}.{key}", f"price file: {spot.provider}/{spot.model}, {to} {rate}")
            for key, to in SIZES.items() if section == "model_info" else ():
                size = text_of(keys.get(key))
                if size is not None and size.isdecimal():
                    sizes[to] = int(size)
                    self._fates.mapped(f"{at}.{section}.{key}", f"price file: {to}")
        base = self._base(at, info)
        if rates.get("input") is not None and "output" not in rates:
            rates["output"] = "0"
        if ("input" in rates and "output" in rates) or sizes or base:
            self._card(spot, rates, sizes, base)

    def _base(self, at: str, info: Mapping[str, Node]) -> JsonObject:
        """The card of the model that a deployment says it is based on."""
        written = text_of(info.get("base_model"))
        if written is None:
            return {}
        provider, _, model = written.rpartition("/")
        cards = [card for card in self._catalog.named(model) if card.provider in {BASES.get(provider, provider), "openai"}]
        if not cards:
            self._fates.dropped(f"{at}.model_info.base_model", f"there is no card of {written}")
            return {}
        self._fates.mapped(f"{at}.model_info.base_model", f"price file: the card of {cards[0].name}")
        found: JsonObject = msgspec.to_builtins(cards[0])
        return found

    def _card(self, spot: Spot, rates: JsonObject, sizes: JsonObject, base: JsonObject) -> None:
        known = self._catalog.find(spot.provider, spot.model)
        found: JsonObject = base or ({} if known is None else msgspec.to_builtins(known))
        card = {
            key: value for key, value in found.items() if key in ("kind", "tier", "quality", "capabilities", "surface", "tags", "prices")
        }
        if "capabilities" in card:
            card["capabilities"] = {key: value for key, value in card["capabilities"].items() if value != getattr(ANY_MODEL, key)}
        if sizes:
            card["capabilities"] = {**card.get("capabilities", {}), **sizes}
        if "input" in rates and "output" in rates:
            card["prices"] = [{"since": _SINCE, "source": "the imported LiteLLM configuration", "rates": rates}]
        for price in card.get("prices", ()):
            price.pop("rule", None)
            price.pop("digest", None)
        names: JsonObject = {key: found[key] for key in ("snapshots", "aliases") if key in found and not base}
        self.cards.setdefault(spot.provider, {})[spot.model] = {"id": spot.model, "display_name": spot.model, **card, **names}


BASES = {"azure": "azure_openai", "bedrock": "bedrock", "vertex_ai": "vertex", "together_ai": "together"}


def _fits(to: str, node: Node) -> bool:
    try:
        DEPLOYMENT.fields[to].shape.read(node, to, Reading(folder=Path()))
    except ConfigError:
        return False
    return True


def keys_of(node: Node | None) -> dict[str, Node]:
    """The keys of a mapping; none of anything else."""
    return {key: value for key, (_, value) in node.entries.items()} if isinstance(node, Branch) else {}


def number_of(text: str | None) -> float | None:
    """A finite number; None for any other text."""
    try:
        found = None if text is None else Decimal(text)
    except InvalidOperation:
        return None
    return float(found) if found is not None and found.is_finite() else None


def per_million(text: str | None) -> str | None:
    """Dollars per token as dollars per million tokens, exactly; None for what is no price."""
    try:
        found = None if text is None else Decimal(text) * 1_000_000
    except InvalidOperation:
        return None
    if found is None or not found.is_finite() or not 0 <= found < 1_000_000_000 or found != found.quantize(Decimal("1e-9")):
        return None
    return f"{found.normalize():f}"
