"""Filling a schema from the text of a prompt, and from nothing."""

from __future__ import annotations

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.sim.schema_fill import Filler, pairs
from headgate.wire.json import Json, JsonObject


def fill(schema: JsonObject, text: str, seed: int = 1) -> Json:
    return Filler(schema, text, seed).value()


def one(schema: JsonObject, text: str) -> Json:
    return fill({"type": "object", "properties": {"total score": schema}}, text)["total score"]


CASES = [
    ({"type": "integer"}, "total score: 21", 21),
    ({"type": "integer"}, "Total_Score = 7 points", 7),
    ({"type": "integer"}, "- **totalScore**: 1,234", 1234),
    ({"type": "integer"}, "* **Total Score:** 9", 9),
    ({"type": "integer"}, '{"total_score": 5, "x": 1}', 5),
    ({"type": "integer"}, "total-score: 3\nTOTAL SCORE: 4", 4),
    ({"type": "integer"}, 'total score: 8\nAnswer as {"total_score": <integer>}', 8),
    ({"type": "integer"}, "total score: 8\ntotal score: many", 8),
    ({"type": "integer", "maximum": 10}, "total score: 8\ntotal score: 80", 8),
    ({"type": "integer"}, "total score: 2.0", 2),
    ({"type": "number"}, "total score: -2.5e1", -25.0),
    ({"type": "boolean"}, "total score: Yes", True),
    ({"type": "boolean"}, "total score: off\nSay total_score: true or false", False),
    ({"type": "string"}, 'total score: "very high", name: Bob', "very high"),
    ({"type": "string"}, "total score: very high, name: Bob", "very high"),
    ({"type": "string"}, "total score: <text>\n", None),
    ({"type": "string", "enum": ["Left Side", "right"]}, "total score: left_side.", "Left Side"),
    ({"enum": [1, 2]}, "total score: 2", 2),
    ({"type": "array", "items": {"type": "integer"}}, "total score: [1, 2,\n 3]", [1, 2, 3]),
    ({"type": "array", "items": {"type": "string"}}, "total score: ten, K of hearts", ["ten", "K of hearts"]),
    ({"type": "object", "properties": {"a": {"type": "integer"}}}, 'total score: {"a": 1}', {"a": 1}),
    ({"type": "object", "properties": {"a": {"type": "integer"}}}, "total score: below\n a: 4", {"a": 4}),
    ({"type": ["null", "integer"]}, "total score: 6", 6),
    ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, "total score: 6", 6),
    ({"type": "INTEGER", "nullable": True}, "total score: 6", 6),
    ({"const": "fixed"}, "total score: other", "fixed"),
]


@pytest.mark.parametrize(("schema", "text", "value"), CASES)
def test_pairs_in_the_text_fill_properties(schema: JsonObject, text: str, value: Json) -> None:
    found = one(schema, text)
    assert found == value if value is not None else isinstance(found, str) and not found.startswith("<")


def test_a_longer_name_is_not_mistaken_for_a_shorter_one() -> None:
    schema = {"type": "object", "properties": {"score": {"type": "integer", "minimum": 0, "maximum": 3}}}
    assert fill(schema, "my_score: 1\nscored: 2")["score"] in range(4)
    assert fill(schema, "my_score: 1\nscore: 2")["score"] == 2


def test_the_schema_quoted_in_the_prompt_is_not_taken_for_data() -> None:
    schema = {"type": "object", "properties": {"who": {"type": "object", "properties": {"name": {"type": "string"}}}}}
    text = 'name: Ada\nSchema: {"who": {"type": "object", "properties": {"name": {"type": "string"}}}}'
    assert fill(schema, text) == {"who": {"name": "Ada"}}


def test_references_and_merges() -> None:
    schema = {
        "$defs": {"Leaf": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
        "type": "object",
        "properties": {
            "leaf": {"$ref": "#/$defs/Leaf"},
            "both": {"allOf": [{"$ref": "#/$defs/Leaf"}, {"properties": {"m": {"const": 1}}}]},
        },
    }
    assert fill(schema, "n: 5") == {"leaf": {"n": 5}, "both": {"n": 5, "m": 1}}


def test_a_recursive_schema_ends() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}}}
    assert isinstance(fill(schema, ""), dict)


def test_pairs_of_a_text() -> None:
    assert pairs("a: 1\n- **Big Name**: two\nq: [1]\na: 3\nhttp://x") == {"a": 3, "big_name": "two", "q": [1]}


scalars = st.one_of(
    st.builds(lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span}, st.integers(-50, 50), st.integers(0, 50)),
    st.builds(lambda low, span: {"type": "number", "minimum": low, "maximum": low + span}, st.integers(-5, 5), st.integers(1, 5)),
    st.builds(lambda low, span: {"type": "string", "minLength": low, "maxLength": low + span}, st.integers(0, 90), st.integers(0, 20)),
    st.builds(lambda options: {"enum": options}, st.lists(st.text(max_size=5), min_size=1, unique=True)),
    st.sampled_from(
        [{"type": "boolean"}, {"type": "null"}, {"type": "integer", "multipleOf": 5}, {"type": "integer", "exclusiveMinimum": 4}]
    ),
    st.sampled_from(
        [
            {"type": "string", "format": name}
            for name in ("date", "date-time", "email", "uuid", "uri", "ipv4", "time", "hostname", "duration")
        ]
    ),
)
schemas = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.builds(
            lambda items, low, span: {"type": "array", "items": items, "minItems": low, "maxItems": low + span},
            inner,
            st.integers(0, 4),
            st.integers(0, 3),
        ),
        st.builds(
            lambda named: {"type": "object", "properties": named, "required": list(named), "additionalProperties": False},
            st.dictionaries(st.text("abcdef_", min_size=1, max_size=6), inner, max_size=4),
        ),
        st.builds(lambda part: {"anyOf": [{"type": "null"}, part]}, inner),
    ),
    max_leaves=8,
)


@given(schemas, st.integers(0, 1000))
def test_made_up_values_are_valid_and_reproducible(schema: JsonObject, seed: int) -> None:
    value = fill(schema, "", seed)
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(value)
    assert fill(schema, "", seed) == value


@given(st.text(max_size=300), schemas)
def test_no_text_breaks_the_filling(text: str, schema: JsonObject) -> None:
    root = {"type": "object", "properties": {"a": schema, "b c": {"type": "string"}}}
    assert set(fill(root, text)) == {"a", "b c"}
