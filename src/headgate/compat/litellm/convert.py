"""From the tree of a LiteLLM configuration to settings, a price file, and the fate of every key."""

from __future__ import annotations

import msgspec

from headgate.catalog.cards import Catalog
from headgate.compat.litellm.entries import Deployment, Entries, keys_of
from headgate.compat.litellm.fates import UNKNOWN, Fate, Fates
from headgate.compat.litellm.sections import Sections
from headgate.compat.litellm.tables import RULES
from headgate.config.tree import Branch, Node
from headgate.errors import ConfigError
from headgate.providers import PROVIDERS
from headgate.wire.json import JsonObject


class Imported(msgspec.Struct, frozen=True):
    """Settings, the documents of a price file (none: no prices were said), and what became of each key."""

    settings: JsonObject
    prices: tuple[JsonObject, ...]
    fates: tuple[Fate, ...]

    @property
    def dropped(self) -> tuple[Fate, ...]:
        """Keys without a counterpart."""
        return tuple(fate for fate in self.fates if fate.outcome == "dropped")

    @property
    def explained(self) -> float:
        """The share of keys that are mapped, approximated, or dropped for a reason."""
        unknown = sum(fate.reason == UNKNOWN for fate in self.fates)
        return 1.0 - unknown / len(self.fates) if self.fates else 1.0


def convert(root: Node, catalog: Catalog, catalog_file: str) -> Imported:
    """Convert a configuration. Raises `ConfigError` for what is none."""
    if not isinstance(root, Branch) or not {"model_list", "router_settings", "litellm_settings", "general_settings"} & set(root.entries):
        raise ConfigError("not a configuration of LiteLLM's proxy: it has no model_list", where=root.where)
    fates = Fates()
    entries = Entries(catalog, fates)
    keys = keys_of(root)
    entries.lend(keys.get("credential_list"))
    entries.add(keys.get("model_list"))
    sections = Sections(keys, entries, fates)
    settings: JsonObject = {}
    if entries.places.providers:
        settings["providers"] = entries.places.providers
    aliases, routes = _names(entries, sections, fates)
    settings |= {name: found for name, found in (("aliases", aliases), ("routes", routes)) if found}
    if entries.cards:
        settings["catalog_file"] = catalog_file
    return Imported({**settings, **sections.settings}, _documents(entries), fates.all(root, RULES))


def _names(entries: Entries, sections: Sections, fates: Fates) -> tuple[dict[str, str], dict[str, JsonObject]]:
    """Aliases and routes: a name with one plain deployment is an alias."""
    chains = {name: sections.fallbacks.get(name, sections.defaults) for name in entries.groups}
    plain = {name: group[0].target for name, group in entries.groups.items() if not chains[name] and _is_plain(group)}
    routes = {name: group for name, group in entries.groups.items() if name not in plain}

    def meant(name: str) -> str | None:
        other = sections.same.get(name, name)
        return plain.get(other) or (other if other in routes else None)

    lost: dict[str, list[str]] = {}
    for path, name in sections.named:
        if meant(name) is None and name not in lost.setdefault(path, []):
            lost[path].append(name)
    for path, names in lost.items():
        if names:
            fates.approximated(path, "fallbacks and aliases", f"without {', '.join(names)}: no entry that can be called has the name")
    found: dict[str, JsonObject] = {}
    for name, group in routes.items():
        found[name] = {"deployments": [_written(deployment) for deployment in group]}
        chain = dict.fromkeys(other for wanted in chains[name] if (other := meant(wanted)) not in (None, name))
        if chain:
            found[name]["fallback"] = list(chain)
    aliases = {name: target for name, target in plain.items() if name != target}
    more = {name: other for name in sections.same if name not in found and (other := meant(name)) is not None}
    return aliases | more, found


def _is_plain(group: list[Deployment]) -> bool:
    return len(group) == 1 and not group[0].more


def _written(deployment: Deployment) -> object:
    return {"model": deployment.target, **deployment.more} if deployment.more else deployment.target


def _documents(entries: Entries) -> tuple[JsonObject, ...]:
    """The price file: a document for each provider."""
    return tuple(
        {"provider": name, "label": PROVIDERS[name].label if name in PROVIDERS else name, "models": list(cards.values())}
        for name, cards in entries.cards.items()
    )
