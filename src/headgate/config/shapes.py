"""What a section of the settings may hold, as values: one table reads it, explains what is wrong, and becomes the schema for editors.

A shape takes a node of the tree and gives a value, or raises `ConfigError` with the place, what is allowed, and the name that was meant.
Wherever a single value stands, ``${NAME}`` may stand too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol

import msgspec

from headgate.config.environment import Environment
from headgate.config.tree import HINT, Branch, Kind, Leaf, Node, Series
from headgate.errors import ConfigError
from headgate.wire.json import JsonObject

VARIABLE_PATTERN = r"\$\{[A-Za-z_]"
"""In the schema: a text that a variable is put into is not looked at closer."""


class Reading(msgspec.Struct, frozen=True):
    """What reading may depend on, and `origins`, where the place of each value read is noted by its path ("routing.strategy")."""

    folder: Path
    environment: Environment = Environment({})
    origins: dict[str, str] = {}


class Shape(Protocol):
    """What may stand somewhere. `words` says it in the documentation."""

    @property
    def words(self) -> str:
        """For people: "whole number from 1"."""

    def read(self, node: Node, at: str, reading: Reading) -> object:
        """The value of a node at the path `at`. Raises `ConfigError`."""

    def schema(self) -> JsonObject:
        """JSON Schema of everything that `read` takes."""


def wrong(node: Node, at: str, what: str) -> ConfigError:
    """The error for a node that is not what it must be."""
    return ConfigError(f"{at} {what}", where=node.where, hint=HINT)


class One(msgspec.Struct, frozen=True, kw_only=True):
    """A single value: `parse` makes it of the text, or raises ValueError saying what it must be.

    `kinds` are those of YAML that may be written; `secret` keeps the text out of messages.
    """

    words: str
    parse: Callable[[str], object]
    kinds: frozenset[Kind]
    json: JsonObject
    secret: bool = False

    def read(self, node: Node, at: str, reading: Reading) -> object:
        """See `Shape`."""
        if not isinstance(node, Leaf):
            raise wrong(node, at, f"must be {articled(self.words)}, not a {'list' if isinstance(node, Series) else 'mapping'}")
        if node.variable is None and node.kind not in self.kinds:
            raise wrong(node, at, _unwritten(node, self.words))
        try:
            value = self.parse(node.text)
        except ValueError as error:
            shown = "" if self.secret else f", not {node.variable or node.text!r}"
            raise wrong(node, at, f"must be {error}{shown}") from error
        reading.origins[at] = node.where
        return value

    def schema(self) -> JsonObject:
        """See `Shape`."""
        if "str" in self.kinds and "pattern" not in self.json and "enum" not in self.json and "anyOf" not in self.json:
            return self.json
        return {"anyOf": [self.json, {"type": "string", "pattern": VARIABLE_PATTERN}]}


def articled(words: str) -> str:
    """`words` as they follow "must be"."""
    return f"a {words}" if words.partition(" ")[0].rstrip(":") in {"whole", "number", "text", "name", "URL"} else words


def _unwritten(leaf: Leaf, words: str) -> str:
    if leaf.kind == "null":
        return f"has no value: give one ({words}), or leave the key out"
    words = articled(words)
    quotes = ", and in quotes" if leaf.kind in {"bool", "int", "float"} and words.startswith("a text") else ""
    return f"must be {words}{quotes}, not {leaf.text}" if leaf.kind != "str" else f"must be {words}, not the text {leaf.text!r}"


class Items(msgspec.Struct, frozen=True, kw_only=True):
    """A list of one shape, as a tuple."""

    item: Shape
    least: int = 0
    most: int = 10_000
    check: Callable[[tuple[object, ...]], None] = lambda items: None
    """Raises ValueError for items that do not go together."""

    @property
    def words(self) -> str:
        """See `Shape`."""
        return f"list: {self.item.words}"

    def read(self, node: Node, at: str, reading: Reading) -> object:
        """See `Shape`."""
        if not isinstance(node, Series):
            raise wrong(node, at, "must be a list, such as [a, b]")
        if not self.least <= len(node.items) <= self.most:
            raise wrong(node, at, f"must have {self.least} to {self.most} items, not {len(node.items)}")
        found = tuple(self.item.read(item, f"{at}[{n}]", reading) for n, item in enumerate(node.items))
        try:
            self.check(found)
        except ValueError as error:
            raise wrong(node, at, str(error)) from error
        reading.origins[at] = node.where
        return found

    def schema(self) -> JsonObject:
        """See `Shape`."""
        return {"type": "array", "items": self.item.schema(), "minItems": self.least, "maxItems": self.most}


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping from names, which a user chooses, to one shape, as a dict. `check` may refuse or change an entry, by ValueError."""

    item: Shape
    pattern: str
    name_words: str
    check: Callable[[str, object, Reading], object] = lambda name, value, reading: value

    @property
    def words(self) -> str:
        """See `Shape`."""
        return f"mapping: {self.item.words}"

    def read(self, node: Node, at: str, reading: Reading) -> object:
        """See `Shape`."""
        if not isinstance(node, Branch):
            raise wrong(node, at, "must be a mapping")
        found: dict[str, object] = {}
        for name, (where, value) in node.entries.items():
            if not re.fullmatch(self.pattern, name):
                raise ConfigError(f"{at} has the name {name!r}: it must be {self.name_words}", where=where, hint=HINT)
            read = self.item.read(value, f"{at}.{name}", reading)
            try:
                found[name] = self.check(name, read, reading)
            except ValueError as error:
                raise wrong(value, f"{at}.{name}", str(error)) from error
        reading.origins[at] = node.where
        return found

    def schema(self) -> JsonObject:
        """See `Shape`."""
        return {"type": "object", "propertyNames": {"pattern": f"^(?:{self.pattern})$"}, "additionalProperties": self.item.schema()}


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a record: what it holds, what it means, and the name of the value's field where that is another."""

    shape: Shape
    meaning: str = ""
    required: bool = False
    to: str | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping of known keys, made into a value by `make`, which may raise ValueError for keys that do not go together.

    `short` names the key that a single value stands for ("openai/gpt-5" for {model: openai/gpt-5}). `any_of` are groups of keys of which
    at least one must be there.
    """

    fields: Mapping[str, Field]
    make: Callable[[dict[str, object], Reading], object]
    short: str | None = None
    any_of: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """See `Shape`."""
        return "mapping, see below" if self.short is None else f"mapping, see below, or its {self.short} alone"

    def read(self, node: Node, at: str, reading: Reading) -> object:
        """See `Shape`."""
        values = self._values(node, at, reading)
        try:
            made = self.make(values, reading)
        except ValueError as error:
            raise wrong(node, at, str(error)) from error
        reading.origins[at] = node.where
        return made

    def _values(self, node: Node, at: str, reading: Reading) -> dict[str, object]:
        if self.short is not None and isinstance(node, Leaf):
            return {self._to(self.short): self.fields[self.short].shape.read(node, f"{at}.{self.short}", reading)}
        if not isinstance(node, Branch):
            raise wrong(node, at, f"must be a mapping with keys of {', '.join(self.fields)}")
        for name, (where, _) in node.entries.items():
            if name not in self.fields:
                raise unknown_key(name, self.fields, at, where)
        missing = [name for name, field in self.fields.items() if field.required and name not in node.entries]
        if missing or (self.any_of and not set(self.any_of) & set(node.entries)):
            raise wrong(node, at, f"needs {missing[0] if missing else 'one of ' + ', '.join(self.any_of)}")
        return {self._to(name): self.fields[name].shape.read(value, f"{at}.{name}", reading) for name, (_, value) in node.entries.items()}

    def _to(self, name: str) -> str:
        return self.fields[name].to or name

    def schema(self) -> JsonObject:
        """See `Shape`."""
        properties = {name: _described(field) for name, field in self.fields.items()}
        found: JsonObject = {"type": "object", "additionalProperties": False, "properties": properties}
        required = [name for name, field in self.fields.items() if field.required]
        if required:
            found["required"] = required
        if self.any_of:
            found["anyOf"] = [{"required": [name]} for name in self.any_of]
        return found if self.short is None else {"anyOf": [found, self.fields[self.short].shape.schema()]}


def _described(field: Field) -> JsonObject:
    return field.shape.schema() | ({"description": field.meaning} if field.meaning else {})


def unknown_key(name: str, known: Mapping[str, object], at: str, where: str) -> ConfigError:
    """The error for a key that is none, with the one that was meant."""
    close = get_close_matches(name, list(known), n=1)
    meant = f' (did you mean "{close[0]}"?)' if close else f"; known are {', '.join(sorted(known))}"
    return ConfigError(f'unknown key "{name}"{f" of {at}" if at else ""}{meant}', where=where, hint=HINT)
