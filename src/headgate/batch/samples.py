"""What an answer to a JSON Schema may look like, and how long it may be: for estimates, before any model has answered. Pure."""

from __future__ import annotations

from enum import Enum

from headgate.batch.coerce import resolve_pointer
from headgate.batch.pipeline import Rules
from headgate.wire.json import Json, JsonObject, encode_text

MAX_DEPTH = 12
MOST_ITEMS = 3
"""Elements of a made-up array: it is there to be looked at, not to be long."""
MOST_PARTS = 2_000
_HOPS = 16


class Size(Enum):
    """How much a model writes where the schema leaves it open."""

    SHORT = "short"
    USUAL = "usual"
    LONG = "long"


TEXT_LENGTH = {Size.SHORT: 20, Size.USUAL: 120, Size.LONG: 600}
"""Characters of a text whose length the schema leaves open."""
ARRAY_LENGTH = {Size.SHORT: 1, Size.USUAL: 3, Size.LONG: 10}
"""Elements of an array whose length the schema leaves open."""
BLANKS = {Size.SHORT: 1.0, Size.USUAL: 1.15, Size.LONG: 1.5}
"""How much longer an answer is than its JSON without blanks: indentation, a fence around it."""
_FORMATS = {
    "date": "2026-11-30",
    "time": "12:00:00Z",
    "date-time": "2026-11-30T12:00:00Z",
    "uuid": "3f2b8c1e-5d4a-4e6f-9a7b-1c2d3e4f5a6b",
    "email": "someone@example.com",
    "uri": "https://example.com/place",
    "ipv4": "192.0.2.1",
}
_PROSE = "a few plain words that stand for what a model may write here, "


class Sampler:
    """Makes answers of one `Size` for one schema."""

    def __init__(self, schema: JsonObject, size: Size = Size.USUAL) -> None:
        self._root = schema
        self._size = size
        self._lengths: dict[tuple[int, int], int] = {}
        self._parts = 0

    def value(self) -> Json:
        """A plausible answer. Its arrays have at most `MOST_ITEMS` elements, more only where the schema demands them."""
        self._parts = 0
        return self._value(self._root, 0)

    def length(self) -> int:
        """Characters of an answer, arrays at their full length."""
        return round(self._length(self._root, 0) * BLANKS[self._size])

    def _value(self, schema: Json, depth: int) -> Json:
        node = resolved(self._root, schema)
        self._parts += 1
        kind = kind_of(node)
        if kind not in ("object", "array") or "const" in node or node.get("enum"):
            return self._leaf(node, kind)
        if depth >= MAX_DEPTH or self._parts > MOST_PARTS:
            return [] if kind == "array" else {}
        if kind == "object":
            return {name: self._value(below, depth + 1) for name, below in self._properties(node, depth).items()}
        low, high = array_bounds(node)
        count = max(low, min(self._count(node), MOST_ITEMS if high is None else min(high, MOST_ITEMS)))
        return [self._value(_element(node, n), depth + 1) for n in range(min(count, MOST_PARTS))]

    def _length(self, schema: Json, depth: int) -> int:
        key = (id(schema), depth)
        if key not in self._lengths:
            self._lengths[key] = self._measured(resolved(self._root, schema), depth)
        return self._lengths[key]

    def _measured(self, node: JsonObject, depth: int) -> int:
        kind = kind_of(node)
        if kind not in ("object", "array") or "const" in node or node.get("enum"):
            return len(encode_text(self._leaf(node, kind)))
        if depth >= MAX_DEPTH:
            return 2
        if kind == "object":
            below = self._properties(node, depth).items()
            return 2 + sum(len(name) + 4 + self._length(child, depth + 1) for name, child in below)
        prefix = node.get("prefixItems")
        fixed = prefix if isinstance(prefix, list) else []
        more = max(0, self._count(node) - len(fixed))
        return 2 + sum(1 + self._length(part, depth + 1) for part in fixed) + more * (1 + self._length(node.get("items"), depth + 1))

    def _properties(self, node: JsonObject, depth: int) -> JsonObject:
        """What an object has: everything that is named; the shortest, and one deep down, only what must be there."""
        properties = node.get("properties")
        required = node.get("required")
        known: JsonObject = properties if isinstance(properties, dict) else {}
        if isinstance(required, list) and (self._size is Size.SHORT or depth > MAX_DEPTH // 2):
            return {name: known.get(name) for name in required if isinstance(name, str)}
        return known

    def _count(self, node: JsonObject) -> int:
        low, high = array_bounds(node)
        usual = max(low, ARRAY_LENGTH[self._size])
        if high is None:
            return usual
        return {Size.SHORT: low, Size.USUAL: (low + high + 1) // 2, Size.LONG: high}[self._size]

    def _leaf(self, node: JsonObject, kind: str) -> Json:
        if "const" in node:
            return node["const"]
        options = node.get("enum")
        if isinstance(options, list) and options:
            return self._chosen(sorted(options, key=lambda option: len(encode_text(option))))
        if kind == "string":
            return self._text(node)
        if kind in ("integer", "number"):
            return self._number(node, kind)
        return True if kind == "boolean" else None

    def _chosen(self, options: list[Json]) -> Json:
        return options[{Size.SHORT: 0, Size.USUAL: len(options) // 2, Size.LONG: -1}[self._size]]

    def _text(self, node: JsonObject) -> str:
        fixed = _FORMATS.get(str(node.get("format")))
        if fixed is not None:
            return fixed
        low, high = _count_of(node, "minLength", 0), _count_of(node, "maxLength", None)
        wanted = max(low or 0, TEXT_LENGTH[self._size])
        if high is not None:
            wanted = min(wanted, high) if self._size is not Size.LONG else high
        return (_PROSE * (wanted // len(_PROSE) + 1))[:wanted]

    def _number(self, node: JsonObject, kind: str) -> Json:
        low, high = _bound(node, "minimum", "exclusiveMinimum", 1), _bound(node, "maximum", "exclusiveMaximum", -1)
        if low is None:
            low = 0.0 if high is None or high >= 0 else high - 100
        top = low + 100 if high is None else max(low, high)
        value = {Size.SHORT: low, Size.USUAL: (low + top) / 2, Size.LONG: top}[self._size]
        if kind == "number":
            return round(value, 4)
        step = node.get("multipleOf")
        unit = step if isinstance(step, int) and step > 0 else 1
        return int(value // unit) * unit if int(value // unit) * unit >= low else -int(-low // unit) * unit


def resolved(root: JsonObject, schema: Json) -> JsonObject:
    """A node with its local references followed, `allOf` merged, and the first usable branch of a union taken."""
    node: JsonObject = schema if isinstance(schema, dict) else {}
    for _ in range(_HOPS):
        if isinstance(node.get("$ref"), str):
            target = root if node["$ref"] == "#" else resolve_pointer(root, node["$ref"])
            rest = {key: item for key, item in node.items() if key != "$ref"}
            node = {**(target if isinstance(target, dict) else {}), **rest}
        elif isinstance(node.get("allOf"), list):
            node = _merged(node, [resolved(root, part) for part in node["allOf"]])
        elif isinstance(union := node.get("anyOf") or node.get("oneOf"), list):
            rest = {key: item for key, item in node.items() if key not in ("anyOf", "oneOf")}
            node = {**rest, **_branch(union)}
        else:
            break
    return node


def _merged(node: JsonObject, parts: list[JsonObject]) -> JsonObject:
    merged: JsonObject = {key: item for key, item in node.items() if key != "allOf"}
    for part in parts:
        for key, item in part.items():
            if key == "properties" and isinstance(item, dict):
                merged[key] = {**merged.get(key, {}), **item}
            elif key == "required" and isinstance(item, list):
                merged[key] = [*merged.get(key, []), *item]
            else:
                merged.setdefault(key, item)
    return merged


def _branch(union: list[Json]) -> JsonObject:
    branches: list[JsonObject] = [part for part in union if isinstance(part, dict)]
    usable = [part for part in branches if part.get("type") != "null"]
    return (usable or branches or [{}])[0]


def kind_of(node: JsonObject) -> str:
    """The one JSON type that a resolved node asks for."""
    kind = node.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in node or "required" in node:
        return "object"
    return "array" if "items" in node or "prefixItems" in node else "string"


def array_bounds(node: JsonObject) -> tuple[int, int | None]:
    """The least and most elements of an array node; None: left open. Without a word an array is taken to have one at least."""
    return _count_of(node, "minItems", 1) or 0, _count_of(node, "maxItems", None)


def _element(node: JsonObject, n: int) -> Json:
    prefix = node.get("prefixItems")
    return prefix[n] if isinstance(prefix, list) and n < len(prefix) else node.get("items")


def _count_of(node: JsonObject, key: str, default: int | None) -> int | None:
    value = node.get(key, default)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default


def _bound(node: JsonObject, key: str, exclusive: str, inward: int) -> float | None:
    value, open_ = node.get(key), node.get(exclusive)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(open_, int | float) and not isinstance(open_, bool):
        return open_ + inward * (1.0 if isinstance(open_, int) else 0.001)
    return None


def narrowed(schema: JsonObject, rules: Rules) -> JsonObject:
    """`schema` with what the step's rules say of its top level: required fields, allowed values, ranges and types."""
    node = resolved(schema, schema)
    properties: JsonObject = dict(node.get("properties") or {})
    for name in {*rules.required, *rules.types, *rules.enums, *rules.ranges}:
        own = dict(resolved(schema, properties.get(name)))
        if name in rules.types:
            own.setdefault("type", _TYPES.get(rules.types[name], rules.types[name]))
        if rules.enums.get(name):
            own.setdefault("enum", list(rules.enums[name]))
        low, high = rules.ranges.get(name, (None, None))
        own |= {key: value for key, value in (("minimum", low), ("maximum", high)) if value is not None and key not in own}
        if name in rules.ranges:
            own.setdefault("type", "number")
        properties[name] = own
    return {**schema, **node, "properties": properties} if properties else schema


_TYPES = {"float": "number", "list": "array", "dict": "object"}
