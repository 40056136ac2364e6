"""What became of each key of a configuration that is taken over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from headgate.config.tree import Branch, Node, Series

Outcome: TypeAlias = Literal["mapped", "approximated", "dropped"]
UNKNOWN = "not a key this import knows"
_INDEX = re.compile(r"\[\d+\]")


class Fate(msgspec.Struct, frozen=True):
    """One key: its path, what it became (`to`: where in our settings), and why, unless it is simply mapped."""

    key: str
    outcome: Outcome
    to: str = ""
    reason: str = ""


class Rule(msgspec.Struct, frozen=True):
    """What becomes of a key wherever it stands, when nothing more particular was said of it."""

    outcome: Outcome
    reason: str
    to: str = ""


class Fates:
    """Collects what is said of keys. What nothing was said of gets the reason of the table, or is dropped as unknown."""

    def __init__(self) -> None:
        self._said: dict[str, Fate] = {}

    def mapped(self, key: str, to: str) -> None:
        """The key lives on as it was."""
        self._said.setdefault(key, Fate(key, "mapped", to))

    def approximated(self, key: str, to: str, reason: str) -> None:
        """The key lives on, not quite as it was."""
        self._said[key] = Fate(key, "approximated", to, reason)

    def dropped(self, key: str, reason: str) -> None:
        """The key has no counterpart."""
        self._said[key] = Fate(key, "dropped", "", reason)

    def all(self, root: Node, rules: dict[str, Rule]) -> tuple[Fate, ...]:
        """The fate of every key of the configuration, in its order."""
        return tuple(self._fate(key, rules) for key in self._keys("", root, rules))

    def _keys(self, path: str, node: Node, rules: dict[str, Rule]) -> Iterator[str]:
        """Paths of the values; a mapping that something was said of as a whole is one key."""
        if path in self._said or (path and rule_for(path, rules) is not None):
            yield path
        elif isinstance(node, Branch) and node.entries:
            for name, (_, inner) in node.entries.items():
                yield from self._keys(f"{path}.{name}" if path else name, inner, rules)
        elif isinstance(node, Series) and any(isinstance(item, Branch) for item in node.items):
            for n, item in enumerate(node.items):
                yield from self._keys(f"{path}[{n}]", item, rules)
        else:
            yield path

    def _fate(self, key: str, rules: dict[str, Rule]) -> Fate:
        if key in self._said:
            return self._said[key]
        rule = rule_for(key, rules)
        return Fate(key, "dropped", "", UNKNOWN) if rule is None else Fate(key, rule.outcome, rule.to, rule.reason)


def rule_for(key: str, rules: dict[str, Rule]) -> Rule | None:
    """The rule for a path, whose list positions do not matter; a name that ends in * stands for all that begin so."""
    plain = _INDEX.sub("", key)
    found = rules.get(plain)
    if found is not None:
        return found
    parent, _, name = plain.rpartition(".")
    return next((rule for pattern, rule in rules.items() if pattern.endswith("*") and _begins(f"{parent}.{name}", pattern[:-1])), None)


def _begins(key: str, prefix: str) -> bool:
    return key.startswith(prefix) and "." not in key[len(prefix) :]
