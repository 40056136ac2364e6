"""JSON Schema to the Gemini subset (translation case 80), as a table, and the way back from capitals."""

from __future__ import annotations

import pytest

from headgate.dialects.gemini_generate.schema import MAX_DEPTH, from_subset, is_open_object, raised, to_subset
from headgate.dialects.gemini_generate.writer import Writer
from headgate.domain.capabilities import ANY_MODEL
from headgate.errors import Unsupported, WireError
from headgate.wire.json import Json, JsonObject

TABLE: list[tuple[str, JsonObject, JsonObject, set[str]]] = [
    (
        "plain",
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        set(),
    ),
    (
        "kept",
        {"type": "string", "title": "t", "description": "d", "default": "x", "minLength": 1, "pattern": "a", "propertyOrdering": ["b"]},
        {"type": "string", "title": "t", "description": "d", "default": "x", "minLength": 1, "pattern": "a", "propertyOrdering": ["b"]},
        set(),
    ),
    ("additional-properties", {"type": "object", "additionalProperties": False}, {"type": "object"}, {"s.additionalProperties"}),
    ("exclusive-minimum", {"type": "integer", "exclusiveMinimum": 1}, {"type": "integer"}, {"s.exclusiveMinimum"}),
    ("schema-word", {"$schema": "x", "type": "string"}, {"type": "string"}, {"s.$schema"}),
    ("const", {"const": "a"}, {"enum": ["a"], "type": "string"}, set()),
    ("numeric-const", {"const": 1}, {"enum": ["1"], "type": "string"}, {"s.enum"}),
    ("numeric-enum", {"type": "integer", "enum": [1, None, "2"]}, {"type": "string", "enum": ["1", "2"], "nullable": True}, {"s.enum"}),
    ("nullable-type", {"type": ["string", "null"]}, {"type": "string", "nullable": True}, set()),
    ("several-types", {"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}, set()),
    ("optional", {"anyOf": [{"type": "string"}, {"type": "null"}]}, {"nullable": True, "type": "string"}, set()),
    ("any-of", {"anyOf": [{"type": "string"}, {"const": "a"}]}, {"anyOf": [{"type": "string"}, {"enum": ["a"], "type": "string"}]}, set()),
    ("one-of", {"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}, {"s.oneOf"}),
    (
        "all-of",
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "string"}}},
                {"properties": {"b": {"type": "string"}}, "required": ["b"]},
            ]
        },
        {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["b"]},
        set(),
    ),
    ("all-of-contradicting", {"type": "string", "allOf": [{"type": "integer"}]}, {"type": "string"}, {"s.allOf[0].type"}),
    (
        "references",
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/A", "description": "d"}},
            "$defs": {"A": {"type": "string", "description": "x"}},
        },
        {"type": "object", "properties": {"a": {"type": "string", "description": "d"}}},
        set(),
    ),
    ("reference-through-all-of", {"allOf": [{"$ref": "#/$defs/a~1b"}], "$defs": {"a/b": {"type": "string"}}}, {"type": "string"}, set()),
    ("format", {"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}, set()),
    ("unknown-format", {"type": "string", "format": "uuid"}, {"type": "string"}, {"s.format"}),
    ("items-true", {"type": "array", "items": True}, {"type": "array", "items": {}}, set()),
    ("items-false", {"type": "array", "items": False}, {"type": "array", "items": {}}, {"s.items"}),
    (
        "required-of-nothing",
        {"type": "object", "properties": {"a": {}}, "required": ["a", "b"]},
        {"type": "object", "properties": {"a": {}}, "required": ["a"]},
        {"s.required"},
    ),
    (
        "nested-note",
        {"type": "object", "properties": {"a": {"type": "string", "not": {}}}},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"s.properties.a.not"},
    ),
]


@pytest.mark.parametrize(("schema", "subset", "notes"), [pytest.param(*row[1:], id=row[0]) for row in TABLE])
def test_case_80(schema: JsonObject, subset: JsonObject, notes: set[str]) -> None:
    writer = Writer(ANY_MODEL, same=False)
    assert to_subset(schema, writer, "s") == subset
    assert {note.field for note in writer.notes} == notes


RECURSIVE = {"$ref": "#/$defs/N", "$defs": {"N": {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}}}}}
DEEP: JsonObject = {"type": "string"}
for _ in range(MAX_DEPTH + 1):
    DEEP = {"type": "array", "items": DEEP}
WIDE = {
    "$ref": "#/$defs/L0",
    "$defs": {f"L{i}": {"anyOf": [{"$ref": f"#/$defs/L{i + 1}"}] * 4} if i < 12 else {"type": "string"} for i in range(13)},
}


@pytest.mark.parametrize(
    "schema", [RECURSIVE, {"$ref": "#"}, {"$ref": "#/$defs/none"}, {"$ref": 5}, {"$ref": "http://e.org"}, DEEP, WIDE, True]
)
def test_case_80_refusals(schema: Json) -> None:
    with pytest.raises(Unsupported) as caught:
        to_subset(schema, Writer(ANY_MODEL, same=False), "s")
    assert caught.value.param is not None and caught.value.param.startswith("s")


def test_capitals_both_ways() -> None:
    wire = {"type": "OBJECT", "properties": {"type": {"type": "ARRAY", "items": {"type": "STRING"}}}, "anyOf": [{"type": "NULL"}]}
    schema, changed = from_subset(wire)
    assert changed and schema["properties"]["type"]["items"] == {"type": "string"}
    assert raised(schema) == wire
    assert from_subset({"type": "object", "items": {"type": "STRING"}}) == ({"type": "object", "items": {"type": "STRING"}}, False)
    with pytest.raises(WireError):
        from_subset(DEEP)


def test_functions_without_parameters() -> None:
    assert all(map(is_open_object, (None, {}, {"type": "object", "properties": {}}, {"type": "object", "additionalProperties": False})))
    assert not is_open_object({"type": "object", "properties": {"a": {}}})
    assert not is_open_object({"$ref": "#/$defs/A"})
