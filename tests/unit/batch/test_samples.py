"""Answers made up from a schema."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch.pipeline import Rules
from headgate.batch.samples import MOST_ITEMS, Sampler, Size, array_bounds, kind_of, narrowed, resolved
from headgate.batch.schemas import CompiledSchema
from headgate.wire.json import Json, JsonObject

LEAVES: st.SearchStrategy[JsonObject] = st.one_of(
    st.builds(lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more}, st.integers(-50, 50), st.integers(0, 50)),
    st.builds(lambda low, more: {"type": "number", "minimum": low, "maximum": low + more}, st.integers(-50, 50), st.integers(0, 50)),
    st.builds(lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more}, st.integers(0, 300), st.integers(0, 300)),
    st.builds(lambda step: {"type": "integer", "multipleOf": step}, st.integers(1, 9)),
    st.builds(lambda low: {"type": "integer", "exclusiveMinimum": low}, st.integers(-9, 9)),
    st.builds(lambda options: {"enum": options}, st.lists(st.sampled_from(["a", "bb", 3, None, True]), min_size=1, unique_by=repr)),
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "boolean"},
            {"type": "null"},
            {"type": ["null", "string"]},
            {"const": [1, {"a": 2}]},
            {"type": "number"},
        ]
    ),
)


def containers(inner: st.SearchStrategy[JsonObject]) -> st.SearchStrategy[JsonObject]:
    objects = st.dictionaries(st.sampled_from("abcd"), inner, min_size=1, max_size=4).flatmap(
        lambda known: st.builds(
            lambda required: {"type": "object", "properties": known, "required": required, "additionalProperties": False},
            st.lists(st.sampled_from(sorted(known)), unique=True),
        )
    )
    arrays = st.builds(
        lambda items, low, more: {"type": "array", "items": items, "minItems": low, "maxItems": low + more},
        inner,
        st.integers(0, 4),
        st.integers(0, 9),
    )
    unions = st.builds(lambda one: {"anyOf": [{"type": "null"}, one]}, inner)
    return st.one_of(objects, arrays, unions)


SCHEMAS = st.recursive(LEAVES, containers, max_leaves=12)


@given(SCHEMAS, st.sampled_from(Size))
def test_a_made_up_answer_fits_its_schema(schema: JsonObject, size: Size) -> None:
    answer = Sampler(schema, size).value()
    assert CompiledSchema(schema).problems(answer) == ()


@given(SCHEMAS)
def test_it_is_the_same_each_time_and_as_long_as_it_says(schema: JsonObject) -> None:
    assert Sampler(schema).value() == Sampler(schema).value()
    assert Sampler(schema).length() > 0


@pytest.mark.parametrize("size", list(Size))
@given(words=st.integers(0, 500))
def test_the_length_is_that_of_the_answer(size: Size, words: int) -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string", "maxLength": words}, "n": {"type": "integer"}}}
    written = json.dumps(Sampler(schema, size).value(), separators=(",", ":"))
    assert len(written) <= Sampler(schema, size).length() <= len(written) * 1.6 + 4


def test_long_arrays_are_measured_and_not_made() -> None:
    schema: JsonObject = {"type": "array", "maxItems": 10**6, "items": {"type": "array", "maxItems": 10**6, "items": {"type": "integer"}}}
    assert len(Sampler(schema, Size.LONG).value()) == MOST_ITEMS
    assert Sampler(schema, Size.LONG).length() > 10**12


def test_a_schema_that_refers_to_itself_ends() -> None:
    schema: JsonObject = {
        "$ref": "#/$defs/node",
        "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}, "v": {"type": "integer"}}}},
    }
    assert Sampler(schema).value()["v"] == 50
    wide: JsonObject = {"properties": {name: {"$ref": "#"} for name in "abcdefgh"}}
    assert isinstance(Sampler(wide).value(), dict) and Sampler(wide, Size.LONG).length() > 8**10


def test_references_and_combinations_are_followed() -> None:
    root: JsonObject = {"$defs": {"mood": {"enum": ["good"]}}}
    assert resolved(root, {"$ref": "#/$defs/mood"}) == {"enum": ["good"]}
    both = resolved(root, {"allOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}]})
    assert both == {"properties": {"a": {}, "b": {}}, "required": ["a", "b"]}
    assert kind_of(resolved(root, {"oneOf": [{"type": "null"}, {"type": "array"}]})) == "array"


@pytest.mark.parametrize(
    ("node", "bounds"),
    [({}, (1, None)), ({"minItems": 0}, (0, None)), ({"minItems": 2, "maxItems": 5}, (2, 5)), ({"maxItems": True}, (1, None))],
)
def test_bounds_of_an_array(node: JsonObject, bounds: tuple[int, int | None]) -> None:
    assert array_bounds(node) == bounds


def test_the_rules_of_a_step_say_more_than_its_schema() -> None:
    rules = Rules(required=("note",), types={"tags": "list"}, enums={"mood": ("good", "bad")}, ranges={"score": (1, 5)})
    schema = narrowed({"type": "object", "properties": {"mood": {"type": "string"}, "score": {"type": "integer"}}}, rules)
    answer: Json = Sampler(schema).value()
    assert answer["mood"] in ("good", "bad") and 1 <= answer["score"] <= 5
    assert isinstance(answer["tags"], list) and isinstance(answer["note"], str)
    assert narrowed({"type": "object"}, Rules()) == {"type": "object"}
