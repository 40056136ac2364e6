"""YAML as a tree of texts with their places, read with the bounds that hostile or careless files need (faults I12, I13).

Scalars follow YAML 1.2's core schema and keep the text they were written with, so that ``no``, ``1.10`` and ``2026-01-01`` stay what they
are. Tags and merge keys are refused, keys may not stand twice, and aliases, nesting, nodes and bytes are bounded. ``${NAME}`` in a scalar
is replaced by a variable's value after everything was parsed: what comes out of a variable is text, never YAML.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import msgspec
import yaml

from headgate.errors import ConfigError
from headgate.wire.json import Json

LARGEST = 256 << 10
DEEPEST = 24
MOST_NODES = 50_000
MOST_ALIASES = 64
HINT = "headgate config check"
Kind: TypeAlias = Literal["null", "bool", "int", "float", "str"]

_PLAIN: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("null", re.compile(r"~|null|Null|NULL|")),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    ("int", re.compile(r"[-+]?[0-9]+")),
    ("float", re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")),
)
_VARIABLE = re.compile(r"\$(\$)?\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")


class Leaf(msgspec.Struct, frozen=True):
    """A single value as it was written. `variable` is the text before variables were put in; None where it has none."""

    text: str
    kind: Kind
    where: str
    variable: str | None = None

    def __repr__(self) -> str:
        return f"Leaf({self.kind} at {self.where})"


class Series(msgspec.Struct, frozen=True):
    """A list."""

    items: tuple[Node, ...]
    where: str


class Branch(msgspec.Struct, frozen=True):
    """A mapping: keys in their order, with the place of each."""

    entries: dict[str, tuple[str, Node]]
    where: str


Node: TypeAlias = Leaf | Series | Branch


def read_tree(path: Path) -> Node | None:
    """The tree of a file; None for an empty one. Raises `ConfigError`."""
    try:
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"larger than {LARGEST:,} bytes", where=str(path))
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path), hint=f"ls -l {path}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text (byte {error.start})", where=str(path), hint=f"file {path}") from error
    return parse_tree(text, str(path))


def parse_tree(text: str, name: str) -> Node | None:
    """The tree of a YAML (or JSON) text; None for an empty one. `name` stands in places. Raises `ConfigError`."""
    try:
        _bounded(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"not valid YAML: {error.problem}", where=_place(name, error.problem_mark), hint=HINT) from error
    except _Refused as error:
        raise ConfigError(str(error), where=_place(name, error.event.start_mark), hint=HINT) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {error}", where=name, hint=HINT) from error
    return None if root is None else _Converter(name).node(root)


class _Refused(yaml.YAMLError):
    """A text that is YAML, but more than is taken."""

    def __init__(self, problem: str, event: yaml.Event) -> None:
        super().__init__(problem)
        self.event = event


def _bounded(text: str) -> None:
    """Raise for a text that nests too deep, has too many aliases, or tags; seen from its events, before anything is built of it."""
    depth = aliases = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += _DEEPER.get(type(event), 0)
        aliases += isinstance(event, yaml.AliasEvent)
        problem = (
            f"nested deeper than {DEEPEST} levels"
            if depth > DEEPEST
            else f"more than {MOST_ALIASES} aliases"
            if aliases > MOST_ALIASES
            else "tags (!…) are not taken"
            if getattr(event, "tag", None) is not None
            else None
        )
        if problem is not None:
            raise _Refused(problem, event)


_DEEPER: dict[type[yaml.Event], int] = {
    yaml.MappingStartEvent: 1,
    yaml.SequenceStartEvent: 1,
    yaml.MappingEndEvent: -1,
    yaml.SequenceEndEvent: -1,
}


class _Converter:
    """Makes our tree of composed nodes. Aliases are copied, so what they make of a text is counted."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def node(self, found: yaml.Node, depth: int = 0) -> Node:
        """The node for a composed one."""
        where = _place(self._name, found.start_mark)
        self._count += 1
        if self._count > MOST_NODES or depth > DEEPEST:
            raise ConfigError("its aliases make more of it than is taken", where=where, hint=HINT)
        if isinstance(found, yaml.MappingNode):
            return Branch(self._entries(found, depth), where)
        if isinstance(found, yaml.SequenceNode):
            return Series(tuple(self.node(item, depth + 1) for item in found.value), where)
        quoted = isinstance(found, yaml.ScalarNode) and found.style is not None
        return Leaf(found.value, "str" if quoted else kind_of(found.value), where)

    def _entries(self, found: yaml.MappingNode, depth: int) -> dict[str, tuple[str, Node]]:
        entries: dict[str, tuple[str, Node]] = {}
        for key, value in found.value:
            where = _place(self._name, key.start_mark)
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or name == "<<":
                raise ConfigError(
                    "merge keys (<<) are not taken; write the keys out" if name else "a key must be a single text", where=where, hint=HINT
                )
            if name in entries:
                raise ConfigError(f'the key "{name}" stands here twice (first at {entries[name][0]})', where=where, hint=HINT)
            entries[name] = (where, self.node(value, depth + 1))
        return entries


def kind_of(text: str) -> Kind:
    """What an unquoted scalar is."""
    return next((kind for kind, pattern in _PLAIN if pattern.fullmatch(text)), "str")


class Mark(Protocol):
    """What the parser, in C or not, knows of a place."""

    line: int
    column: int


def _place(name: str, mark: Mark | None) -> str:
    return name if mark is None else f"{name}:{mark.line + 1}:{mark.column + 1}"


def substituted(node: Node, value_of: Callable[[str], str | None]) -> Node:
    """`node` with ``${NAME}`` and ``${NAME:-otherwise}`` replaced by what `value_of` says; ``$${`` is written for ``${``.

    Raises `ConfigError` for a variable that has no value and no otherwise.
    """
    if isinstance(node, Series):
        return Series(tuple(substituted(item, value_of) for item in node.items), node.where)
    if isinstance(node, Branch):
        return Branch({key: (where, substituted(value, value_of)) for key, (where, value) in node.entries.items()}, node.where)
    return _filled(node, value_of) if "${" in node.text else node


def _filled(leaf: Leaf, value_of: Callable[[str], str | None]) -> Leaf:
    def put(match: re.Match[str]) -> str:
        doubled, name, otherwise = match.groups()
        if doubled:
            return match[0][1:]
        if name is None:
            raise ConfigError("${ is not followed by a variable's name and }; write $${ for the characters themselves", where=leaf.where)
        found = value_of(name)
        if found is None and otherwise is None:
            raise ConfigError(f"the variable {name} is not set", where=leaf.where, hint=f"export {name}=…")
        return otherwise if found is None else found

    return Leaf(_VARIABLE.sub(put, leaf.text), "str", leaf.where, leaf.text)


def plain(node: Node) -> Json:
    """The node as JSON values, as an editor reads it."""
    if isinstance(node, Series):
        return [plain(item) for item in node.items]
    if isinstance(node, Branch):
        return {key: plain(value) for key, (_, value) in node.entries.items()}
    written = node.variable if node.variable is not None else node.text
    return _JSON[node.kind](written)


_JSON: dict[Kind, Callable[[str], Json]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "float": float,
    "str": str,
}
