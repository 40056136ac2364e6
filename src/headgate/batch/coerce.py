"""Repairs of an answer's values, led by the step's schema (OCT-91). Every repair is switched by a `Coercion` and noted."""

from __future__ import annotations

import re

from headgate.batch.answers import Extracted, extract_json
from headgate.batch.pipeline import Coercion
from headgate.wire.json import Json, JsonObject, encode_text

_MAX_HOPS = 16
_MAX_DEPTH = 64
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE][+-]?[0-9]{1,3})?")
_JSON_TYPES: dict[type, frozenset[str]] = {
    str: frozenset({"string"}),
    bool: frozenset({"boolean"}),
    int: frozenset({"integer", "number"}),
    float: frozenset({"number"}),
    list: frozenset({"array"}),
    dict: frozenset({"object"}),
    type(None): frozenset({"null"}),
}


class Coercer:
    """Applies the enabled coercions of one schema to answers."""

    def __init__(self, schema: JsonObject, enabled: frozenset[Coercion]) -> None:
        self._schema = schema
        self._enabled = enabled
        root = self._resolve(schema)
        self._required = frozenset(name for name in root.get("required", ()) if isinstance(name, str))
        self._properties = frozenset(root.get("properties", ()))

    def apply(self, answer: Json) -> tuple[Json, tuple[str, ...]]:
        """The repaired answer, and one note ``path: old → new`` for each repair. The given answer is not changed."""
        notes: list[str] = []
        return self._walk(self._unwrapped(answer, notes), self._schema, "$", 0, notes), tuple(notes)

    def _unwrapped(self, answer: Json, notes: list[str]) -> Json:
        if (
            Coercion.UNWRAP not in self._enabled
            or not isinstance(answer, dict)
            or "response" not in answer
            or "response" in self._properties
        ):
            return answer
        if self._required <= answer.keys():
            return answer
        inner = answer["response"]
        found = extract_json(inner) if isinstance(inner, str) else Extracted(inner)
        if not isinstance(found, Extracted) or not isinstance(found.value, dict):
            return answer
        notes.append("$: unwrapped from 'response'")
        return found.value

    def _resolve(self, schema: Json) -> JsonObject:
        for _ in range(_MAX_HOPS):
            reference = schema.get("$ref") if isinstance(schema, dict) else None
            if not isinstance(reference, str) or not reference.startswith("#"):
                break
            schema = resolve_pointer(self._schema, reference)
        return schema if isinstance(schema, dict) else {}

    def _walk(self, value: Json, schema: Json, path: str, depth: int, notes: list[str]) -> Json:
        if depth > _MAX_DEPTH:
            return value
        rules = self._resolve(schema)
        new = self._scalar(value, rules)
        if new is not value:
            notes.append(f"{path}: {_short(value)} → {_short(new)}")
        if isinstance(new, dict):
            return self._object(new, rules, path, depth, notes)
        items = rules.get("items")
        if isinstance(new, list) and isinstance(items, dict):
            done = [self._walk(item, items, f"{path}[{index}]", depth + 1, notes) for index, item in enumerate(new)]
            return done if any(a is not b for a, b in zip(done, new, strict=True)) else new
        return new

    def _object(self, value: JsonObject, rules: JsonObject, path: str, depth: int, notes: list[str]) -> JsonObject:
        properties = rules.get("properties")
        if not isinstance(properties, dict):
            return value
        changed = {}
        for name, schema in properties.items():
            if name in value:
                new = self._walk(value[name], schema, f"{path}.{name}", depth + 1, notes)
                if new is not value[name]:
                    changed[name] = new
        return {**value, **changed} if changed else value

    def _scalar(self, value: Json, rules: JsonObject) -> Json:
        allowed = rules.get("enum")
        if Coercion.ENUMS in self._enabled and isinstance(value, str) and isinstance(allowed, list) and value not in allowed:
            value = self._allowed_value(value, allowed)
        kinds = rules.get("type")
        wanted = frozenset([kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else ())
        if (
            isinstance(value, float)
            and "integer" in wanted
            and "number" not in wanted
            and value.is_integer()
            and self._on(Coercion.NUMBERS)
        ):
            return int(value)
        if not wanted or wanted & _JSON_TYPES.get(type(value), frozenset()):
            return value
        if isinstance(value, str):
            return self._from_text(value, wanted, rules)
        return [value] if "array" in wanted and value is not None and self._on(Coercion.ARRAYS) else value

    def _on(self, coercion: Coercion) -> bool:
        return coercion in self._enabled

    def _from_text(self, value: str, wanted: frozenset[str], rules: JsonObject) -> Json:
        text = value.strip()
        if self._on(Coercion.NUMBERS) and wanted & {"integer", "number"}:
            number = _number(text, integer_only="number" not in wanted)
            if number is not None:
                return number
        if self._on(Coercion.BOOLEANS) and "boolean" in wanted and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if self._on(Coercion.ARRAYS) and "array" in wanted:
            return self._array(value, rules)
        return value

    def _array(self, value: str, rules: JsonObject) -> Json:
        found = extract_json(value)
        if isinstance(found, Extracted) and isinstance(found.value, list):
            return found.value
        items = self._resolve(rules.get("items"))
        if self._on(Coercion.OCTOBATCH_TAGS) and "tag" in items.get("properties", ()):
            return [{"tag": value}]
        return [value]

    def _allowed_value(self, value: str, allowed: list[Json]) -> str:
        by_text = {item.strip().casefold(): item for item in allowed if isinstance(item, str)}
        for text in (value, value.split(" | ", 1)[0]):
            plain = text.strip().casefold()
            if self._on(Coercion.OCTOBATCH_SHADOW):
                plain = plain.removeprefix("shadow ").strip()
            if plain in by_text:
                return by_text[plain]
        return value


def _number(text: str, *, integer_only: bool) -> int | float | None:
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        number = float(text)
        if not integer_only:
            return number if abs(number) != float("inf") else None
        return int(number) if number.is_integer() and abs(number) < 2**53 else None
    return None


def _short(value: Json) -> str:
    text = encode_text(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def resolve_pointer(root: Json, reference: str) -> Json:
    """The part of `root` a local reference such as ``#/$defs/card`` names; None if there is none."""
    value = root
    for part in reference.removeprefix("#").split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value
