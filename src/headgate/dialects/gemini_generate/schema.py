"""JSON Schema and the older Gemini subset of it (an OpenAPI 3.0 schema), both ways (translation case 80).

The subset is used only where a model does not take `parametersJsonSchema` / `responseJsonSchema`. Whatever the subset cannot say is
reported, one report per place; references are inlined, and a recursive one is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.gemini_generate.writer import Writer
from headgate.errors import Unsupported, WireError
from headgate.wire.json import Json, JsonObject, encode_text, type_name

MAX_DEPTH = 64
MAX_NODES = 5000

_KEPT = frozenset(
    {
        "type",
        "format",
        "title",
        "description",
        "nullable",
        "enum",
        "maxItems",
        "minItems",
        "required",
        "minProperties",
        "maxProperties",
        "minLength",
        "maxLength",
        "pattern",
        "example",
        "propertyOrdering",
        "default",
        "minimum",
        "maximum",
    }
)
_FORMATS = frozenset({"float", "double", "int32", "int64", "enum", "date-time"})
_SILENT = frozenset({"$defs", "definitions"})
_TYPES = frozenset({"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"})


def is_open_object(schema: Json) -> bool:
    """A schema that names no property at all: a function without parameters."""
    return not isinstance(schema, dict) or (
        not (schema.keys() - {"type", "properties", "additionalProperties", "required", "$schema"})
        and not (schema.get("properties") or schema.get("required"))
    )


def to_subset(schema: Json, writer: Writer, field: str) -> JsonObject:
    """A JSON Schema in the subset. Raises `Unsupported` for recursion and for schemas too deep or too large to inline."""
    if not isinstance(schema, dict):
        raise Unsupported(f"{field} must be a schema object, not {type_name(schema)}", param=field)
    return _Converter(schema, writer, field).convert(schema, field, (), 0)


class _Converter:
    """One conversion: the document that references point into, and a bound on the work."""

    def __init__(self, document: JsonObject, writer: Writer, field: str) -> None:
        self._document = document
        self._writer = writer
        self._field = field
        self._nodes = 0

    def convert(self, schema: JsonObject, path: str, trail: tuple[str, ...], depth: int) -> JsonObject:
        """One schema object; `trail` holds the references being followed."""
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise Unsupported(f"{self._field} is too deep or too large to inline for this model", param=self._field)
        while "$ref" in schema:
            schema, trail = self._resolve(schema, path, trail)
        schema = self._without_all_of(schema, path)
        result: JsonObject = {}
        for key, value in schema.items():
            act = _ACTS.get(key)
            if act is not None:
                act(self, result, value, f"{path}.{key}", trail, depth)
            elif key in _KEPT:
                result[key] = value
            elif key not in _SILENT:
                self._writer.drop(f"{path}.{key}", "not in this model's schema subset")
        return self._tidied(result, path)

    def _resolve(self, schema: JsonObject, path: str, trail: tuple[str, ...]) -> tuple[JsonObject, tuple[str, ...]]:
        """Replace a reference by what it names; keywords beside it stay and win."""
        reference = schema["$ref"]
        if reference in trail:
            raise Unsupported(f"{path} refers to itself ({reference}): this model's schema subset has no recursion", param=path)
        target: Json = self._document
        steps = reference[2:].split("/") if isinstance(reference, str) and reference.startswith("#/") else ["\0"]
        for step in steps:
            name = step.replace("~1", "/").replace("~0", "~")
            target = target.get(name) if isinstance(target, dict) else None
        if not isinstance(target, dict):
            raise Unsupported(f"{path}: {encode_text(reference)} names nothing in this schema", param=path)
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return {**target, **beside}, (*trail, reference)

    def _without_all_of(self, schema: JsonObject, path: str) -> JsonObject:
        """Fold `allOf` into the schema itself where its parts do not contradict each other."""
        parts = schema.get("allOf")
        if not isinstance(parts, list):
            return schema
        merged: JsonObject = {key: value for key, value in schema.items() if key != "allOf"}
        for index, part in enumerate(parts):
            if isinstance(part, dict) and "$ref" in part:
                part, _ = self._resolve(part, path, ())
            if isinstance(part, dict) and "allOf" not in part:
                self._fold_in(merged, part, f"{path}.allOf[{index}]")
            else:
                self._writer.drop(f"{path}.allOf[{index}]", "not in this model's schema subset")
        return merged

    def _fold_in(self, merged: JsonObject, part: JsonObject, path: str) -> None:
        for key, value in part.items():
            old = merged.get(key)
            if old is None or old == value:
                merged[key] = value
            elif key == "properties" and isinstance(old, dict) and isinstance(value, dict):
                merged[key] = {**old, **value}
            elif key == "required" and isinstance(old, list) and isinstance(value, list):
                merged[key] = old + [name for name in value if name not in old]
            else:
                self._writer.drop(f"{path}.{key}", "contradicts the schema around it")

    def _tidied(self, schema: JsonObject, path: str) -> JsonObject:
        """What the subset insists on: string enums, `required` only of properties that exist."""
        values = schema.get("enum")
        if isinstance(values, list) and any(not isinstance(value, str) for value in values):
            if None in values:
                schema["nullable"] = True
            schema["enum"] = [value if isinstance(value, str) else encode_text(value) for value in values if value is not None]
            schema["type"] = "string"
            self._writer.approximate(f"{path}.enum", "this model's schema subset has string enums only")
        names, properties = schema.get("required"), schema.get("properties")
        if isinstance(names, list) and isinstance(properties, dict) and any(name not in properties for name in names):
            schema["required"] = [name for name in names if name in properties]
            self._writer.drop(f"{path}.required", "names properties that are not described")
        return schema

    def properties(self, result: JsonObject, value: Json, path: str, trail: tuple[str, ...], depth: int) -> None:
        """Each property's schema, in order."""
        if isinstance(value, dict) and value:
            result["properties"] = {name: self._sub(sub, f"{path}.{name}", trail, depth) for name, sub in value.items()}

    def items(self, result: JsonObject, value: Json, path: str, trail: tuple[str, ...], depth: int) -> None:
        """The schema of an array's items."""
        result["items"] = self._sub(value, path, trail, depth)

    def any_of(self, result: JsonObject, value: Json, path: str, trail: tuple[str, ...], depth: int) -> None:
        """Alternatives; a null among them becomes `nullable`, a single one left is the schema itself."""
        options = value if isinstance(value, list) else [value]
        real = [option for option in options if not (isinstance(option, dict) and option.get("type") == "null")]
        if len(real) < len(options):
            result["nullable"] = True
        converted = [self._sub(option, f"{path}[{index}]", trail, depth) for index, option in enumerate(real)]
        if len(converted) == 1:
            for key, inner in converted[0].items():
                result.setdefault(key, inner)
        elif converted:
            result["anyOf"] = converted

    def one_of(self, result: JsonObject, value: Json, path: str, trail: tuple[str, ...], depth: int) -> None:
        """`oneOf` as `anyOf`: the subset does not check that exactly one matches."""
        self._writer.approximate(path, "sent as anyOf")
        self.any_of(result, value, path, trail, depth)

    def kinds(self, result: JsonObject, value: Json, path: str, trail: tuple[str, ...], depth: int) -> None:
        """`type`, which may be a list in JSON Schema: null becomes `nullable`, several types become `anyOf`."""
        if not isinstance(value, list):
            result["type"] = value
            return
        real = [kind for kind in value if kind != "null"]
        if len(real) < len(value):
            result["nullable"] = True
        if len(real) == 1:
            result["type"] = real[0]
        elif real:
            result["anyOf"] = [{"type": kind} for kind in real]

    def const(self, result: JsonObject, value: Json, path: str, trail: tuple[str, ...], depth: int) -> None:
        """A constant as an enum of one."""
        result["enum"] = [value]
        if isinstance(value, str):
            result.setdefault("type", "string")

    def form(self, result: JsonObject, value: Json, path: str, trail: tuple[str, ...], depth: int) -> None:
        """`format`, of which the subset knows a few."""
        if value in _FORMATS:
            result["format"] = value
        else:
            self._writer.drop(path, f"format {value!r} is not in this model's schema subset")

    def _sub(self, schema: Json, path: str, trail: tuple[str, ...], depth: int) -> JsonObject:
        if isinstance(schema, dict):
            return self.convert(schema, path, trail, depth + 1)
        if schema is not True:
            self._writer.drop(path, "not in this model's schema subset")
        return {}


_ACTS: dict[str, Callable[..., None]] = {
    "properties": _Converter.properties,
    "items": _Converter.items,
    "anyOf": _Converter.any_of,
    "oneOf": _Converter.one_of,
    "type": _Converter.kinds,
    "const": _Converter.const,
    "format": _Converter.form,
}


def from_subset(schema: Json) -> tuple[Json, bool]:
    """A schema in the subset's capital type names as JSON Schema, and whether anything changed. `raised` undoes it exactly."""
    if not _has_capitals(schema, 0):
        return schema, False
    lowered = _mapped(schema, str.lower)
    return (lowered, True) if raised(lowered) == schema else (schema, False)


def raised(schema: Json) -> Json:
    """Type names in capitals again."""
    return _mapped(schema, str.upper)


def _has_capitals(schema: Json, depth: int) -> bool:
    """Whether any type name is in capitals; every level is looked at, so that the depth is known to be bounded."""
    if depth > MAX_DEPTH:
        raise WireError(f"a schema is nested deeper than {MAX_DEPTH} levels", param="schema")
    if not isinstance(schema, dict):
        return False
    kind = schema.get("type")
    below = [_has_capitals(sub, depth + 1) for sub in _children(schema)]
    return (isinstance(kind, str) and kind in _TYPES) or any(below)


def _children(schema: JsonObject) -> list[Json]:
    properties, options = schema.get("properties"), schema.get("anyOf")
    found = list(properties.values()) if isinstance(properties, dict) else []
    if isinstance(options, list):
        found += options
    if "items" in schema:
        found.append(schema["items"])
    return found


def _mapped(schema: Json, change: Callable[[str], str]) -> Json:
    if not isinstance(schema, dict):
        return schema
    result = dict(schema)
    if isinstance(result.get("type"), str):
        result["type"] = change(result["type"])
    if isinstance(result.get("properties"), dict):
        result["properties"] = {name: _mapped(sub, change) for name, sub in result["properties"].items()}
    if isinstance(result.get("anyOf"), list):
        result["anyOf"] = [_mapped(sub, change) for sub in result["anyOf"]]
    if "items" in result:
        result["items"] = _mapped(result["items"], change)
    return result
